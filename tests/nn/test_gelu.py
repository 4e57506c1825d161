"""The exact GELU: torch's numbers and gradients, in foreign models too, and no program of oneDNN's for every new shape."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from interconnected_ai.nn import GELU, FeedForward, gelu, swap_gelus
from properties import examples

PROGRAMS = """
import torch
from transformers import BertConfig, BertModel
from interconnected_ai.nn import FeedForward, MoELayer, swap_gelus

torch.manual_seed(0)
dense, experts = FeedForward(16, 32), MoELayer(16, 32, num_experts=4)
encoder = BertModel(BertConfig(vocab_size=9, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2))
swap_gelus(encoder)
encoder.eval()
with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON_CREATION):
    for rows in range(2, 42):
        out = dense(torch.randn(rows, 16)) + experts(torch.randn(rows, 16))[0]
        out.sum().backward()
        with torch.inference_mode():
            experts(torch.randn(rows, 16))
            encoder(torch.ones(1, rows, dtype=torch.long))
"""

ONE_ROW = (
    2  # an expert with a single token, forward and backward: one size, which nothing tells apart from its transpose
)


@given(st.lists(st.integers(0, 4), min_size=0, max_size=4), st.integers(0, 99))
@examples(60)
def test_it_is_torchs_gelu_with_its_gradient(shape: list[int], seed: int) -> None:
    hidden = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    ours, theirs = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    found, wanted = gelu(ours), F.gelu(theirs)
    assert found.shape == wanted.shape
    assert found.is_contiguous()
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)
    found.sum().backward()
    wanted.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-6)


def test_exact_gelus_of_a_model_are_exchanged_and_others_stay() -> None:
    model = nn.Sequential(
        nn.GELU(), nn.GELU(approximate="tanh"), ACT2FN["gelu"], ACT2FN["gelu_python"], ACT2FN["gelu_new"], nn.ReLU(),
        nn.Sequential(ACT2FN["gelu"]),
    )  # fmt: skip
    hidden = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    wanted = model(hidden)
    swap_gelus(model)
    exchanged = [isinstance(module, GELU) for module in model]
    assert exchanged == [True, False, True, False, False, False, False]
    assert isinstance(model[-1][0], GELU)  # type: ignore[index]
    torch.testing.assert_close(model(hidden), wanted, atol=1e-6, rtol=1e-6)


def test_a_block_keeps_its_activation_in_bfloat16() -> None:
    block = FeedForward(8, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    hidden = torch.randn(3, 8, generator=torch.Generator().manual_seed(1)).bfloat16()
    wanted = block.w_out(F.gelu(block.w_in(hidden)))
    torch.testing.assert_close(block(hidden), wanted)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN here")
def test_no_number_of_rows_makes_a_program_of_its_own() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAMS], check=True, capture_output=True, text=True)
    assert found.stdout.count("create:cache_miss") <= ONE_ROW
