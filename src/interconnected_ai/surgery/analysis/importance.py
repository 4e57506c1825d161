"""What each FFN expert is worth for some texts, read off the gradient of the language model's loss."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.surgery.analysis.texts import Batch, batches, token_rows
from interconnected_ai.surgery.anatomy.evaluation import evaluating
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.anatomy.places import stacks
from interconnected_ai.surgery.session import Session


def gradient_scores(
    session: Session, texts: Sequence[str], *, max_tokens: int = 256, batch_size: int = 8
) -> dict[int, Tensor]:
    """Layer → (experts,): Σ over batches of |∂L/∂Wₑ|² / tokens², L the summed loss of a batch's tokens, Wₑ all of an expert.

    A small step on an expert, or on a low-rank update of it that starts at zero, lowers the loss in proportion to this. An
    expert scores by how often it is used, by its weight, and by how much the text still has to teach it; layers compare.
    A stack's gradient is counted and freed at once, so one stack's stands in memory at a time.

    Raises `ConfigError` where experts are packed or adapted, since no gradient reaches their weights.
    """
    rows = _rows(session, texts, max_tokens)
    scores = _zeros(session)
    counted = {stack: layer for layer in session.layers for stack in stacks(layer.place.experts).values()}

    def count(stack: nn.Parameter, gradient: Tensor) -> None:
        squares = gradient.flatten(1).float().square().sum(dim=1)
        scores[counted[stack].number] += squares.double().cpu()

    with evaluating(session.model), _only(session.model, counted, count):
        for batch in batches(session, rows, batch_size):
            _summed_loss(session, batch).backward()
    num_tokens = sum(len(row) - 1 for row in rows)
    return {number: each / num_tokens**2 for number, each in scores.items()}


def first_order_scores(
    session: Session, texts: Sequence[str], *, max_tokens: int = 256, batch_size: int = 1
) -> dict[int, Tensor]:
    """Layer → (experts,): Σ over batches of (∂L/∂mₑ)² / tokens², mₑ = 1 a factor on the expert's output.

    What the loss would move by, to first order, were the expert taken out (Molchanov et al. 2019); batches are squared apart,
    since at a minimum their sum is nothing. ∂L/∂mₑ is the product of the last matrix with its gradient. Layers compare.

    Raises `ConfigError` where experts are packed or adapted.
    """
    rows = _rows(session, texts, max_tokens)
    scores, slopes = _zeros(session), _zeros(session)
    counted = {
        stack: layer
        for layer in session.layers
        for name, stack in stacks(layer.place.experts).items()
        if name.startswith("down_proj")
    }

    def count(stack: nn.Parameter, gradient: Tensor) -> None:
        product = (stack.detach() * gradient).flatten(1).float().sum(dim=1)
        slopes[counted[stack].number] += product.double().cpu()

    with evaluating(session.model), _only(session.model, counted, count):
        for batch in batches(session, rows, batch_size):
            _summed_loss(session, batch).backward()
            for number, slope in slopes.items():
                scores[number] += slope.square()
                slope.zero_()
    num_tokens = sum(len(row) - 1 for row in rows)
    return {number: each / num_tokens**2 for number, each in scores.items()}


def _rows(session: Session, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    rows = [row for row in token_rows(session, texts, max_tokens) if len(row) > 1]
    if not rows:
        raise DataError("texts of a single token teach nothing; give longer ones")
    _needs_bare(session)
    return rows


def _zeros(session: Session) -> dict[int, Tensor]:
    return {layer.number: torch.zeros(layer.num_experts, dtype=torch.float64) for layer in session.layers}


def _needs_bare(session: Session) -> None:
    packed = [layer.number for layer in session.layers if layer.packed]
    if packed:
        raise ConfigError(
            f"the experts of layers {packed} are packed in 4 bits and have no gradient; unpack them (unpack_experts), or rank "
            "by score='gate'"
        )
    acting = [name for name, adapter in session.adapters.items() if not adapter.spec.conditional]
    if acting:
        raise ConfigError(
            f"adapters stand in for experts: {', '.join(acting)}; merge or drop them (merge_adapter, drop_adapter), or rank by "
            "score='gate'"
        )


@contextmanager
def _only(
    model: nn.Module, counted: dict[nn.Parameter, Layer], count: Callable[[nn.Parameter, Tensor], None]
) -> Iterator[None]:
    """For a moment these stacks alone take gradients, which are counted and dropped."""
    required = {parameter: parameter.requires_grad for parameter in model.parameters()}
    held = {stack: stack.grad for stack in counted}

    def counting(stack: nn.Parameter) -> None:
        assert stack.grad is not None, "the hook runs when a gradient has come"
        count(stack, stack.grad)
        stack.grad = None

    handles = []
    try:
        for parameter in required:
            parameter.requires_grad_(parameter in counted)
        for stack in counted:
            stack.grad = None
            handles.append(stack.register_post_accumulate_grad_hook(counting))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for parameter, before in required.items():
            parameter.requires_grad_(before)
        for stack, gradient in held.items():
            stack.grad = gradient


def _summed_loss(session: Session, batch: Batch) -> Tensor:
    logits = session.model(batch.ids, attention_mask=batch.mask, use_cache=False).logits[:, :-1].float()
    targets = batch.ids[:, 1:].masked_fill(batch.mask[:, 1:] == 0, -100)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
