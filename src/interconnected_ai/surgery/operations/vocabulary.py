"""Tokens of a tokenizer that a model's embeddings must have rows for."""

import copy
import warnings

import torch
from torch import Tensor

from interconnected_ai.errors import TokenizerError
from interconnected_ai.surgery.operations.snapshot import Snapshot, Undo
from interconnected_ai.surgery.session import Session


def known_id(session: Session, token: str) -> int | None:
    """The id of a special token; None where the tokenizer lacks it."""
    if session.tokenizer is None:
        raise TokenizerError(
            f"{token!r} needs a tokenizer, and the model was opened without one; give tokenizer= to surgery.open"
        )
    if token not in session.tokenizer.get_vocab():
        return None
    number: int = session.tokenizer.convert_tokens_to_ids(token)
    return number


def add(session: Session, token: str) -> tuple[int, Undo]:
    """Add a special token to the tokenizer and to the embeddings, with a warning; gives its id and the way back.

    A tokenizer forgets no token, so the session gets a copy that has it, and the one that was is untouched.
    """
    before = session.tokenizer
    tokenizer = copy.deepcopy(before)
    tokenizer.add_tokens([token], special_tokens=True)
    number: int = tokenizer.convert_tokens_to_ids(token)
    rows = session.model.get_input_embeddings().weight.shape[0]
    grown = number >= rows
    if grown:
        _grow(session, number + 1)
    session.tokenizer = tokenizer
    said = (
        f", and the embeddings grew from {rows:,} to {number + 1:,} rows"
        if grown
        else ", in a free row of the embeddings"
    )
    warnings.warn(f"the tokenizer had no token {token!r}: it was added with the id {number}{said}", stacklevel=6)

    def undo(now: Snapshot) -> None:
        session.tokenizer = before
        if grown:
            _resize(session, rows)

    return number, undo


@torch.no_grad()
def _grow(session: Session, rows: int) -> None:
    """More rows, each the mean of those there were: no token is preferred by an untrained row."""
    before = session.model.get_input_embeddings().weight.shape[0]
    _resize(session, rows)
    head = session.model.get_output_embeddings()
    weights: list[Tensor] = [session.model.get_input_embeddings().weight]
    weights += [] if head is None or head.weight is weights[0] else [head.weight]
    for weight in weights:
        weight[before:] = weight[:before].float().mean(dim=0).to(weight.dtype)


def _resize(session: Session, rows: int) -> None:
    """Another number of rows; what trains and what does not stays, in modules too (transformers makes a new head)."""
    model = session.model
    trained = [parameter.requires_grad for parameter in model.parameters()]
    training = {name: module.training for name, module in model.named_modules()}
    model.resize_token_embeddings(rows, mean_resizing=False)
    for parameter, flag in zip(model.parameters(), trained, strict=True):
        parameter.requires_grad_(flag)
    for name, module in model.named_modules():
        module.training = training[name]
