"""The council's bench measures what it says: the same tokens for everybody, and turns with all their parts."""

import math
from pathlib import Path

import pytest
import torch

pytest.importorskip("Stemmer", reason='needs the extra "memory"')
pytest.importorskip("re2")

from made_up_documentation import READ, documents
from tests.council.tiny_councils import saved_expert

from interconnected_ai.bench import bench_council_adapters, bench_council_turn, run_council_quickstart
from interconnected_ai.bench.council_adapters import QUESTION_TOKENS, SHORT, SINGLE, Measured
from interconnected_ai.bench.council_turn import turn_figures
from interconnected_ai.council import CouncilAnswer, Timings
from interconnected_ai.experts import expert_card
from interconnected_ai.experts.deliberation import Foretold
from interconnected_ai.types import ChatMessage, Generation, Route, ScoredExpert

DOMAINS = ("stdlib", "numpy", "torch")


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    base = saved_expert(folder / "tiny", 0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(READ, "documentation", documents)
        run_council_quickstart(folder / "hall", str(base), steps=2, say=lambda words: None)
    return folder


def test_a_turn_is_measured_in_all_its_parts_and_leaves_the_memory_alone(hall: Path) -> None:
    found = bench_council_turn(hall / "hall", repeats=1, say=lambda words: None)
    assert found["num_turns"] == 9
    assert 0 < found["overhead_share"] < 1
    assert set(found["turn_ms"]) == {"recall", "route", "borrow", "first_piece", "generate", "remember"}
    assert not (hall / "hall" / "memory.db").exists()


def test_the_share_is_of_all_turns_together() -> None:
    def answer(**took: float) -> CouncilAnswer:
        route = Route((ScoredExpert("a", 1.0),), "", "rules")
        return CouncilAnswer(
            ChatMessage("assistant", "a"), ("a",), route, Generation((), "length"), 1, timings=Timings(**took)
        )

    found = turn_figures(
        [answer(recall=1.0, generate=3.0), answer(route=0.5, borrow=0.25, remember=0.25, generate=5.0)]
    )
    assert found["overhead_share"] == pytest.approx(2.0 / 10.0)
    assert found["turn_ms"]["generate"] == pytest.approx(4000)


def test_adapters_are_held_against_one_that_learnt_all_for_as_many_steps(
    hall: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(READ, "documentation", documents)
    found = bench_council_adapters(
        hall / "hall", str(hall / "tiny"), steps=2, measured_bytes=900, on_validation=True, say=lambda words: None
    )
    bits = found["bits_per_byte"]
    assert found["steps"] == {"stdlib": 2, "numpy": 2, "torch": 2, SINGLE: 6, SHORT: 2}
    assert found["measured_on"] == "validation"
    assert found["adapters_council_over_single_bpb"] == bits["council"] / bits[SINGLE]
    assert found["adapters_council_over_single_bpb_equal_expert_tokens"] == bits["council"] / bits[SHORT]
    assert (
        found["adapters_council_recollecting_over_single_recollecting_bpb"]
        == bits["council_recollecting"] / bits["single_recollecting"]
    )
    assert bits["oracle"] <= min(bits["own_adapter"], bits["best_single_expert"], bits["base"])
    assert expert_card(str(hall / "hall" / SINGLE)).base == str(hall / "tiny")
    assert found["adapters_router_accuracy"] > 0.9
    again = bench_council_adapters(
        hall / "hall", str(hall / "tiny"), steps=2, measured_bytes=900, on_validation=True, say=lambda words: None
    )
    assert again["bits_per_byte"] == bits


def test_figures_count_the_tokens_after_the_question_and_single_deliberates_with_nobody() -> None:
    names = ("stdlib", "numpy", "torch", SINGLE, "base")
    rest = 10
    nats = torch.full((QUESTION_TOKENS + rest, 5), 2.0, dtype=torch.float64)
    nats[:, 1] = 1.0  # numpy knows
    nats[:, 3] = 0.1  # whoever has it in a mixture is better than all of them
    priors = torch.tensor([[0.1, 0.7, 0.1, 0.1]], dtype=torch.float64)
    # what was read foretold the first half of what is measured, and has nothing to say of the rest
    recalled = torch.zeros(QUESTION_TOKENS + rest, 2, dtype=torch.float64)
    recalled[: QUESTION_TOKENS + rest // 2] = torch.tensor([1.0, 0.5], dtype=torch.float64)
    measured = Measured(Foretold(names, (nats,), (100,), QUESTION_TOKENS), ("numpy",), priors, (recalled,))
    found = measured.figures()
    both = -math.log(0.5 * math.exp(-0.1) + 0.5)
    assert found["single_recollecting"] == pytest.approx(rest / 2 * (both + 0.1) / math.log(2) / 100)
    assert found["council_recollecting"] < found["council"]
    bits = rest / torch.log(torch.tensor(2.0)).item() / 100
    assert found[SINGLE] == pytest.approx(0.1 * bits, rel=1e-5)
    for name in ("own_adapter", "oracle", "best_single_expert", "routed"):
        assert found[name] == pytest.approx(1.0 * bits, rel=1e-5)
    assert found["base"] == pytest.approx(2.0 * bits, rel=1e-5)
    assert 1.0 * bits < found["council"] < found["uniform"] < 2.0 * bits
    assert measured.router_accuracy() == 1.0
