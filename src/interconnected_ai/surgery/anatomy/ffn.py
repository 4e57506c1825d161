"""One FFN expert as an ordinary feed-forward: its matrices apart, and how they lie in a family's stack."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.errors import ConfigError

Mix = Callable[[Tensor, Tensor], Tensor]

# What other models call the three matrices of a gated FFN.
_NAMES = (("gate_proj", "up_proj", "down_proj"), ("w1", "w3", "w2"), ("gate", "up", "down"))


@dataclass(frozen=True)
class ExpertWeights:
    """y = down(mix(gate x, up x)): gate and up are (d_ff, d_model), down (d_model, d_ff); biases where the family has them."""

    gate: Tensor
    up: Tensor
    down: Tensor
    gate_bias: Tensor | None = None
    up_bias: Tensor | None = None
    down_bias: Tensor | None = None

    @property
    def d_model(self) -> int:
        """Width of what goes in and out."""
        return self.gate.shape[1]

    @property
    def d_ff(self) -> int:
        """Inner width."""
        return self.gate.shape[0]

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
        self.gate_proj = _linear(weights.gate, weights.gate_bias)
        self.up_proj = _linear(weights.up, weights.up_bias)
        self.down_proj = _linear(weights.down, weights.down_bias)
        self._mix = mix

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, d_model) → (…, d_model)."""
        out: Tensor = self.down_proj(self._mix(self.gate_proj(hidden), self.up_proj(hidden)))
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
        layers = [getattr(module, name, None) for name in names]
        linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
        if len(linears) == len(names):
            biases = [None if layer.bias is None else layer.bias.detach() for layer in linears]
            return ExpertWeights(*(layer.weight.detach() for layer in linears), *biases)
    raise ConfigError(
        f"{what} is a {type(module).__name__} without the linear layers gate_proj, up_proj and down_proj (or w1, w3 and w2); "
        "give a gated feed-forward, another expert, or ExpertWeights"
    )


def average(experts: list[ExpertWeights], shares: list[float] | None = None) -> ExpertWeights:
    """The mean of several experts' tensors. shares: weights of the mean, summing to 1; None counts all alike."""
    shares = shares or [1 / len(experts)] * len(experts)
    means = {}
    for name, tensor in experts[0].tensors().items():
        total = sum(share * each.tensors()[name].float() for share, each in zip(shares, experts, strict=True))
        assert isinstance(total, Tensor), "there is at least one expert"
        means[name] = total.to(tensor.dtype)
    return ExpertWeights(**means)


@dataclass(frozen=True)
class Layout:
    """How a stack keeps an expert: (out, in) or transposed, gate and up one after the other or interleaved."""

    transposed: bool
    interleaved: bool

    def read(self, slices: Mapping[str, Tensor]) -> ExpertWeights:
        """The expert in one slice of each stacked tensor; shares memory where the layout allows."""
        gate_up = slices["gate_up_proj"].T if self.transposed else slices["gate_up_proj"]
        down = slices["down_proj"].T if self.transposed else slices["down_proj"]
        bias = slices.get("gate_up_proj_bias")
        gate_bias, up_bias = (None, None) if bias is None else self._apart(bias)
        return ExpertWeights(*self._apart(gate_up), down, gate_bias, up_bias, slices.get("down_proj_bias"))

    def write(self, weights: ExpertWeights) -> dict[str, Tensor]:
        """The slices that `read` turns back into these weights."""
        gate_up = self._together(weights.gate, weights.up)
        slices = {"gate_up_proj": gate_up, "down_proj": weights.down}
        if self.transposed:
            slices = {name: tensor.T for name, tensor in slices.items()}
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
    """What joins gate and up in these experts: the family's own `_apply_gate`, else activation(gate) · up."""
    own = getattr(experts, "_apply_gate", None)
    if own is None:
        activation = experts.act_fn
        return lambda gate, up: up * activation(gate)  # type: ignore[operator]
    if getattr(experts, "is_concatenated", True):
        return lambda gate, up: own(torch.cat([gate, up], dim=-1))
    return lambda gate, up: own(torch.stack([gate, up], dim=-1).flatten(-2))


def run(weights: ExpertWeights, mix: Mix, hidden: Tensor) -> Tensor:
    """The expert's output for these rows."""
    inner = mix(F.linear(hidden, weights.gate, weights.gate_bias), F.linear(hidden, weights.up, weights.up_bias))
    return F.linear(inner, weights.down, weights.down_bias)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer
