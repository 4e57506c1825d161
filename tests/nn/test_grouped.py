"""Grouped products: both ways equal one product per row, and the choice between them is explained."""

import time
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from interconnected_ai.nn import FFNExperts, GroupedBackend, choose_backend, grouped, moe
from interconnected_ai.nn.grouped import BackendName, Groups, grouped_linear
from properties import examples

few = examples(25)


def row_by_row(rows: Tensor, weight: Tensor, bias: Tensor | None, counts: list[int]) -> Tensor:
    owner = [group for group, count in enumerate(counts) for _ in range(count)]
    out = torch.einsum("ri,rio->ro", rows, weight[owner])
    return out if bias is None else out + bias[owner]


@few
@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    d_in=st.sampled_from([4, 8]),
    d_out=st.sampled_from([4, 12]),
    with_bias=st.booleans(),
    backend=st.sampled_from(["loop", "grouped_mm"]),
)
def test_both_ways_equal_one_product_per_row(
    counts: list[int], d_in: int, d_out: int, with_bias: bool, backend: BackendName
) -> None:
    random = torch.Generator().manual_seed(sum(counts))
    rows = torch.randn(sum(counts), d_in, generator=random).requires_grad_()
    weight = torch.randn(len(counts), d_in, d_out, generator=random).requires_grad_()
    bias = torch.randn(len(counts), d_out, generator=random).requires_grad_() if with_bias else None
    out = grouped_linear(rows, weight, bias, Groups.from_counts(torch.tensor(counts)), backend)
    expected = row_by_row(rows, weight, bias, counts)
    assert_close(out, expected, rtol=1e-5, atol=1e-5)
    leaves = [leaf for leaf in (rows, weight, bias) if leaf is not None]
    ours, theirs = (torch.autograd.grad(y.square().sum(), leaves) for y in (out, expected))
    for gradient, wanted in zip(ours, theirs, strict=True):
        assert_close(gradient, wanted, rtol=1e-4, atol=1e-4)


def test_gradients_of_the_loop_equal_numerical_ones() -> None:
    random = torch.Generator().manual_seed(0)
    groups = Groups.from_counts(torch.tensor([2, 0, 3]))
    leaves = [
        torch.randn(shape, generator=random, dtype=torch.float64).requires_grad_()
        for shape in ((5, 3), (3, 3, 2), (3, 2))
    ]
    assert torch.autograd.gradcheck(lambda r, w, b: grouped_linear(r, w, b, groups, "loop"), leaves)


@pytest.mark.parametrize("learns", ["rows", "weight", "bias"])
def test_the_loop_computes_only_the_gradients_that_are_asked_for(learns: str) -> None:
    leaves = {"rows": torch.ones(4, 3), "weight": torch.ones(2, 3, 5), "bias": torch.ones(2, 5)}
    leaves[learns].requires_grad_()
    groups = Groups.from_counts(torch.tensor([1, 3]))
    out = grouped_linear(leaves["rows"], leaves["weight"], leaves["bias"], groups, "loop")
    out.sum().backward()
    assert [name for name, leaf in leaves.items() if leaf.grad is not None] == [learns]


def test_groups_know_where_each_begins_and_ends() -> None:
    assert Groups.from_counts(torch.tensor([2, 0, 3])).bounds() == [(0, 2), (2, 2), (2, 5)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("device", ["cpu", "cpu:0", "meta", "mps"])
def test_away_from_a_gpu_the_loop_is_taken_whatever_the_clock_says(
    device: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: pytest.fail("a busy machine would choose otherwise"))
    before = torch.random.get_rng_state()
    choice = choose_backend(torch.device(device), dtype)
    assert choice.name == "loop"
    assert torch.device(device).type in choice.reason
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("refusal", "name"), [("", "grouped_mm"), ("needs sm90", "loop")])
def test_on_a_gpu_the_kernel_is_taken_where_it_runs_and_the_reason_says_why(
    refusal: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "_refusal_of_the_kernel", lambda device, dtype: refusal)
    grouped._on_gpu.cache_clear()
    try:
        for device in ("cuda", "cuda:1"):
            choice = choose_backend(torch.device(device), torch.bfloat16)
            assert choice.name == name
            assert device in choice.reason
            assert refusal in choice.reason
    finally:
        grouped._on_gpu.cache_clear()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_this_gpu_the_kernel_runs_in_bfloat16() -> None:
    assert choose_backend(torch.device("cuda"), torch.bfloat16).name == "grouped_mm"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whether_the_kernel_runs_is_tried_and_not_guessed(dtype: torch.dtype) -> None:
    rows, weight = torch.ones(2, 16, dtype=dtype), torch.ones(1, 16, 16, dtype=dtype)
    refusal = grouped._refusal_of_the_kernel(torch.device("cpu"), dtype)
    with pytest.raises(RuntimeError) if refusal else nullcontext():
        grouped_linear(rows, weight, None, Groups.from_counts(torch.tensor([2])), "grouped_mm")


@pytest.mark.parametrize(("d_model", "d_ff"), [(3, 5), (6, 10), (4, 6), (5, 8)])
def test_without_a_named_backend_any_width_works_even_where_the_kernel_is_faster(
    monkeypatch: pytest.MonkeyPatch, d_model: int, d_ff: int
) -> None:
    if grouped._refusal_of_the_kernel(torch.device("cpu"), torch.float32):
        pytest.skip("this PyTorch has no grouped_mm for the CPU")
    monkeypatch.setattr(moe, "choose_backend", lambda device, dtype: GroupedBackend("grouped_mm", "as on a GPU"))
    experts = FFNExperts(2, d_model, d_ff, gated=True)
    experts(torch.ones(4, d_model), torch.tensor([1, 3])).sum().backward()
    with torch.inference_mode():
        assert experts(torch.ones(4, d_model), torch.tensor([1, 3])).shape == (4, d_model)
