"""The document's headline table, measured: an MoE system and its dense twin at a size this machine trains."""

import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from interconnected_ai.bench.quickstart import add_later_branch, quickstart_config
from interconnected_ai.bench.quickstart_texts import english_texts
from interconnected_ai.bench.timing import machine, take_turns
from interconnected_ai.branches import DenseSystem, Encoder, InterconnectedAISystem
from interconnected_ai.data import Splits
from interconnected_ai.training import GlobalBatch, evaluate, fit, system_loss

ROWS = 64  # of the batch that is timed
D_FF = 192  # of an FFN expert; the quickstart's are smaller, for the sake of its three minutes

# What the document claims for its own sizes (`000_…`, key results), with no machine and no command behind it.
CLAIMED: dict[str, tuple[str, str, str]] = {
    "parameters": ("20B", "11.8B", "0.590"),
    "flops": ("20B", "2.4B", "0.120"),
    "weights": ("80 GB", "47 GB", "0.588"),
    "activations": ("40 GB", "10 GB", "0.250"),
    "train_step": ("200 s", "50 s", "0.250"),
    "latency": ("1000 ms", "300 ms", "0.300"),
    "add_branch": ("24 h", "2–4 h", "0.083–0.167"),
    "accuracy": ("92.5 %", "91.8 %", "−0.7 points"),
}


def bench_headline(*, seeds: int = 2, epochs: int = 5) -> dict[str, Any]:
    """Rows of the table, and the keys of `iai bench headline --json`.

    Layers: what differs between the twins, since both stand on the same frozen encoder. A step is a training step on
    64 rows whose encoder outputs come from the cache, as they do from the second epoch on. Latency is one text through
    the whole system. "Add a branch": for the dense twin, training everything again; for the MoE system, the branch.
    """
    texts = english_texts()
    splits = texts.first
    encoder = Encoder.load()
    with tempfile.TemporaryDirectory() as scratch:
        accuracies, train_seconds = _train_both(splits, encoder, Path(scratch), seeds, epochs)
        moe, dense = accuracies.pop("systems")
        measured = {name: _measure(system, splits) for name, system in (("dense", dense), ("moe", moe))}
        speeds = _speeds(moe, dense, splits)
        added = add_later_branch(moe, texts)
    accuracy = {name: mean(values) for name, values in accuracies.items()}
    seconds = {"dense": train_seconds["dense"], "moe": added.encode_seconds + added.train_seconds}
    rows = [
        _row("parameters of the layers", "parameters", measured, "layer_params", "{:,.0f}"),
        _row("FLOPs of the layers per token", "flops", measured, "layer_flops_per_token", "{:,.0f}"),
        _row("weights of the layers, MB", "weights", measured, "layer_mb", "{:.1f}"),
        _row("activations kept for backward, MB", "activations", measured, "activation_mb", "{:.1f}"),
        _row("training step, 64 rows, s", "train_step", speeds["step"], None, "{:.3f}"),
        _row("latency of one text, ms", "latency", speeds["latency_ms"], None, "{:.1f}"),
        _row("add a branch, s (dense: train all again)", "add_branch", seconds, None, "{:.1f}"),
        _row("test accuracy, mean over branches and seeds, %", "accuracy", {k: 100 * v for k, v in accuracy.items()}, None,
             "{:.2f}"),
    ]  # fmt: skip
    return {
        "machine": machine(),
        "rows": rows,
        "seeds": seeds,
        "accuracy_moe": accuracy["moe"],
        "accuracy_dense": accuracy["dense"],
        "accuracy_gap_points": 100 * (accuracy["dense"] - accuracy["moe"]),
        "step_speedup": speeds["step"]["dense"] / speeds["step"]["moe"],
    }


def _train_both(
    splits: Splits, encoder: Encoder, scratch: Path, seeds: int, epochs: int
) -> tuple[dict[str, Any], dict[str, float]]:
    """Test accuracies of both systems for each seed, the systems of the last seed, and the seconds of a training."""
    accuracies: dict[str, Any] = {"moe": [], "dense": []}
    seconds = {"moe": 0.0, "dense": 0.0}
    for seed in range(seeds):
        config = quickstart_config(scratch, splits.train.branch_names, epochs=epochs, seed=seed, d_ff=D_FF)
        shape = config.system.with_changes(branches=[spec.to_dict() for spec in splits.specs()])
        moe = InterconnectedAISystem.from_config(shape, encoder=encoder, seed=seed)
        systems = {"moe": moe, "dense": DenseSystem.twin_of(moe)}
        for name, system in systems.items():
            done = fit(system, splits.train, splits.validation, config.training, scratch / f"{name}-{seed}")
            seconds[name] += done.train_seconds / seeds
            accuracies[name].append(mean(m.accuracy for m in evaluate(system, splits.test).values()))
    accuracies["systems"] = (systems["moe"], systems["dense"])
    return accuracies, seconds


def _measure(system: InterconnectedAISystem, splits: Splits) -> dict[str, float]:
    """Parameters, FLOPs and bytes of the layers, counted on a real batch."""
    tokens, mask = _batch(system, splits)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        system.trunk(tokens, mask)
    params = sum(p.numel() for p in system.trunk.layers.parameters())
    return {
        "layer_params": float(params),
        "layer_flops_per_token": counter.get_total_flops() / len(tokens),
        "layer_mb": params * 4 / 1e6,
        "activation_mb": _activation_bytes(system.trunk, tokens, mask) / 1e6,
    }


def _activation_bytes(trunk: nn.Module, tokens: Tensor, mask: Tensor) -> float:
    """Bytes that autograd keeps between forward and backward, weights not counted, each storage once."""
    weights = {p.untyped_storage().data_ptr() for p in trunk.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    trunk.requires_grad_(True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = trunk(tokens, mask)
    total = float(sum(kept.values()))
    del out
    trunk.requires_grad_(False)
    return total


def _speeds(moe: InterconnectedAISystem, dense: InterconnectedAISystem, splits: Splits) -> dict[str, dict[str, float]]:
    """Seconds of a training step and milliseconds of one answer, the two systems taking turns."""
    systems = {"dense": dense, "moe": moe}
    steps = take_turns({name: _step_of(system, splits) for name, system in systems.items()}, 7)
    text = splits.test.texts[:1]
    answers = take_turns({n: (lambda s=s: s.predict(text)) for n, s in systems.items()}, 15)  # type: ignore[misc]
    for system in systems.values():
        system.freeze_trunk()
    return {
        "step": {name: t.median for name, t in steps.items()},
        "latency_ms": {name: 1000 * t.median for name, t in answers.items()},
    }


def _step_of(system: InterconnectedAISystem, splits: Splits) -> Any:
    """A function that does one training step with a learning rate of zero."""
    tokens, mask = _batch(system, splits)
    rows = splits.train.select(range(ROWS))
    targets = {n: torch.from_numpy(t) for n, t in rows.targets(c.spec for c in system.cards.values()).items()}
    system.trunk.requires_grad_(True)
    optimizer = torch.optim.AdamW([{**group, "lr": 0.0} for group in system.get_trainable_params()])

    def step() -> None:
        loss = system_loss(system(None, mask, tokens=tokens), targets, GlobalBatch(ROWS))
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _batch(system: InterconnectedAISystem, splits: Splits) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return system.encode_tokens(*system.encoder.pad(system.encoder.tokenize(splits.train.texts[:ROWS])))


def _row(what: str, key: str, values: Any, field: str | None, shape: str) -> dict[str, Any]:
    dense, moe = ((values[n] if field is None else values[n][field]) for n in ("dense", "moe"))
    return {
        "what": what,
        "key": key,
        "dense": shape.format(dense),
        "moe": shape.format(moe),
        "ratio": moe / dense,
        "claimed": list(CLAIMED[key]),
    }
