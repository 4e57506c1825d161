"""What was done to a model, step by step, and the log as a recipe that replays on another copy.

A recipe is a YAML file; tensors a step brought along stand beside it in safetensors, and their SHA-256 in the YAML file.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from interconnected_ai.config import settings_in
from interconnected_ai.errors import ConfigError, IntegrityError
from interconnected_ai.storage import atomic_file, load_tensors, save_tensors, sha256_of
from interconnected_ai.surgery.settings import need_path

VERSION = 1
RECIPE = "recipe.yaml"  # in the folder of a model
RECIPE_TENSORS = "recipe.safetensors"
PUT_ADAPTER = "put_adapter"
_BRINGING = (PUT_ADAPTER, "replace", "insert", "merge_adapter", "set_routers")


@dataclass(frozen=True)
class Step:
    """One operation: its name and plain arguments.

    tensors: what it brought along, by name, in main memory. measured: what its verification found, by name.
    """

    do: str
    arguments: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
    measured: dict[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Recipe:
    """Steps, and the model they were made for.

    model: family, numbers of experts, widths. fingerprint: of the routers' weights before the first step. lacks: in words, what
    was done besides and does not stand in the steps; none where they give the same model to the last bit.
    """

    model: dict[str, Any]
    fingerprint: str
    steps: tuple[Step, ...]
    lacks: tuple[str, ...] = ()

    def without_adapters(self) -> "Recipe":
        """The same steps but for the adapters."""
        return replace(self, steps=tuple(step for step in self.steps if step.do != PUT_ADAPTER))

    def save(self, path: str | Path) -> None:
        """Write the YAML file, and the tensors beside it under the same name with `.safetensors`."""
        need_path("path", path)
        path = Path(path)
        if not path.name:
            raise ConfigError(f"path = {str(path)!r}: needs the name of a file, such as steps.yaml")
        tensors = {
            f"{number}.{name}": tensor
            for number, step in enumerate(self.steps)
            for name, tensor in step.tensors.items()
        }
        beside = path.with_suffix(".safetensors")
        if tensors:
            with atomic_file(beside) as scratch:
                save_tensors(scratch, tensors)
        content = {
            "recipe": VERSION,
            "model": self.model,
            "fingerprint": self.fingerprint,
            **({"tensors": sha256_of(beside)} if tensors else {}),
            **({"lacks": list(self.lacks)} if self.lacks else {}),
            "steps": [
                {"do": step.do, **step.arguments, **({"measured": step.measured} if step.measured else {})}
                for step in self.steps
            ],
        }
        with atomic_file(path) as scratch:
            scratch.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, *, adapters: bool = True) -> "Recipe":
        """The recipe in a YAML file; `ConfigError` when it is none. adapters: False leaves out the steps that put them in.

        Raises `IntegrityError` where the tensors that its steps brought along are not beside it, or are others.
        """
        path = Path(path)
        content = settings_in(path)
        if not isinstance(content, Mapping) or not {"recipe", "model", "fingerprint", "steps"} <= set(content):
            raise ConfigError(f"{path} is no recipe: needs the keys recipe, model, fingerprint and steps")
        if content["recipe"] != VERSION:
            raise ConfigError(f"{path} has recipe version {content['recipe']!r}, this package reads {VERSION}")
        entries = [each for each in content["steps"] if adapters or not _puts_adapter(each)]
        tensors = _tensors_beside(path, content.get("tensors"), needed=any(map(_brings, entries)))
        steps = []
        for number, entry in enumerate(content["steps"]):
            if not isinstance(entry, Mapping) or "do" not in entry:
                raise ConfigError(f"{path}: step {number} = {entry!r}: needs a mapping with the key 'do'")
            mine = {
                name.partition(".")[2]: tensor for name, tensor in tensors.items() if name.split(".")[0] == str(number)
            }
            if not adapters and _puts_adapter(entry):
                continue
            arguments = {key: value for key, value in entry.items() if key not in ("do", "measured")}
            steps.append(Step(str(entry["do"]), arguments, mine, dict(entry.get("measured") or {})))
        lacks = tuple(map(str, content.get("lacks") or ()))
        return cls(dict(content["model"]), str(content["fingerprint"]), tuple(steps), lacks)


def _puts_adapter(entry: Any) -> bool:
    return isinstance(entry, Mapping) and entry.get("do") == PUT_ADAPTER


def _brings(entry: Any) -> bool:
    """Whether a step is nothing without its tensors."""
    return isinstance(entry, Mapping) and entry.get("do") in _BRINGING


def _tensors_beside(path: Path, sha256: Any, *, needed: bool) -> dict[str, Tensor]:
    """What the steps of a recipe brought along. sha256: of the file with it; None where no step did."""
    beside = path.with_suffix(".safetensors")
    if (
        needed
        and (not beside.is_file() or sha256 is not None)
        and (not beside.is_file() or sha256_of(beside) != sha256)
    ):
        how = "is not the one that was saved with it" if beside.is_file() else "is missing"
        raise IntegrityError(
            f"{beside} {how}: the recipe {path} lacks its adapters or experts, which stand there; copy both files together"
        )
    return load_tensors(beside) if beside.exists() else {}


def fingerprint(tensors: list[Tensor]) -> str:
    """The first 16 hex digits of a SHA-256 over these tensors' bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(as_bytes(tensor))
    return digest.hexdigest()[:16]


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the numbers in their order, whatever they are called."""
    found = hashlib.sha256()
    for tensor in tensors.values():
        found.update(as_bytes(tensor))
    return found.hexdigest()


def as_bytes(tensor: Tensor) -> memoryview:
    """A tensor's bytes, whatever its dtype."""
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return memoryview(flat.numpy())  # type: ignore[arg-type]
