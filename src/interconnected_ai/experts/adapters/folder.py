"""An adapter on disk: PEFT's own two files, with our card and manifest beside them; folders that PEFT wrote are read too."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.errors import AdapterError, BusyError, IntegrityError, NotAModelError, UnsafeFileError
from interconnected_ai.experts.adapters.card import CARD, read_card
from interconnected_ai.experts.adapters.settings import SETTINGS, LoRASettings, as_peft_config
from interconnected_ai.experts.adapters.template import FILES, TEMPLATE, added_tokens
from interconnected_ai.experts.adapters.weights import AdapterWeights, LowRank
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.chat.sources import TemplateSource
from interconnected_ai.hub import local_folder
from interconnected_ai.storage import (
    ADAPTER,
    ANY,
    AnyVersion,
    is_complete,
    load_described_tensors,
    read_folder,
    save_tensors,
    sha256_of,
    write_folder,
    write_json,
)

WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_PICKLE = "adapter_model.bin"
_MOST_READS = 100


@dataclass(frozen=True)
class AdapterFiles:
    """What an adapter's folder held when it was read: all of one version.

    key: what tells these weights and settings from all others. card.base_sha256: None where the folder, PEFT's own, names no
    hash. weights: in memory of their own, in the type that they are stored in. chats: a chat template of its own, or none.
    added_tokens: that its tokenizer names, where it brings one.
    """

    folder: Path
    card: ExpertCard
    weights: AdapterWeights
    key: str
    chats: TemplateSource
    added_tokens: Mapping[str, int]


def save_adapter(
    weights: AdapterWeights,
    folder: str | Path,
    card: ExpertCard,
    *,
    dropout: float = 0.0,
    template: str | None = None,
    replaces: str | AnyVersion | None = ANY,
) -> str:
    """Write an adapter; `folder` is replaced whole or not at all. Returns its version (see `storage.version_of`).

    card: names the base, by `base` and `base_sha256`. dropout: of the training, for the record. template: of chats, where it
    is another than the base's. replaces: see `storage.atomic_folder`. PEFT opens the folder as it opens its own. Raises
    `AdapterError` for weights that are no numbers.
    Threads and processes may write one folder at once; the last one stays.
    """
    _require_sound(weights, Path(folder))
    card = replace(card, name=card.name or Path(folder).name, kind="adapter", num_params=weights.num_params)

    def write(scratch: Path) -> None:
        shapes = {name: (part.rank, part.scale) for name, part in weights.named()}
        write_json(scratch / SETTINGS, as_peft_config(shapes, base=card.base, dropout=dropout))
        save_tensors(scratch / WEIGHTS, _peft_tensors(weights), metadata={"format": "pt"})
        write_json(scratch / CARD, asdict(card))
        if template is not None:
            (scratch / TEMPLATE).write_text(template, encoding="utf-8")
        (scratch / "README.md").write_text(_card_text(card, weights), encoding="utf-8")

    return write_folder(folder, write, kind=ADAPTER, replaces=replaces)


def export_peft(files: AdapterFiles, folder: str | Path) -> str:
    """Write what PEFT alone wants: the same as `save_adapter`, from a folder that was read; returns the version."""
    return save_adapter(files.weights, folder, files.card, template=files.chats.template)


def read_adapter(folder_or_hub_id: str | Path) -> AdapterFiles:
    """An adapter's folder or hub repository, ours or PEFT's own; checksums, shapes and settings are checked.

    Beside a writer what comes back is what stood there before or after. Raises `AdapterError` for what is no plain LoRA,
    `StorageError` for what is no whole adapter. Any number of threads may read at once.
    """
    folder = local_folder(folder_or_hub_id)
    if is_complete(folder):
        return read_folder(folder, _read, kind=ADAPTER)
    return _of_one_version(folder, _read)


def _read(folder: Path) -> AdapterFiles:
    if not (folder / SETTINGS).is_file():
        raise NotAModelError(f"{folder} is no adapter: it has no {SETTINGS}; name the folder of a saved LoRA adapter")
    settings = LoRASettings.read(folder)
    weights_path = folder / WEIGHTS
    if not weights_path.is_file() and (folder / _PICKLE).is_file():
        raise UnsafeFileError(
            f"{folder / _PICKLE} is a pickle; pickles can run code when loaded and are refused. Save the adapter with PEFT's "
            "save_pretrained(…, safe_serialization=True)"
        )
    tensors, _ = load_described_tensors(weights_path)
    weights = _weights_of(tensors, settings, weights_path)
    _require_sound(weights, folder)
    card = replace(read_card(folder), num_params=weights.num_params)
    chats = TemplateSource.in_folder(folder)
    return AdapterFiles(folder, card, weights, _key(folder, chats), chats, added_tokens(folder))


def _weights_of(tensors: Mapping[str, Tensor], settings: LoRASettings, path: Path) -> AdapterWeights:
    names = {_module_of(name, path) for name in tensors}
    if not names:
        raise IntegrityError(f"{path} holds no tensors; restore it from a copy")
    return AdapterWeights({name: _low_rank(name, tensors, settings, path) for name in sorted(names)})


def _module_of(tensor: str, path: Path) -> str:
    for end in (_A, _B):
        if tensor.startswith(_PREFIX) and tensor.endswith(end):
            return tensor[len(_PREFIX) : -len(end)]
    raise AdapterError(
        f"{path}: tensor {tensor!r} is none of a plain LoRA adapter ({_PREFIX}MODULE{_A} and …{_B}); merge the adapter into "
        "its base with PEFT and open the merged folder, or train it on linear layers alone"
    )


def _low_rank(module: str, tensors: Mapping[str, Tensor], settings: LoRASettings, path: Path) -> LowRank:
    a, b = tensors.get(f"{_PREFIX}{module}{_A}"), tensors.get(f"{_PREFIX}{module}{_B}")
    if a is None or b is None:
        raise IntegrityError(f"{path}: {module} has one of its two matrices alone; restore the file from a copy")
    rank = settings.rank_of(module)
    if a.ndim != 2 or b.ndim != 2 or not a.shape[0] == b.shape[1] == rank:
        raise IntegrityError(
            f"{path}: {module} has matrices {tuple(a.shape)} and {tuple(b.shape)}, the config gives it rank {rank}: needed are "
            f"({rank}, d_in) and (d_out, {rank}); config and weights are of different adapters"
        )
    if not settings.targets(module):
        raise IntegrityError(
            f"{path}: {SETTINGS} does not name {module} among its target modules; config and weights are of different adapters"
        )
    return LowRank(a, b, settings.scale_of(module))


def _require_sound(weights: AdapterWeights, folder: Path) -> None:
    """Rows of other adapters stand in the same products, which a NaN would leave."""
    if not weights.modules:
        raise AdapterError(f"{folder}: an adapter without a module changes nothing; name the layers that it adapts")
    for name, part in weights.named():
        if not (torch.isfinite(part.a).all() and torch.isfinite(part.b).all()):
            raise AdapterError(f"{folder}: the matrices of {name} hold NaN or infinity; train the adapter again")


def _peft_tensors(weights: AdapterWeights) -> dict[str, Tensor]:
    out = {}
    for name, part in weights.named():
        out[f"{_PREFIX}{name}{_A}"], out[f"{_PREFIX}{name}{_B}"] = part.a, part.b
    return out


def _key(folder: Path, chats: TemplateSource) -> str:
    parts = "".join(sha256_of(folder / name) for name in (SETTINGS, WEIGHTS)) + (chats.template or "")
    return hashlib.sha256(parts.encode()).hexdigest()


def _of_one_version(folder: Path, read: Callable[[Path], AdapterFiles]) -> AdapterFiles:
    """A folder without a manifest, whose writer knows nothing of readers: read again where a file changed meanwhile."""
    for _ in range(_MOST_READS):
        before = _identity(folder)
        try:
            found = read(folder)
        except Exception:
            if _identity(folder) == before:
                raise
        else:
            if _identity(folder) == before:
                return found
    raise BusyError(
        f"{folder} changed each of the {_MOST_READS} times it was read; wait for its writer, then try again"
    )


def _identity(folder: Path) -> list[tuple[int, int, int] | None]:
    found: list[tuple[int, int, int] | None] = []
    for name in (SETTINGS, WEIGHTS, CARD, *FILES):
        try:
            status = os.stat(folder / name)
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            found.append(None)
    return found


def _card_text(card: ExpertCard, weights: AdapterWeights) -> str:
    header: dict[str, Any] = {"library_name": "peft", "pipeline_tag": "text-generation"}
    if card.base:
        header["base_model"] = card.base
    if card.licence:
        header["license"] = card.licence
    front = "".join(f"{key}: {value}\n" for key, value in header.items())
    figures = "".join(
        f"| {key} | {value} |\n" for key, value in card.training.items() if isinstance(value, int | float | str)
    )
    table = f"\n| training | |\n|---|---|\n{figures}" if figures else ""
    base = f"`{card.base or 'its base'}`" + (f" (SHA-256 {card.base_sha256})" if card.base_sha256 else "")
    return (
        f"---\n{front}---\n\n# {card.name}\n\nA LoRA adapter of {weights.num_params:,} parameters, rank {weights.rank}, on "
        f"{len(weights.modules)} linear layers of {base}.\n{table}\n"
        "```python\nfrom interconnected_ai import Expert\n\n"
        'expert = Expert.from_pretrained("this folder")\nprint(expert.generate("Return the", max_new_tokens=20))\n```\n'
    )
