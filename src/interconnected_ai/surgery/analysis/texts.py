"""Texts as a model takes them: batches of token ids with masks, perplexity, and a short training loop."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.errors import ConfigError, DataError, NonFiniteLossError, TokenizerError
from interconnected_ai.surgery.anatomy.evaluation import evaluating
from interconnected_ai.surgery.routing.losses import RouterRecord
from interconnected_ai.surgery.settings import need_count, need_number, need_seed, need_texts

_MOST_ROWS, _MOST_TOKENS = 1 << 20, 1 << 30  # of one step, and of a row


class TextModel(Protocol):
    """A causal language model of transformers that texts are given to, a mixture or not."""

    @property
    def model(self) -> Any:
        """The transformers model."""

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer, None without."""


class Reader(TextModel, Protocol):
    """What texts are given to: a `MoE` or its session."""

    def watch(self, *, keep_graph: bool = True) -> AbstractContextManager[RouterRecord]:
        """Record what its routers do."""


@dataclass(frozen=True)
class Batch:
    """Token ids and what of them is real, (rows, seq)."""

    ids: Tensor
    mask: Tensor


def token_rows(moe: TextModel, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """The first tokens of every text; texts without any are left out."""
    need_texts(texts)
    need_count("max_tokens", max_tokens)
    if moe.tokenizer is None:
        raise TokenizerError(
            "texts need a tokenizer, and the model was opened without one; give tokenizer= to surgery.open"
        )
    rows = [moe.tokenizer(text, add_special_tokens=False)["input_ids"][:max_tokens] for text in texts]
    rows = [row for row in rows if row]
    if not rows:
        raise DataError("no text with a token in it was given; give at least one")
    return rows


def batches(moe: TextModel, rows: Sequence[Sequence[int]], batch_size: int, *, left: bool = False) -> Iterator[Batch]:
    """Rows of like length together, padded. left: on the left, as generation wants it."""
    need_count("batch_size", batch_size)
    device = next(moe.model.parameters()).device
    ordered = sorted(rows, key=len)
    for start in range(0, len(ordered), batch_size):
        some = ordered[start : start + batch_size]
        width = max(map(len, some))
        ids, mask = torch.zeros(len(some), width, dtype=torch.long), torch.zeros(len(some), width, dtype=torch.long)
        for number, row in enumerate(some):
            place = slice(width - len(row), width) if left else slice(0, len(row))
            ids[number, place], mask[number, place] = torch.tensor(row), 1
        yield Batch(ids.to(device), mask.to(device))


@torch.no_grad()
def perplexity(
    moe: TextModel, texts: Sequence[str], *, max_tokens: int = 256, batch_size: int = 8, prefix: Sequence[int] = ()
) -> float:
    """exp of the mean negative log likelihood of a token, over all texts. moe: a `MoE`, or any model with its tokenizer.

    prefix: ids before each text. Neither they nor a text's first token are counted, so that figures with and without compare.
    """
    rows = [[*prefix, *row] for row in token_rows(moe, texts, max_tokens)]
    total, count = 0.0, 0
    with evaluating(moe.model):
        for batch in batches(moe, rows, batch_size):
            logits = moe.model(batch.ids, attention_mask=batch.mask, use_cache=False).logits[:, :-1].float()
            targets, real = batch.ids[:, 1:], batch.mask[:, 1:].bool().clone()
            real[:, : len(prefix)] = False
            losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
            total += losses[real].double().sum().item()
            count += int(real.sum())
    if not count:
        raise DataError("texts of a single token have no perplexity; give longer ones")
    return math.exp(total / count)


def tune(
    moe: Reader,
    texts: Sequence[str],
    parameters: Sequence[nn.Parameter],
    *,
    steps: int = 100,
    batch_size: int = 8,
    seq_tokens: int = 128,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    balance_weight: float = 0.0,
    prefix: Sequence[int] = (),
    seed: int = 0,
) -> list[float]:
    """Train these parameters on texts, joined and cut into rows of seq_tokens; gives the loss of every step.

    AdamW, a tenth of the steps warming up, then a cosine. balance_weight: of the balance loss, on the scale where even
    use is 1. prefix: ids before every row, such as a role's token. Raises `NonFiniteLossError`.
    """
    need_count("steps", steps)
    need_count("batch_size", batch_size, most=_MOST_ROWS)
    need_seed(seed)
    need_count("seq_tokens", seq_tokens, len(prefix) + 2, _MOST_TOKENS)
    need_number("learning_rate", learning_rate, above=0, up_to=1e3)
    need_number("weight_decay", weight_decay, above=-1e-300, up_to=1e9)
    need_number("balance_weight", balance_weight, above=-1e-300, up_to=1e9)
    if not parameters:
        raise ConfigError("nothing to train: no parameters were given")
    rows = _cut(moe, texts, seq_tokens, prefix)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    warm = max(steps // 10, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: min((n + 1) / warm, 0.5 * (1 + math.cos(math.pi * n / max(steps, 1))) + 0.02)
    )
    device = next(moe.model.parameters()).device
    losses = []
    moe.model.train()
    try:
        for step in range(steps):
            ids = rows[torch.randint(len(rows), (batch_size,), generator=generator)].to(device)
            loss, language = _loss(moe, ids, balance_weight, len(prefix))
            if not math.isfinite(language):
                raise NonFiniteLossError(f"the loss became {language} at step {step}; lower the learning rate", step)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(language)
    finally:
        moe.model.eval()
    return losses


def _loss(moe: Reader, ids: Tensor, balance_weight: float, num_prefix: int) -> tuple[Tensor, float]:
    labels = ids.clone()
    labels[:, :num_prefix] = -100
    if not balance_weight:
        loss: Any = moe.model(ids, labels=labels, use_cache=False).loss
        return loss, loss.item()
    with moe.watch() as seen:
        language = moe.model(ids, labels=labels, use_cache=False).loss
    return language + balance_weight * seen.balance_loss(), language.item()


def _cut(moe: Reader, texts: Sequence[str], seq_tokens: int, prefix: Sequence[int]) -> Tensor:
    """All texts one after the other, an end token between them, in rows of equal length."""
    end = moe.tokenizer.eos_token_id if moe.tokenizer is not None else None
    stream = [each for row in token_rows(moe, texts, 1 << 30) for each in [*row, *([] if end is None else [end])]]
    size = seq_tokens - len(prefix)
    if len(stream) < size:
        stream = stream * (size // len(stream) + 1)
    rows = torch.tensor(stream[: len(stream) // size * size]).view(-1, size)
    return torch.cat([torch.tensor(list(prefix), dtype=torch.long).expand(len(rows), -1), rows], dim=1)
