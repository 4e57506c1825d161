"""The figures of the page's strip: of the last minutes, and for who may see them."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')

from tests.serving.halls import Waiting, asked, call, waiting_server

from interconnected_ai.experts import ExpertPool, TextExpert
from interconnected_ai.serving import KeyFile
from interconnected_ai.serving.counters import Counters
from interconnected_ai.serving.hall import Hall


def test_figures_are_of_the_last_minutes_and_old_ones_go() -> None:
    now = 1_000.0
    with ExpertPool[TextExpert](10) as pool:
        pool.add("waiting", Waiting, num_bytes=1)
        counters = Counters(Hall(experts=pool), (), clock=lambda: now)
    assert counters.recent() == {
        "window_seconds": 300.0, "requests": 0, "faults": 0, "p50_seconds": None, "p95_seconds": None,
        "tokens_per_second": 0.0,
    }  # fmt: skip
    for number in range(21):
        counters.answered("/v1/route", "POST", 503 if number == 20 else 200, number / 10)
    counters.answered("/v1/monitor", "GET", 500, 99.0)  # a page that looks is no work
    counters.tokens("waiting", prompt=7, cached=0, answer=120)
    found = counters.recent()
    assert (found["requests"], found["faults"]) == (21, 1)
    assert found["p50_seconds"] == pytest.approx(1.0)
    assert found["p95_seconds"] == pytest.approx(1.9)
    assert found["tokens_per_second"] == 2.0
    now += 61.0
    assert counters.recent()["tokens_per_second"] == 0.0
    assert counters.recent()["requests"] == 21
    now += 240.0
    assert counters.recent()["requests"] == 0


def test_a_request_shows_in_the_figures_of_who_may_see_them(tmp_path: Path) -> None:
    expert = Waiting(num_pieces=1)
    expert.goes.release(5)
    with waiting_server(expert, max_at_once=3) as url:
        call(url, "/v1/chat/completions", asked(model="waiting"))
        found = call(url, "/v1/monitor")[2]
        assert found["requests"] == 1
        assert found["answers"] == {"running": 0, "waiting": 0, "max_at_once": 3}
        assert found["experts"] == {"used_bytes": 1, "budget_bytes": 10}
    keys = KeyFile(tmp_path / "keys.json")
    phone = {"authorization": f"Bearer {keys.add('phone')[1]}"}
    with waiting_server(expert, keys=str(keys.path)) as url:
        assert call(url, "/v1/monitor", headers=phone)[0] == 403
