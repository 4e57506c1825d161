"""A checkpoint folder as it lies on disk, larger than memory or not: its anatomy from headers, and edits by copying bytes."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.errors import ConfigError, ConflictError, IntegrityError, NotAModelError
from interconnected_ai.hub import local_folder
from interconnected_ai.storage import ANY, AnyVersion, atomic_folder, read_json, version_of, write_json
from interconnected_ai.surgery.anatomy.families import Family, family_of
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights, Layout
from interconnected_ai.surgery.checkpoints.notes import write_notes
from interconnected_ai.surgery.checkpoints.safetensor_files import (
    ByteRange,
    Entry,
    files_of,
    read_header,
    text_config_in,
    write_file,
)
from interconnected_ai.surgery.operations.history import Recipe, Step, as_bytes, fingerprint
from interconnected_ai.surgery.operations.replaying import needs_same, needs_whole
from interconnected_ai.surgery.sizes import Sizes

KIND = "interconnected_ai surgery"
SIDE_CAR = "surgery.json"  # what a config cannot say: rules, adapters, closed experts
ADAPTERS = "surgery-adapters.safetensors"

_APART = re.compile(r"^(.*\blayers\.(\d+)\.[\w.]*?)experts\.(\d+)\.(\w+)\.weight$")
_FUSED = re.compile(
    r"^(.*\blayers\.(\d+)\.[\w.]*?)(experts\.(?:gate_up_proj|down_proj)(?:_bias)?|(?:in|out)put_linear\.weight)$"
)
_STACK = {"input_linear.weight": "gate_up_proj", "output_linear.weight": "down_proj"}  # Granite's names on disk
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
_ADDED = "experts that were added in the files"
_SIDE_FILES = ("*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken", "README.md", "LICENSE*")


@dataclass(frozen=True)
class DiskLayer:
    """One layer's mixture of experts in the files.

    prefix: what the names of its tensors begin with. apart: every expert has tensors of its own (else stacks). pieces: name of
    the matrix or stack → its entries, one an expert where apart. router: name → entry.
    """

    number: int
    prefix: str
    num_experts: int
    apart: bool
    pieces: dict[str, tuple[Entry, ...]]
    router: dict[str, Entry]
    shared: tuple[Entry, ...]

    @property
    def expert_bytes(self) -> int:
        """Bytes of all routed FFN experts."""
        return sum(entry.size_bytes for entries in self.pieces.values() for entry in entries)

    @property
    def expert_params(self) -> int:
        """Parameters of ONE routed FFN expert."""
        total = sum(entry.num_params for entries in self.pieces.values() for entry in entries)
        return total // self.num_experts


@dataclass(frozen=True)
class _Slot:
    """What an edited position holds: old experts, averaged with these shares, or new weights with a row for the router.

    row: an old expert's number, whose row it takes, or the row itself; None averages like the experts.
    """

    old: tuple[int, ...] = ()
    shares: tuple[float, ...] = (1.0,)
    new: ExpertWeights | None = None
    rows: dict[str, Tensor] = field(default_factory=dict)


class Checkpoint:
    """A folder of a pretrained MoE, read and edited without loading it.

    Raises `NotAModelError` without a config or weights, `IntegrityError` for missing or truncated shards, `ConfigError` for a
    dense model, `UnknownNameError` for a family nobody knows.
    """

    def __init__(self, folder_or_hub_id: str | Path) -> None:
        self.folder = local_folder(folder_or_hub_id)
        if not (self.folder / "config.json").is_file():
            raise NotAModelError(f"no config.json in {self.folder}; needs the folder of a Hugging Face model")
        self._version = version_of(self.folder)
        self.config = read_json(self.folder / "config.json")
        self._text = text_config_in(self.config, self.folder)
        self.family: Family = family_of(self._text, str(self.folder / "config.json"))
        self.entries: dict[str, Entry] = {}
        self.files = [path for path in files_of(self.folder) if path.name != ADAPTERS]
        for path in self.files:
            self.entries |= read_header(path)
        self.layers = {layer.number: layer for layer in _layers(self.entries)}
        if not self.layers and self.has_side_car:
            raise ConfigError(f"{self.folder} holds experts packed in 4 bits; open it in memory (surgery.open)")
        if not self.layers:
            raise ConfigError(f"{self.folder} has no layer of FFN experts behind a router; it is a dense model")
        self._slots: dict[int, list[_Slot]] = {}
        self._top_k: int | None = None
        self._steps: list[Step] = []
        self._unlogged: list[str] = []

    @property
    def top_k(self) -> int:
        """FFN experts a token takes."""
        return int(self._top_k or self._text.get("num_experts_per_tok", 0))

    @property
    def router(self) -> str:
        """How its routers choose, in words."""
        num_groups, chosen = self._groups()
        scaled = self.family.routing.scales_by_setting and self._text.get("norm_topk_prob")
        return (
            self.family.routing.kind
            + (f", the best {chosen} of {num_groups} groups" if num_groups > 1 else "")
            + (", scaled to sum to 1" if scaled else "")
        )

    @property
    def has_side_car(self) -> bool:
        """Whether rules, adapters or closed experts stand beside the weights, which only `surgery.open` reads."""
        return (self.folder / SIDE_CAR).is_file()

    @property
    def num_params(self) -> int:
        """Numbers in all tensors."""
        return sum(entry.num_params for entry in self.entries.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(entry.size_bytes for entry in self.entries.values())

    def num_experts(self, layer: int) -> int:
        """FFN experts of a layer, after the edits so far."""
        return len(self._slots[layer]) if layer in self._slots else self._layer(layer).num_experts

    def sizes(self) -> Sizes:
        """What `save` would write, after the edits so far; reads no weight."""
        more_params = more_bytes = 0
        for number, place in self.layers.items():
            more = self.num_experts(number) - place.num_experts
            rows = place.router.values()
            more_params += more * (place.expert_params + sum(row.num_params for row in rows) // place.num_experts)
            more_bytes += more * (place.expert_bytes + sum(row.size_bytes for row in rows)) // place.num_experts
        return Sizes(
            self.num_params + more_params,
            self.size_bytes + more_bytes,
            {number: self.num_experts(number) for number in self.layers},
            dict.fromkeys(self.layers, self.top_k),
        )

    def read(self, layer: int, expert: int) -> ExpertWeights:
        """One expert as stored (before edits), reading its bytes alone."""
        place = self._layer(layer)
        if not 0 <= expert < place.num_experts:
            raise ConfigError(f"expert {expert}: layer {layer} has the experts 0 to {place.num_experts - 1}")
        if place.apart:
            return ExpertWeights(*(_tensor(place.pieces[name][expert]) for name in self._names(place)))
        slices = {name: _tensor(_one(entries[0], expert)) for name, entries in place.pieces.items()}
        return self._layout(place).read(slices)

    # Edits, all or nothing at `save`

    def set_top_k(self, top_k: int) -> None:
        """Let a token take this many experts, in all layers: that is all a config can say."""
        fixed = self.family.routing.fixed_top_k
        if fixed is not None and top_k != fixed:
            raise ConfigError(f"top_k = {top_k}: the router of {self.family.name} always takes {fixed}")
        allowed = min(self.num_experts(layer) for layer in self.layers)
        num_groups, chosen = self._groups()
        in_groups = allowed // num_groups * chosen if num_groups > 1 else allowed
        if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= in_groups:
            raise ConfigError(
                f"top_k = {top_k!r}: needs a whole number from 1 to {in_groups}, the experts a token may reach"
            )
        self._top_k = top_k
        self._steps.append(Step("set_top_k", {"top_k": top_k}))

    def replace(self, layer: int, expert: int, weights: ExpertWeights) -> None:
        """Put other weights where an expert stands."""
        like = self.read(layer, 0)
        weights.check(like, f"the new expert {expert} of layer {layer}")
        slots = self._edited(layer, expert)
        slots[expert] = replace(slots[expert], new=weights)
        self._steps.append(Step("replace", {"layer": layer, "expert": expert}, weights.aside().tensors()))

    def insert(self, layer: int, weights: ExpertWeights, rows: dict[str, Tensor]) -> int:
        """Add an expert at the end, open at once (a plain folder cannot hold a closed one); gives its number."""
        weights.check(self.read(layer, 0), f"the expert to insert into layer {layer}")
        self._needs_no_groups("insert")
        slots = self._edited(layer)
        slots.append(_Slot(new=weights, rows=rows))
        self._unlogged.append(_ADDED)
        return len(slots) - 1

    def clone(self, layer: int, expert: int) -> int:
        """Add a copy of an expert at the end, open at once; gives its number."""
        self._needs_no_groups("clone")
        slots = self._edited(layer, expert)
        slots.append(slots[expert])
        self._unlogged.append(_ADDED)
        return len(slots) - 1

    def remove(self, layer: int, experts: Sequence[int]) -> None:
        """Take experts out; at least top-k must stay."""
        self._remove(layer, experts)
        self._steps.append(Step("remove", {"layer": layer, "experts": sorted(set(experts))}))

    def _remove(self, layer: int, experts: Sequence[int]) -> None:
        self._needs_no_groups("remove")
        slots = self._edited(layer, *experts)
        left = [slot for number, slot in enumerate(slots) if number not in set(experts)]
        if len(left) < max(self.top_k, 1):
            raise ConfigError(
                f"layer {layer} would have {len(left)} experts, and a token takes {self.top_k}; lower top-k first"
            )
        self._slots[layer] = left

    def reorder(self, layer: int, order: Sequence[int]) -> None:
        """Number the experts anew: position i gets the expert that was order[i]."""
        self._needs_no_groups("reorder")
        slots = self._edited(layer)
        if sorted(order) != list(range(len(slots))):
            raise ConfigError(f"order {list(order)}: needs every number from 0 to {len(slots) - 1} once")
        self._slots[layer] = [slots[number] for number in order]
        self._steps.append(Step("reorder", {"layer": layer, "order": list(order)}))

    def merge(self, layer: int, experts: Sequence[int], shares: Sequence[float] | None = None) -> int:
        """One expert out of several, with the mean of their weights and router rows; gives its number."""
        slots = self._edited(layer, *experts)
        picked = [slots[number] for number in experts]
        if any(slot.new is not None or len(slot.old) > 1 for slot in picked) or len(set(experts)) < 2:
            raise ConfigError(f"merge {list(experts)}: needs two or more different experts as they lie in the folder")
        weights = tuple(shares) if shares is not None else (1 / len(picked),) * len(picked)
        first = experts[0]
        slots[first] = _Slot(tuple(slot.old[0] for slot in picked), weights)
        self._remove(layer, list(experts[1:]))
        self._steps.append(Step("merge", {"layer": layer, "experts": list(experts), "shares": list(weights)}))
        return first - sum(number < first for number in experts[1:])

    def description(self) -> dict[str, Any]:
        """Family and sizes as they lie in the folder: what a recipe must agree with."""
        first = next(iter(self.layers.values()))
        return {
            "family": self.family.name,
            "layers": list(self.layers),
            "experts": [layer.num_experts for layer in self.layers.values()],
            "top_k": [int(self._text.get("num_experts_per_tok", 0))] * len(self.layers),
            "d_model": _rows(first).shape[1],
            "d_ff": self.read(first.number, 0).d_ff,
        }

    def routers_fingerprint(self) -> str:
        """Of the routers' weights as they lie in the folder, in the precision that the model is opened in."""
        stored = str(self._text.get("dtype") or self._text.get("torch_dtype") or self.config.get("dtype") or "")
        dtype = getattr(torch, stored.removeprefix("torch."), None)
        rows = [_tensor(_rows(layer)) for layer in self.layers.values()]
        return fingerprint([each.to(dtype) if isinstance(dtype, torch.dtype) else each for each in rows])

    def recipe(self) -> Recipe:
        """The edits so far, to be replayed on another copy; `Recipe.lacks` names those that it does not hold."""
        lacks = tuple(dict.fromkeys(self._unlogged))
        return Recipe(self.description(), self.routers_fingerprint(), tuple(self._steps), lacks)

    def apply(self, recipe: Recipe, *, any_weights: bool = False, incomplete: bool = False) -> None:
        """The steps of a recipe, as far as a plain folder can hold them; `ConfigError` names a step it cannot.

        any_weights, incomplete: as in `MoE.apply`.
        """
        needs_whole(recipe, incomplete)
        needs_same(self, recipe, any_weights)
        for step in recipe.steps:
            given = dict(step.arguments)
            if step.do == "set_top_k" and "layers" not in given:
                self.set_top_k(given["top_k"])
            elif step.do == "replace":
                self.replace(given["layer"], given["expert"], ExpertWeights(**step.tensors))
            elif step.do in ("remove", "reorder", "merge"):
                getattr(self, step.do)(**given)
            else:
                raise ConfigError(
                    f"step {step.do!r} {given} cannot be done on a folder, whose format holds no closed experts and "
                    f"no rules; open "
                    "the model in memory (without --streaming)"
                )

    def save(self, target: str | Path, *, replaces: str | AnyVersion | None = ANY) -> None:
        """Write the edited checkpoint, whole or not at all.

        replaces: the version (`storage.version_of`) that must stand at the target. Raises `ConflictError` when that is another,
        or when somebody replaced the folder that is read.

        Raises `ConfigError` when layers differ, which the format cannot hold, and for a folder with a side-car, whose rules and
        adapters would be left pointing at other experts.
        """
        if self.has_side_car:
            raise ConfigError(
                f"{self.folder} has {SIDE_CAR} beside its weights (rules, adapters or closed experts), which editing its files "
                "would leave behind; open it in memory (surgery.open)"
            )
        counts = {self.num_experts(layer) for layer in self.layers}
        if len(counts) > 1:
            raise ConfigError(
                f"layers would have {sorted(counts)} experts, and a plain checkpoint holds one number for all; edit "
                f"every layer "
                "alike, or open the model in memory and save it with its side-car"
            )
        if replaces is ANY and Path(target).resolve() == self.folder.resolve():
            replaces = self._version
        with atomic_folder(target, kind=KIND, replaces=replaces) as scratch, self._of_one_version():
            self._copy_side_files(scratch)
            write_json(scratch / "config.json", self._new_config(counts.pop()))
            self._write_weights(scratch)
            write_notes(scratch, self.recipe(), None)

    @contextmanager
    def _of_one_version(self) -> Iterator[None]:
        """Raise `ConflictError` where the folder that is read is not the one whose headers were, now or at the end."""
        try:
            yield
        except (OSError, IntegrityError, NotAModelError):
            self._needs_same_version()
            raise
        self._needs_same_version()

    def _needs_same_version(self) -> None:
        if version_of(self.folder) != self._version:
            raise ConflictError(
                f"{self.folder} was replaced by someone else while it was read; nothing was written. Open it again and repeat "
                "the edit"
            )

    def _write_weights(self, scratch: Path) -> None:
        """One file for each there was, without the edited layers' tensors, and one for each edited layer."""
        replaced = {name for layer in self._slots for name in self._tensor_names(layer)}
        files = [
            [entry for entry in self.entries.values() if entry.ranges[0].path == path and entry.name not in replaced]
            for path in self.files
        ]
        files = [kept for kept in files if kept] + [list(self._new_entries(layer)) for layer in self._slots]
        weight_map: dict[str, str] = {}
        for number, entries in enumerate(files, 1):
            # never model.safetensors beside an index: transformers would read that file alone
            name = f"model-{number:05d}-of-{len(files):05d}.safetensors"
            write_file(scratch / name, entries)
            weight_map |= {entry.name: name for entry in entries}
        total = sum(entry.size_bytes for entries in files for entry in entries)
        write_json(
            scratch / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map}
        )

    def _new_entries(self, layer: int) -> Iterator[Entry]:
        place, slots = self._layer(layer), self._slots[layer]
        written = [None if s.new is None else self._slices(place, s.new) for s in slots]
        for name, entries in place.pieces.items():
            parts = [self._part(place, name, slot, new) for slot, new in zip(slots, written, strict=True)]
            if place.apart:
                for number, part in enumerate(parts):
                    full = f"{place.prefix}experts.{number}.{name}.weight"
                    yield Entry(full, entries[0].dtype, entries[0].shape, part)
            else:
                ranges = tuple(each for part in parts for each in part)
                yield replace(entries[0], shape=(len(slots), *entries[0].shape[1:]), ranges=ranges)
        for name, entry in place.router.items():
            ranges = tuple(each for slot in slots for each in self._row(name, entry, slot))
            yield replace(entry, shape=(len(slots), *entry.shape[1:]), ranges=ranges)

    def _part(self, place: DiskLayer, name: str, slot: _Slot, new: dict[str, Tensor] | None) -> tuple[ByteRange, ...]:
        entries = place.pieces[name]
        if new is not None:
            return (ByteRange.of(bytes(as_bytes(new[name].to(_dtype(entries[0]))))),)
        each = [entries[old] if place.apart else _one(entries[0], old) for old in slot.old]
        return each[0].ranges if len(each) == 1 else _mean(each, slot.shares)

    def _row(self, name: str, entry: Entry, slot: _Slot) -> tuple[ByteRange, ...]:
        if name in slot.rows:
            return (ByteRange.of(bytes(as_bytes(slot.rows[name].to(_dtype(entry))))),)
        each = [_one(entry, old) for old in slot.old]
        return each[0].ranges if len(each) == 1 else _mean(each, slot.shares)

    def _slices(self, place: DiskLayer, weights: ExpertWeights) -> dict[str, Tensor]:
        if place.apart:
            return dict(zip(self._names(place), (weights.gate, weights.up, weights.down), strict=True))
        return self._layout(place).write(weights)

    def _names(self, place: DiskLayer) -> tuple[str, ...]:
        """Gate, up and down as this folder calls them."""
        return ("w1", "w3", "w2") if "w1" in place.pieces else ("gate_proj", "up_proj", "down_proj")

    def _layout(self, place: DiskLayer) -> Layout:
        return Layout(self.family.transposed, interleaved="gate_up_proj_bias" in place.pieces)

    def _tensor_names(self, layer: int) -> Iterator[str]:
        place = self._layer(layer)
        yield from (entry.name for entries in place.pieces.values() for entry in entries)
        yield from (entry.name for entry in place.router.values())

    def _new_config(self, num_experts: int) -> dict[str, Any]:
        text = dict(self._text)
        for key in self.family.count_keys:
            if key in text:
                text[key] = num_experts
        text["num_experts_per_tok"] = self.top_k
        return text if self._text is self.config else {**self.config, "text_config": text}

    def _copy_side_files(self, scratch: Path) -> None:
        for pattern in _SIDE_FILES:
            for path in self.folder.glob(pattern):
                if path.name not in ("config.json", "model.safetensors.index.json", "manifest.json"):
                    shutil.copyfile(path, scratch / path.name)

    def _edited(self, layer: int, *experts: int) -> list[_Slot]:
        slots = self._slots.setdefault(layer, [_Slot((n,)) for n in range(self._layer(layer).num_experts)])
        for expert in experts:
            if not 0 <= expert < len(slots):
                raise ConfigError(f"expert {expert}: layer {layer} has the experts 0 to {len(slots) - 1}")
        return slots

    def _groups(self) -> tuple[int, int]:
        """(number of groups, groups a token may use); (1, 1) where the router knows none."""
        grouped = self._text.get("topk_method", "noaux_tc") in ("noaux_tc", "group_limited_greedy")
        num_groups = (self._text.get("n_group") or 1) if grouped else 1
        return num_groups, (self._text.get("topk_group") or 1) if num_groups > 1 else 1

    def _layer(self, number: int) -> DiskLayer:
        if number not in self.layers:
            raise ConfigError(
                f"layer {number!r} has no experts; layers with experts: {', '.join(map(str, self.layers))}"
            )
        return self.layers[number]

    def _needs_no_groups(self, what: str) -> None:
        if (self._text.get("n_group") or 1) > 1:
            raise ConfigError(
                f"{what}: this router chooses among {self._text['n_group']} groups; open the model in memory, where "
                f"groups are kept"
            )


def _layers(entries: dict[str, Entry]) -> Iterator[DiskLayer]:
    """The layers with experts, by the names of their tensors."""
    apart: dict[str, dict[str, dict[int, Entry]]] = {}
    fused: dict[str, dict[str, tuple[Entry, ...]]] = {}
    numbers: dict[str, int] = {}
    for name, entry in entries.items():
        if found := _APART.match(name):
            apart.setdefault(found[1], {}).setdefault(found[4], {})[int(found[3])] = entry
            numbers[found[1]] = int(found[2])
        elif (found := _FUSED.match(name)) and len(entry.shape) > 1:
            key = _STACK.get(found[3], found[3].removeprefix("experts."))
            fused.setdefault(found[1], {})[key] = (entry,)
            numbers[found[1]] = int(found[2])
    for prefix, number in sorted(numbers.items(), key=lambda item: item[1]):
        pieces = fused.get(prefix) or {key: _in_order(prefix, key, each) for key, each in apart[prefix].items()}
        first = next(iter(pieces.values()))
        num_experts = len(first) if prefix in apart else first[0].shape[0]
        beside = {name: entry for name, entry in entries.items() if name.startswith(prefix) and "experts." not in name}
        rows = {
            name.removeprefix(prefix): entry for name, entry in beside.items() if _is_router(name, entry, num_experts)
        }
        if rows:
            shared = tuple(entry for name, entry in entries.items() if name.startswith(prefix) and "shared" in name)
            yield DiskLayer(number, prefix, num_experts, prefix in apart, pieces, rows, shared)


def _in_order(prefix: str, key: str, entries: dict[int, Entry]) -> tuple[Entry, ...]:
    if sorted(entries) != list(range(len(entries))):
        missing = sorted(set(range(max(entries) + 1)) - set(entries))
        raise IntegrityError(f"{prefix}experts: no {key} of the experts {missing[:5]}; shards are missing, fetch them")
    return tuple(entries[number] for number in range(len(entries)))


def _is_router(name: str, entry: Entry, num_experts: int) -> bool:
    return entry.shape[:1] == (num_experts,) and re.search(r"(?:^|\.)(?:gate|router)\.[\w.]+$", name) is not None


def _rows(layer: DiskLayer) -> Entry:
    """The router's matrix, (experts, d_model)."""
    return next(entry for entry in layer.router.values() if len(entry.shape) == 2)


def _one(entry: Entry, index: int) -> Entry:
    return replace(entry, shape=entry.shape[1:], ranges=entry.slice(index))


def _dtype(entry: Entry) -> torch.dtype:
    if entry.dtype not in _DTYPES:
        raise ConfigError(
            f"{entry.name} is stored as {entry.dtype}; needs one of {', '.join(_DTYPES)} to be computed with"
        )
    return _DTYPES[entry.dtype]


def _tensor(entry: Entry) -> Tensor:
    return torch.frombuffer(bytearray(entry.content()), dtype=_dtype(entry)).view(entry.shape)


def _mean(entries: Sequence[Entry], shares: Sequence[float]) -> tuple[ByteRange, ...]:
    total = sum(share * _tensor(entry).float() for share, entry in zip(shares, entries, strict=True))
    assert isinstance(total, Tensor), "there is at least one entry"
    return (ByteRange.of(bytes(as_bytes(total.to(_dtype(entries[0]))))),)
