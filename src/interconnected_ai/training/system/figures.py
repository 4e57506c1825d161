"""The figures of a run that the loop logs. docs/train.md and docs/doctor.md say what each means."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.config import Watch
from interconnected_ai.nn import Routing
from interconnected_ai.training.parallelism import whole
from interconnected_ai.training.system.metrics import BranchMetrics

_SAMPLE = 4096


class Drift:
    """How far weights have gone from where they were when this was made, for each group of them.

    drift: ‖now − start‖ / ‖start‖. moved: the root mean square change of a weight, to be compared with the sum of the
    learning rates, the most that AdamW can have moved it. The norms are estimated from at most 4,096 random entries of
    each tensor: a whole copy would cost a quarter of the training's memory.
    """

    def __init__(self, groups: Iterable[Mapping[str, Any]]) -> None:
        """groups: an optimiser's, each with a name and params."""
        found: dict[str, Sequence[Tensor]] = {group["name"]: list(group["params"]) for group in groups}
        generator = torch.Generator().manual_seed(0)
        self._places = {name: [_places(t, generator) for t in group] for name, group in found.items()}
        self._starts = {name: self._sample(name, group) for name, group in found.items()}

    def figures(self, groups: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """drift/GROUP and moved/GROUP for each group as it is now: the same tensors, or others in their places."""
        out = {}
        for name, tensors in ((group["name"], group["params"]) for group in groups):
            moved = start = count = 0.0
            for tensor, then, now in zip(tensors, self._starts[name], self._sample(name, tensors), strict=True):
                share = tensor.numel() / len(then)
                moved += share * float((now - then).square().sum())
                start += share * float(then.square().sum())
                count += tensor.numel()
            out[f"drift/{name}"] = math.sqrt(moved / start) if start else 0.0
            out[f"moved/{name}"] = math.sqrt(moved / count) if count else 0.0
        return out

    def _sample(self, name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
        pairs = zip(tensors, self._places[name], strict=True)
        return [whole(tensor).flatten()[places.to(tensor.device)].float().cpu() for tensor, places in pairs]


def _places(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Which entries of a tensor are looked at."""
    if tensor.numel() <= _SAMPLE:
        return torch.arange(tensor.numel())
    return torch.randint(tensor.numel(), (_SAMPLE,), generator=generator)


def routing_figures(routings: Sequence[Routing]) -> dict[str, float]:
    """Entropy, dead experts and every expert's share of the assignments, for each layer."""
    figures = {}
    for layer, routing in enumerate(routings):
        figures[f"routing/layer{layer}/entropy"] = float(routing.entropy)
        figures[f"routing/layer{layer}/dead_experts"] = float(len(routing.dead_experts))
        for expert, share in enumerate(routing.utilization.tolist()):
            figures[f"routing/layer{layer}/expert{expert}"] = share
    return figures


def learning_figures(logits: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> dict[str, float]:
    """train_accuracy/BRANCH and train_loss/BRANCH of rows that are learnt from; -1 among the targets is no label."""
    figures = {}
    for name, table in logits.items():
        answers = targets[name].to(table.device)
        labelled = answers >= 0
        if labelled.any():
            here = table.detach().float()[labelled]
            figures[f"train_accuracy/{name}"] = float((here.argmax(-1) == answers[labelled]).double().mean())
            figures[f"train_loss/{name}"] = float(F.cross_entropy(here, answers[labelled]))
    return figures


def validation_figures(metrics: Mapping[str, BranchMetrics], watch: Watch = "accuracy") -> dict[str, float]:
    """Accuracy, macro-F1, loss and calibration error of each branch, before its temperature is fitted, and the mean accuracy.

    watched: the mean over the branches of what early stopping goes by; higher is better, a loss is negative.
    """
    figures = {}
    for name, found in metrics.items():
        figures[f"accuracy/{name}"] = found.accuracy
        figures[f"macro_f1/{name}"] = found.macro_f1
        figures[f"validation_loss/{name}"] = found.loss
        figures[f"calibration_error/{name}"] = found.calibration_error
    figures["accuracy/mean"] = sum(found.accuracy for found in metrics.values()) / len(metrics)
    scores = [-found.loss if watch == "loss" else getattr(found, watch) for found in metrics.values()]
    figures["watched"] = sum(scores) / len(scores)
    return figures
