"""A feature cache spares the encoder texts that it has seen, also when a branch is added later."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from conftest import make_rows, make_system, randomize
from interconnected_ai.branches import Encoder, fit_branch
from interconnected_ai.config import TrainingConfig
from interconnected_ai.training import FeatureCache


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts the encoder is given, call by call."""
    calls: list[int] = []
    forward = Encoder.forward

    def counting(self: Encoder, input_ids: Tensor, mask: Tensor) -> Tensor:
        calls.append(len(input_ids))
        return forward(self, input_ids, mask)

    monkeypatch.setattr(Encoder, "forward", counting)
    return calls


@pytest.mark.parametrize("pooling", ["mean", "cls", "attention"])
def test_pooled_vectors_are_the_systems_and_only_unknown_texts_are_encoded(
    tmp_path: Path, encoded: list[int], pooling: str
) -> None:
    system = randomize(make_system("a", pooling=pooling))
    texts = make_rows("a", 40).texts
    expected = system.encode(texts)
    cache = FeatureCache(tmp_path, system)
    cache.build(texts[:30])
    stored = cache.num_bytes
    encoded.clear()
    torch.testing.assert_close(cache.pooled(texts), expected, atol=1e-5, rtol=1e-5)
    assert sum(encoded) == len([text for text in texts if text not in set(texts[:30])])
    assert cache.num_bytes == stored
    assert cache.pooled([]).shape == (0, system.encoder.d_model)


def test_a_branch_learns_from_stored_vectors_what_it_learns_from_texts(tmp_path: Path, encoded: list[int]) -> None:
    rows, held_out = make_rows("b", 60, seed=1), make_rows("b", 20, seed=2)
    config = TrainingConfig(epochs=3, lr_head=1e-2)
    logits = []
    for cached in (False, True):
        system = randomize(make_system("a", "b"))
        cache = FeatureCache(tmp_path, system)
        cache.build([*rows.texts, *held_out.texts])
        system.freeze_trunk()
        encoded.clear()
        seen: list[int] = []

        def pooled(texts: Sequence[str], cache: FeatureCache = cache, seen: list[int] = seen) -> Tensor:
            seen.append(len(texts))
            return cache.pooled(texts)

        fit_branch(
            system, "b", *rows.of("b"), validation=held_out.of("b"), config=config, encode=pooled if cached else None
        )
        assert seen == ([60, 20, 3] if cached else [])  # rows to learn, to choose by, names of classes
        logits.append(system.logits_of(system.features_of(["bank card", "rain sun"]), ["b"])["b"])
    torch.testing.assert_close(*logits, atol=1e-3, rtol=1e-3)


def test_however_many_threads_encode_they_write_the_same_bits(tmp_path: Path, encoded: list[int]) -> None:
    texts = [f"{text} {number}" for number, text in enumerate(make_rows("a", 300).texts)]
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            cache = FeatureCache(tmp_path / str(threads), make_system("a"))
            told: list[int] = []
            cache.build(texts, lambda done, total, told=told: told.append(done))
            assert told == [64, 128, 192, 256, 300]
            found.append(cache.read(texts)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    assert sum(encoded) == 600
