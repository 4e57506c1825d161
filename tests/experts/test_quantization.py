"""Weights in 8 and 4 bits: the grid, the packing, the folder, the bytes, and what it costs a model that has learnt."""

from pathlib import Path

import pytest
import torch
from expert_models import TEXTS, ids, made, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.experts import Expert, ExpertModel, HeldOut, TorchEngine, load_model, measure, save_expert
from interconnected_ai.experts.engines import open_engine, runnable_engines
from interconnected_ai.experts.quantization import (
    Bits,
    QuantizedMatrix,
    dequantized_tensors,
    pack_int4,
    packed_tensors,
    quantize_matrix,
    quantize_model,
    unpack_int4,
)
from interconnected_ai.experts.quantized import quantize_expert
from properties import examples

few = examples(30)
shapes = st.tuples(st.integers(1, 40), st.integers(1, 130))


def weights(shape: tuple[int, int], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@few
@given(shapes, st.integers(0, 99))
def test_8_bits_are_half_a_step_away_at_most(shape: tuple[int, int], seed: int) -> None:
    weight = weights(shape, seed)
    quantized = quantize_matrix(weight, 8)
    assert quantized.scales.shape == (shape[0], 1)
    assert ((quantized.dequantized() - weight).abs() <= quantized.scales * 0.5001).all()


@few
@given(shapes, st.integers(0, 99))
def test_the_scales_of_4_bits_are_better_than_the_plain_ones(shape: tuple[int, int], seed: int) -> None:
    weight = weights(shape, seed)
    quantized = quantize_matrix(weight, 4)
    size = quantized.group
    grouped = weight.unflatten(1, (-1, size))
    plain = grouped.abs().amax(dim=2, keepdim=True) / 7
    rounded = (grouped / plain).round().clamp(-7, 7) * plain
    ours = (quantized.dequantized().unflatten(1, (-1, size)) - grouped).square().sum()
    assert ours <= (rounded - grouped).square().sum() * 1.001 + 1e-6 * weight.square().sum()  # float16 scales


@few
@given(st.integers(1, 9), st.integers(1, 40))
def test_packed_values_come_back(rows: int, pairs: int) -> None:
    values = torch.randint(-8, 8, (rows, 2 * pairs), dtype=torch.int8)
    packed = pack_int4(values)
    assert (packed.dtype, packed.shape) == (torch.uint8, (rows, pairs))
    assert torch.equal(unpack_int4(packed), values)


@pytest.mark.parametrize("bits", [8, 4])
def test_zeros_and_rows_on_the_grid_are_kept_exactly(bits: Bits) -> None:
    assert not quantize_matrix(torch.zeros(3, 64), bits).dequantized().any()
    levels = torch.arange(-8, 8).repeat(4, 4)[:, :64] * 0.5
    if bits == 4:
        assert torch.equal(quantize_matrix(levels, 4).dequantized(), levels)
    once = quantize_matrix(weights((5, 64), 1), bits).dequantized()
    assert torch.allclose(quantize_matrix(once, bits).dequantized(), once, atol=1e-6 if bits == 8 else 0.2)


def test_other_bits_and_precisions_are_refused() -> None:
    with pytest.raises(ConfigError, match="bits=3: weights are kept in 8 or 4 bits"):
        quantize_matrix(torch.ones(2, 2), 3)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown precision 'int3'; known, nearest first: 'int4', 'int8'"):
        quantize_model(made(), "int3")


# A model


def test_the_documents_model_takes_the_documents_bytes_in_8_bits() -> None:
    with torch.device("meta"):
        model = ExpertModel(10_000)
    num_kept = sum(p.numel() for p in model.parameters() if p.dim() == 1)
    matrices = {
        name: QuantizedMatrix(torch.empty(p.shape, dtype=torch.int8, device="meta"), torch.empty(len(p), 1), 8)
        for name, p in model.named_parameters()
        if p.dim() == 2
    }
    values, scales = (sum(getattr(m, part) for m in matrices.values()) for part in ("value_bytes", "scale_bytes"))
    assert f"{(values + num_kept) / 2**20:.1f}" == "27.8"  # the document's: a byte for every parameter
    assert f"{(values + 4 * num_kept) / 2**20:.1f}" == "27.9"  # ours: biases and norms stay in float32
    assert f"{scales / 2**20:.2f}" == "0.18"


@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_every_matrix_is_quantised_once_and_comes_back_from_a_file(precision: str, tie_weights: bool) -> None:
    model = made(tie_weights=tie_weights)
    matrices = quantize_model(model, precision)
    assert len(matrices) == 2 * 4 + (1 if tie_weights else 2)
    back = dequantized_tensors(packed_tensors(matrices))
    assert back.keys() == matrices.keys()
    for name, tensor in back.items():
        assert torch.equal(tensor, matrices[name].dequantized())
        assert tensor.shape == model.get_parameter(name).shape


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_quantised_expert_is_saved_and_loaded(precision: str, tie_weights: bool, norm: str, tmp_path: Path) -> None:
    model, input_ids = made(tie_weights=tie_weights, norm=norm, vocab_size=330, d_model=64, d_ff=128), ids(2, 9)
    save_expert(model, tmp_path / "float", tokenizer())
    size = quantize_expert(tmp_path / "float", tmp_path / "small", precision)
    assert size.num_params == model.get_num_params()
    assert (tmp_path / "small" / "model.safetensors").stat().st_size == pytest.approx(size.total_bytes, rel=0.1)
    assert size.total_bytes < size.float_bytes * (0.32 if precision == "int8" else 0.3)
    loaded = load_model(tmp_path / "small")
    with torch.inference_mode():
        apart = (loaded(input_ids) - model(input_ids)).abs().mean() / model(input_ids).abs().mean()
        assert 0 < apart < (0.05 if precision == "int8" else 0.4)
        for name, matrix in quantize_model(model, precision).items():
            assert torch.equal(loaded.get_parameter(name), matrix.dequantized())
    assert Expert.from_pretrained(tmp_path / "small").generate("The", max_new_tokens=3, temperature=0.0).text


def test_what_is_quantised_is_not_quantised_again(tmp_path: Path) -> None:
    save_expert(made(), tmp_path / "float")
    quantize_expert(tmp_path / "float", tmp_path / "int8", "int8")
    with pytest.raises(ConfigError, match="is int8 already; quantise the float32 expert, or the rounding adds up"):
        quantize_expert(tmp_path / "int8", tmp_path / "int4", "int4")


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_engines_run_the_weights_that_are_stored(precision: str, tmp_path: Path) -> None:
    save_expert(made(norm="pre", vocab_size=330, d_model=64, d_ff=128), tmp_path / "float", tokenizer())
    quantize_expert(tmp_path / "float", tmp_path / "small", precision)
    config = GenerationConfig(max_new_tokens=8, temperature=0.0)
    reference = TorchEngine(load_model(tmp_path / "small"), tokenizer())([[1, 2, 3]], config)
    assert open_engine("torch", tmp_path / "small")([[1, 2, 3]], config) == reference
    for name, reason in runnable_engines(tmp_path / "small").items():
        if not reason:
            (answer,) = open_engine(name, tmp_path / "small", threads=1)([[1, 2, 3]], config)
            assert len(answer.token_ids) == 8


@pytest.fixture(scope="module")
def learnt() -> ExpertModel:
    """An expert that has learnt a few sentences by heart, as far as it goes in a second."""
    generator = torch.Generator().manual_seed(0)
    model = ExpertModel(330, 64, 2, 4, max_seq_len=64, dropout=0.0, norm="pre", generator=generator)
    rows = [torch.tensor([tokenizer().end_id, *tokenizer().encode(text)]) for text in TEXTS]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for number in range(120):
        row = rows[number % len(rows)][None, :64]
        loss = F.cross_entropy(model(row[:, :-1])[0], row[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize(("precision", "goal"), [("int8", 0.005), ("int4", 0.03)])
def test_quantising_what_has_been_learnt_costs_little_perplexity(
    precision: str, goal: float, learnt: ExpertModel, tmp_path: Path
) -> None:
    save_expert(learnt, tmp_path / "small", precision=precision)
    held = HeldOut.of(TEXTS, tokenizer())
    before, after = (measure(model, held).perplexity for model in (learnt, load_model(tmp_path / "small")))
    assert before < 5
    assert abs(after / before - 1) <= goal
