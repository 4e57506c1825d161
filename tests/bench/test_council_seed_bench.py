"""The bench of councils from one seed: everybody is measured alike, and what it says adds up."""

import math
from typing import Any

import pytest
import torch
from little_domains import little_domains

from interconnected_ai.bench import CouncilSizes, bench_council_seed, council_goal_rows, short_council
from interconnected_ai.bench.council_seed import GOALS, curve_of
from interconnected_ai.bench.council_texts import _drawn, _pieces, _python
from interconnected_ai.bench.council_trainings import opened, widened
from interconnected_ai.bench.domain_texts import domains_of
from interconnected_ai.data import Document
from interconnected_ai.errors import DataError
from interconnected_ai.planner import curve_from, expert_size, expert_training_flops

NAMES = ("weather", "money", "animals")
SIZES = CouncilSizes(
    domains=NAMES, vocab_size=330, d_model=16, n_layers=1, n_heads=2, seq_len=64, batch_size=4, steps=48, num_given=8,
    most_bytes=10**6, precision="float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return bench_council_seed(SIZES, domains=little_domains(names=NAMES), say=lambda words: None)


def test_every_contestant_has_a_row_with_what_it_took(found: dict[str, Any]) -> None:
    rows = {row["what"]: row for row in found["rows"]}
    assert len(rows) == len(found["rows"])
    council, dense = rows["routed, one expert"], rows["dense, equal active parameters, tokens and FLOPs"]
    assert council["active_params"] == dense["active_params"] == found["num_params"]
    assert council["total_params"] == 4 * found["num_params"]
    assert council["train_tokens"] == dense["train_tokens"] == 48 * 4 * 64
    assert council["train_flops"] == pytest.approx(dense["train_flops"])
    equal = rows["dense, equal total parameters and training FLOPs"]
    assert equal["train_flops"] == pytest.approx(dense["train_flops"], rel=0.2)
    largest = rows["dense, equal total parameters and tokens"]
    assert largest["train_tokens"] == dense["train_tokens"]
    assert largest["total_params"] == pytest.approx(council["total_params"], rel=0.3)
    alike = rows["dense of an expert's tokens"]
    assert alike["train_tokens"] == (24 + 8) * 4 * 64 == found["expert_tokens"]
    assert all(0 < row["bpb"] < 9 for row in found["rows"])


def test_ratios_are_those_of_the_rows(found: dict[str, Any]) -> None:
    bits = {row["what"]: row["bpb"] for row in found["rows"]}
    assert found["council_over_dense_bpb"] == pytest.approx(
        found["council_bpb"] / bits["dense, equal active parameters, tokens and FLOPs"]
    )
    assert found["over_oracle"] == pytest.approx(bits["routed, one expert"] / bits["the domain's own expert"])
    assert bits["the best expert of each document, in hindsight"] <= bits["the domain's own expert"]
    assert bits["the domain's own expert"] < bits["best single expert for all"]
    assert {row["what"] for row in council_goal_rows(found)} == {what for _, what, _ in GOALS}
    assert found["router_accuracy"] > 0.8  # the domains share no noun


def test_a_power_of_one_pays_what_the_mixture_pays(found: dict[str, Any]) -> None:
    assert [each["power"] for each in found["power"]] == [1.0, 0.5, 0.0]
    assert all(0 < each["bpb"] < 9 for each in found["power"])


def test_the_curve_is_one_that_plans_can_rest_on(found: dict[str, Any]) -> None:
    curve = curve_from(found, source="bench")
    assert len(curve.points) == 1 + len(curve_of(SIZES)) == len(found["curve"])
    assert len(curve.known) >= 3
    ratio, _ = curve.ratio(1.0)
    assert ratio.low < ratio.high
    scratch = [point for point in found["curve"] if point["seed_share"] == 0.0]
    assert len(scratch) == 1


def test_a_branch_begins_where_its_seed_ended_and_nothing_is_trained_twice() -> None:
    domains = little_domains(names=NAMES)
    with opened(domains, 330, batch_size=4, precision="float32", seed=0) as trainings:
        shape = SIZES.shape.with_changes(vocab_size=trainings.tokenizer.vocab_size)
        seed = trainings.dense(NAMES, shape, 6, 0.01)
        assert trainings.dense(NAMES, shape, 6, 0.01) is seed
        before = [parameter.clone() for parameter in seed.model.parameters()]
        branch = trainings.branch("money", seed, 1, 1e-12)
        for own, theirs, kept in zip(branch.model.parameters(), seed.model.parameters(), before, strict=True):
            assert torch.equal(theirs, kept)
            torch.testing.assert_close(own, theirs, atol=1e-9, rtol=1e-9)
        assert seed.flops == expert_training_flops(shape, seed.tokens)


def test_a_wider_shape_comes_near_to_what_is_asked() -> None:
    for factor in (1, 3, 7):
        wanted = factor * expert_size(SIZES.shape).num_params
        assert expert_size(widened(SIZES.shape, wanted)).num_params == pytest.approx(wanted, rel=0.35)


def test_a_short_run_is_a_part_of_the_whole() -> None:
    whole, short = CouncilSizes(), short_council(CouncilSizes())
    assert short.steps < whole.steps
    assert set(short.domains) < set(whole.domains)
    assert math.isclose(whole.seed_steps + len(whole.domains) * whole.branch_steps, whole.steps, rel_tol=0.01)


def test_code_has_no_docstrings_and_pieces_are_neither_short_nor_long() -> None:
    pieces = _python()
    assert len(pieces) > 500
    assert all(200 <= len(piece.text) <= 2000 for piece in pieces)
    assert not any("Return a new OrderedDict mapping" in piece.text for piece in pieces)
    assert [len(piece.text) for piece in _pieces("a" * 300 + "\n\n" + "b" * 1900 + "\n\nc", "x")] == [300, 1900 + 3]


def test_as_many_bytes_are_drawn_of_every_domain_whatever_else_there_is() -> None:
    documents = [Document(f"text {number} " * 20, f"{number}") for number in range(50)]
    few = _drawn(documents, 2_000)
    assert 1_000 < sum(len(one.text) for one in few) <= 2_000
    assert set(few) <= set(_drawn([*documents, *few], 10**6))


def test_more_domains_than_there_are_cannot_be_had() -> None:
    with pytest.raises(DataError, match="ask for fewer"):
        domains_of({"one": [Document(f"text {n}", str(n)) for n in range(20)]}, 2)
