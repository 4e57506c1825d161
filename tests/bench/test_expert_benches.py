"""The benches of experts measure what they say: probabilities that sum to one, contestants of one shape."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from interconnected_ai.bench import norm, train
from interconnected_ai.bench.expert_quickstart import DOMAINS, quickstart_config
from interconnected_ai.bench.ngrams import DISCOUNT, Trigrams, Unigrams, xz_bits_per_byte
from interconnected_ai.bench.norm import Trial
from interconnected_ai.bench.train import Contestant


@pytest.fixture(scope="module")
def text() -> np.ndarray:
    return np.random.default_rng(0).zipf(1.6, 3000).clip(max=20).astype(np.uint16) - 1


@pytest.mark.parametrize("context", [(0, 0), (3, 1), (19, 19)])
def test_trigram_probabilities_sum_to_one_after_any_context(text: np.ndarray, context: tuple[int, int]) -> None:
    model, every = Trigrams(text, 25), np.arange(25)
    u, v = (np.full(25, token) for token in context)
    found = model._from_triples(u, v, every)
    assert found.sum() == pytest.approx(1.0)
    assert (found > 0).all()


def test_trigrams_of_a_text_written_by_hand() -> None:
    model = Trigrams(np.array([0, 1, 2, 0, 1, 2, 0, 1, 3]), 4)
    # (0, 1) was followed by 2 twice and by 3 once; (1, 2) and (1, 3) are two of the five distinct pairs
    pairs = (1 - DISCOUNT) / 2 + DISCOUNT * 2 / 2 * ((1 - DISCOUNT) / 4 + DISCOUNT * 4 / 4 / 4)
    expected = (2 - DISCOUNT) / 3 + DISCOUNT * 2 / 3 * pairs
    assert model._from_triples(np.array([0]), np.array([1]), np.array([2]))[0] == pytest.approx(expected)


def test_what_was_learnt_costs_less_than_by_single_tokens(text: np.ndarray) -> None:
    repeated = np.tile(np.arange(10, dtype=np.uint16), 50)
    model = Trigrams(repeated, 10)
    single = Unigrams(repeated, 10).nats(repeated)
    assert model.nats(repeated) < single / 5
    assert single == pytest.approx((len(repeated) - 1) * math.log(10))


def test_xz_needs_little_for_what_it_has_read() -> None:
    words = [f"sentence number {n * n} of {n}" for n in range(200)]
    assert xz_bits_per_byte(words, words[:50]) < 1 < xz_bits_per_byte(["nothing alike"], words[:50])


def test_the_quickstarts_configs_share_a_shape_and_differ_in_their_text() -> None:
    configs = [quickstart_config(Path("experts"), domain) for domain in DOMAINS]
    assert len({config.model for config in configs}) == 1
    assert [config.text.paths for config in configs] == [(f"docs:{domain}",) for domain in DOMAINS]


def test_contestants_have_the_same_parameters_but_for_learnt_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"VOCAB_SIZE": 300, "D_MODEL": 32, "N_LAYERS": 2, "N_HEADS": 2}.items():
        monkeypatch.setattr(train, name, value)
    gpt2 = train._gpt2("eager", 0.1, 16)
    assert train._num_params(gpt2) == train._expert(0.1).get_num_params() + 16 * 32


@pytest.mark.parametrize("kind", ["ours", "sdpa", "eager"])
def test_every_contestant_takes_a_whole_step_and_learns_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"VOCAB_SIZE": 300, "D_MODEL": 32, "N_LAYERS": 2, "N_HEADS": 2}.items():
        monkeypatch.setattr(train, name, value)
    made: list[torch.optim.Optimizer] = []
    real = train.adamw
    monkeypatch.setattr(train, "adamw", lambda *a, **k: made.append(real(*a, **k)) or made[-1])
    step = train.step_of(Contestant(kind, 0.1), 2, 8)
    weights = [p.clone() for group in made[0].param_groups for p in group["params"]]
    step()
    after = [p for group in made[0].param_groups for p in group["params"]]
    assert all(torch.equal(a, b) for a, b in zip(weights, after, strict=True))
    assert all(state["exp_avg"].abs().sum() > 0 for state in list(made[0].state.values())[:4])


def test_the_best_learning_rate_of_each_norm_is_compared_and_failures_do_not_count() -> None:
    found = {("post", 0.1): [3.0, 3.2], ("post", 1.0): [2.0, None], ("pre", 0.1): [2.6, 2.4], ("pre", 1.0): [4.0, 4.0]}
    trials = [Trial(n, lr, seed, b) for (n, lr), figures in found.items() for seed, b in enumerate(figures)]
    compared = norm._compared(trials, (0.1, 1.0))
    assert compared["post_bits_per_byte"] == pytest.approx(3.1)
    assert compared["pre_bits_per_byte"] == pytest.approx(2.5)
    assert compared["pre_over_post"] == pytest.approx(2.5 / 3.1)
