"""Cuts, penalties and draws: transformers' logits processors are the reference, and frequencies are the probabilities."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from interconnected_ai import GenerationConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.experts.sampling import Candidates, Penalties, Uniforms, ban, narrow
from properties import examples

few = examples(60)
CPU = torch.device("cpu")


def random_logits(rows: int, vocab_size: int, seed: int = 0, spread: float = 3.0) -> Tensor:
    return spread * torch.randn(rows, vocab_size, generator=torch.Generator().manual_seed(seed))


def uniform_table(seed: int, prompts: list[list[int]], num_steps: int) -> Tensor:
    """(rows, num_steps): all the numbers that rows draw."""
    numbers = Uniforms(seed, prompts, num_steps, CPU)
    return torch.stack([numbers.next() for _ in range(num_steps)], dim=1)


def transformers_probabilities(logits: Tensor, config: GenerationConfig) -> Tensor:
    """What transformers' processors, in the order of its `generate`, leave of the distribution."""
    chain = LogitsProcessorList([TemperatureLogitsWarper(float(config.temperature))])
    if config.top_k is not None:
        chain.append(TopKLogitsWarper(config.top_k))
    if config.top_p is not None and config.top_p < 1.0:
        chain.append(TopPLogitsWarper(float(config.top_p)))
    if config.min_p is not None:
        chain.append(MinPLogitsWarper(float(config.min_p)))
    return chain(torch.zeros(len(logits), 1, dtype=torch.long), logits).softmax(dim=-1)


@few
@given(
    st.integers(2, 60),
    st.integers(0, 1000),
    st.sampled_from([0.3, 0.7, 1.0, 1.5]),
    st.none() | st.integers(1, 70),
    st.none() | st.sampled_from([0.05, 0.5, 0.9, 0.999, 1.0]),
    st.none() | st.sampled_from([0.0, 0.01, 0.2, 1.0]),
)
def test_every_combination_leaves_what_transformers_leaves(
    vocab_size: int, seed: int, temperature: float, top_k: int | None, top_p: float | None, min_p: float | None
) -> None:
    config = GenerationConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    logits = random_logits(3, vocab_size, seed)
    found = narrow(logits, config).probabilities(vocab_size)
    torch.testing.assert_close(found, transformers_probabilities(logits, config), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("spread", [0.05, 3.0], ids=["flat: the nucleus is wide", "peaked: the nucleus is in the head"])
def test_a_nucleus_of_a_large_vocabulary_is_exact(spread: float) -> None:
    logits = random_logits(2, 5000, spread=spread)
    config = GenerationConfig(top_p=0.9)
    found = narrow(logits, config)
    assert found.token_ids is not None
    assert (found.token_ids.shape[1] == 5000) == (spread == 0.05)
    torch.testing.assert_close(
        found.probabilities(5000), transformers_probabilities(logits, config), atol=1e-7, rtol=1e-3
    )


def test_a_temperature_near_zero_is_greedy_and_does_not_overflow() -> None:
    logits = random_logits(4, 50)
    found = narrow(logits, GenerationConfig(temperature=1e-38)).probabilities(50)
    assert torch.equal(found, torch.nn.functional.one_hot(logits.argmax(dim=-1), 50).float())


# Draws


@few
@given(st.integers(1, 40), st.integers(0, 500), st.floats(0, 1, exclude_max=True), st.none() | st.integers(1, 40))
def test_a_draw_is_the_inverse_of_the_distribution_function(
    vocab_size: int, seed: int, uniform: float, top_k: int | None
) -> None:
    logits = random_logits(1, vocab_size, seed)
    logits[0, torch.rand(vocab_size, generator=torch.Generator().manual_seed(seed)) < 0.3] = -math.inf
    logits[0, seed % vocab_size] = 0.0
    found = narrow(logits, GenerationConfig(top_k=top_k))
    token = int(found.draw(torch.tensor([uniform], dtype=torch.float64)))
    shares = found.scaled.double().softmax(dim=-1)[0]
    assert logits[0, token] > -math.inf
    order = list(range(vocab_size)) if found.token_ids is None else found.token_ids[0].tolist()
    place = order.index(token)
    assert shares[:place].sum() - 1e-6 <= uniform <= shares[: place + 1].sum() + 1e-6


def test_frequencies_of_draws_are_the_probabilities() -> None:
    logits = random_logits(1, 12, spread=1.0)
    config = GenerationConfig(temperature=0.8, top_k=8, top_p=0.95)
    uniforms = uniform_table(0, [[1]], 20_000)[0]
    candidates = narrow(logits.expand(20_000, -1), config)
    counts = torch.bincount(candidates.draw(uniforms), minlength=12) / 20_000
    torch.testing.assert_close(counts, narrow(logits, config).probabilities(12)[0], atol=0.012, rtol=0.0)


def test_the_last_uniform_number_still_draws_a_token() -> None:
    candidates = Candidates(torch.zeros(1, 3).log_softmax(dim=-1))
    for uniform, token in ((0.0, 0), (1.0 - 2**-53, 2)):
        assert candidates.draw(torch.tensor([uniform], dtype=torch.float64)).tolist() == [token]


def test_random_numbers_of_a_prompt_do_not_depend_on_its_neighbours() -> None:
    alone, among = uniform_table(7, [[1, 2]], 5), uniform_table(7, [[9], [1, 2], [1, 2], [3]], 5)
    assert torch.equal(alone[0], among[1])
    assert not torch.equal(among[1], among[2])  # the same prompt again is answered anew
    assert not torch.equal(alone, uniform_table(8, [[1, 2]], 5))
    assert torch.equal(uniform_table(-1, [[1]], 3), uniform_table(-1, [[1]], 3))


def test_random_numbers_are_made_some_at_a_time_and_are_those_of_one_go() -> None:
    numbers = Uniforms(3, [[1], [2]], 2**60, CPU)
    found = torch.stack([numbers.next() for _ in range(1000)], dim=1)
    for row in range(2):
        assert torch.equal(
            found[row], torch.rand(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
        )


def test_a_row_that_stays_keeps_its_random_numbers() -> None:
    whole = uniform_table(5, [[1], [2], [2]], 600)
    numbers = Uniforms(5, [[1], [2], [2]], 600, CPU)
    first = [numbers.next() for _ in range(100)]
    numbers.select([2])
    rest = torch.cat([numbers.next() for _ in range(500)])
    assert torch.equal(first[99], whole[:, 99])
    assert torch.equal(rest, whole[2, 100:])


@pytest.mark.parametrize("temperature", [0.25, 0.7, 1.8])
@pytest.mark.parametrize(
    "cuts", [{"top_k": 4}, {"top_k": 4, "top_p": 0.9}, {"top_p": 0.8}, {"min_p": 0.1}, {}], ids=str
)
def test_the_temperature_counts_whatever_cuts(temperature: float, cuts: dict[str, Any]) -> None:
    logits = random_logits(3, 30, spread=2.0)
    found = narrow(logits, GenerationConfig(temperature=temperature, **cuts)).probabilities(30)
    for row, shares in zip(logits, found, strict=True):
        kept = shares > 0
        wanted = torch.where(kept, row / temperature, -math.inf).softmax(dim=-1)
        torch.testing.assert_close(shares, wanted)
    assert int((found > 0).sum(dim=-1).max()) <= cuts.get("top_k", 30)


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 1e-12])
def test_the_coldest_temperature_is_greedy(temperature: float) -> None:
    logits = random_logits(4, 50)
    config = GenerationConfig(temperature=temperature)
    found = narrow(logits, config).draw(torch.full((4,), 0.999, dtype=torch.float64))
    assert torch.equal(found, logits.argmax(dim=-1))


# Penalties


@pytest.mark.parametrize("penalty", [0.5, 1.3, 2.0])
def test_the_repetition_penalty_is_transformers(penalty: float) -> None:
    logits, seen = random_logits(2, 20), [[3, 3, 5], [0, 19, 7]]
    found = Penalties(GenerationConfig(repetition_penalty=penalty), seen, 20, CPU)
    wanted = RepetitionPenaltyLogitsProcessor(penalty)
    torch.testing.assert_close(found.apply(logits), wanted(torch.tensor(seen), logits))
    found.note(torch.tensor([11, 12]))
    longer = torch.tensor([[*row, more] for row, more in zip(seen, (11, 12), strict=True)])
    torch.testing.assert_close(found.apply(logits), wanted(longer, logits))
    found.select([1])
    torch.testing.assert_close(found.apply(logits[1:]), wanted(longer[1:], logits[1:]))


def test_presence_and_frequency_count_the_answer_and_not_the_prompt() -> None:
    config = GenerationConfig(presence_penalty=0.5, frequency_penalty=0.25)
    logits, found = random_logits(1, 6), Penalties(config, [[0, 1]], 6, CPU)
    assert torch.equal(found.apply(logits), logits)
    for token in (2, 3, 2):
        found.note(torch.tensor([token]))
    wanted = logits - torch.tensor([[0, 0, 0.5 + 0.5, 0.5 + 0.25, 0, 0]])
    torch.testing.assert_close(found.apply(logits), wanted)


def test_forbidden_tokens_cannot_be_chosen() -> None:
    logits = torch.zeros(2, 4)
    found = ban(logits, [[1, 2], []])
    assert found.tolist() == [[0.0, -math.inf, -math.inf, 0.0], [0.0] * 4]
    assert logits.abs().sum() == 0
    assert ban(logits, [[], []]) is logits


# Settings that cannot be


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"num_beams": 4, "temperature": 0.7}, "num_beams=4 searches, temperature=0.7 samples; give one of them"),
        ({"num_beams": 2, "top_k": 5}, "num_beams=2 searches, top_k=5 samples"),
        ({"stop": ("",)}, "empty string"),
        ({"temprature": 1.0}, "temperature"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        GenerationConfig.from_mapping(wrong)
