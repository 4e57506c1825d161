"""Steps in which the encoder learns before all else: what a plan counts for them."""

from typing import Any

import pytest

from interconnected_ai.config import SystemConfig, TrainingConfig, num_first_steps, with_first_steps
from interconnected_ai.planner import PlanRequest, plan

BRANCHES = [{"name": "a", "num_classes": 20}]


def request(*, steps: int | None = None, base: str | None = "multilingual", **system: Any) -> PlanRequest:
    content = {"base_model_name": base, "branches": BRANCHES, **system}
    return PlanRequest.from_mapping(
        {
            "system": content, "training": {"encoder_steps": steps}, "num_rows": 2_000, "tokens_per_text": 20,
            "device": "t4",
        }
    )  # fmt: skip


def test_the_embedded_multilingual_encoder_has_some_by_default() -> None:
    found, without = plan(request()), plan(request(steps=0))
    assert found.first_steps.steps == 400
    assert found.way("moe").params["encoder_lora"] > without.way("moe").params["encoder_lora"] == 0
    assert found.way("moe").run_seconds.expected > without.way("moe").run_seconds.expected
    assert found.way("moe").cached
    assert found.way("moe").feature_cache_bytes == without.way("moe").feature_cache_bytes > 0
    assert found.way("moe").training.peak_bytes >= without.way("moe").training.peak_bytes


def test_a_step_of_the_joint_training_is_no_dearer_for_it() -> None:
    found, without = (plan(request(steps=steps)).way("moe") for steps in (None, 0))
    assert found.step_training_flops == without.step_training_flops
    assert found.num_trainable_params == without.num_trainable_params


def test_a_lora_that_learns_with_the_rest_is_counted_as_before() -> None:
    found = plan(request(encoder_lora_rank=16)).way("moe")
    assert not found.cached
    assert found.feature_cache_bytes == 0
    assert found.num_trainable_params > plan(request()).way("moe").num_trainable_params


@pytest.mark.parametrize("base", [None, "all-MiniLM-L6-v2"])
@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, 1_000),
        ({"num_rows": 159}, 0),
        ({"num_rows": 160}, 1_000),
        ({"num_rows": 20_001}, 0),
        ({"tokens_per_text": 32}, 1_000),
        ({"tokens_per_text": 33}, 0),
        ({"tokens_per_text": None}, 1_000),
    ],
)
def test_the_english_encoder_has_some_where_classes_have_some_short_rows(
    base: str | None, changes: dict[str, Any], steps: int
) -> None:
    asked = request(base=base).with_changes(**changes)
    assert plan(asked).first_steps.steps == steps


@pytest.mark.parametrize(("num_rows", "rdrop"), [(999, 2.0), (1_000, None)])
def test_few_rows_are_read_twice_by_the_english_encoder(num_rows: int, rdrop: float | None) -> None:
    assert plan(request(base=None).with_changes(num_rows=num_rows)).first_steps.rdrop == rdrop


def test_reading_twice_takes_twice_as_long() -> None:
    once, twice = (
        plan(
            request(steps=60, encoder_lora_rank=8).with_changes(training={"encoder_steps": 60, "encoder_rdrop": rdrop})
        )
        for rdrop in (0.0, 2.0)
    )
    without = plan(request(steps=0)).way("moe").run_seconds.expected
    first, second = (each.way("moe").run_seconds.expected - without for each in (once, twice))
    assert 1.5 < second / first < 2.5


def peaks(**training: Any) -> tuple[int, int]:
    """Of a training whose first steps take the most memory: with rows read once, and twice."""
    asked = request(base=None, num_experts=2, d_ff=1, encoder_lora_rank=32)
    once, twice = (
        asked.with_changes(training={"encoder_steps": 60, "encoder_rdrop": rdrop, **training}) for rdrop in (0.0, 2.0)
    )
    return plan(once).way("moe").training.activations_bytes, plan(twice).way("moe").training.activations_bytes


def test_reading_twice_takes_twice_the_activations_where_a_pass_has_room_for_both() -> None:
    once, twice = peaks(batch_size=64)
    assert twice == pytest.approx(2 * once, rel=0.01)


def test_reading_twice_takes_no_more_memory_in_parts_of_a_batch() -> None:
    once, twice = peaks(batch_size=64, accumulation_steps=2)
    assert twice == once


def test_texts_of_unknown_length_are_counted_as_the_longest_from_which_the_encoder_learns_first() -> None:
    unknown = request(base=None, num_experts=2, d_ff=1).with_changes(tokens_per_text=None, num_rows=300)
    short = unknown.with_changes(tokens_per_text=32)
    asked_for = request(base=None, steps=1_000, num_experts=2, d_ff=1, encoder_lora_rank=32)
    asked_for = asked_for.with_changes(tokens_per_text=None)
    known, guessed, longest = (plan(each).way("moe").training for each in (short, unknown, asked_for))
    assert guessed.peak_bytes == known.peak_bytes
    assert longest.peak_bytes > 1.5 * guessed.peak_bytes


def test_a_plan_tells_of_the_first_steps() -> None:
    few, many, none = (plan(request(base=None).with_changes(num_rows=rows)).notes for rows in (300, 2_000, 100))
    assert [note for note in few if "at most 60 steps of 32 rows of 20 tokens, each read twice" in note]
    assert [note for note in many if "at most 378 steps of 32 rows of 20 tokens, each read once" in note]
    assert not [note for note in none if "learns first" in note]


def test_what_is_asked_for_stays_as_it_is_asked() -> None:
    asked = request()
    assert plan(asked).request == asked


def test_long_texts_have_none() -> None:
    for tokens, steps in ((32, 400), (33, 0)):
        assert plan(request().with_changes(tokens_per_text=tokens)).first_steps.steps == steps


def test_another_english_encoder_has_none() -> None:
    assert plan(request(base="bert-base-uncased")).first_steps.steps == 0


@pytest.mark.parametrize(
    ("steps_per_epoch", "tokens", "expected"),
    [(1, 300, 6), (19, 300, 114), (75, 300, 400), (3_000, 300, 400), (3_000, 3_000, 133), (3_000, 10**6, 1)],
)
def test_six_epochs_and_so_many_tokens_are_the_most(steps_per_epoch: int, tokens: float, expected: int) -> None:
    _, training = with_first_steps(SystemConfig(base_model_name="multilingual"), TrainingConfig())
    assert num_first_steps(training, steps_per_epoch, tokens) == expected
