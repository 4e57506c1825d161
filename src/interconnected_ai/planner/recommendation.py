"""The recommendation: the document's rules (`000_…`), weighed against the figures of the plan, disagreements named."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from interconnected_ai.planner.devices import Device
from interconnected_ai.planner.duration import Range
from interconnected_ai.planner.request import PlanRequest
from interconnected_ai.planner.way import Way

Choice = Literal["moe", "dense"]

# What the document promises of an MoE against its dense network.
CLAIMED_SPEEDUP, CLAIMED_MEMORY = 4.0, 0.59


@dataclass(frozen=True)
class Reason:
    """One rule or figure. speaks_for: the choice it supports, None where it only informs. weight: how much it counts."""

    text: str
    speaks_for: Choice | None
    weight: int
    source: Literal["document", "figures"]


@dataclass(frozen=True)
class Recommendation:
    """What to build and why. disagreements: where a rule of the document and a computed figure point apart."""

    choice: Choice
    reasons: tuple[Reason, ...]
    disagreements: tuple[str, ...]

    @property
    def score(self) -> dict[str, int]:
        """Weights that speak for each choice."""
        return {c: sum(r.weight for r in self.reasons if r.speaks_for == c) for c in ("moe", "dense")}


def recommend(request: PlanRequest, device: Device, ways: Mapping[str, Way], retraining: Range) -> Recommendation:
    """Weigh rules and figures. Without a choice to make (no MoE layers to compare) the system asked for is kept."""
    if "moe" not in ways:
        only = Reason(
            "the system asked for has no MoE layers: there is nothing to compare it with", "dense", 1, "figures"
        )
        return Recommendation("dense", (only,), ())
    reasons = (*_rules(request), *_figures(device, ways, retraining))
    score = {c: sum(r.weight for r in reasons if r.speaks_for == c) for c in ("moe", "dense")}
    choice: Choice = "dense" if score["dense"] > score["moe"] else "moe"
    return Recommendation(choice, reasons, _disagreements(request, ways, retraining))


def _rules(request: PlanRequest) -> list[Reason]:
    """The document's rules, as far as the request says which case it is."""
    branches, rules = len(request.system.branches), []
    if branches >= 5:
        rules.append(Reason(f"{branches} branches: from 5 on MoE", "moe", 2, "document"))
    elif branches <= 3:
        rules.append(Reason(f"{branches} branches: with 1–3 dense is simpler to debug", "dense", 1, "document"))
    if request.added_branches:
        rules.append(
            Reason(f"{request.added_branches} more branches expected: growth asks for MoE", "moe", 2, "document")
        )
    if request.accuracy_floor is not None:
        if request.accuracy_floor > 0.99:
            rules.append(Reason("accuracy above 99 % is critical: dense", "dense", 3, "document"))
        else:
            rules.append(Reason("an accuracy within a point is enough: MoE", "moe", 1, "document"))
    if request.budget_usd is not None:
        rules.append(Reason("the budget is limited: MoE", "moe", 1, "document"))
    return rules


def _figures(device: Device, ways: Mapping[str, Way], retraining: Range) -> list[Reason]:
    """What the plan just computed."""
    dense, moe = ways["dense"], ways["moe"]
    speedup = dense.step_seconds.expected / moe.step_seconds.expected
    memory = moe.training.peak_bytes / dense.training.peak_bytes
    out = [
        Reason(
            f"a training step is {speedup:.1f} × as fast as the dense twin's",
            "moe" if speedup >= 1.2 else ("dense" if speedup <= 0.9 else None),
            2 if speedup >= 2 else 1,
            "figures",
        ),
        Reason(
            f"training peaks at {memory:.0%} of the dense twin's memory",
            "moe" if memory < 0.9 else ("dense" if memory > 1.1 else None),
            1,
            "figures",
        ),
        Reason(
            f"an answer takes {moe.latency_seconds.expected / dense.latency_seconds.expected:.0%} of the dense twin's time",
            "moe" if moe.latency_seconds.expected < 0.8 * dense.latency_seconds.expected else None,
            1,
            "figures",
        ),
    ]
    if moe.fits_training and not dense.fits_training:
        out.append(Reason(f"on {device.name} the MoE trains and its dense twin does not fit", "moe", 3, "figures"))
    added = ways["added branch"].run_seconds.expected
    out.append(
        Reason(
            f"one more branch takes {added / retraining.expected:.1%} of training everything again",
            None,  # it holds for every frozen trunk, dense or MoE
            0,
            "figures",
        )
    )
    return out


def _disagreements(request: PlanRequest, ways: Mapping[str, Way], retraining: Range) -> tuple[str, ...]:
    dense, moe = ways["dense"], ways["moe"]
    speedup = dense.step_seconds.expected / moe.step_seconds.expected
    out = []
    if speedup < 0.75 * CLAIMED_SPEEDUP:
        out.append(f"the document promises training 4 × as fast; for these sizes {speedup:.1f} × is computed")
    memory = moe.inference.weights_bytes / dense.inference.weights_bytes
    if memory > CLAIMED_MEMORY + 0.1:
        out.append(
            f"the document promises 41 % fewer parameters; here it is {1 - memory:.0%}, since the frozen encoder and the "
            "branches are the same in both"
        )
    latency = moe.latency_seconds.expected / dense.latency_seconds.expected
    if latency > 0.5:
        out.append(
            f"the document promises answers 3.3 × as fast; here it is {1 / latency:.1f} ×: the encoder runs in both"
        )
    if len(request.system.branches) <= 3 and speedup >= 2:
        out.append(
            f"the document's rule for 1–3 branches says dense, the figures say MoE trains {speedup:.1f} × as fast"
        )
    out.append(
        "the document credits MoE with cheap growth; it comes from freezing the trunk, and a frozen dense trunk grows as "
        "cheaply"
    )
    return tuple(out)
