"""What a layer's experts do with texts, read while they pass: how often, how strongly, and a sample of what they are given."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.analysis.texts import batches, token_rows
from interconnected_ai.surgery.anatomy.evaluation import evaluating
from interconnected_ai.surgery.anatomy.ffn import mix_of, run
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.routing.context import current
from interconnected_ai.surgery.routing.edited_router import numbers_beside
from interconnected_ai.surgery.session import Session

_SAMPLED_BYTES = 256 << 20  # of all experts' outputs for a layer's sample, which stand in memory together
_LEAST_SAMPLED = 32


@dataclass
class Seen:
    """Of one layer: how often each expert was chosen, the sum of its weights, and Σ weight · |output| (REAP); all (experts,).

    hidden: (tokens, d_model) some of what the experts were given; logits: (tokens, experts) what the router made of it.
    correction, scale: (experts,) what the router adds for its choice and multiplies weights by; None without.
    """

    chosen: Tensor
    gates: Tensor
    strength: Tensor
    correction: Tensor | None = None
    scale: Tensor | None = None
    _hidden: list[Tensor] = field(default_factory=list)
    _logits: list[Tensor] = field(default_factory=list)

    @property
    def hidden(self) -> Tensor:
        """(tokens, d_model)."""
        return torch.cat(self._hidden)

    @property
    def logits(self) -> Tensor:
        """(tokens, experts)."""
        return torch.cat(self._logits)

    def keep(self, hidden: Tensor, logits: Tensor) -> None:
        """Add tokens to the sample."""
        self._hidden.append(hidden)
        self._logits.append(logits)


def need_settled(session: Session) -> None:
    """Raise `ConfigError` where experts are closed, warm up or are packed: what they do is not what they will do."""
    shut = [layer.number for layer in session.layers if layer.closed or layer.state.bias]
    if shut:
        raise ConfigError(
            f"layers {shut} have experts that are closed or warm up, whose worth no text shows yet; let them in to the end "
            "(let_in) or remove them first"
        )
    packed = [layer.number for layer in session.layers if layer.packed]
    if packed:
        raise ConfigError(
            f"the experts of layers {packed} are packed in 4 bits; unpack them first (unpack_experts), or undo the packing"
        )


def contribution(layer: Layer, expert: int, hidden: Tensor, weights: Tensor) -> Tensor:
    """The expert's part of its block's output for these tokens: (tokens, d_model), (tokens,) → (tokens, d_model).

    In most families a weight scales what comes out of an expert, in Llama 4 what goes in.
    """
    known, mix, weights = layer.read(expert), mix_of(layer.place.experts), weights.unsqueeze(1)
    if layer.family.routing.returns_scores:
        return run(known, mix, (hidden * weights).to(hidden.dtype))
    return run(known, mix, hidden) * weights


@torch.no_grad()
def see(
    session: Session,
    texts: Sequence[str],
    *,
    max_tokens: int = 256,
    batch_size: int = 8,
    sample_tokens: int = 512,
    seed: int = 0,
) -> dict[int, Seen]:
    """Layer → what its experts did with these texts; padding is left out. sample_tokens: at most, of each layer."""
    need_settled(session)
    session.follow()
    rows = token_rows(session, texts, max_tokens)
    read = list(batches(session, rows, batch_size))
    found = {layer.number: _nothing(layer) for layer in session.layers}
    generator = torch.Generator().manual_seed(seed)
    share = sample_tokens / sum(map(len, rows))
    with evaluating(session.model), _reading(session.layers, found, share, generator):
        for batch in read:
            session.model(batch.ids, attention_mask=batch.mask, use_cache=False)
    return found


def sample_room(layer: Layer, sample_tokens: int) -> int:
    """Tokens of a sample for which the outputs of all experts fit into some memory."""
    fit = _SAMPLED_BYTES // (4 * layer.num_experts * layer.d_model)
    return min(sample_tokens, max(fit, _LEAST_SAMPLED))


def _nothing(layer: Layer) -> Seen:
    chosen, gates, strength = (torch.zeros(layer.num_experts, dtype=torch.float64) for _ in range(3))
    return Seen(chosen, gates, strength)


@contextmanager
def _reading(layers: Any, found: Mapping[int, Seen], share: float, generator: torch.Generator) -> Iterator[None]:
    """While it holds, every pass adds to `found`."""
    with ExitStack() as put:
        for layer in layers:
            reader = _Reader(layer, found[layer.number], share, generator)
            put.callback(layer.router.register_forward_hook(reader.routed).remove)
            put.callback(layer.place.experts.register_forward_pre_hook(reader.given, with_kwargs=True).remove)
        yield


class _Reader:
    """The hooks on one layer: the router's choice first, then what its experts are given."""

    def __init__(self, layer: Layer, seen: Seen, share: float, generator: torch.Generator) -> None:
        self._layer, self._seen, self._share, self._generator = layer, seen, share, generator
        self._choice: tuple[Tensor, Tensor, Tensor] | None = None
        self._before_router: Tensor | None = None

    def routed(self, router: Any, args: tuple[Any, ...], output: Any) -> None:
        self._choice = self._layer.family.routing.unpacked(router, output)
        given = args[1] if len(args) > 1 else None  # some blocks hand their router the correction
        self._seen.correction, self._seen.scale = numbers_beside(router, self._layer.family.routing, given)
        self._before_router = args[0].reshape(-1, args[0].shape[-1])

    def given(self, experts: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        assert self._choice is not None, "a router runs before its experts"
        logits, weights, indices = self._choice
        hidden = args[0] if args else kwargs["hidden_states"]
        if self._layer.family.routing.returns_scores:  # Llama 4 gives its experts a copy of the tokens each, scaled
            hidden = self._before_router
        hidden = hidden.reshape(-1, hidden.shape[-1])
        forward = current()
        real = None if forward is None else forward.real_tokens()
        if real is not None:
            hidden, logits, weights, indices = hidden[real], logits[real], weights[real], indices[real]
        self._count(hidden, weights, indices)
        self._sample(hidden, logits)
        self._choice = self._before_router = None

    def _count(self, hidden: Tensor, weights: Tensor, indices: Tensor) -> None:
        seen = self._seen
        for expert in indices[indices < self._layer.num_experts].unique().tolist():
            tokens, slots = torch.where(indices == expert)
            mine = weights[tokens, slots]
            strength = contribution(self._layer, expert, hidden[tokens], mine).float().norm(dim=1)
            seen.chosen[expert] += len(tokens)
            seen.gates[expert] += mine.double().sum().cpu()
            seen.strength[expert] += strength.double().sum().cpu()

    def _sample(self, hidden: Tensor, logits: Tensor) -> None:
        drawn = torch.rand(len(hidden), generator=self._generator) < self._share
        if bool(drawn.any()):
            place = drawn.to(hidden.device)
            self._seen.keep(hidden[place].clone(), logits[place].clone())
