"""Stand-ins for single FFN experts: low-rank adapters and experts that train whole, computed for their own tokens alone."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.errors import ConfigError
from interconnected_ai.storage import atomic_folder, save_tensors, write_json
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights, mix_of, run
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.routing.context import Forward, dress, undress
from interconnected_ai.surgery.routing.dressing import EditedExperts, ExpertsState

if TYPE_CHECKING:
    from interconnected_ai.surgery.session import Patient


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
        self.gate_up_a = _random(rank, weights.d_model, weights.gate, generator)
        self.gate_up_b = nn.Parameter(weights.gate.new_zeros(2 * weights.d_ff, rank))
        self.down_a = _random(rank, weights.d_ff, weights.gate, generator)
        self.down_b = nn.Parameter(weights.gate.new_zeros(weights.d_model, rank))

    def forward(self, hidden: Tensor) -> Tensor:
        """(tokens, d_model) → the same."""
        weights = self._read()
        low = F.linear(F.linear(hidden, self.gate_up_a), self.gate_up_b) * self.scale
        gate_low, up_low = low.chunk(2, dim=-1)
        gate = F.linear(hidden, weights.gate, weights.gate_bias) + gate_low
        up = F.linear(hidden, weights.up, weights.up_bias) + up_low
        inner = self._mix(gate, up)
        low = F.linear(F.linear(inner, self.down_a), self.down_b) * self.scale
        return F.linear(inner, weights.down, weights.down_bias) + low

    @torch.no_grad()
    def merged(self) -> ExpertWeights:
        """The expert's weights with the updates added in."""
        weights = self._read()
        gate_low, up_low = ((self.gate_up_b @ self.gate_up_a) * self.scale).chunk(2)
        down = weights.down + (self.down_b @ self.down_a) * self.scale
        return ExpertWeights(
            weights.gate + gate_low, weights.up + up_low, down, weights.gate_bias, weights.up_bias, weights.down_bias
        )


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
        return run(ExpertWeights(**dict(self.named_parameters())), self._mix, hidden)

    def merged(self) -> ExpertWeights:
        """Its weights as they are now."""
        return ExpertWeights(**{name: parameter.detach() for name, parameter in self.named_parameters()})


class Adapters:
    """A set of stand-ins that was put into a model."""

    def __init__(self, moe: "Patient", spec: AdapterSpec) -> None:
        self._moe, self.spec = moe, spec

    @property
    def name(self) -> str:
        """What `RowRequest.adapter` and `MoE.adapters` call it."""
        return self.spec.name

    def modules(self) -> dict[tuple[int, int], Any]:
        """The stand-ins by layer and expert."""
        return {
            (number, expert): _variants(self._moe.layers[number])[self.name][str(expert)]
            for number, experts in self.spec.experts.items()
            for expert in experts
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
        layout = self._moe.layers.all[0].place.layout
        if self.spec.kind != "lora" or self.spec.conditional or layout.transposed or layout.interleaved:
            raise ConfigError(
                f"adapter {self.name!r} ({self.spec.kind}{', conditional' if self.spec.conditional else ''}, "
                f"{self._moe.family.name}) has "
                "no form in PEFT; it takes unconditional LoRA on stacks of (experts, out, in). Save it with the model instead"
            )
        with atomic_folder(folder, kind="peft adapter") as scratch:
            save_tensors(scratch / "adapter_model.safetensors", dict(self._peft_tensors()))
            write_json(scratch / "adapter_config.json", self._peft_config(base_model_name))

    def _peft_config(self, base_model_name: str) -> dict[str, Any]:
        block = self._moe.layers.all[0].place.name.rpartition(".")[2]
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
        for layer in self._moe.layers:
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


def check_spec(moe: "Patient", spec: AdapterSpec) -> None:
    """Raise `ConfigError` for adapters that cannot be put in."""
    if not spec.experts or not all(spec.experts.values()):
        raise ConfigError("no experts were named; give layer → expert numbers, such as experts={3: [77]}")
    for number, experts in spec.experts.items():
        moe.layers[number].need(*experts)
        if len(set(experts)) != len(experts):
            raise ConfigError(f"experts {list(experts)} of layer {number} name one twice")
        for other in moe.adapters.values():
            both = set(experts) & set(other.spec.experts.get(number, ()))
            if both and not (spec.conditional and other.spec.conditional):
                raise ConfigError(
                    f"experts {sorted(both)} of layer {number} already have the adapter {other.name!r}; merge or drop "
                    f"it first, or let "
                    "both wait for a role or a request"
                )
    if spec.name in moe.adapters or "." in spec.name or not spec.name:
        raise ConfigError(f"adapter name {spec.name!r} is taken, empty or has a dot in it; choose another")
    if spec.kind == "lora" and (spec.rank < 1 or not 0 < spec.alpha < math.inf):
        raise ConfigError(f"rank = {spec.rank}, alpha = {spec.alpha}: needs a rank of at least 1 and an alpha above 0")
    if spec.role is not None and spec.role not in moe.program.roles:
        raise ConfigError(f"role {spec.role!r} is begun by no token; add it to the program first (add_role)")


def install(moe: "Patient", spec: AdapterSpec, seed: int) -> Adapters:
    """Put the stand-ins into their layers."""
    generator = torch.Generator().manual_seed(seed)
    for number, experts in spec.experts.items():
        layer = moe.layers[number]
        made: dict[str, nn.Module] = {}
        for expert in experts:
            lora = spec.kind == "lora"
            made[str(expert)] = (
                LoRAExpert(layer, expert, spec.rank, spec.alpha, generator) if lora else WholeExpert(layer, expert)
            )
        experts_module: Any = layer.place.experts
        if "variants" not in experts_module._modules:
            experts_module.add_module("variants", nn.ModuleDict())
        experts_module.variants[spec.name] = nn.ModuleDict(made)
        state_of(layer).variants[spec.name] = _condition(moe, spec)
        settle(layer)
    return Adapters(moe, spec)


def take_out(moe: "Patient", spec: AdapterSpec) -> Callable[[], None]:
    """Take the stand-ins out; returns what puts them back."""
    kept = []
    for number in spec.experts:
        layer = moe.layers[number]
        module = _variants(layer).pop(spec.name)
        condition = state_of(layer).variants.pop(spec.name)
        kept.append((layer, module, condition))
        if not _variants(layer):
            del layer.place.experts._modules["variants"]
        settle(layer)

    def back() -> None:
        for layer, module, condition in kept:
            experts: Any = layer.place.experts
            if "variants" not in experts._modules:
                experts.add_module("variants", nn.ModuleDict())
            experts.variants[spec.name] = module
            state_of(layer).variants[spec.name] = condition
            settle(layer)

    return back


def state_of(layer: Layer) -> ExpertsState:
    """What a layer's experts do besides computing; made when it is not there."""
    known = layer.place.experts.__dict__
    if "surgery" not in known:
        known["surgery"] = ExpertsState(transposed=layer.place.layout.transposed)
    state = known["surgery"]
    assert isinstance(state, ExpertsState), "experts keep their state there"
    return state


def settle(layer: Layer) -> None:
    """The edited class while there is something to do, else the family's own."""
    packed = "packed" in layer.place.experts._modules
    if packed or not state_of(layer).plain:
        dress(layer.place.experts, EditedExperts)
    else:
        undress(layer.place.experts, EditedExperts)


def _condition(moe: "Patient", spec: AdapterSpec) -> Callable[[Forward | None], Tensor | bool]:
    """Where the stand-ins act: True everywhere, False nowhere, or one flag a token."""

    def holds(forward: Forward | None) -> Tensor | bool:
        if not spec.conditional:
            return True
        if forward is None:
            return False
        flags: Tensor | bool = True
        if spec.role is not None:
            if forward.roles is None or spec.role not in moe.hooks.role_names:
                return False
            flags = forward.roles.reshape(-1) == moe.hooks.role_names.index(spec.role)
        if spec.on_request:
            rows = [request.adapter == spec.name for request in forward.requests]
            if not any(rows):
                return False
            asked = forward.per_token(rows, torch.device("cpu"))
            flags = asked if flags is True else flags & asked.to(flags.device)  # type: ignore[operator, union-attr]
        return flags

    return holds


def _variants(layer: Layer) -> Any:
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
