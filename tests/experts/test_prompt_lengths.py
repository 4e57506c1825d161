"""Prompts of many lengths: read in pieces of few sizes, the same logits, and no memory that grows with every new length."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from causal_networks import network
from expert_models import ids, made

from interconnected_ai.experts.cached_decoder import CachedDecoder
from interconnected_ai.experts.causal import LeanDecoder, LlamaParts
from interconnected_ai.experts.torch_decoder import DecoderParts, TorchDecoder
from interconnected_ai.experts.torch_products import LAYOUTS, Packed, can_pack

pytestmark = pytest.mark.skipif(not can_pack(torch.zeros(1)), reason="oneDNN's operators are not there")

MB = 2**20
GROWTH = """
import sys, torch
from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts import ExpertModel, TorchEngine

torch.set_num_threads(1)

def resident():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmRSS"))

model = ExpertModel(vocab_size=64, d_model=64, n_layers=1, n_heads=2, d_ff=96, max_seq_len=512)
engine = TorchEngine(model, layout=sys.argv[1])

def answer(length):
    engine([[1] * length], GenerationConfig(max_new_tokens=1, temperature=0.0))

for length in (500, 1, 250):
    answer(length)
before = resident()
with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON_CREATION):  # a line for each program
    for length in range(1, 301):
        answer(length)
print("grown by", resident() - before)
"""
FEW = 9 * 5  # sizes that rows are filled up to, for each kind of product


def decoder(name: str, layout: str) -> CachedDecoder[Any]:
    if name == "expert":
        return TorchDecoder(DecoderParts.of(made(norm="pre"), LAYOUTS[layout]()))
    return LeanDecoder(LlamaParts.of(network(name), LAYOUTS[layout]()), 64)


@pytest.mark.parametrize("lengths", [[33], [39, 20, 1], [5] * 12])
@pytest.mark.parametrize("name", ["expert", "llama", "mistral, window of 5"])
def test_a_prompt_in_pieces_gives_the_logits_of_the_whole(
    name: str, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Packed, "most_rows", 10)
    prompts = [ids(1, length, seed=row)[0].tolist() for row, length in enumerate(lengths)]
    whole, pieces = decoder(name, "plain"), decoder(name, "packed")
    for wanted, found in (
        (whole.start(prompts, 40), pieces.start(prompts, 40)),
        (whole.step(ids(len(prompts))), pieces.step(ids(len(prompts)))),
    ):
        assert wanted.std() > 0.1
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_300_lengths_make_few_programs_and_take_little_memory(layout: str) -> None:
    found = subprocess.run([sys.executable, "-c", GROWTH, layout], check=True, capture_output=True, text=True)
    assert found.stdout.count("create:cache_miss") <= FEW
    assert int(found.stdout.rpartition("grown by")[2]) < 20 * MB
