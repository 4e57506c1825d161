"""The document's quick start, executed as it is written, with a tiny ELECTRA in the hub's cache."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from transformers import ElectraConfig, ElectraModel

from conftest import SPECIAL, WORDS, make_tokenizer

# Before the loop the document leaves `train_loader`, `device` and `input_ids` to the reader.
PREPARATION = """
import torch
device = torch.device("cpu")
generator = torch.Generator().manual_seed(0)
ids = torch.randint(5, 40, (48, 7), generator=generator)
branch = torch.arange(48) % 3
labels = ids[:, 0] % 50
train_loader = [
    {"input_ids": ids[i : i + 16], "branch_id": branch[i : i + 16], "labels": labels[i : i + 16]} for i in (0, 16, 32)
]
input_ids = ids[:1]
"""

QUICK_START = """
from interconnected_ai import InterconnectedAISystem

model = InterconnectedAISystem(
    base_model_name="google/electra-base-uncased",
    num_experts=8,
    k=2,
    num_branches=3
)

from interconnected_ai import train_epoch, inference
import torch.optim as optim

param_groups = model.get_trainable_params()
optimizer = optim.AdamW(param_groups, weight_decay=0.01)

for epoch in range(50):
    train_loss = train_epoch(model, train_loader, device, optimizer)
    print(f"Loss: {train_loss:.4f}")

results = inference(model, input_ids, branch_id=0, device=device)
print(f"Класс: {results['class']}, Уверенность: {results['confidence']:.2%}")
"""


def put_into_hub_cache(home: Path) -> None:
    """A randomly initialised ELECTRA where the hub's client would have put the real one."""
    snapshot = home / "hub" / "models--google--electra-base-discriminator" / "snapshots" / "0123abcd"
    torch.manual_seed(0)
    shape = ElectraConfig(
        vocab_size=len(SPECIAL) + len(WORDS), embedding_size=16, hidden_size=32, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    ElectraModel(shape).save_pretrained(snapshot)
    make_tokenizer().save_pretrained(snapshot)
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("0123abcd")


def test_the_documents_quick_start_runs_as_written(tmp_path: Path) -> None:
    put_into_hub_cache(tmp_path)
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", PREPARATION + QUICK_START],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *losses, answer = done.stdout.strip().splitlines()
    values = [float(line.removeprefix("Loss: ")) for line in losses]
    assert len(values) == 50
    assert values[-1] < values[0]
    assert answer.startswith("Класс: ")
    assert answer.endswith("%")
    assert "electra-base-discriminator" in done.stderr, "the other name must be said"
