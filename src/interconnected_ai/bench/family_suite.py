"""What a row in the table of families has to hold: each kind of operation on one tiny random model, taken back after each."""

import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.bench.tiny_moes import ALL, make, prompts
from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.mixtures import REFUSED
from interconnected_ai.surgery import MoE, Program, Rule, follows_its_family
from interconnected_ai.surgery import open as open_moe

# logits of a reloaded model, and of adapters that were merged
RELOADED, MERGED = 1e-6, 1e-3


def family_table(families: Iterable[str] = ALL) -> dict[str, dict[str, str]]:
    """Family → step → "" where it held, else why not; families that are refused by name are not among them."""
    return {family: steps_of(family) for family in families}


def steps_of(family: str) -> dict[str, str]:
    """Step → "" where it held, else why not. One model for all steps; the last ones write it to disk."""
    moe = MoE(make(family))
    found = {}
    for name, step in STEPS.items():
        try:
            found[name] = step(moe)
        except (
            InterconnectedAIError,
            RuntimeError,
            ValueError,
            IndexError,
            KeyError,
            TypeError,
            AttributeError,
        ) as error:
            found[name] = f"{type(error).__name__}: {error}"
            moe = MoE(make(family))
    return found


def refused() -> Mapping[str, str]:
    """Families of transformers that no operation can be done on, and why."""
    return REFUSED


@torch.no_grad()
def _logits(moe: MoE) -> Tensor:
    out: Tensor = moe.model(prompts(), use_cache=False).logits
    return out


def _taken_back(step: Callable[[MoE], str]) -> Callable[[MoE], str]:
    """The step, then everything undone: the answers must be those of before, to the last bit."""

    def run(moe: MoE) -> str:
        before, learning = _logits(moe), [parameter.requires_grad for parameter in moe.model.parameters()]
        said = step(moe)
        while moe.steps:
            moe.undo()
        for parameter, learns in zip(moe.model.parameters(), learning, strict=True):
            parameter.requires_grad_(learns)  # PyTorch multiplies otherwise where a matrix learns (Jamba's scan)
        return said or ("" if torch.equal(_logits(moe), before) else "undone, it answers otherwise than before")

    return run


def _ends(moe: MoE) -> tuple[int, int]:
    """The numbers of the first and the last layer with experts."""
    return moe.layers.all[0].number, moe.layers.all[-1].number


def _same_choice(moe: MoE) -> str:
    same = follows_its_family(moe, prompts())
    return "" if same else "the written rule gives other bits than the family's own router"


def _top_k(moe: MoE) -> str:
    fixed, before = moe.family.routing.fixed_top_k, _logits(moe)
    if fixed is not None:
        return "" if moe.layers.all[0].top_k == fixed else f"takes {moe.layers.all[0].top_k}, not the {fixed} it must"
    first, last = _ends(moe)
    moe.set_top_k(3, layers=[first])
    alone = _logits(moe)
    with moe.watch() as seen:
        _logits(moe)
    taken = {routed.layer: routed.indices.shape[1] for routed in seen.passes}
    if taken[first] != 3 or taken[last] != 2:
        return f"a token takes {taken} after top-k 3 in layer {first}"
    return "answers did not change" if torch.equal(alone, before) else ""


def _insert(moe: MoE) -> str:
    before, first = _logits(moe), moe.layers.all[0]
    used = _used(moe)
    numbers = moe.insert(first.number, [first.experts[used]] * first.groups[0])
    if not torch.equal(_logits(moe), before):
        return "a closed expert changes answers"
    moe.let_in(first.number, numbers)
    return "an expert that was let in changes nothing" if torch.equal(_logits(moe), before) else ""


def _lora(moe: MoE) -> str:
    first, _ = _ends(moe)
    before = _logits(moe)
    adapter = moe.lora({first: [_used(moe)]}, rank=2)
    if not torch.allclose(_logits(moe), before, rtol=MERGED, atol=MERGED):
        return "a fresh adapter changes answers"
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    after = _logits(moe)
    moe.model(prompts(), labels=prompts(), use_cache=False).loss.backward()
    trained = all(
        parameter.grad is not None and bool(parameter.grad.abs().sum() > 0) for parameter in adapter.parameters()
    )
    moe.model.zero_grad(set_to_none=True)
    if not trained or torch.allclose(after, before, rtol=MERGED, atol=MERGED):
        return "an adapter on one expert gets no gradient" if not trained else "an adapter does nothing"
    moe.merge_adapter("lora")
    merged = _logits(moe)
    moe.undo()  # a merge is a step; an adapter that learns is none
    moe.drop_adapter("lora")
    return "" if torch.allclose(merged, after, rtol=MERGED, atol=MERGED) else "merged, it answers otherwise"


def _rule(moe: MoE) -> str:
    first, last = _ends(moe)
    banned = _used(moe, last)
    rules = (Rule(do="force", experts=(3,), layers=(first,)), Rule(do="forbid", experts=(banned,), layers=(last,)))
    moe.set_program(Program(rules=rules))
    with moe.watch() as seen:
        _logits(moe)
    chosen = {routed.layer: routed.indices for routed in seen.passes}
    if not bool((chosen[first] == 3).any(dim=1).all()):
        return "a forced expert was not chosen"
    return "a forbidden expert was chosen" if bool((chosen[last] == banned).any()) else ""


def _pack(moe: MoE) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a tiny random router changes its mind at the least rounding
        moe.pack_experts()
    return "" if bool(torch.isfinite(_logits(moe)).all()) else "four bits give NaN"


def _merge(moe: MoE) -> str:
    first = moe.layers.all[0]
    if first.groups[0] > 1:
        return ""  # groups must stay even, and merging two of one group would not leave them so
    before = first.num_experts
    moe.merge(first.number, [2, 5])
    return "" if first.num_experts == before - 1 and bool(torch.isfinite(_logits(moe)).all()) else "a merge failed"


def _reorder(moe: MoE) -> str:
    before, first = _logits(moe), moe.layers.all[0]
    size = first.num_experts // first.groups[0]
    moe.reorder(first.number, [g * size + (i + 1) % size for g in range(first.groups[0]) for i in range(size)])
    return (
        ""
        if torch.allclose(_logits(moe), before, rtol=MERGED, atol=MERGED)
        else "in another order, it answers otherwise"
    )


def _router(moe: MoE) -> str:
    rows = moe.train_only("router")
    with moe.watch() as seen:
        loss = moe.model(prompts(), labels=prompts(), use_cache=False).loss
    (loss + 0.01 * seen.balance_loss()).backward()
    reached = all(row.grad is not None and bool(row.grad.abs().sum() > 0) for row in rows)
    moe.model.zero_grad(set_to_none=True)
    return "" if reached else "the loss does not reach the routers"


def _side_car(moe: MoE) -> str:
    first = moe.layers.all[0]
    numbers = moe.insert(first.number, [first.experts[0]] * first.groups[0])
    before = _logits(moe)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "out"
        moe.save(folder, verify=False)
        other = open_moe(folder)
        _in_fresh_memory(other.model)
        again = _logits(other)
        moe.remove(first.number, numbers)  # the folder's log begins here: as it was, for the steps that follow
    return "" if torch.equal(again, before) else "reopened with a closed expert, it answers otherwise"


def _prune(moe: MoE) -> str:
    from transformers import AutoModelForCausalLM

    for layer in moe.layers:
        size = layer.num_experts // layer.groups[0]
        if size > 2:
            moe.remove(layer.number, [group * size for group in range(layer.groups[0])])
        else:  # a group of two cannot lose one: it gets one more
            moe.insert(layer.number, [layer.experts[0]] * layer.groups[0], closed=False)
    before = _logits(moe)
    with tempfile.TemporaryDirectory() as folder:
        saved = moe.save(Path(folder) / "out", verify=False)
        if not saved.vanilla:
            return f"pruned alike in all layers, it is no ordinary checkpoint: {saved.words}"
        vanilla = AutoModelForCausalLM.from_pretrained(Path(folder) / "out").eval()
        _in_fresh_memory(vanilla)
        with torch.no_grad():
            far = float((vanilla(prompts(), use_cache=False).logits - before).abs().max())
    return "" if far <= RELOADED else f"reloaded by transformers, logits are off by {far:.2g}"


def _in_fresh_memory(model: Any) -> None:
    """A mapped file is not aligned as fresh memory is, and kernels round by alignment."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


def _used(moe: MoE, layer: int | None = None) -> int:
    """The expert that the prompts reach most often in a layer, the first with experts unless named."""
    with moe.watch() as seen:
        _logits(moe)
    wanted = moe.layers.all[0].number if layer is None else layer
    routed = next(each for each in seen.passes if each.layer == wanted)
    return int(routed.indices.flatten().mode().values)


STEPS: Mapping[str, Callable[[MoE], str]] = {
    "same choice": _same_choice,
    "top-k": _taken_back(_top_k),
    "closed insertion": _taken_back(_insert),
    "LoRA": _taken_back(_lora),
    "rule": _taken_back(_rule),
    "4 bits": _taken_back(_pack),
    "merge": _taken_back(_merge),
    "order": _taken_back(_reorder),
    "router alone": _taken_back(_router),
    "side-car": _side_car,
    "prune, save, reload": _prune,
}


def passing(table: Mapping[str, Mapping[str, Any]]) -> int:
    """How many families hold every step."""
    return sum(not any(steps.values()) for steps in table.values())
