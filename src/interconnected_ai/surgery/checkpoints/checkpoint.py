"""A checkpoint folder as it lies on disk, larger than memory or not: its anatomy from headers, and edits by copying bytes."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.errors import ConfigError, ConflictError, IntegrityError, NotAModelError
from interconnected_ai.hub import local_folder
from interconnected_ai.mixtures import with_text_config
from interconnected_ai.storage import ANY, AnyVersion, atomic_folder, read_json, version_of, write_json
from interconnected_ai.surgery.anatomy.families import Family, family_of
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights, Layout, aligned, average, weights_of
from interconnected_ai.surgery.checkpoints.disk_layers import (
    DiskLayer,
    disk_layers,
    dtype_of,
    num_params,
    one,
    tensor_of,
)
from interconnected_ai.surgery.checkpoints.notes import write_notes
from interconnected_ai.surgery.checkpoints.quantized import scheme_of
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
from interconnected_ai.surgery.settings import need_kind, need_list, need_number, need_numbers, need_path, need_version
from interconnected_ai.surgery.sizes import Sizes

KIND = "interconnected_ai surgery"
SIDE_CAR = "surgery.json"  # what a config cannot say: rules, adapters, closed experts
ADAPTERS = "surgery-adapters.safetensors"

_ADDED = "experts that were added in the files"
_TAKEN = "experts whose bytes came from other files"
_SIDE_FILES = ("*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken", "README.md", "LICENSE*")


@dataclass(frozen=True)
class StoredExpert:
    """An expert as its bytes lie in a folder: what can stand in for another one without being computed with.

    scheme: how it is quantised, None where it is not. pieces: name → where it is. common: names of what its stack shares.
    """

    scheme: str | None
    pieces: dict[str, Entry]
    common: tuple[str, ...] = ()

    def check(self, like: "StoredExpert", what: str) -> None:
        """Raise `ConfigError` unless these bytes could stand where `like` stands."""
        mine, wanted = self._shapes(), like._shapes()
        if mine != wanted or self.common or like.common:
            raise ConfigError(
                f"{what} is stored as {mine}, needs {wanted} and scales of its own; take an expert of a checkpoint that is "
                "quantised the same way"
            )

    def _shapes(self) -> dict[str, Any]:
        shapes = {name: f"{entry.dtype}{list(entry.shape)}" for name, entry in sorted(self.pieces.items())}
        return {"scheme": self.scheme, **shapes}


@dataclass(frozen=True)
class _Slot:
    """What an edited position holds: old experts, averaged with these shares, or new weights with a row for the router.

    aligned: the inner places of the others are put in the first one's order before the mean. rows: by the router's tensors,
    where none is an old expert's or the mean of several.
    """

    old: tuple[int, ...] = ()
    shares: tuple[float, ...] = (1.0,)
    aligned: bool = False
    new: ExpertWeights | StoredExpert | None = None
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
        self.scheme = scheme_of(self.config, self.folder)
        self.entries: dict[str, Entry] = {}
        self.files = [path for path in files_of(self.folder) if path.name != ADAPTERS]
        for path in self.files:
            self.entries |= read_header(path)
        self.layers = {layer.number: layer for layer in disk_layers(self.entries, self.scheme)}
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
        return self._top_k or self._stored_top_k()

    def _stored_top_k(self) -> int:
        return next((int(self._text[key]) for key in self.family.top_k_keys if self._text.get(key)), 0)

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
        """Numbers in all tensors: packed ones unpacked, scales not counted."""
        return sum(num_params(entry, self.scheme) for entry in self.entries.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(entry.size_bytes for entry in self.entries.values())

    def num_experts(self, layer: int) -> int:
        """FFN experts of a layer, after the edits so far."""
        place = self._layer(layer)
        return len(self._slots[layer]) if layer in self._slots else place.num_experts

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
        """One expert (before edits), reading its bytes alone: as stored, or in float32 where it is quantised."""
        return self._read(self._place_of(layer, expert), expert)

    def stored(self, layer: int, expert: int) -> StoredExpert:
        """One expert (before edits) as its bytes lie there, none of them read."""
        place = self._place_of(layer, expert)
        return StoredExpert(self._scheme_name, place.of_expert(expert), tuple(place.common))

    def _place_of(self, layer: int, expert: int) -> DiskLayer:
        place = self._layer(layer)
        if isinstance(expert, bool) or not isinstance(expert, int) or not 0 <= expert < place.num_experts:
            raise ConfigError(f"expert {expert!r}: layer {layer} has the experts 0 to {place.num_experts - 1}")
        return place

    def _read(self, place: DiskLayer, expert: int) -> ExpertWeights:
        parts = place.parts(expert)
        whole = {
            name: tensors["weight"] if self.scheme is None else self.scheme.dequantised(tensors)
            for name, tensors in parts.items()
        }
        biases = {name: tensors["bias"] for name, tensors in parts.items() if "bias" in tensors}
        if place.apart:
            names = self._names(place)
            matrices = [whole[name] for name in names]
            if len(names) == 2:  # no gate
                up, down = names
                return ExpertWeights(None, whole[up], whole[down], None, biases.get(up), biases.get(down))
            return ExpertWeights(*matrices, *(biases.get(name) for name in names))
        slices = whole | {f"{name}_bias": bias for name, bias in biases.items()}
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

    def replace(self, layer: int, expert: int, weights: ExpertWeights | StoredExpert) -> None:
        """Put other weights where an expert stands; a quantised checkpoint takes those of its own kind alone (`stored`)."""
        if isinstance(weights, StoredExpert):
            weights.check(self.stored(layer, 0), f"the new expert {expert} of layer {layer}")
            slots = self._edited(layer, expert)
            slots[expert] = replace(slots[expert], new=weights)
            self._unlogged.append(_TAKEN)
            return
        self._needs_plain("replace")
        need_kind("weights", weights, ExpertWeights, StoredExpert)
        like = self.read(layer, 0)
        weights.check(like, f"the new expert {expert} of layer {layer}")
        slots = self._edited(layer, expert)
        slots[expert] = replace(slots[expert], new=weights)
        self._steps.append(Step("replace", {"layer": layer, "expert": expert}, weights.aside().tensors()))

    def insert(self, layer: int, weights: ExpertWeights, rows: dict[str, Tensor]) -> int:
        """Add an expert at the end, open at once (a plain folder cannot hold a closed one); gives its number."""
        self._needs_plain("insert")
        need_kind("weights", weights, ExpertWeights)
        self._needs_rows(layer, rows)
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
        experts = need_numbers("experts", experts)
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
        order = need_numbers("order", order)
        slots = self._edited(layer)
        if sorted(order) != list(range(len(slots))):
            raise ConfigError(f"order {list(order)}: needs every number from 0 to {len(slots) - 1} once")
        self._slots[layer] = [slots[number] for number in order]
        self._steps.append(Step("reorder", {"layer": layer, "order": list(order)}))

    def merge(
        self, layer: int, experts: Sequence[int], shares: Sequence[float] | None = None, *, align: bool = False
    ) -> int:
        """One expert out of several, with the mean of their weights and router rows; gives its number.

        align: as in `MoE.merge`. The mean is made while `save` writes the layer.
        """
        self._needs_no_groups("merge")
        ((experts, weights),) = self._join("merge", layer, [experts], [shares], align)
        given = {"layer": layer, "experts": experts, "shares": weights}
        self._steps.append(Step("merge", given | ({"align": True} if align else {})))
        return experts[0] - sum(number < experts[0] for number in experts[1:])

    def join(
        self,
        layer: int,
        clusters: Sequence[Sequence[int]],
        shares: Sequence[Sequence[float]] | None = None,
        *,
        align: bool = False,
    ) -> None:
        """Merge several clusters of experts, each into its first, as `MoE.join` does; groups must lose as many of each."""
        named = need_list("clusters", clusters)
        given = [None] * len(named) if shares is None else need_list("shares", shares)
        if len(given) != len(named) or not named:
            raise ConfigError(
                f"{len(given)} lists of shares for {len(named)} clusters; give one for each, and one cluster or more"
            )
        done = self._join("join", layer, named, given, align)
        told = {"layer": layer, "clusters": [each for each, _ in done], "shares": [weights for _, weights in done]}
        self._steps.append(Step("join", told | ({"align": True} if align else {})))

    def _join(
        self, what: str, layer: int, clusters: Sequence[Any], shares: Sequence[Any], align: bool
    ) -> list[tuple[list[int], list[float]]]:
        """Merge clusters, all or none; gives the experts and shares of each."""
        self._needs_plain(what)
        need_kind("align", align, bool)
        named = [list(need_numbers("experts", each)) for each in clusters]
        slots = self._edited(layer, *(number for each in named for number in each))
        picked = [[slots[number] for number in each] for each in named]
        everyone = [number for each in named for number in each]
        if len(set(everyone)) < len(everyone) or min(map(len, named)) < 2:
            raise ConfigError(
                f"{what} {_told(named)}: needs two or more different experts in each cluster, each in one alone"
            )
        if any(slot.new is not None or len(slot.old) > 1 for each in picked for slot in each):
            raise ConfigError(f"{what} {_told(named)}: needs experts as they lie in the folder, not edited ones")
        weights = [_shares(mine, len(each)) for each, mine in zip(named, shares, strict=True)]
        gone = {number for each in named for number in each[1:]}
        self._needs_reach(what, layer, [number for number in range(len(slots)) if number not in gone])
        into = {
            each[0]: _Slot(tuple(slot.old[0] for slot in mine), tuple(share), aligned=align)
            for each, mine, share in zip(named, picked, weights, strict=True)
        }
        self._slots[layer] = [into.get(number, slot) for number, slot in enumerate(slots) if number not in gone]
        return list(zip(named, weights, strict=True))

    def _needs_reach(self, what: str, layer: int, left: Sequence[int]) -> None:
        """Raise `ConfigError` unless tokens find as many experts as they take among these, which keep the layer's groups."""
        num_groups, chosen = self._groups()
        size = self.num_experts(layer) // num_groups
        numbers = [sum(number // size == group for number in left) for group in range(num_groups)]
        if num_groups > 1 and (len(set(numbers)) > 1 or numbers[0] < 2):
            raise ConfigError(
                f"{what}: layer {layer} chooses among {num_groups} groups of {size}, which would keep {numbers}; join as many "
                "in each group, and leave two or more"
            )
        in_reach = numbers[0] * chosen if num_groups > 1 else len(left)
        if in_reach < self.top_k:
            raise ConfigError(
                f"{what}: layer {layer} would have {in_reach} experts in reach, fewer than a token takes, {self.top_k}; lower "
                "top-k first"
            )

    def description(self) -> dict[str, Any]:
        """Family and sizes as they lie in the folder: what a recipe must agree with."""
        first = next(iter(self.layers.values()))
        return {
            "family": self.family.name,
            "layers": list(self.layers),
            "experts": [layer.num_experts for layer in self.layers.values()],
            "top_k": [self._stored_top_k()] * len(self.layers),
            "d_model": _rows(first).shape[1],
            "d_ff": self.read(first.number, 0).d_ff,
        }

    def routers_fingerprint(self) -> str:
        """Of the routers' weights as they lie in the folder, in the precision that the model is opened in."""
        stored = str(self._text.get("dtype") or self._text.get("torch_dtype") or self.config.get("dtype") or "")
        dtype = getattr(torch, stored.removeprefix("torch."), None)
        rows = [tensor_of(_rows(layer)) for layer in self.layers.values()]
        return fingerprint([each.to(dtype) if isinstance(dtype, torch.dtype) else each for each in rows])

    def recipe(self) -> Recipe:
        """The edits so far, to be replayed on another copy; `Recipe.lacks` names those that it does not hold."""
        lacks = tuple(dict.fromkeys(self._unlogged))
        return Recipe(self.description(), self.routers_fingerprint(), tuple(self._steps), lacks)

    def apply(self, recipe: Recipe, *, any_weights: bool = False, incomplete: bool = False) -> None:
        """The steps of a recipe, as far as a plain folder can hold them; `ConfigError` names a step it cannot.

        any_weights, incomplete: as in `MoE.apply`.
        """
        need_kind("recipe", recipe, Recipe)
        needs_whole(recipe, incomplete)
        needs_same(self, recipe, any_weights)
        for step in recipe.steps:
            given = dict(step.arguments)
            if step.do == "set_top_k" and "layers" not in given:
                self.set_top_k(given["top_k"])
            elif step.do == "replace":
                self.replace(given["layer"], given["expert"], weights_of(step.tensors))
            elif step.do in ("remove", "reorder", "merge", "join"):
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
        need_path("target", target)
        need_version(replaces)
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
        fixed = any(name.endswith("gate.tid2eid") for name in self.entries)
        if fixed and any(len(self._slots[layer]) != self._layer(layer).num_experts for layer in self._slots):
            raise ConfigError(
                "some layers choose by a table of token ids and keep their experts, and a plain checkpoint holds one number "
                "for all; open the model in memory and save it with its side-car"
            )
        with atomic_folder(target, kind=KIND, replaces=replaces) as scratch, self._of_one_version():
            self._copy_side_files(scratch)
            write_json(scratch / "config.json", self._new_config(counts.pop()))
            self._write_weights(scratch)
            self._verify(scratch)
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
        kept = [entries for entries in files if entries]
        num_files, total = len(kept) + len(self._slots), 0
        weight_map: dict[str, str] = {}
        # A layer at a time: means of experts are made here, and those of one layer alone are in memory.
        for number, entries in enumerate(chain(kept, (list(self._new_entries(layer)) for layer in self._slots)), 1):
            # never model.safetensors beside an index: transformers would read that file alone
            name = f"model-{number:05d}-of-{num_files:05d}.safetensors"
            write_file(scratch / name, entries)
            weight_map |= {entry.name: name for entry in entries}
            total += sum(entry.size_bytes for entry in entries)
        write_json(
            scratch / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map}
        )

    def _verify(self, scratch: Path) -> None:
        """Read the edited layers of a quantised checkpoint back: every expert must stand for the numbers that it stood for."""
        if self.scheme is None:
            return
        entries = {name: entry for path in files_of(scratch) for name, entry in read_header(path).items()}
        for written in disk_layers(entries, self.scheme):
            slots = self._slots.get(written.number, ())
            for number, slot in enumerate(slots):
                was = self._dequantised(written.number, slot)
                if not _same(was, self._read(written, number).tensors()):
                    raise IntegrityError(
                        f"expert {number} of layer {written.number} came back with other numbers; nothing was written"
                    )

    def _dequantised(self, layer: int, slot: _Slot) -> dict[str, Tensor]:
        place = self._layer(layer)
        if isinstance(slot.new, StoredExpert):
            alone: dict[str, tuple[Entry, ...]] = {
                name: (entry if place.apart else replace(entry, shape=(1, *entry.shape)),)
                for name, entry in slot.new.pieces.items()
            }
            return self._read(replace(place, pieces=alone), 0).tensors()
        return self._read(place, slot.old[0]).tensors()

    def _new_entries(self, layer: int) -> Iterator[Entry]:
        place, slots = self._layer(layer), self._slots[layer]
        made = [self._aligned(place, slot) if slot.aligned and slot.new is None else slot.new for slot in slots]
        written = [self._slices(place, new) if isinstance(new, ExpertWeights) else None for new in made]
        for name, entries in place.pieces.items():
            parts = [self._part(place, name, slot, new) for slot, new in zip(slots, written, strict=True)]
            if place.apart:
                for number, part in enumerate(parts):
                    yield replace(part, name=f"{place.prefix}experts.{number}.{name}")
            else:
                ranges = tuple(each for part in parts for each in part.ranges)
                yield replace(entries[0], shape=(len(slots), *entries[0].shape[1:]), ranges=ranges)
        for name, entry in place.router.items():
            ranges = tuple(each for slot in slots for each in self._row(name, entry, slot))
            lead = self.entries[entry.name].shape[: -len(entry.shape)]
            yield replace(entry, shape=(*lead, len(slots), *entry.shape[1:]), ranges=ranges)

    def _aligned(self, place: DiskLayer, slot: _Slot) -> ExpertWeights:
        first, *others = (self._read(place, old) for old in slot.old)
        return average([first, *(aligned(each, first) for each in others)], list(slot.shares))

    def _part(self, place: DiskLayer, name: str, slot: _Slot, new: dict[str, Tensor] | None) -> Entry:
        if isinstance(slot.new, StoredExpert):
            return slot.new.pieces[name]
        each = [place.of_expert(old)[name] for old in slot.old]
        if new is not None:
            like = place.of_expert(0)[name]
            return replace(like, ranges=(ByteRange.of(bytes(as_bytes(new[name].to(dtype_of(like))))),))
        return each[0] if len(each) == 1 else replace(each[0], ranges=_mean(each, slot.shares))

    def _row(self, name: str, entry: Entry, slot: _Slot) -> tuple[ByteRange, ...]:
        if name in slot.rows:
            return (ByteRange.of(bytes(as_bytes(slot.rows[name].to(dtype_of(entry))))),)
        each = [one(entry, old) for old in slot.old]
        return each[0].ranges if len(each) == 1 else _mean(each, slot.shares)

    def _slices(self, place: DiskLayer, weights: ExpertWeights) -> dict[str, Tensor]:
        if not place.apart:
            return self._layout(place).write(weights)
        names = self._names(place)
        triple = (weights.gate, weights.up, weights.down), (weights.gate_bias, weights.up_bias, weights.down_bias)
        matrices, biases = (list(some)[-len(names) :] for some in triple)
        named = zip((*(f"{n}.weight" for n in names), *(f"{n}.bias" for n in names)), (*matrices, *biases), strict=True)
        return {name: tensor for name, tensor in named if tensor is not None}

    def _names(self, place: DiskLayer) -> tuple[str, ...]:
        """Gate (where experts have one), up and down as this folder calls them."""
        named = {name.partition(".")[0] for name in place.pieces}
        if "w1" in named:
            return ("w1", "w3", "w2")
        return ("gate_proj", "up_proj", "down_proj") if "gate_proj" in named else ("up_proj", "down_proj")

    def _layout(self, place: DiskLayer) -> Layout:
        upright = self.scheme is not None and self.scheme.upright
        transposed = self.family.row.stored_transposed and not upright
        return Layout(transposed, interleaved="gate_up_proj_bias" in place.pieces)

    def _tensor_names(self, layer: int) -> Iterator[str]:
        place = self._layer(layer)
        yield from (entry.name for entries in place.pieces.values() for entry in entries)
        yield from (entry.name for entry in place.router.values())

    def _new_config(self, num_experts: int) -> dict[str, Any]:
        text = dict(self._text)
        for key in self.family.count_keys:
            if key in text:
                text[key] = num_experts
        for key in [key for key in self.family.top_k_keys if key in text] or self.family.top_k_keys[:1]:
            text[key] = self.top_k
        if "experts_per_token" in text:  # gpt-oss as it is published says it twice
            text["experts_per_token"] = self.top_k
        return with_text_config(self.config, text)

    def _copy_side_files(self, scratch: Path) -> None:
        for pattern in _SIDE_FILES:
            for path in self.folder.glob(pattern):
                if path.name not in ("config.json", "model.safetensors.index.json", "manifest.json"):
                    shutil.copyfile(path, scratch / path.name)

    def _edited(self, layer: int, *experts: int) -> list[_Slot]:
        place = self._layer(layer)
        slots = self._slots.get(layer) or [_Slot((n,)) for n in range(place.num_experts)]
        for expert in experts:
            if isinstance(expert, bool) or not isinstance(expert, int) or not 0 <= expert < len(slots):
                raise ConfigError(f"expert {expert!r}: layer {layer} has the experts 0 to {len(slots) - 1}")
        return self._slots.setdefault(layer, slots)

    def _groups(self) -> tuple[int, int]:
        """(number of groups, groups a token may use); (1, 1) where the router knows none."""
        grouped = self._text.get("topk_method", "noaux_tc") in ("noaux_tc", "group_limited_greedy")
        num_groups = (self._text.get("n_group") or 1) if grouped else 1
        return num_groups, (self._text.get("topk_group") or 1) if num_groups > 1 else 1

    def _layer(self, number: int) -> DiskLayer:
        if isinstance(number, bool) or not isinstance(number, int) or number not in self.layers:
            raise ConfigError(
                f"layer {number!r} has no experts; layers with experts: {', '.join(map(str, self.layers))}"
            )
        return self.layers[number]

    def _needs_rows(self, layer: int, rows: Any) -> None:
        """Raise `ConfigError` unless there is a row, of the right shape, for each of the router's tensors."""
        need_kind("rows", rows, dict)
        wanted = {name: entry.shape[1:] for name, entry in self._layer(layer).router.items()}
        given = {name: tuple(row.shape) for name, row in rows.items() if isinstance(row, Tensor)}
        if given != wanted or len(given) < len(rows):
            raise ConfigError(f"rows {given} for the router of layer {layer}: needs {wanted}")

    def _needs_plain(self, what: str) -> None:
        if self.scheme is not None:
            raise ConfigError(
                f"{what}: {self.folder} is quantised ({self.scheme.name}), and new numbers would have to be quantised as its "
                "maker did. Open it in memory (surgery.open), which dequantises it, and quantise what you save; set_top_k, "
                "remove, reorder, clone, and replace with an expert that is stored alike, move bytes and are done here"
            )

    @property
    def _scheme_name(self) -> str | None:
        return None if self.scheme is None else self.scheme.name

    def _needs_no_groups(self, what: str) -> None:
        if (self._text.get("n_group") or 1) > 1:
            raise ConfigError(
                f"{what}: this router chooses among {self._text['n_group']} groups; open the model in memory, where "
                f"groups are kept"
            )


def _shares(shares: Any, number: int) -> list[float]:
    if shares is None:
        return [1 / number] * number
    given = need_list("shares", shares)
    for share in given:
        need_number("shares", share)
    if len(given) != number or abs(sum(given) - 1) > 1e-6 or min(given) < 0:
        raise ConfigError(
            f"shares {list(given)}: needs {number} numbers, one for each expert, none below 0, that sum to 1"
        )
    return [float(share) for share in given]


def _told(clusters: Sequence[Sequence[int]]) -> str:
    return ", ".join(str(list(each)) for each in clusters)


def _rows(layer: DiskLayer) -> Entry:
    """The router's matrix, (experts, d_model)."""
    return next(entry for entry in layer.router.values() if len(entry.shape) == 2)


def _mean(entries: Sequence[Entry], shares: Sequence[float]) -> tuple[ByteRange, ...]:
    total = sum(share * tensor_of(entry).float() for share, entry in zip(shares, entries, strict=True))
    assert isinstance(total, Tensor), "there is at least one entry"
    return (ByteRange.of(bytes(as_bytes(total.to(dtype_of(entries[0]))))),)


def _same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
