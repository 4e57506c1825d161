"""A pretrained mixture run with only the experts in use in memory; its next layer's are foreseen by that layer's router."""

import os
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, IntegrityError, UnknownNameError
from interconnected_ai.hub import local_folder
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights, mix_of, run, weights_of
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.anatomy.places import stacks
from interconnected_ai.surgery.checkpoints.checkpoint import SIDE_CAR, Checkpoint
from interconnected_ai.surgery.checkpoints.disk_layers import DiskLayer, tensor_of
from interconnected_ai.surgery.checkpoints.loading import built
from interconnected_ai.surgery.offloading.store import ExpertStore, bytes_of
from interconnected_ai.surgery.opening import check_openable, tokenizer_in
from interconnected_ai.surgery.routing.context import dress
from interconnected_ai.surgery.session import Session
from interconnected_ai.surgery.settings import need_count

_FEW_TOKENS = 8  # a long prompt uses nearly all experts: there is nothing to foresee


class OffloadedMoE:
    """A model and the store of its experts. It is run, not edited: `perplexity`, `model(…)` and `model.generate` work.

    Threads: passes of the model from several at once. `close` ends it; `with` closes.
    """

    def __init__(self, model: Any, tokenizer: Any, store: ExpertStore, num_layers: int, expert_bytes: int) -> None:
        self.model, self.tokenizer, self.store = model, tokenizer, store
        self.num_layers, self.expert_bytes = num_layers, expert_bytes

    @property
    def num_bytes(self) -> int:
        """What it holds in memory: the weights that every token passes, and the experts at hand."""
        own = {each.data_ptr(): each for each in [*self.model.parameters(), *self.model.buffers()]}.values()
        return int(sum(each.numel() * each.element_size() for each in own)) + self.store.num_bytes

    def close(self) -> None:
        """Let the experts go; idempotent."""
        self.store.close()

    def __enter__(self) -> "OffloadedMoE":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


def _device(device: Any) -> torch.device:
    """Raise `ConfigError` for what names none."""
    try:
        return torch.device(device)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"device = {device!r:.60}: needs a device of PyTorch's, such as 'cpu' or 'cuda:0'") from error


def open_offloaded(
    folder_or_hub_id: str | Path,
    budget_bytes: int,
    *,
    foresee: bool = True,
    waiting: Literal["disk", "memory"] = "disk",
    device: str | torch.device = "cpu",
    tokenizer: Any = None,
    dtype: Any = "auto",
) -> OffloadedMoE:
    """Open a checkpoint whose experts need not fit into memory, to be run.

    budget_bytes: of experts that are held on the device; the least recently used go. foresee: fetch the experts that the next
    layer's router would choose for this layer's hidden states while this layer computes. waiting: where the others are, on disk
    (read past the system's cache, so that the budget is what it takes) or in main memory, pinned for a GPU.
    Raises `ConfigError` for a folder with a side-car, a family whose weights scale what goes in (Llama 4), or names of tensors
    that are not the model's; open those in memory. Outputs are those of the whole model up to the order of sums.
    """
    need_count("budget_bytes", budget_bytes)
    if waiting not in ("disk", "memory"):
        raise UnknownNameError("place to wait", waiting, ("disk", "memory"))
    target = _device(device)
    folder = local_folder(folder_or_hub_id)
    check_openable(folder)
    checkpoint = Checkpoint(folder)
    if checkpoint.has_side_car:
        raise ConfigError(
            f"{folder} has {SIDE_CAR} beside its weights, which running offloaded leaves out; open it in memory"
        )
    if checkpoint.scheme is not None:
        raise ConfigError(
            f"{folder} is quantised ({checkpoint.scheme.name}), and is run by the model's own class; open it in memory "
            "(surgery.open), save it, and run what was saved"
        )
    if checkpoint.family.routing.returns_scores:
        raise ConfigError(
            f"{checkpoint.family.name} sends every token to all experts of a layer; open it in memory (surgery.open)"
        )
    session = Session(built(folder, dtype).eval())
    _fill_shared(session, checkpoint)
    fetch = _Fetch(checkpoint, next(session.model.parameters()).dtype, target, in_memory=waiting == "memory")
    store = ExpertStore(fetch, budget_bytes)
    layers = list(session.layers)
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        _let_go(layer, store, following if foresee else None)
    session.model.to(target)
    words = tokenizer if tokenizer is not None else tokenizer_in(folder)
    expert = bytes_of(checkpoint.read(layers[0].number, 0))
    return OffloadedMoE(session.model, words, store, len(layers), expert)


class OffloadedExperts(nn.Module):
    """Experts that are asked of a store, one after the other: those at hand first, while the others come."""

    surgery_store: ExpertStore
    surgery_layer: int
    surgery_following: "Layer | None"

    def forward(self, hidden: Tensor, *routed: Tensor, **named: Tensor) -> Tensor:
        """What the family's experts compute."""
        chosen = [*routed, *named.values()]
        weights_first = bool(named) and "weight" in next(iter(named))
        indices, weights = chosen[::-1] if weights_first else chosen
        store, layer, mix = self.surgery_store, self.surgery_layer, mix_of(self)
        num_experts = int(self.num_experts)  # type: ignore[arg-type]
        used = [expert for expert in indices.unique().tolist() if expert < num_experts]
        used.sort(key=lambda expert: not store.has(layer, expert))
        store.foresee(layer, used)
        self._look_ahead(hidden)
        out = torch.zeros_like(hidden)
        for expert in used:
            tokens, slots = torch.where(indices == expert)
            mine = run(store.get(layer, expert), mix, hidden[tokens]) * weights[tokens, slots, None]
            out = out.index_add(0, tokens, mine.to(out.dtype))
        return out

    @torch.no_grad()
    def _look_ahead(self, hidden: Tensor) -> None:
        """Ask the next layer's router about this layer's hidden states: they change little from one layer to the next."""
        following = self.surgery_following
        if following is None or len(hidden) > _FEW_TOKENS:
            return
        routed = following.router(hidden.unsqueeze(0))
        _, _, indices = following.family.routing.unpacked(following.router, routed)
        self.surgery_store.foresee(following.number, indices.unique().tolist())


class _Fetch:
    """An expert from the files, in the model's dtype, on its device. Called from several threads at once."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device, *, in_memory: bool) -> None:
        self._checkpoint, self._dtype, self._device = checkpoint, dtype, device
        self._waiting: dict[tuple[int, int], ExpertWeights] = {}
        for number, layer in checkpoint.layers.items() if in_memory else ():
            for expert in range(layer.num_experts):
                self._waiting[number, expert] = self._pinned(self._read(number, expert))

    def __call__(self, layer: int, expert: int) -> ExpertWeights:
        waiting = self._waiting.get((layer, expert))
        weights = self._read(layer, expert) if waiting is None else waiting
        return weights.to(torch.empty(0, dtype=self._dtype, device=self._device))

    def _read(self, layer: int, expert: int) -> ExpertWeights:
        weights = self._checkpoint.read(layer, expert).to(torch.empty(0, dtype=self._dtype))
        _forget_pages(self._checkpoint.layers[layer], expert)
        # products of contiguous matrices alone are fast
        return weights_of({name: tensor.contiguous() for name, tensor in weights.tensors().items()})

    def _pinned(self, weights: ExpertWeights) -> ExpertWeights:
        if self._device.type != "cuda":
            return weights
        return weights_of({name: tensor.pin_memory() for name, tensor in weights.tensors().items()})


def _let_go(layer: Layer, store: ExpertStore, following: Layer | None) -> None:
    """The layer's stacks out of memory, and its experts asked of the store."""
    experts = layer.place.experts
    for name in stacks(experts):
        del experts._parameters[name]
    experts.__dict__.update(surgery_store=store, surgery_layer=layer.number, surgery_following=following)
    dress(experts, OffloadedExperts)


@torch.no_grad()
def _fill_shared(session: Session, checkpoint: Checkpoint) -> None:
    """All weights but the experts' from the files."""
    tied = set(getattr(session.model, "_tied_weights_keys", None) or ())
    experts = {f"{layer.place.name}.experts.{name}" for layer in session.layers for name in stacks(layer.place.experts)}
    routers = {
        f"{layer.place.name}.{layer.place.router_name}.{name.rpartition('.')[2]}": entry
        for layer in session.layers
        for name, entry in checkpoint.layers[layer.number].router.items()
    }
    absent = []
    for name, tensor in session.model.state_dict(keep_vars=True).items():
        entry = checkpoint.entries.get(name, routers.get(name))
        if name in experts:
            continue
        if entry is None:
            absent += [] if name in tied else [name]
        elif entry.shape != tuple(tensor.shape):
            raise IntegrityError(
                f"{checkpoint.folder}: {entry.name} is {entry.shape}, the config asks for {tuple(tensor.shape)}; fetch the "
                "folder again"
            )
        else:
            tensor.data = tensor_of(entry).to(tensor.dtype)
    if absent:
        raise ConfigError(
            f"{checkpoint.folder} has no tensor for {', '.join(absent[:3])} under the model's names; open it in memory "
            "(surgery.open), save it, and run what was saved"
        )
    session.model.tie_weights()


def _forget_pages(layer: DiskLayer, expert: int) -> None:
    """Tell the system that these bytes will not be read again soon: what it kept of them would stand beside the budget."""
    if not hasattr(os, "posix_fadvise"):
        return
    ranges = [
        each
        for entries in layer.pieces.values()
        for each in (entries[expert].ranges if layer.apart else entries[0].slice(expert))
    ]
    for each in ranges:
        assert each.path is not None, "an expert that was not edited lies in a file"
        file = os.open(each.path, os.O_RDONLY)
        try:
            os.posix_fadvise(file, each.start, each.size, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)
