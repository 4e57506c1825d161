"""Stand-ins for single FFN experts: low-rank adapters and experts that train whole, computed for their own tokens alone."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.errors import ConfigError
from interconnected_ai.storage import atomic_folder, save_tensors, write_json
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights, mix_of, run, weights_of
from interconnected_ai.surgery.anatomy.layer import Layer, Layers


@dataclass(frozen=True)
class AdapterSpec:
    """What a set of stand-ins is.

    kind: "lora", or "full" for experts that train whole. experts: layer → expert numbers. alpha: the update is scaled by
    alpha / rank. role: a role during which alone they act. on_request: they act alone for rows whose `RowRequest.adapter`
    is their name.
    """

    name: str
    kind: str
    experts: dict[int, tuple[int, ...]]
    rank: int = 0
    alpha: float = 0.0
    role: str | None = None
    on_request: bool = False

    @property
    def conditional(self) -> bool:
        """Whether they act for some tokens only."""
        return self.role is not None or self.on_request


class LoRAExpert(nn.Module):
    """An expert with low-rank updates: W x + (alpha / rank) · B (A x) on gate and up together, and on down (Hu et al. 2021).

    Its frozen weights are read from the layer when it runs, so they exist once, packed or not.
    """

    def __init__(self, layer: Layer, expert: int, rank: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        weights, self.expert = layer.read(expert), expert
        self._read: Callable[[], ExpertWeights] = lambda: layer.read(self.expert)
        self._mix, self.scale = mix_of(layer.place.experts), alpha / rank
        self._gated = weights.gate is not None
        self.gate_up_a = _random(rank, weights.d_model, weights.up, generator)
        self.gate_up_b = nn.Parameter(weights.up.new_zeros((1 + self._gated) * weights.d_ff, rank))
        self.down_a = _random(rank, weights.d_ff, weights.up, generator)
        self.down_b = nn.Parameter(weights.up.new_zeros(weights.d_model, rank))

    def forward(self, hidden: Tensor) -> Tensor:
        """(tokens, d_model) → the same."""
        weights = self._read()
        low = F.linear(F.linear(hidden, self.gate_up_a), self.gate_up_b) * self.scale
        gate_low, up_low = self._halves(low, dim=-1)
        gate = None
        if weights.gate is not None and gate_low is not None:
            gate = F.linear(hidden, weights.gate, weights.gate_bias) + gate_low
        up = F.linear(hidden, weights.up, weights.up_bias) + up_low
        inner = self._mix(gate, up)
        low = F.linear(F.linear(inner, self.down_a), self.down_b) * self.scale
        return F.linear(inner, weights.down, weights.down_bias) + low

    @torch.no_grad()
    def merged(self) -> ExpertWeights:
        """The expert's weights with the updates added in."""
        weights = self._read()
        gate_low, up_low = self._halves((self.gate_up_b @ self.gate_up_a) * self.scale, dim=0)
        gate = None if weights.gate is None or gate_low is None else weights.gate + gate_low
        down = weights.down + (self.down_b @ self.down_a) * self.scale
        return replace(weights, gate=gate, up=weights.up + up_low, down=down)

    def _halves(self, both: Tensor, dim: int) -> tuple[Tensor | None, Tensor]:
        """What belongs to the gate, None where there is none, and what to up."""
        if not self._gated:
            return None, both
        gate, up = both.chunk(2, dim=dim)
        return gate, up


class WholeExpert(nn.Module):
    """A copy of an expert's weights as parameters of its own: an optimiser's weight decay cannot touch the others."""

    def __init__(self, layer: Layer, expert: int) -> None:
        super().__init__()
        self.expert = expert
        for name, tensor in layer.read(expert).tensors().items():
            self.register_parameter(name, nn.Parameter(tensor.detach().clone()))
        self._mix = mix_of(layer.place.experts)

    def forward(self, hidden: Tensor) -> Tensor:
        """(tokens, d_model) → the same."""
        return run(weights_of(dict(self.named_parameters())), self._mix, hidden)

    def merged(self) -> ExpertWeights:
        """Its weights as they are now."""
        return weights_of({name: parameter.detach() for name, parameter in self.named_parameters()})


class Adapters:
    """A set of stand-ins that was put into a model."""

    def __init__(self, layers: Layers, spec: AdapterSpec) -> None:
        self._layers, self.spec = layers, spec

    @property
    def name(self) -> str:
        """What `RowRequest.adapter` and `MoE.adapters` call it."""
        return self.spec.name

    def modules(self) -> dict[tuple[int, int], Any]:
        """The stand-ins by layer and expert."""
        return {
            (number, expert): variants_of(self._layers[number])[self.name][str(expert)]
            for number, experts in self.spec.experts.items()
            for expert in experts
        }

    def learnt(self) -> dict[str, Tensor]:
        """A copy of what the stand-ins hold, in main memory: LAYER.EXPERT.NAME → numbers."""
        return {
            f"{layer}.{expert}.{name}": tensor.detach().cpu().clone()
            for (layer, expert), module in self.modules().items()
            for name, tensor in module.state_dict().items()
        }

    def parameters(self) -> list[nn.Parameter]:
        """What it trains."""
        return [parameter for module in self.modules().values() for parameter in module.parameters()]

    @property
    def num_params(self) -> int:
        """How many numbers it trains."""
        return sum(parameter.numel() for parameter in self.parameters())

    def export_peft(self, folder: str | Path, base_model_name: str = "") -> None:
        """Write the adapter as PEFT reads it: low-rank updates of whole stacks, zero for the experts without any.

        Raises `ConfigError` for what PEFT cannot express: whole experts, conditions, transposed stacks.
        """
        first = self._layers.all[0]
        layout, gated = first.place.layout, first.read(0).gate is not None
        if self.spec.kind != "lora" or self.spec.conditional or layout.transposed or layout.interleaved or not gated:
            raise ConfigError(
                f"adapter {self.name!r} ({self.spec.kind}{', conditional' if self.spec.conditional else ''}, "
                f"{first.family.name}) has no form in PEFT; it takes unconditional LoRA on stacks of (experts, out, in) with a "
                "gate. Save it with the model instead"
            )
        with atomic_folder(folder, kind="peft adapter") as scratch:
            save_tensors(scratch / "adapter_model.safetensors", dict(self._peft_tensors()))
            write_json(scratch / "adapter_config.json", self._peft_config(base_model_name))

    def _peft_config(self, base_model_name: str) -> dict[str, Any]:
        block = self._layers.all[0].place.name.rpartition(".")[2]
        return {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base_model_name or None,
            "r": self.spec.rank,
            "lora_alpha": self.spec.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "target_modules": [],
            "target_parameters": [f"{block}.experts.gate_up_proj", f"{block}.experts.down_proj"],
        }

    def _peft_tensors(self) -> Iterable[tuple[str, Tensor]]:
        """PEFT stacks the A of all experts, and interleaves their B: column r · E + e belongs to expert e."""
        found = self.modules()
        for layer in self._layers:
            like = next(iter(found.values()))
            inner, place = layer.read(0), f"base_model.model.{layer.place.name}.experts"
            for name, stem, d_in, d_out in (
                ("gate_up", f"{place}.base_layer", inner.d_model, 2 * inner.d_ff),
                ("down", place, inner.d_ff, inner.d_model),
            ):
                a = like.down_a.new_zeros(layer.num_experts, self.spec.rank, d_in)
                b = like.down_a.new_zeros(d_out, self.spec.rank, layer.num_experts)
                for expert in self.spec.experts.get(layer.number, ()):
                    a[expert] = getattr(found[layer.number, expert], f"{name}_a").detach()
                    b[:, :, expert] = getattr(found[layer.number, expert], f"{name}_b").detach()
                yield f"{stem}.lora_A.weight", a.flatten(0, 1)
                yield f"{stem}.lora_B.weight", b.flatten(1, 2)


def variants_of(layer: Layer) -> Any:
    """The stand-ins of a layer: adapter's name → expert's number → module."""
    return layer.place.experts._modules["variants"]


def _random(rank: int, d_in: int, like: Tensor, generator: torch.Generator) -> nn.Parameter:
    bound = 1 / math.sqrt(d_in)
    drawn = torch.empty(rank, d_in).uniform_(-bound, bound, generator=generator)
    return nn.Parameter(drawn.to(like))


def spec_from(content: Mapping[str, Any]) -> AdapterSpec:
    """The spec in a side-car's JSON."""
    experts = {int(layer): tuple(numbers) for layer, numbers in content["experts"].items()}
    return AdapterSpec(**{**content, "experts": experts})


def spec_to(spec: AdapterSpec) -> dict[str, Any]:
    """The spec as JSON."""
    content: dict[str, Any] = json.loads(json.dumps({**vars(spec)}))
    return content
