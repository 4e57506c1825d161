"""Prompt look-up: the same tokens with fewer passes of the model, and never a token that was guessed."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from expert_models import made, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts import TorchEngine, generate
from interconnected_ai.experts.lookup import LookupReader, Said, reader_of
from interconnected_ai.experts.reader import Reader
from properties import examples

WINDOW = 160
WAYS: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 0.7},
    {"temperature": 1.3, "top_k": 20, "repetition_penalty": 1.2},
    {"temperature": 0.0, "presence_penalty": 0.5, "frequency_penalty": 0.3},
    {"temperature": 0.0, "logprobs": 2},
    {"temperature": 0.4, "regex": "(abc |def ){1,15}!"},
    {"temperature": 0.0, "bad_words": ("a", "é"), "stop": ("zq",)},
]


@pytest.fixture(scope="module")
def engine() -> Iterator[TorchEngine]:
    with TorchEngine(made(norm="pre", vocab_size=330, max_seq_len=WINDOW), tokenizer()) as opened:
        yield opened


def asked(**settings: Any) -> GenerationConfig:
    return GenerationConfig.from_mapping({"max_new_tokens": 60, **settings}, source="test")


def rounded(answers: Sequence[Any]) -> list[Any]:
    return [
        (a.token_ids, a.ended, a.text, a.satisfied, [(s.token_id, pytest.approx(s.logprob, abs=1e-4)) for s in a.steps])
        for a in answers
    ]


@pytest.mark.parametrize("settings", WAYS, ids=str)
def test_the_tokens_are_those_of_single_steps(engine: TorchEngine, settings: dict[str, Any]) -> None:
    phrase = [5, 9, 14, 80, 33, 7]
    for seed in range(6):
        prompt = phrase * 4 + [seed, 40 + seed]
        plain = engine([prompt], asked(**settings), seed=seed)
        for lookup_tokens in (1, 3, 8, 64):
            config = asked(**settings, lookup_tokens=lookup_tokens)
            assert rounded(engine([prompt], config, seed=seed)) == rounded(plain)
            steps = list(engine.stream([prompt], config, seed=seed))
            assert tuple(step.token_id for step in steps) == plain[0].token_ids


@examples(60)
@given(
    prompt=st.lists(st.integers(1, 6), min_size=1, max_size=40),
    lookup_tokens=st.integers(1, 12),
    max_new_tokens=st.integers(1, 50),
    settings=st.sampled_from(WAYS),
    seed=st.integers(0, 5),
)
def test_whatever_the_prompt_and_the_lengths_the_tokens_are_the_same(
    prompt: list[int], lookup_tokens: int, max_new_tokens: int, settings: dict[str, Any], seed: int, engine: TorchEngine
) -> None:
    plain = asked(**settings, max_new_tokens=max_new_tokens)
    ahead = plain.with_changes(lookup_tokens=lookup_tokens)
    assert rounded(engine([prompt], ahead, seed=seed)) == rounded(engine([prompt], plain, seed=seed))


def test_a_full_window_is_not_outgrown(engine: TorchEngine) -> None:
    prompt = [1, 2, 3, 4] * 37
    config = asked(temperature=0.0, max_new_tokens=WINDOW - len(prompt))
    plain = engine([prompt], config)
    assert engine([prompt], config.with_changes(lookup_tokens=64)) == plain
    assert len(plain[0].token_ids) == WINDOW - len(prompt)


class Repeating:
    """A decoder whose answer is this text over and over, whatever it has read."""

    can_extend, vocab_size, max_seq_len = True, 20, 10_000

    def __init__(self, text: Sequence[int]) -> None:
        self._text = text
        self.num_passes = self.num_read = 0
        self._length = 0

    def _logits(self, place: int) -> Tensor:
        said = self._text[place % len(self._text)]
        return torch.nn.functional.one_hot(torch.tensor(said), self.vocab_size).float()

    def start(self, prompts: Sequence[Sequence[int]], capacity: int) -> Tensor:
        self._length = 0
        return self._logits(0)[None]

    def step(self, token_ids: Tensor) -> Tensor:
        return self.extend(token_ids[:, None])[:, 0]

    def extend(self, token_ids: Tensor) -> Tensor:
        self.num_passes, self.num_read = self.num_passes + 1, self.num_read + token_ids.shape[1]
        places = range(self._length + 1, self._length + 1 + token_ids.shape[1])
        self._length += token_ids.shape[1]
        return torch.stack([self._logits(place) for place in places])[None]

    def rewind(self, num_tokens: int) -> None:
        self._length -= num_tokens

    def select(self, rows: Sequence[int]) -> None:
        raise AssertionError


def test_an_answer_that_repeats_its_prompt_takes_few_passes() -> None:
    text = [3, 7, 1, 9, 4, 12, 8, 2, 15, 6, 11, 5]
    decoder = Repeating(text)
    config = asked(temperature=0.0, max_new_tokens=121, lookup_tokens=8)
    (answer,) = generate(decoder, [text], config)
    assert list(answer.token_ids) == (text * 11)[:121]
    assert decoder.num_passes < 20


def test_guesses_that_fail_are_soon_given_up() -> None:
    """Every second token is another one than last time: what stood there before is always wrong after one token."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(10, 20, (1000,), generator=generator).tolist()
    text = [token for number, each in enumerate(noise) for token in (number % 3, each)]
    decoder = Repeating(text)
    (answer,) = generate(decoder, [[1]], asked(temperature=0.0, max_new_tokens=1000, lookup_tokens=8))
    assert list(answer.token_ids) == text[:1000]
    assert decoder.num_passes <= 1000
    plain = Repeating(text)
    generate(plain, [[1]], asked(temperature=0.0, max_new_tokens=1000))
    assert plain.num_passes == plain.num_read == 999


class Least(Repeating):
    """One that has no more than a `Decoder` must have."""

    can_extend = False

    def __init__(self) -> None:
        super().__init__([1])


def test_what_cannot_look_ahead_takes_single_steps(engine: TorchEngine) -> None:
    decoder = engine.decoder()
    assert isinstance(reader_of(decoder, [[1]], asked(lookup_tokens=4)), LookupReader)
    assert isinstance(reader_of(decoder, [[1]], asked()), Reader)
    assert isinstance(reader_of(decoder, [[1], [2]], asked(lookup_tokens=4)), Reader)
    assert isinstance(reader_of(decoder, [[1]], asked(lookup_tokens=4, window="slide")), Reader)
    assert isinstance(reader_of(Least(), [[1]], asked(lookup_tokens=4)), Reader)
    many = [[1, 2, 3, 1, 2, 3], [4, 5]]
    assert engine(many, asked(temperature=0.0, lookup_tokens=8)) == engine(many, asked(temperature=0.0))


def test_a_guess_is_what_followed_the_longest_ending_at_its_last_place() -> None:
    said = Said([1, 2, 3, 4, 9, 9, 2, 3, 5, 1, 2, 3])
    assert said.guess(2) == [4, 9]
    said.add(7)
    assert said.guess(2) == []
    assert Said([2, 3, 4, 2, 3, 5, 2, 3]).guess(9) == [5, 2, 3]
    assert Said([1]).guess(3) == []
    assert Said([1, 2, 1, 2]).guess(0) == []
