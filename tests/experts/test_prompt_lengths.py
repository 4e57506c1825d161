"""Prompts of many lengths: read in pieces of few sizes, the same logits, and no memory that grows with every new length."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from causal_networks import network
from expert_models import ids, made
from torch import nn
from torch.nn import functional

from interconnected_ai.experts.cached_decoder import CachedDecoder
from interconnected_ai.experts.causal import LeanDecoder, LlamaParts
from interconnected_ai.experts.torch_decoder import DecoderParts, TorchDecoder
from interconnected_ai.experts.torch_products import LAYOUTS, Packed, Plain, can_pack

pytestmark = pytest.mark.skipif(not can_pack(torch.zeros(1)), reason="oneDNN's operators are not there")

GROWTH = """
import random, sys, torch
from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts import ExpertModel, TorchEngine

torch.set_num_threads(1)

def resident():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmRSS"))

layout, longest, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = ExpertModel(vocab_size=64, d_model=width, n_layers=1, n_heads=2, d_ff=3 * width, max_seq_len=longest + 2)
engine = TorchEngine(model, layout=layout)

def answer(length):
    engine([[1] * length], GenerationConfig(max_new_tokens=1, temperature=0.0))

for length in (longest, 1, longest // 2):
    answer(length)
before = resident()
with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON_CREATION):  # a line for each program
    for length in random.Random(0).sample(range(1, longest + 1), 300):
        answer(length)
print("grown by", resident() / before - 1)
"""
FEW = 4 * 5  # sizes that rows are filled up to, for each kind of product


def decoder(name: str, layout: str) -> CachedDecoder[Any]:
    if name == "expert":
        return TorchDecoder(DecoderParts.of(made(norm="pre"), LAYOUTS[layout]()))
    return LeanDecoder(LlamaParts.of(network(name), LAYOUTS[layout]()), 64)


@pytest.mark.parametrize("most_rows", [10, 36])
@pytest.mark.parametrize("lengths", [[33], [39, 20, 1], [5] * 12])
@pytest.mark.parametrize("name", ["expert", "llama", "mistral, window of 5"])
def test_a_prompt_in_pieces_gives_the_logits_of_the_whole(
    name: str, lengths: list[int], most_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Packed, "most_rows", most_rows)
    prompts = [ids(1, length, seed=row)[0].tolist() for row, length in enumerate(lengths)]
    whole, pieces = decoder(name, "plain"), decoder(name, "packed")
    for wanted, found in (
        (whole.start(prompts, 40), pieces.start(prompts, 40)),
        (whole.step(ids(len(prompts))), pieces.step(ids(len(prompts)))),
    ):
        assert wanted.std() > 0.1
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 31, 32, 33, 70])
def test_products_of_any_number_of_rows_are_the_plain_ones(rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    layer, other = nn.Linear(24, 40), nn.Linear(24, 8, bias=False)
    hidden, residual = (torch.randn(rows, width, generator=generator) for width in (24, 40))
    norm = torch.rand(24, generator=generator) + 0.5, 1e-6
    plain, packed = Plain(), Packed()
    with torch.inference_mode():
        for wanted, found in (
            (plain.linear(layer)(hidden), packed.linear(layer)(hidden)),
            (plain.gelu(layer)(hidden), packed.gelu(layer)(hidden)),
            (plain.adding(layer)(hidden, residual.clone()), packed.adding(layer)(hidden, residual.clone())),
            (plain.normed(norm, [layer, other])(hidden), packed.normed(norm, [layer, other])(hidden)),
        ):
            assert len(found) == rows
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["expert", "llama"])
def test_the_rows_of_a_step_need_no_filling_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = decoder(name, "packed")
    steps.start([[1, 2, 3]] * 5, 8)
    monkeypatch.setattr(functional, "pad", None)
    assert steps.step(ids(5)).shape[0] == 5


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize(
    ("layout", "longest", "width"),
    [("plain", 500, 64), ("packed", 500, 64), pytest.param("packed", 2000, 128, marks=pytest.mark.slow)],
)
def test_300_lengths_make_few_programs_and_take_little_memory(layout: str, longest: int, width: int) -> None:
    asked = [sys.executable, "-c", GROWTH, layout, str(longest), str(width)]
    found = subprocess.run(asked, check=True, capture_output=True, text=True)
    assert found.stdout.count("create:cache_miss") <= FEW
    assert float(found.stdout.rpartition("grown by")[2]) < 0.05
