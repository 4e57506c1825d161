"""The folder that a model was opened from, as far as saving must know it: what of it the model itself does not hold."""

import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.errors import ConfigError, ConflictError, IntegrityError
from interconnected_ai.storage import read_json, write_json
from interconnected_ai.surgery.checkpoints.disk_layers import FLOATS, disk_layers, split_name, tensor_of
from interconnected_ai.surgery.checkpoints.quantized import PARTS, Scheme
from interconnected_ai.surgery.checkpoints.safetensor_files import ByteRange, Entry, files_of, read_header, write_file
from interconnected_ai.surgery.operations.history import as_bytes

KEPT = "surgery-kept.safetensors"  # beside weights that only surgery.open reads
_INDEX = "model.safetensors.index.json"
_SIDE_FILES = (
    "*.json",
    "*.model",
    "*.txt",
    "*.jinja",
    "*.tiktoken",
    "additional_chat_templates/*",
    "LICENSE*",
    "README.md",
)
_OF_TOKENIZERS = re.compile(
    r"^(?:tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab\.\w+|merges\.txt|.*\.model|.*\.tiktoken)$"
)
_OF_WEIGHTS = re.compile(
    r"^(?:config\.json|manifest\.json|surgery.*|.*\.index\.json|hf_quant_config\.json|recipe\..*)$"
)
_EXPERT = re.compile(r"(?:^|\.)experts\..*|(?:in|out)put_linear\.weight")


@dataclass(frozen=True)
class Origin:
    """What was found in the folder that a model was opened from.

    names: its tensors, as `_plain_name` writes them; empty where transformers' own names do not stand in the files. kept:
    tensors that the model's class has no place for (heads for speculative decoding), which go from file to file. scheme: how
    it is quantised, None where it is not. stamps: size and time of the kept ones' files.
    """

    folder: Path
    names: frozenset[str] = frozenset()
    kept: Mapping[str, Entry] = field(default_factory=dict)
    scheme: Scheme | None = None
    stamps: Mapping[Path, tuple[int, int]] = field(default_factory=dict)


def origin_of(folder: Path, names: Iterable[str], kept: Mapping[str, Entry], scheme: Scheme | None = None) -> Origin:
    """The record of a folder with tensors of these names. kept: those that the model did not take."""
    paths = {each.path for entry in kept.values() for each in entry.ranges if each.path is not None}
    stamps = {path: _stamp(path) for path in paths}
    return Origin(folder, frozenset(map(_plain_name, names)), dict(kept), scheme, stamps)


def unplaced_in(names: Iterable[str], model: Any, unexpected: Iterable[str]) -> list[str]:
    """Those names of a checkpoint that a class leaves out: it says so by patterns, or transformers by names."""
    told = set(unexpected)
    patterns = [re.compile(each) for each in getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()]
    return [name for name in names if name in told or any(pattern.search(name) for pattern in patterns)]


def dequantised(
    entries: Mapping[str, Entry], scheme: Scheme, dtype: torch.dtype, *, transposed: bool
) -> dict[str, Tensor]:
    """All tensors of a quantised checkpoint as ordinary ones, under the names they would have. transposed: the family's stacks
    are (in, out).
    """
    layers: dict[str, dict[str, Entry]] = {}
    for name, entry in entries.items():
        matrix, part = split_name(name)
        layers.setdefault(matrix, {})[part] = entry
    state: dict[str, Tensor] = {}
    for matrix, parts in layers.items():
        packed = parts.get(scheme.matrix)
        if packed is None or packed.dtype in FLOATS:
            state |= {entry.name: tensor_of(entry) for entry in parts.values()}
            continue
        fused = packed.name.rsplit(".", 1)[0] != matrix
        tensors = {part: tensor_of(entry) for part, entry in parts.items() if part != "bias"}
        if fused:
            whole = _stack(tensors, scheme, dtype)
            state[matrix] = whole.transpose(1, 2).contiguous() if transposed and scheme.upright else whole
        else:
            state[f"{matrix}.weight"] = scheme.dequantised(tensors).to(dtype)
        if "bias" in parts:
            state[parts["bias"].name] = tensor_of(parts["bias"])
    return state


def _stack(tensors: Mapping[str, Tensor], scheme: Scheme, dtype: torch.dtype) -> Tensor:
    number = len(tensors[scheme.matrix])
    return torch.stack(
        [
            scheme.dequantised({k: t[e] if t.shape[:1] == (number,) else t for k, t in tensors.items()}).to(dtype)
            for e in range(number)
        ]
    )


def as_entries(tensors: Mapping[str, Tensor]) -> dict[str, Entry]:
    """Tensors in memory as entries of a file to be."""
    words = {dtype: word for word, dtype in FLOATS.items()}
    return {
        name: Entry(name, words[tensor.dtype], tuple(tensor.shape), (ByteRange.of(bytes(as_bytes(tensor))),))
        for name, tensor in tensors.items()
        if tensor.dtype in words
    }


def keep(origin: Origin, scratch: Path, num_experts: Callable[[], int], *, vanilla: bool) -> None:
    """Copy into a folder that is being written what the model did not hold.

    Raises `ConfigError` where that includes experts whose number is no longer the model's.
    """
    written = {name for path in scratch.glob("*.safetensors") for name in read_header(path)}
    kept = {name: entry for name, entry in origin.kept.items() if name not in written}
    if not kept:
        return
    changed = next((path for path, stamp in origin.stamps.items() if not path.is_file() or _stamp(path) != stamp), None)
    if changed is not None:
        raise ConflictError(
            f"{changed} is gone or another since the model was opened, and {', '.join(list(kept)[:3])} stand in it, for which "
            "transformers' class has no place; nothing was written. Restore the file, or open the model again"
        )
    for layer in disk_layers(kept, None):
        if layer.num_experts != num_experts():
            raise ConfigError(
                f"{origin.folder} has experts in layer {layer.number} that transformers' class has no place for, "
                f"{layer.num_experts} of them, and the model has {num_experts()} a layer: one config.json cannot say both. "
                "Edit the files instead (Checkpoint, iai surgery --streaming), where that layer is edited too"
            )
    if vanilla:
        _add_shard(scratch, list(kept.values()))
    else:
        write_file(scratch / KEPT, list(kept.values()))


def _add_shard(scratch: Path, entries: list[Entry]) -> None:
    index = scratch / _INDEX
    if index.is_file():
        content = read_json(index)
    else:
        names = read_header(scratch / "model.safetensors")
        first = "model-00001-of-00002.safetensors"
        (scratch / "model.safetensors").rename(scratch / first)
        size = sum(entry.size_bytes for entry in names.values())
        content = {"metadata": {"total_size": size}, "weight_map": dict.fromkeys(names, first)}
    name = "model-kept.safetensors"
    write_file(scratch / name, entries)
    content["weight_map"] |= {entry.name: name for entry in entries}
    content.setdefault("metadata", {})["total_size"] = int(content["metadata"].get("total_size", 0)) + sum(
        entry.size_bytes for entry in entries
    )
    write_json(index, content)


def carry_side_files(origin: Origin, scratch: Path, *, tokenizer: bool) -> None:
    """Processor, chat templates, licence and what else stands beside the weights; the tokenizer's files where told to."""
    for pattern in _SIDE_FILES:
        for path in origin.folder.glob(pattern):
            target = scratch / path.relative_to(origin.folder)
            wanted = tokenizer or not _OF_TOKENIZERS.match(path.name)
            if path.is_file() and wanted and not target.exists() and not _OF_WEIGHTS.match(path.name):
                target.parent.mkdir(exist_ok=True)
                shutil.copyfile(path, target)


def needs_no_loss(origin: Origin, scratch: Path, tied: Iterable[str]) -> None:
    """Raise `IntegrityError` where a tensor of the source stands in no file that was written."""
    written = {_plain_name(name) for path in scratch.glob("*.safetensors") for name in read_header(path)}
    shared = set(tied)
    lost = sorted(name for name in origin.names - written if name not in shared)
    if lost and origin.names & written:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise IntegrityError(
            f"{', '.join(lost[:3])}{more} of {origin.folder} would be lost; nothing was written. Should they be the same "
            "numbers under another name, save with verify=False"
        )


def rebased(origin: Origin, folder: Path) -> Origin:
    """The same where the model was saved over the folder that it came from, which now holds other files."""
    there = {name: entry for path in files_of(folder) for name, entry in read_header(path).items()}
    kept = {name: there[name] for name in origin.kept if name in there}
    return origin_of(folder, there if origin.names else (), kept)


def _plain_name(name: str) -> str:
    """A tensor's name without what an edit or a dequantisation changes: numbers of experts, parts of a quantised matrix."""
    if "shared" not in name and _EXPERT.search(name):
        return _EXPERT.sub("experts", name)
    matrix, part = split_name(name)
    return f"{matrix}.weight" if part in PARTS else name


def _stamp(path: Path) -> tuple[int, int]:
    told = path.stat()
    return told.st_size, told.st_mtime_ns
