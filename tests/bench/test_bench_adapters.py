"""`iai bench adapters`: parts are measured as asked, and every goal is a figure of its part."""

from typing import Any

import pytest

from interconnected_ai.bench import adapters
from interconnected_ai.bench.adapters import PARTS, bench_adapters, goals_of
from interconnected_ai.errors import UnknownNameError


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Parts that give a figure for each goal at once; what they measure is tried in files of their own."""
    names: list[str] = []

    def run_of(name: str, goals: tuple[tuple[str, str], ...]) -> Any:
        def run(base: str, repeats: int, say: Any) -> dict[str, Any]:
            names.append(name)
            return {key: float(number + 1) for number, (_, key) in enumerate(goals)} | {"machine": base}

        return run

    quick = {n: adapters.Part(part.says, run_of(n, part.goals), part.goals) for n, part in PARTS.items()}
    monkeypatch.setattr(adapters, "PARTS", quick)
    return names


def test_all_parts_are_measured_and_each_goal_stands_beside_them(asked: list[str]) -> None:
    said: list[str] = []
    found = bench_adapters("tiny", repeats=1, say=said.append)
    assert asked == ["serving", "generation", "chat", "training", "quality"] == [line.split(":")[0] for line in said]
    keys = [key for _, key in goals_of(found)]
    assert {"bytes_64_over_sum", "switch_ms", "mixed_over_single", "over_llamacpp", "over_hf"} <= set(keys)
    assert {"second_turn_share", "train_over_peft", "train_memory_over_peft", "adapted_over_base_bpb"} <= set(keys)
    assert all(found[key] > 0 for key in keys)


def test_named_parts_alone_are_measured_and_another_name_is_told(asked: list[str]) -> None:
    found = bench_adapters("tiny", repeats=1, parts=["chat"], say=lambda line: None)
    assert asked == ["chat"]
    assert [key for _, key in goals_of(found)] == ["second_turn_share"]
    with pytest.raises(UnknownNameError, match="unknown part 'serve'; known, nearest first: 'serving'"):
        bench_adapters("tiny", parts=["serve"])


def test_a_comparison_that_could_not_be_made_is_left_out_of_the_table(asked: list[str]) -> None:
    found = bench_adapters("tiny", repeats=1, parts=["generation"], say=lambda line: None)
    found["over_llamacpp"] = None
    left = ["over_hf", "torch_over_hf", "torch_of_roofline", "torch_calls_of_roofline"]
    assert [key for _, key in goals_of(found)] == left
