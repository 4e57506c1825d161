"""Requests leave nothing behind: objects are counted before and after many of each kind, those that a bound holds left out."""

import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.halls import asked, call
from tests.serving.own_halls import own_server

from interconnected_ai.serving import Hall

_WARM, _ROUNDS, _MANY = 12, 3, 40
# What a bound of its own holds, however many requests come: the requests of the last minutes, 4,096 at most; sqlite3's weak
# references to cursors, of which a connection drops the dead ones at every 200th; addresses that urllib.parse has split, 128.
_BOUNDED = {"_Happened", "ReferenceType", "SplitResult"}

Ask = Callable[[str, int], tuple[int, dict[str, str], Any]]


@pytest.fixture(scope="module", autouse=True)
def only_what_comes() -> None:
    """What was there before the server is neither walked through nor counted: a million objects of libraries."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with own_server(tmp_path_factory.mktemp("kept")) as (url, hall):
        _remember_no_conversations(hall)
        yield url


@pytest.fixture(autouse=True)
def nobody_reads_the_log() -> Iterator[None]:
    """pytest keeps every record that is made, and another test's command may have asked for those of requests."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def _remember_no_conversations(hall: Hall) -> None:
    """What experts keep of conversations is bounded in bytes, which are not reached here."""
    assert hall.council is not None
    pool = hall.council.pool
    for name in pool.names:
        with pool.borrow(name) as loan:
            loan.expert.prompt_cache.max_bytes = 0  # type: ignore[attr-defined]


def _chat(url: str, number: int) -> Any:
    return call(url, "/v1/chat/completions", asked(f"question {number}", max_tokens=2))


def _streamed(url: str, number: int) -> Any:
    return call(url, "/v1/chat/completions", asked(f"question {number}", max_tokens=2, stream=True))


def _completion(url: str, number: int) -> Any:
    return call(url, "/v1/completions", {"model": "code", "prompt": f"text {number}", "max_tokens": 2, "stream": True})


def _message(url: str, number: int) -> Any:
    messages = [{"role": "user", "content": f"question {number}"}]
    return call(
        url, "/v1/messages", {"model": "code", "messages": messages, "max_tokens": 2, "stream": number % 2 == 0}
    )


def _response(url: str, number: int) -> Any:
    body = {"model": "code", "input": f"question {number}", "max_output_tokens": 2, "stream": number % 2 == 0}
    return call(url, "/v1/responses", body)


def _council(url: str, number: int) -> Any:
    return call(url, "/v1/chat/completions", asked(f"court {number}", model="council", session=f"s {number % 3}"))


def _classified(url: str, number: int) -> Any:
    return call(url, "/v1/classify", {"input": f"my bank card {number}"})


def _embedded(url: str, number: int) -> Any:
    model = next(one["id"] for one in call(url, "/v1/models")[2]["data"] if "tiny-bert" in one["id"])
    return call(url, "/v1/embeddings", {"model": model, "input": f"cat {number}"})


def _recalled(url: str, number: int) -> Any:
    return call(url, "/v1/memory/context", {"query": f"what was asked {number}?", "session": f"s {number % 3}"})


def _listed(url: str, number: int) -> Any:
    return call(url, "/v1/experts")


def _wrong(url: str, number: int) -> Any:
    bodies: list[Any] = [{"model": f"nobody {number}", "messages": []}, b"{", asked(f"x {number}", temperature=9)]
    call(url, f"/nowhere/{number}")
    return call(url, "/v1/chat/completions", bodies[number % len(bodies)])


def _counted() -> Counter[str]:
    gc.collect()
    gc.collect()  # what finalizers of the first let go
    kinds = Counter(type(each).__name__ for each in gc.get_objects())
    for name in _BOUNDED:
        del kinds[name]
    return kinds


def _kept(ask: Callable[[int], None]) -> dict[str, list[int]]:
    """The kinds of objects of which every round of requests leaves more: caches fill once, timers come and go."""
    for number in range(_WARM):
        ask(number)
    counts = [_counted()]
    for round in range(_ROUNDS):
        for number in range(_MANY):
            ask(_WARM + round * _MANY + number)
        counts.append(_counted())
    growths = {kind: [after[kind] - before[kind] for before, after in pairwise(counts)] for kind in counts[-1]}
    return {kind: growth for kind, growth in growths.items() if min(growth) >= _MANY // 2}


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (_chat, 200), (_streamed, 200), (_completion, 200), (_message, 200), (_response, 200), (_council, 200),
        (_classified, 200), (_embedded, 200), (_recalled, 200), (_listed, 200), (_wrong, None),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)  # fmt: skip
def test_requests_of_one_kind_leave_no_objects_behind(served: str, ask: Ask, status: int | None) -> None:
    def asked_once(number: int) -> None:
        found = ask(served, number)[0]
        assert found == status or (status is None and 400 <= found < 500)

    assert _kept(asked_once) == {}, f"objects that rounds of {_MANY} requests left behind"


def test_the_count_sees_what_is_kept() -> None:
    class Leaked:
        def __init__(self) -> None:
            self.me = self

    assert _kept(lambda number: [Leaked()].clear()) == {}
    held: list[Leaked] = []
    assert _kept(lambda number: held.append(Leaked())) == {"Leaked": [_MANY] * _ROUNDS}
