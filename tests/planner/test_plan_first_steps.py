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
    assert found.request.training.encoder_steps == 400
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
    assert plan(asked).request.training.encoder_steps == steps


@pytest.mark.parametrize(("num_rows", "rdrop"), [(999, 2.0), (1_000, None)])
def test_few_rows_are_read_twice_by_the_english_encoder(num_rows: int, rdrop: float | None) -> None:
    assert plan(request(base=None).with_changes(num_rows=num_rows)).request.training.encoder_rdrop == rdrop


def test_reading_twice_takes_twice_as_long_and_no_more_memory() -> None:
    once, twice = (
        plan(
            request(steps=60, encoder_lora_rank=8).with_changes(training={"encoder_steps": 60, "encoder_rdrop": rdrop})
        )
        for rdrop in (0.0, 2.0)
    )
    without = plan(request(steps=0)).way("moe").run_seconds.expected
    first, second = (each.way("moe").run_seconds.expected - without for each in (once, twice))
    assert 1.5 < second / first < 2.5
    assert once.way("moe").training.peak_bytes == twice.way("moe").training.peak_bytes


def test_long_texts_have_none() -> None:
    for tokens, steps in ((32, 400), (33, 0)):
        assert plan(request().with_changes(tokens_per_text=tokens)).request.training.encoder_steps == steps


def test_another_english_encoder_has_none() -> None:
    assert plan(request(base="bert-base-uncased")).request.training.encoder_steps == 0


@pytest.mark.parametrize(
    ("steps_per_epoch", "tokens", "expected"),
    [(1, 300, 6), (19, 300, 114), (75, 300, 400), (3_000, 300, 400), (3_000, 3_000, 133), (3_000, 10**6, 1)],
)
def test_six_epochs_and_so_many_tokens_are_the_most(steps_per_epoch: int, tokens: float, expected: int) -> None:
    _, training = with_first_steps(SystemConfig(base_model_name="multilingual"), TrainingConfig())
    assert num_first_steps(training, steps_per_epoch, tokens) == expected
