"""One FFN expert as an ordinary feed-forward: its matrices apart, and how they lie in a family's stack."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.errors import ConfigError
from interconnected_ai.extras import require

# (gate x or None, up x) → what goes into down
Mix = Callable[[Tensor | None, Tensor], Tensor]

# What other models call the three matrices of a gated FFN.
_NAMES = (("gate_proj", "up_proj", "down_proj"), ("w1", "w3", "w2"), ("gate", "up", "down"))


@dataclass(frozen=True)
class ExpertWeights:
    """y = down(mix(gate x, up x)): gate and up are (d_ff, d_model), down (d_model, d_ff); biases where the family has them.

    gate: None where experts have none, and mix is the activation of up alone (Nemotron-H).
    """

    gate: Tensor | None
    up: Tensor
    down: Tensor
    gate_bias: Tensor | None = None
    up_bias: Tensor | None = None
    down_bias: Tensor | None = None

    @property
    def d_model(self) -> int:
        """Width of what goes in and out."""
        return self.up.shape[1]

    @property
    def d_ff(self) -> int:
        """Inner width."""
        return self.up.shape[0]

    def tensors(self) -> dict[str, Tensor]:
        """The tensors there are, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def to(self, like: Tensor) -> "ExpertWeights":
        """On the device and in the dtype of another tensor."""
        return replace(self, **{name: tensor.to(like) for name, tensor in self.tensors().items()})

    def copy(self) -> "ExpertWeights":
        """With memory of its own."""
        return replace(self, **{name: tensor.detach().clone() for name, tensor in self.tensors().items()})

    def aside(self) -> "ExpertWeights":
        """A copy in main memory: what a log or an undo keeps must not fill a device."""
        return replace(self, **{name: tensor.detach().to("cpu", copy=True) for name, tensor in self.tensors().items()})

    def check(self, like: "ExpertWeights", what: str) -> None:
        """Raise `ConfigError` unless these could stand where `like` stands."""
        if set(self.tensors()) != set(like.tensors()):
            raise ConfigError(
                f"{what} has the tensors {', '.join(self.tensors())}; needs exactly {', '.join(like.tensors())}, "
                "as this family's experts have"
            )
        for name, tensor in self.tensors().items():
            wanted = like.tensors()[name]
            if tensor.shape != wanted.shape:
                raise ConfigError(
                    f"{what}: {name} is {tuple(tensor.shape)}, needs {tuple(wanted.shape)}; an expert of another width does "
                    "not fit into this layer's stack"
                )
            if tensor.dtype != wanted.dtype:
                raise ConfigError(
                    f"{what}: {name} is {tensor.dtype}, this layer's experts are {wanted.dtype}; convert it first "
                    f"(.to({wanted.dtype})), so that rounding is your decision"
                )
            if not bool(torch.isfinite(tensor).all()):
                raise ConfigError(f"{what}: {name} holds NaN or infinity; such an expert would poison every output")


class FFN(nn.Module):
    """An FFN expert as a module of its own, with ordinary linear layers.

    mix: what joins gate and up, taken from the family (SwiGLU in most; clamped in gpt-oss).
    """

    def __init__(self, weights: ExpertWeights, mix: Mix) -> None:
        super().__init__()
        self.gate_proj = None if weights.gate is None else _linear(weights.gate, weights.gate_bias)
        self.up_proj = _linear(weights.up, weights.up_bias)
        self.down_proj = _linear(weights.down, weights.down_bias)
        self._mix = mix

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d_model) → (…, d_model)."""
        gate = None if self.gate_proj is None else self.gate_proj(hidden)
        out: Tensor = self.down_proj(self._mix(gate, self.up_proj(hidden)))
        return out

    @property
    def weights(self) -> ExpertWeights:
        """Its tensors, sharing memory."""
        return weights_in(self)


def weights_in(module: nn.Module, what: str = "the module") -> ExpertWeights:
    """The matrices of a gated FFN, under any of the names in use: gate_proj/up_proj/down_proj, w1/w3/w2, gate_up_proj."""
    fused = getattr(module, "gate_up_proj", None)
    if isinstance(fused, nn.Linear) and isinstance(getattr(module, "down_proj", None), nn.Linear):
        gate, up = fused.weight.detach().chunk(2)
        return ExpertWeights(gate, up, module.down_proj.weight.detach())  # type: ignore[union-attr, operator]
    for names in _NAMES:
        linears = _linears(module, names)
        if len(linears) == len(names):
            biases = [None if layer.bias is None else layer.bias.detach() for layer in linears]
            return ExpertWeights(*(layer.weight.detach() for layer in linears), *biases)
    plain = _linears(module, _NAMES[0][1:])
    if getattr(module, "gate_proj", None) is None and len(plain) == 2:
        first, last = plain
        return ExpertWeights(
            None, first.weight.detach(), last.weight.detach(), None, _data(first.bias), _data(last.bias)
        )
    raise ConfigError(
        f"{what} is a {type(module).__name__} without the linear layers gate_proj, up_proj and down_proj (or w1, w3 and w2); "
        "give a gated feed-forward, another expert, or ExpertWeights"
    )


def _linears(module: nn.Module, names: Sequence[str]) -> list[nn.Linear]:
    layers = [getattr(module, name, None) for name in names]
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def _data(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()


def average(experts: list[ExpertWeights], shares: list[float] | None = None) -> ExpertWeights:
    """The mean of several experts' tensors. shares: weights of the mean, summing to 1; None counts all alike."""
    shares = shares or [1 / len(experts)] * len(experts)
    means = {}
    for name, tensor in experts[0].tensors().items():
        total = sum(share * each.tensors()[name].float() for share, each in zip(shares, experts, strict=True))
        assert isinstance(total, Tensor), "there is at least one expert"
        means[name] = total.to(tensor.dtype)
    return weights_of(means)


def weights_of(tensors: Mapping[str, Tensor]) -> ExpertWeights:
    """An expert out of its tensors by name, as `ExpertWeights.tensors` gives them."""
    whole: dict[str, Any] = {"gate": None, **tensors}
    return ExpertWeights(**whole)


def aligned(weights: ExpertWeights, to: ExpertWeights) -> ExpertWeights:
    """The same function with its inner places in another order: each where `to` has the one most like it.

    An FFN computes the same whatever the order of its inner width, and a mean of two is worth something only where the places
    mean the same (Ainsworth et al. 2023; M-SMoE). The assignment is the best there is. Needs scipy.
    """
    optimize = require("scipy.optimize", "surgery", "aligning experts before a merge")
    likeness = to.up.float() @ weights.up.float().T + to.down.float().T @ weights.down.float()
    if to.gate is not None and weights.gate is not None:
        likeness = likeness + to.gate.float() @ weights.gate.float().T
    _, order = optimize.linear_sum_assignment(likeness.cpu().numpy(), maximize=True)
    place = torch.from_numpy(order).to(weights.up.device)
    inner = {name: tensor[place] for name, tensor in weights.tensors().items() if not name.startswith("down")}
    return replace(weights, down=weights.down[:, place], **inner)


@dataclass(frozen=True)
class Layout:
    """How a stack keeps an expert: (out, in) or transposed, gate and up one after the other or interleaved."""

    transposed: bool
    interleaved: bool

    def read(self, slices: Mapping[str, Tensor]) -> ExpertWeights:
        """The expert in one slice of each stacked tensor; shares memory where the layout allows."""
        if "up_proj" in slices:
            up, down = (slices[name].T if self.transposed else slices[name] for name in ("up_proj", "down_proj"))
            return ExpertWeights(None, up, down, None, slices.get("up_proj_bias"), slices.get("down_proj_bias"))
        gate_up = slices["gate_up_proj"].T if self.transposed else slices["gate_up_proj"]
        down = slices["down_proj"].T if self.transposed else slices["down_proj"]
        bias = slices.get("gate_up_proj_bias")
        gate_bias, up_bias = (None, None) if bias is None else self._apart(bias)
        return ExpertWeights(*self._apart(gate_up), down, gate_bias, up_bias, slices.get("down_proj_bias"))

    def write(self, weights: ExpertWeights) -> dict[str, Tensor]:
        """The slices that `read` turns back into these weights."""
        first = {"up_proj": weights.up}
        if weights.gate is not None:
            first = {"gate_up_proj": self._together(weights.gate, weights.up)}
        slices = {**first, "down_proj": weights.down}
        if self.transposed:
            slices = {name: tensor.T for name, tensor in slices.items()}
        if weights.gate is None and weights.up_bias is not None:
            slices["up_proj_bias"] = weights.up_bias
        if weights.gate_bias is not None and weights.up_bias is not None:
            slices["gate_up_proj_bias"] = self._together(weights.gate_bias, weights.up_bias)
        if weights.down_bias is not None:
            slices["down_proj_bias"] = weights.down_bias
        return slices

    def _apart(self, both: Tensor) -> tuple[Tensor, Tensor]:
        if self.interleaved:
            return both[::2], both[1::2]
        gate, up = both.chunk(2)
        return gate, up

    def _together(self, gate: Tensor, up: Tensor) -> Tensor:
        return torch.stack([gate, up], dim=1).flatten(0, 1) if self.interleaved else torch.cat([gate, up])


def mix_of(experts: nn.Module) -> Mix:
    """What joins gate and up in these experts: the family's own `_apply_gate`, else activation(gate) · up.

    Where experts have no gate it is activation(up).
    """
    known: Any = experts
    if not getattr(known, "has_gate", True):
        return lambda gate, up: known.act_fn(up)
    own = getattr(known, "_apply_gate", None)
    concatenated = getattr(known, "is_concatenated", True)

    def mix(gate: Tensor | None, up: Tensor) -> Tensor:
        assert gate is not None, "experts with a gate have one"
        if own is None:
            mixed: Tensor = up * known.act_fn(gate)
        elif concatenated:
            mixed = own(torch.cat([gate, up], dim=-1))
        else:
            mixed = own(torch.stack([gate, up], dim=-1).flatten(-2))
        return mixed

    return mix


def run(weights: ExpertWeights, mix: Mix, hidden: Tensor) -> Tensor:
    """The expert's output for these rows."""
    gate = None if weights.gate is None else F.linear(hidden, weights.gate, weights.gate_bias)
    inner = mix(gate, F.linear(hidden, weights.up, weights.up_bias))
    return F.linear(inner, weights.down, weights.down_bias)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer
