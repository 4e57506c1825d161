"""Nobody who asks a lot keeps others waiting: so many at once for a key, turns key by key, half of the waiting places."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.halls import Waiting, asked, call, waiting_server

from interconnected_ai.serving import KeyFile
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.lanes import ASKING, Lane

CHAT = "/v1/chat/completions"


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@contextmanager
def keyed(tmp_path: Path, expert: Waiting, **settings: int) -> Iterator[tuple[str, KeyFile]]:
    keys = KeyFile(tmp_path / "keys.json")
    keys.add("admin", scopes=["admin"])
    with waiting_server(expert, keys=str(keys.path), **settings) as url:
        yield url, keys


def test_a_key_has_so_many_answers_at_once_and_one_more_when_one_is_out(tmp_path: Path) -> None:
    expert = Waiting(num_pieces=1)
    with keyed(tmp_path, expert) as (url, keys), ThreadPoolExecutor(3) as clients:
        few, other = (bearer(keys.add(name, at_once=limit)[1]) for name, limit in (("few", 2), ("other", None)))
        running = [clients.submit(call, url, CHAT, asked(model="waiting", stream=number == 0), headers=few)
                   for number in range(2)]  # fmt: skip
        while expert.num_asked < 2:
            continue
        status, headers, found = call(url, CHAT, asked(model="waiting"), headers=few)
        assert (status, found["error"]["code"]) == (429, "too_many_at_once")
        assert int(headers["retry-after"]) >= 1
        assert call(url, "/v1/models", headers=few)[0] == 200  # what only looks is no answer
        third = clients.submit(call, url, CHAT, asked(model="waiting"), headers=other)
        while expert.num_asked < 3:
            continue
        expert.goes.release(9)
        assert [each.result()[0] for each in (*running, third)] == [200, 200, 200]
        for _ in range(4):  # each gives its place back
            assert call(url, CHAT, asked(model="waiting"), headers=few)[0] == 200
        for _ in range(4):  # and so does one that is refused
            assert call(url, CHAT, {"model": "nobody"}, headers=few)[0] == 400


def test_a_client_that_leaves_gives_its_place_back(tmp_path: Path) -> None:
    from tests.serving.test_lanes_and_streams import sent

    expert = Waiting(num_pieces=1)
    with keyed(tmp_path, expert) as (url, keys):
        one = bearer(keys.add("one", at_once=1)[1])
        body = json.dumps(asked(model="waiting")).encode()
        connection = sent(url, body, f"authorization: {one['authorization']}\r\n")
        assert expert.began.wait(60)
        assert call(url, CHAT, asked(model="waiting"), headers=one)[0] == 429
        connection.close()
        expert.goes.release(9)
        while call(url, CHAT, asked(model="waiting"), headers=one)[0] == 429:
            continue
        assert call(url, CHAT, asked(model="waiting"), headers=one)[0] == 200


def test_keys_have_their_turns_one_after_another() -> None:
    done: list[str] = []
    goes = threading.Event()

    def work(name: str) -> None:
        assert goes.wait(60)
        done.append(name)

    async def asks() -> None:
        lane = Lane("turns", max_at_once=1, max_waiting=20)

        async def ask(key: str, name: str) -> None:
            ASKING.set(key)
            await lane.run(lambda: work(name))

        asking = [asyncio.create_task(ask("much", f"much {number}")) for number in range(6)]
        asking += [asyncio.create_task(ask(key, key)) for key in ("ann", "ben")]
        await asyncio.sleep(0)
        goes.set()
        await asyncio.gather(*asking)
        assert lane.num_admitted == 0

    asyncio.run(asks())
    assert done == ["much 0", "much 1", "ann", "ben", *(f"much {number}" for number in range(2, 6))]


def test_one_key_takes_half_of_the_waiting_places_and_those_who_leave_give_theirs_back() -> None:
    goes = threading.Event()

    async def asks() -> None:
        lane = Lane("places", max_at_once=1, max_waiting=4)

        async def ask(key: str) -> bool:
            ASKING.set(key)
            await lane.run(lambda: goes.wait(60))
            return True

        much = [asyncio.create_task(ask("much")) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="your key"):
            await asyncio.create_task(ask("much"))
        other = asyncio.create_task(ask("other"))
        await asyncio.sleep(0)
        assert lane.num_admitted == 4
        much[2].cancel()
        while lane.num_admitted > 3:
            await asyncio.sleep(0)
        again = asyncio.create_task(ask("much"))
        await asyncio.sleep(0)
        goes.set()
        assert await asyncio.gather(much[0], much[1], other, again) == [True] * 4
        assert lane.num_admitted == 0

    asyncio.run(asks())
