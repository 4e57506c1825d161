"""What training asks of routers besides the language model's loss, on one scale for every family."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.errors import DataError
from interconnected_ai.surgery.routing.context import current
from interconnected_ai.surgery.routing.token_routing import TokenRouting

# The records that are being written in this thread: a router's hooks see the passes of all threads.
_WRITTEN: ContextVar[tuple[int, ...]] = ContextVar("surgery_records", default=())


@dataclass(frozen=True)
class Routed:
    """One router's doing in one forward pass.

    logits: (tokens, experts). weights, indices: (tokens, top_k), with the index `experts` where a token takes fewer. real:
    (tokens,) false for padding, None without any.
    """

    layer: int
    logits: Tensor
    weights: Tensor
    indices: Tensor
    real: Tensor | None
    prompt_tokens: bool


@dataclass
class RouterRecord:
    """What routers did while somebody watched."""

    routing: TokenRouting
    passes: list[Routed] = field(default_factory=list)

    def balance_loss(self) -> Tensor:
        """E/k · Σₑ fₑ · Pₑ, the mean over layers (Fedus et al. 2021): 1 when use is even, E/k when k experts get all.

        fₑ is the share of (token, choice) pairs times k, counted from the router's own indices; Pₑ its mean probability, in
        the sigmoid families its scores scaled to sum to 1. Padding is left out. transformers' own figure is k times this for
        one layer; for several it pools the tokens of all layers before it multiplies.
        """
        return torch.stack([balance(self.routing, routed) for routed in self._seen()]).mean()

    def z_loss(self) -> Tensor:
        """Mean over tokens and layers of logsumexp(logits)² (Zoph et al. 2022): keeps logits small."""
        squares = [_real(routed.logits.float().logsumexp(dim=-1) ** 2, routed.real).mean() for routed in self._seen()]
        return torch.stack(squares).mean()

    def _seen(self) -> list[Routed]:
        if not self.passes:
            raise DataError("no router ran while it was watched; call the model inside `with moe.watch() as seen:`")
        return self.passes


def balance(routing: TokenRouting, routed: Routed) -> Tensor:
    """The balance loss of one layer; see `RouterRecord.balance_loss`."""
    num_experts, top_k = routed.logits.shape[1], routed.indices.shape[1]
    indices, probabilities = routed.indices, routing.probabilities(routed.logits)
    if routed.real is not None:
        indices, probabilities = indices[routed.real], probabilities[routed.real]
    flat = indices.reshape(-1)
    flat = flat[flat < num_experts]
    reachable = int((routed.logits > float("-inf")).any(dim=0).sum())
    counts = torch.zeros(num_experts, device=indices.device).index_add_(
        0, flat, torch.ones(flat.numel(), device=indices.device)
    )
    share = counts / max(len(indices), 1)
    return reachable / top_k * (share * probabilities.mean(dim=0)).sum()


@contextmanager
def watching(
    routing: TokenRouting, routers: Sequence[tuple[int, nn.Module]], *, keep_graph: bool = True
) -> Iterator[RouterRecord]:
    """Record what these routers do inside the block; a recomputation by gradient checkpointing afterwards is not seen.

    Passes that other threads run meanwhile are theirs, and are not recorded.
    """
    record = RouterRecord(routing)

    def watch(layer: int) -> Any:
        def hook(router: nn.Module, args: Any, output: Any) -> None:
            if id(record) not in _WRITTEN.get():
                return
            forward = current()
            real = None if forward is None else forward.real_tokens()
            logits, weights, indices = routing.unpacked(router, output)
            if not keep_graph:
                logits, weights = logits.detach(), weights.detach()
            prompt = forward is None or forward.prompt_tokens
            record.passes.append(Routed(layer, logits, weights, indices, real, prompt))

        return hook

    with ExitStack() as put:
        for layer, router in routers:
            put.callback(router.register_forward_hook(watch(layer)).remove)
        put.callback(_WRITTEN.reset, _WRITTEN.set((*_WRITTEN.get(), id(record))))
        yield record


def _real(values: Tensor, real: Tensor | None) -> Tensor:
    return values if real is None else values[real]
