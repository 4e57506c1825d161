"""Faults one by one under load, on a real server in a process of its own: it answers the rest, and loses nothing."""

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from interconnected_ai.bench import short_serving
from interconnected_ai.bench.serving.faults import FAULTS, measure_faults


def test_the_service_stands_every_fault_and_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    said: list[str] = []
    found = measure_faults(tmp_path, short_serving().small, said.append)
    assert found["faults_not_survived"] == {}
    assert found["faults_survived"] == found["num_faults"] == len(FAULTS) + 1
    assert said == [*FAULTS, "kill -9"]
