"""The bench of surgery: its figures follow from what it runs, and the goals that do not depend on time hold."""

import pytest

from interconnected_ai.bench.surgery import (
    OPERATIONS,
    Size,
    bench_packing,
    bench_program,
    bench_whole_model,
    peak_bytes,
)
from interconnected_ai.bench.tiny_moes import make
from interconnected_ai.surgery import MoE


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_of_the_table_holds_for_a_family(operation: str) -> None:
    assert OPERATIONS[operation](MoE(make("granitemoe")))


def test_packed_experts_are_below_the_goal() -> None:
    found = bench_packing()
    assert found["bytes_4bit_over_bf16"] <= 0.3
    assert 0 < found["logits_relative_error_4bit"] < 0.2


def test_the_peak_counts_what_is_alive_at_one_time() -> None:
    import torch

    def two_after_another() -> None:
        for _ in range(2):
            torch.empty(1 << 20).add_(1)

    def two_at_once() -> None:
        first, second = torch.empty(1 << 20), torch.empty(1 << 20)
        first.add_(second)

    assert peak_bytes(two_after_another) == pytest.approx(4 << 20, rel=0.1)
    assert peak_bytes(two_at_once) == pytest.approx(8 << 20, rel=0.1)


def test_a_whole_model_is_opened_edited_and_trained() -> None:
    found = bench_whole_model(Size(32, 16, 8, 2, 4, 2, 8), steps=3, tokens=16)
    assert found["whole_losses"][-1] < found["whole_losses"][0]
    assert found["whole_peak_bytes"] > found["whole_weight_bytes"]
    assert found["whole_adapter_params"] == 2 * 2 * 16 * (32 + 32 + 16 + 32)


def test_rules_are_timed() -> None:
    assert bench_program(1)["program_overhead"] > -1
