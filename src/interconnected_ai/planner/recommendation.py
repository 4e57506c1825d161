"""The recommendation: the document's rules (`000_…`), weighed against the figures of the plan, disagreements named."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from interconnected_ai.planner.devices import Device
from interconnected_ai.planner.duration import Range
from interconnected_ai.planner.request import PlanRequest
from interconnected_ai.planner.way import Way
from interconnected_ai.types import Told

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
        told = Told.of("no_moe", "the system asked for has no MoE layers: there is nothing to compare it with")
        return Recommendation("dense", (Reason(told, "dense", 1, "figures"),), ())
    reasons = (*_rules(request), *_figures(device, ways, retraining))
    score = {c: sum(r.weight for r in reasons if r.speaks_for == c) for c in ("moe", "dense")}
    choice: Choice = "dense" if score["dense"] > score["moe"] else "moe"
    return Recommendation(choice, reasons, _disagreements(request, ways, retraining))


def _rules(request: PlanRequest) -> list[Reason]:
    """The document's rules, as far as the request says which case it is."""
    branches, rules = len(request.system.branches), []
    if branches >= 5:
        many = Told.of("many_branches", f"{branches} branches: from 5 on MoE", count=branches)
        rules.append(Reason(many, "moe", 2, "document"))
    elif branches <= 3:
        few = Told.of("few_branches", f"{branches} branches: with 1–3 dense is simpler to debug", count=branches)
        rules.append(Reason(few, "dense", 1, "document"))
    if number := request.added_branches:
        growth = Told.of("growth", f"{number} more branches expected: growth asks for MoE", count=number)
        rules.append(Reason(growth, "moe", 2, "document"))
    if request.accuracy_floor is not None:
        if request.accuracy_floor > 0.99:
            told = Told.of("exact", "accuracy above 99 % is critical: dense")
            rules.append(Reason(told, "dense", 3, "document"))
        else:
            told = Told.of("near", "an accuracy within a point is enough: MoE")
            rules.append(Reason(told, "moe", 1, "document"))
    if request.budget_usd is not None:
        rules.append(Reason(Told.of("budget", "the budget is limited: MoE"), "moe", 1, "document"))
    return rules


def _figures(device: Device, ways: Mapping[str, Way], retraining: Range) -> list[Reason]:
    """What the plan just computed."""
    dense, moe = ways["dense"], ways["moe"]
    speedup = dense.step_seconds.expected / moe.step_seconds.expected
    memory = moe.training.peak_bytes / dense.training.peak_bytes
    latency = moe.latency_seconds.expected / dense.latency_seconds.expected
    out = [
        Reason(
            Told.of(
                "speed", f"a training step is {speedup:.1f} × as fast as the dense twin's", times=round(speedup, 1)
            ),
            "moe" if speedup >= 1.2 else ("dense" if speedup <= 0.9 else None),
            2 if speedup >= 2 else 1,
            "figures",
        ),
        Reason(
            Told.of(
                "memory", f"training peaks at {memory:.0%} of the dense twin's memory", percent=round(100 * memory)
            ),
            "moe" if memory < 0.9 else ("dense" if memory > 1.1 else None),
            1,
            "figures",
        ),
        Reason(
            Told.of("latency", f"an answer takes {latency:.0%} of the dense twin's time", percent=round(100 * latency)),
            "moe" if latency < 0.8 else None,
            1,
            "figures",
        ),
    ]
    if moe.fits_training and not dense.fits_training:
        told = f"on {device.name} the MoE trains and its dense twin does not fit"
        out.append(Reason(Told.of("fits", told, device=device.name), "moe", 3, "figures"))
    share = ways["added branch"].run_seconds.expected / retraining.expected
    added = Told.of(
        "added", f"one more branch takes {share:.1%} of training everything again", percent=round(100 * share, 1)
    )
    out.append(Reason(added, None, 0, "figures"))  # it holds for every frozen trunk, dense or MoE
    return out


def _disagreements(request: PlanRequest, ways: Mapping[str, Way], retraining: Range) -> tuple[str, ...]:
    dense, moe = ways["dense"], ways["moe"]
    speedup = dense.step_seconds.expected / moe.step_seconds.expected
    out = []
    if speedup < 0.75 * CLAIMED_SPEEDUP:
        told = f"the document promises training 4 × as fast; for these sizes {speedup:.1f} × is computed"
        out.append(Told.of("claimed_speed", told, times=round(speedup, 1)))
    memory = moe.inference.weights_bytes / dense.inference.weights_bytes
    if memory > CLAIMED_MEMORY + 0.1:
        told = (
            f"the document promises 41 % fewer parameters; here it is {1 - memory:.0%}, since the frozen encoder and the "
            "branches are the same in both"
        )
        out.append(Told.of("claimed_memory", told, percent=round(100 * (1 - memory))))
    latency = moe.latency_seconds.expected / dense.latency_seconds.expected
    if latency > 0.5:
        told = f"the document promises answers 3.3 × as fast; here it is {1 / latency:.1f} ×: the encoder runs in both"
        out.append(Told.of("claimed_latency", told, times=round(1 / latency, 1)))
    if len(request.system.branches) <= 3 and speedup >= 2:
        told = f"the document's rule for 1–3 branches says dense, the figures say MoE trains {speedup:.1f} × as fast"
        out.append(Told.of("claimed_rule", told, times=round(speedup, 1)))
    told = (
        "the document credits MoE with cheap growth; it comes from freezing the trunk, and a frozen dense trunk grows as "
        "cheaply"
    )
    out.append(Told.of("claimed_growth", told))
    return tuple(out)
