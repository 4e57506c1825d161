"""Texts without padding: BERT and its kin compute real tokens alone, and give the model's own vectors."""

import sys
from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from torch import Tensor, nn

from conftest import make_encoder, make_system, make_tokenizer, randomize
from interconnected_ai.branches import Encoder
from interconnected_ai.branches.unpadded import _passes
from interconnected_ai.nn import MOST_ROWS, few_shapes, multiplies_by_onednn
from properties import examples

SHORT, LONG = "bank", "the cat will show me the money in my bank account today please tell me now of rain and snow"
TEXTS = [SHORT, LONG, "cat dog horse", "rain", "the money", *[SHORT] * 15, "snow in the wind"]


@pytest.fixture(params=["usual", "oneDNN"], autouse=True)
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever library multiplies: what oneDNN computes it computes on any CPU."""
    slow = request.param == "oneDNN" and torch.backends.mkldnn.is_available()
    monkeypatch.setattr(sys.modules["interconnected_ai.nn.linear"], "_is_slow_for_mkl", lambda: slow)


def computed(num_tokens: int) -> int:
    """How many rows so many tokens are computed as, in one pass."""
    return few_shapes(num_tokens) if multiplies_by_onednn(torch.device("cpu")) else num_tokens


class Rows:
    """How many positions go through a layer of the encoder's blocks, pass by pass."""

    def __init__(self, encoder: Encoder) -> None:
        self.counts: list[int] = []
        encoder.model.encoder.layer[0].intermediate.register_forward_pre_hook(self._see)  # type: ignore[union-attr,index]

    def _see(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        self.counts.append(given[0].shape[:-1].numel())


def own_vectors(encoder: Encoder, ids: list[int]) -> Tensor:
    found: Tensor = encoder.model(
        input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))
    ).last_hidden_state
    return found[0]


@pytest.mark.parametrize("pooling", ["mean", "cls", "attention"])
def test_no_padding_is_computed_and_every_text_has_the_vector_that_it_has_alone(pooling: str) -> None:
    tiny = make_encoder()
    system = randomize(make_system("a", encoder=tiny, pooling=pooling))
    wanted = torch.cat([system.encode([text]) for text in TEXTS])
    num_tokens = sum(map(len, tiny.tokenize(TEXTS)))
    rows = Rows(tiny)
    found = system.encode_together(TEXTS)
    assert rows.counts == [computed(num_tokens)]  # nor any group by itself
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    rows.counts.clear()
    torch.testing.assert_close(system.encode(TEXTS, batch_size=6), wanted, atol=1e-5, rtol=1e-4)
    assert len(rows.counts) == 4
    assert num_tokens <= sum(rows.counts) <= num_tokens + 4 * 16
    assert all(count == computed(count) for count in rows.counts)


@torch.no_grad()
@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:3], [LONG] * 3, [SHORT]], ids=["parts", "one part", "full", "alone"])
def test_vectors_are_the_models_own_on_whichever_side_padding_stands(texts: list[str]) -> None:
    tiny = make_encoder()
    assert tiny.leaves_out_padding
    rows = tiny.tokenize(texts)
    input_ids, mask = tiny.pad(rows)
    found = tiny(input_ids, mask)
    assert found.shape == (*mask.shape, tiny.d_model)
    assert not found[~mask].any()
    for row, ids in enumerate(rows):
        torch.testing.assert_close(found[row, : len(ids)], own_vectors(tiny, ids), atol=1e-5, rtol=1e-4)
    on_the_left = tiny(
        input_ids.flip(1), mask.flip(1)
    )  # of BERT's kind the positions then begin later, as in the model
    wanted = tiny.model(input_ids=input_ids.flip(1), attention_mask=mask.flip(1).long()).last_hidden_state
    torch.testing.assert_close(on_the_left[mask.flip(1)], wanted[mask.flip(1)], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_model_that_computes_otherwise_than_its_kin_keeps_its_own_way() -> None:
    usual = make_encoder()
    for layer in usual.model.encoder.layer:  # type: ignore[union-attr]
        layer.attention.self.scaling = 3.0  # type: ignore[union-attr]
        for part in (layer.attention.self.query, layer.attention.self.key):  # type: ignore[union-attr]
            part.weight.mul_(20)  # type: ignore[union-attr,operator]
    sharp = Encoder(usual.model, make_tokenizer(), max_seq_len=32)
    assert not sharp.leaves_out_padding
    ids = sharp.tokenize([LONG, SHORT])
    found = sharp(*sharp.pad(ids))
    for row, own in enumerate(ids):
        torch.testing.assert_close(found[row, : len(own)], own_vectors(sharp, own), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_who_watches_the_model_and_who_learns_see_its_own_passes() -> None:
    tiny = make_encoder()
    assert tiny.leaves_out_padding
    with torch.enable_grad():
        assert not tiny.leaves_out_padding
    tiny.computes_in_parts = False
    assert not tiny.leaves_out_padding
    tiny.computes_in_parts = True
    handle = tiny.model.register_forward_hook(lambda *_: None)
    assert not tiny.leaves_out_padding
    handle.remove()
    assert tiny.leaves_out_padding
    tiny.add_lora(2, alpha=4.0, dropout=0.5, generator=torch.Generator().manual_seed(0))
    tiny.train()
    assert not tiny.leaves_out_padding
    tiny.eval()
    randomize(make_system("a", encoder=tiny))
    (ids,) = tiny.tokenize([LONG])
    torch.testing.assert_close(tiny(*tiny.pad([ids]))[0], own_vectors(tiny, ids), atol=1e-5, rtol=1e-4)


def test_training_in_bfloat16_attends_in_float32_and_reading_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's backward pass of attention is ten times as slow in bfloat16 on a CPU."""
    tiny = make_encoder()
    tiny.add_lora(4, alpha=8.0, dropout=0.0, generator=torch.Generator().manual_seed(0))
    for module in tiny.modules():
        if hasattr(module, "p"):
            module.p = 0.0
    seen: list[torch.dtype] = []
    usual = torch.nn.functional.scaled_dot_product_attention

    def watched(query: Tensor, *others: Tensor | None) -> Tensor:
        mixed = usual(query, *others)  # type: ignore[arg-type]
        seen.append(mixed.dtype)
        return mixed

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    ids, mask = tiny.pad(tiny.tokenize(TEXTS))
    wanted = torch.randn(int(mask.sum()), tiny.d_model, generator=torch.Generator().manual_seed(1))
    gradients = {}
    for precision in (torch.float32, torch.bfloat16):
        tiny.train()
        with (
            tiny.training_without_padding(),
            torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision != torch.float32),
        ):
            (tiny(ids, mask)[mask].float() * wanted).sum().backward()
        assert set(seen) == {torch.float32}
        found = [p.grad.flatten() for p in tiny.parameters() if p.grad is not None]
        gradients[precision] = torch.cat(found).clone()
        tiny.zero_grad()
    assert torch.cosine_similarity(*gradients.values(), dim=0) > 0.98
    seen.clear()
    tiny.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        tiny(ids, mask)
    assert set(seen) == {torch.bfloat16}


@torch.no_grad()
def test_more_tokens_than_a_product_takes_go_through_in_several_passes() -> None:
    tiny = make_encoder()
    texts = [LONG if row % 3 else SHORT for row in range(150)]
    ids = tiny.tokenize(texts)
    wanted = [own_vectors(tiny, own) for own in ids]
    rows = Rows(tiny)
    found = tiny(*tiny.pad(ids))
    if multiplies_by_onednn(torch.device("cpu")):
        assert len(rows.counts) > 1
        assert max(rows.counts) <= MOST_ROWS
    for row, own in enumerate(wanted):
        torch.testing.assert_close(found[row, : len(own)], own, atol=1e-5, rtol=1e-4)


@given(st.lists(st.integers(0, 1_500), min_size=1, max_size=30), st.integers(1, 9), st.randoms(use_true_random=False))
@examples(100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_passes_hold_every_row_once_and_no_more_than_they_may(lengths: list[int], size: int, luck: Random) -> None:
    order = list(range(len(lengths)))
    luck.shuffle(order)
    passes = _passes(torch.tensor(order).split(size), lengths)
    assert [row for some in passes for part in some for row in part.tolist()] == order
    for some in passes:
        rows = torch.cat(some).tolist()
        assert sum(lengths[row] for row in rows) <= MOST_ROWS or len(rows) == 1


def test_a_branch_that_was_sealed_with_the_other_library_is_told_as_another_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = randomize(make_system("a"))
    system.seal_branches({"a": {}})
    assert all(check.identical and check.same_machine for check in system.verify())
    now = multiplies_by_onednn(torch.device("cpu"))
    monkeypatch.setattr(sys.modules["interconnected_ai.nn.linear"], "_is_slow_for_mkl", lambda: not now)
    if now != multiplies_by_onednn(torch.device("cpu")):
        (check,) = system.verify()
        assert not check.same_machine
        assert check.max_abs_diff < 1e-4
