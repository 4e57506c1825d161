"""ExpertModel: the document's counts, what every position sees, the cache, checkpointing, keeping, wrong input."""

from typing import Any

import pytest
import torch
from expert_models import VOCABULARY, ids, made
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from interconnected_ai import ExpertConfig, ExpertModel
from interconnected_ai.errors import ConfigError, PromptError
from interconnected_ai.nn import Dropout
from properties import examples

few = examples(20)
MIB = 2**20
NORMS = ["post", "pre"]


def on_meta(**shape: Any) -> ExpertModel:
    with torch.device("meta"):
        return ExpertModel(**shape)


# The document's figures


def test_the_documents_main_model() -> None:
    model = on_meta(vocab_size=10_000)
    assert model.get_num_params() == 29_155_328
    assert model.get_num_params(non_embedding=True) == 24_035_328
    assert all(sum(p.numel() for p in block.parameters()) == 3_152_384 for block in model.blocks)
    assert on_meta(vocab_size=5000, d_model=256, n_layers=4).get_num_params() == 5_719_552


@pytest.mark.parametrize(
    ("shape", "num_params", "megabytes"),
    [
        ((5_000, 128, 2, 2), 1_676_800, ("6.4", "3.2", "1.6")),
        ((10_000, 256, 4, 4), 8_279_552, ("31.6", "15.8", "7.9")),
        ((10_000, 512, 6, 8), 29_155_328, ("111.2", "55.6", "27.8")),
        ((32_000, 512, 6, 8), 51_683_328, ("197.2", "98.6", "49.3")),
        ((50_000, 768, 8, 12), 133_504_512, ("509.3", "254.6", "127.3")),
    ],
)
def test_the_documents_tables_of_sizes(shape: tuple[int, ...], num_params: int, megabytes: tuple[str, ...]) -> None:
    model = on_meta(**dict(zip(("vocab_size", "d_model", "n_layers", "n_heads"), shape, strict=True)))
    assert model.get_num_params() == num_params
    for dtype, wanted in zip((torch.float32, torch.float16, torch.int8), megabytes, strict=True):
        num_bytes = sum(p.numel() * dtype.itemsize for p in model.parameters())
        assert f"{num_bytes / MIB:.1f}" == wanted


def test_defaults_are_the_documents() -> None:
    assert on_meta(vocab_size=10).get_model_config() == {
        "vocab_size": 10, "d_model": 512, "n_layers": 6, "n_heads": 8, "d_ff": 2048, "max_seq_len": 2048, "dropout": 0.1,
        "norm": "post", "tie_weights": False,
    }  # fmt: skip


def test_a_config_makes_the_same_model_again() -> None:
    model = made(norm="pre", tie_weights=True, d_ff=None)
    again = ExpertModel(**model.get_model_config())
    assert again.get_model_config() == model.get_model_config()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(ids(2, 5)), model(ids(2, 5)))
    assert ExpertModel.from_config(ExpertConfig(vocab_size=7, d_model=8, n_heads=2)).config.inner == 32


def test_a_tied_head_is_the_embedding_and_counted_once() -> None:
    tied, free = on_meta(vocab_size=100, tie_weights=True), on_meta(vocab_size=100)
    assert tied.head.weight is tied.embedding.weight
    assert free.get_num_params() - tied.get_num_params() == 100 * 512
    assert free.get_num_params(non_embedding=True) - tied.get_num_params(non_embedding=True) == 100 * 512


def test_a_generator_makes_the_weights_reproducible_and_training_starts_near_uniform() -> None:
    first, second = (ExpertModel(50, 32, 2, 4, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    loss = F.cross_entropy(first.eval()(ids(4, 20, vocab_size=50)).flatten(0, 1), ids(80, seed=1, vocab_size=50))
    assert loss.item() == pytest.approx(torch.tensor(50.0).log().item(), abs=1.0)


# What a position sees


@pytest.mark.parametrize("norm", NORMS)
def test_a_token_sees_nothing_of_what_comes_after_it(norm: str) -> None:
    model, row = made(norm=norm), ids(1, 12)
    other = row.clone()
    other[0, 7:] = (other[0, 7:] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = model(row), model(other)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_the_documents_causal_mask_is_what_no_mask_means() -> None:
    model, rows = made(), ids(3, 9)
    with torch.no_grad():
        for mask in (torch.tril(torch.ones(9, 9)), torch.ones(9, 9, dtype=torch.bool).tril().expand(3, 9, 9)):
            torch.testing.assert_close(model(rows, mask), model(rows), atol=1e-5, rtol=1e-5)
        square = ids(9, 9)  # as many rows as tokens
        torch.testing.assert_close(model(square, torch.tril(torch.ones(9, 9))), model(square), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", [torch.bool, torch.long, torch.float32])
def test_padding_changes_nothing(side: str, dtype: torch.dtype) -> None:
    model, rows = made(), [ids(1, n, seed=n) for n in (3, 8, 5)]
    padded, mask = torch.zeros(3, 8, dtype=torch.long), torch.zeros(3, 8, dtype=dtype)
    places = [slice(8 - row.shape[1], 8) if side == "left" else slice(0, row.shape[1]) for row in rows]
    for number, (row, place) in enumerate(zip(rows, places, strict=True)):
        padded[number, place], mask[number, place] = row[0], 1
    with torch.no_grad():
        logits = model(padded, mask)
        assert logits.isfinite().all()
        for number, (row, place) in enumerate(zip(rows, places, strict=True)):
            torch.testing.assert_close(logits[number, place], model(row)[0], atol=1e-5, rtol=1e-5)


def test_a_mask_of_its_own_says_who_sees_whom() -> None:
    model, row = made(), ids(1, 4)
    nobody = torch.eye(4, dtype=torch.bool)
    with torch.no_grad():
        found = model(row, nobody)
        other = row.clone()
        other[0, 0] = (other[0, 0] + 1) % VOCABULARY
        assert torch.equal(found[:, 1:], model(other, nobody)[:, 1:])


@few
@given(st.sampled_from(NORMS), st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(1, 3))
def test_part_by_part_with_a_cache_is_all_at_once(norm: str, sizes: list[int], batch: int) -> None:
    model, rows = made(norm=norm), ids(batch, sum(sizes), seed=len(sizes))
    cache = model.new_cache(batch, sum(sizes))
    with torch.no_grad():
        parts = [model(part, cache=cache) for part in rows.split(sizes, dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(rows), atol=1e-5, rtol=1e-5)
        cache.crop(sum(sizes) - 1)
        last = model(rows[:, -1:], cache=cache, last_only=True)
        torch.testing.assert_close(last[:, 0], model(rows)[:, -1], atol=1e-5, rtol=1e-5)


def test_rows_of_several_lengths_share_a_cache() -> None:
    model, rows = made(), [ids(1, n, seed=n) for n in (2, 6, 4)]
    padded = torch.stack([F.pad(row[0], (6 - row.shape[1], 0)) for row in rows])
    starts = torch.tensor([4, 0, 2])
    cache = model.new_cache(3, 9, starts=starts)
    more = ids(3, 3, seed=9)
    with torch.no_grad():
        first = model(padded, cache=cache, last_only=True)[:, 0]
        second = model(more[:, :2], cache=cache)
        third = model(more[:, 2:], cache=cache)[:, 0]
        for number, row in enumerate(rows):
            whole = model(torch.cat([row, more[number : number + 1]], dim=1))[0]
            found = torch.stack([first[number], *second[number], third[number]])
            torch.testing.assert_close(found, whole[-4:], atol=1e-5, rtol=1e-5)


# Training and precision


@pytest.mark.parametrize("norm", NORMS)
def test_gradient_checkpointing_changes_neither_loss_nor_gradients(norm: str) -> None:
    def losses(checkpointed: bool) -> list[torch.Tensor]:
        model = made(norm=norm, dropout=0.2).train()
        model.gradient_checkpointing = checkpointed
        torch.manual_seed(5)
        loss = F.cross_entropy(model(ids(2, 10)).flatten(0, 1), ids(20, seed=1))
        loss.backward()
        return [loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]

    plain, saved = losses(False), losses(True)
    assert len(plain) == len(saved) == 1 + len(list(made().parameters()))
    assert all(torch.equal(a, b) for a, b in zip(plain, saved, strict=True))


def test_dropout_acts_in_training_only() -> None:
    model = made(dropout=0.3)
    assert torch.equal(model(ids(1, 5)), model(ids(1, 5)))
    model.train()
    assert not torch.equal(model(ids(1, 5)), model(ids(1, 5)))
    assert any(isinstance(m, Dropout) for m in model.modules())
    assert not any(type(m) is nn.Dropout for m in model.modules())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_nearly_the_same(dtype: torch.dtype) -> None:
    model, rows = made(), ids(2, 6)
    with torch.no_grad():
        wanted = model(rows).softmax(dim=-1)
        with torch.autocast("cpu", dtype=dtype):
            torch.testing.assert_close(model(rows).float().softmax(dim=-1), wanted, atol=0.05, rtol=0.2)
        torch.testing.assert_close(made().to(dtype)(rows).float().softmax(dim=-1), wanted, atol=0.05, rtol=0.2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own, at the first compilation
@pytest.mark.parametrize("norm", NORMS)
def test_it_compiles_in_one_piece_and_gives_the_same(norm: str) -> None:
    model, rows = made(norm=norm), ids(2, 11)
    compiled = torch.compile(model, fullgraph=True, dynamic=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(rows), model(rows), atol=1e-5, rtol=1e-5)


def test_it_traces_in_one_piece() -> None:
    model, rows = made(), ids(2, 11)
    traced = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(traced(rows), model(rows))


# Wrong input


@pytest.mark.parametrize(
    ("input_ids", "says"),
    [
        (torch.tensor([[1, VOCABULARY]]), rf"token id {VOCABULARY} is outside the vocabulary of {VOCABULARY}"),
        (torch.tensor([[1, -1]]), "token id -1 is outside"),
        (torch.zeros(1, 0, dtype=torch.long), "at least one token"),
        (torch.tensor([1, 2]), r"shape \(2,\); needed is \(batch, seq\)"),
        (torch.zeros(1, 41, dtype=torch.long), "41 tokens are more than max_seq_len=40"),
    ],
)
def test_ids_that_cannot_be_read_are_refused(input_ids: torch.Tensor, says: str) -> None:
    with pytest.raises(PromptError, match=says):
        made()(input_ids)


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (torch.ones(2, 4), r"mask has shape \(2, 4\); for input_ids of shape \(2, 5\)"),
        (torch.ones(5), r"mask has shape \(5,\)"),
        (torch.full((5, 5), -torch.inf).triu(1), "numbers below 0"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(mask: torch.Tensor, says: str) -> None:
    with pytest.raises(PromptError, match=says):
        made()(ids(2, 5), mask)


def test_a_cache_that_is_full_is_refused() -> None:
    model = made()
    cache = model.new_cache(1, 41)
    model(ids(1, 40), cache=cache)
    with pytest.raises(PromptError, match="41 tokens are more than max_seq_len=40"):
        model(ids(1, 1), cache=cache)


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ({"n_heads": 5}, "n_heads must divide it, 4 would"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"dropout": 1.0}, "dropout"),
        ({"norm": "middle"}, "norm"),
    ],
)
def test_an_impossible_shape_is_refused(shape: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        made(**shape)
