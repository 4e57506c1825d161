"""Tokens of a tokenizer that a model's embeddings must have rows for."""

import copy
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interconnected_ai.errors import TokenizerError

if TYPE_CHECKING:
    from interconnected_ai.surgery.session import Patient

Undo = Callable[[], None]


def known_id(moe: "Patient", token: str) -> int | None:
    """The id of a special token; None where the tokenizer lacks it."""
    if moe.tokenizer is None:
        raise TokenizerError(
            f"{token!r} needs a tokenizer, and the model was opened without one; give tokenizer= to surgery.open"
        )
    if token not in moe.tokenizer.get_vocab():
        return None
    number: int = moe.tokenizer.convert_tokens_to_ids(token)
    return number


def add(moe: "Patient", token: str) -> tuple[int, Undo]:
    """Add a special token to the tokenizer and to the embeddings, with a warning; gives its id and the way back.

    A tokenizer forgets no token, so the way back gives the model a copy of the one that was.
    """
    tokenizer = copy.deepcopy(moe.tokenizer)
    moe.tokenizer.add_tokens([token], special_tokens=True)
    number: int = moe.tokenizer.convert_tokens_to_ids(token)
    rows = moe.model.get_input_embeddings().weight.shape[0]
    grown = number >= rows
    if grown:
        _grow(moe, number + 1)
    said = (
        f", and the embeddings grew from {rows:,} to {number + 1:,} rows"
        if grown
        else ", in a free row of the embeddings"
    )
    warnings.warn(f"the tokenizer had no token {token!r}: it was added with the id {number}{said}", stacklevel=5)

    def undo() -> None:
        moe.tokenizer = tokenizer
        if grown:
            _resize(moe, rows)

    return number, undo


@torch.no_grad()
def _grow(moe: "Patient", rows: int) -> None:
    """More rows, each the mean of those there were: no token is preferred by an untrained row."""
    before = moe.model.get_input_embeddings().weight.shape[0]
    _resize(moe, rows)
    head = moe.model.get_output_embeddings()
    weights: list[Tensor] = [moe.model.get_input_embeddings().weight]
    weights += [] if head is None or head.weight is weights[0] else [head.weight]
    for weight in weights:
        weight[before:] = weight[:before].float().mean(dim=0).to(weight.dtype)


def _resize(moe: "Patient", rows: int) -> None:
    """Another number of rows; what trains and what does not stays."""
    trained = [parameter.requires_grad for parameter in moe.model.parameters()]
    moe.model.resize_token_embeddings(rows, mean_resizing=False)
    for parameter, flag in zip(moe.model.parameters(), trained, strict=True):
        parameter.requires_grad_(flag)
