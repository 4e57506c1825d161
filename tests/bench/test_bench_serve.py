"""The bench of the server, part by part at tiny sizes."""

from pathlib import Path
from typing import Any

import pytest
from tests.cli import command_line

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from interconnected_ai.bench import bench_serving, serving_goal_rows, short_serving
from interconnected_ai.bench.serving import PARTS
from interconnected_ai.bench.serving.endurance import EnduranceSizes, measure_soak
from interconnected_ai.bench.serving.llama import ChatSizes, measure_chat
from interconnected_ai.cli.bench.serve import PARTS as SHOWN
from interconnected_ai.errors import UnknownNameError
from interconnected_ai.experts import embedded_card


def test_the_command_names_every_part() -> None:
    assert SHOWN == PARTS
    with pytest.raises(UnknownNameError, match="overload"):
        bench_serving(["overlaod"])


def test_streams_a_request_and_texts_are_measured_beside_what_they_are_compared_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = [word for part in ("generation", "overhead", "classify") for word in ("--part", part)]
    found = command_line.run_json(capsys, "bench", "serve", "--short", *parts)
    assert [row["at_once"] for row in found["rows"]] == [1, 4]
    assert all(row["engine"] > 0 and row["served"] > 0 for row in found["rows"])
    shown = {row["what"] for row in serving_goal_rows(found)}
    assert len(shown) == 6
    assert all(found[key] > 0 for key in ("health_p99_ms", "engine_share", "classify_share", "branches_200_over_3"))
    assert set(found["one_token_ms"]) == {"ours", "bare"}


@pytest.mark.timeout(1800)  # two minutes, and as long as a busy machine takes for what comes before
def test_two_minutes_of_everyday_work_leave_no_fault_and_little_memory(tmp_path: Path) -> None:
    sizes, said = EnduranceSizes(soak_minutes=2.0, fills_caches=True, num_warming=500), list[Any]()
    found = measure_soak(tmp_path, short_serving().small, sizes, said.append)
    assert set(found["soak_statuses"]) <= {"200", "400", "404", "503"}
    assert found["soak_memory"] < 1.1  # the bench's goal, after longer warming and beside nothing else, is 1.02


def test_twice_the_load_and_everyday_work_are_stood() -> None:
    found = bench_serving(["overload", "soak"], sizes=short_serving())
    assert set(found["overload_statuses"]) <= {"200", "503"}  # times are for a quiet machine
    assert found["overload_statuses"]["200"] > 0
    assert set(found["soak_statuses"]) <= {"200", "400", "404", "503"}
    assert found["soak_memory"] > 0


@pytest.mark.skipif(embedded_card() is None, reason="needs the embedded model")
def test_chats_are_measured_beside_llama_cpps_own_server(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    said: list[Any] = []
    found = measure_chat(tmp_path, ChatSizes(num_tokens=4, streams=(1, 2), rounds=1), said.append)
    assert found["over_llamacpp_server"] > 0
    assert [row["at_once"] for row in found["chat_rows"]] == [1, 2]
