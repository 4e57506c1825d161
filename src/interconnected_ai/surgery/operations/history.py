"""What was done to a model, step by step, and the log as a recipe that replays on another copy.

A recipe is a YAML file; tensors a step brought along stand beside it in safetensors.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from interconnected_ai.config import settings_in
from interconnected_ai.errors import ConfigError
from interconnected_ai.storage import atomic_file, load_tensors, save_tensors

VERSION = 1


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

    model: family, numbers of experts, widths. fingerprint: of the routers' weights before the first step.
    """

    model: dict[str, Any]
    fingerprint: str
    steps: tuple[Step, ...]

    def save(self, path: str | Path) -> None:
        """Write the YAML file, and the tensors beside it under the same name with `.safetensors`."""
        path = Path(path)
        tensors = {
            f"{number}.{name}": tensor
            for number, step in enumerate(self.steps)
            for name, tensor in step.tensors.items()
        }
        if tensors:
            with atomic_file(path.with_suffix(".safetensors")) as scratch:
                save_tensors(scratch, tensors)
        content = {
            "recipe": VERSION,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "steps": [
                {"do": step.do, **step.arguments, **({"measured": step.measured} if step.measured else {})}
                for step in self.steps
            ],
        }
        with atomic_file(path) as scratch:
            scratch.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Recipe":
        """The recipe in a YAML file; `ConfigError` when it is none."""
        path = Path(path)
        content = settings_in(path)
        if not isinstance(content, Mapping) or not {"recipe", "model", "fingerprint", "steps"} <= set(content):
            raise ConfigError(f"{path} is no recipe: needs the keys recipe, model, fingerprint and steps")
        if content["recipe"] != VERSION:
            raise ConfigError(f"{path} has recipe version {content['recipe']!r}, this package reads {VERSION}")
        beside = path.with_suffix(".safetensors")
        tensors = load_tensors(beside) if beside.exists() else {}
        steps = []
        for number, entry in enumerate(content["steps"]):
            if not isinstance(entry, Mapping) or "do" not in entry:
                raise ConfigError(f"{path}: step {number} = {entry!r}: needs a mapping with the key 'do'")
            mine = {
                name.partition(".")[2]: tensor for name, tensor in tensors.items() if name.split(".")[0] == str(number)
            }
            arguments = {key: value for key, value in entry.items() if key not in ("do", "measured")}
            steps.append(Step(str(entry["do"]), arguments, mine, dict(entry.get("measured") or {})))
        return cls(dict(content["model"]), str(content["fingerprint"]), tuple(steps))


def fingerprint(tensors: list[Tensor]) -> str:
    """The first 16 hex digits of a SHA-256 over these tensors' bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(as_bytes(tensor))
    return digest.hexdigest()[:16]


def as_bytes(tensor: Tensor) -> memoryview:
    """A tensor's bytes, whatever its dtype."""
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return memoryview(flat.numpy())  # type: ignore[arg-type]
