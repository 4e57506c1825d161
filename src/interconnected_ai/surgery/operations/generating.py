"""Answers for many rows in one batch, each with settings of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.surgery.anatomy.evaluation import evaluating
from interconnected_ai.surgery.operations import programming
from interconnected_ai.surgery.routing.context import RowRequest
from interconnected_ai.surgery.session import Session
from interconnected_ai.surgery.settings import need_list, need_numbers

_OURS = ("input_ids", "inputs_embeds", "attention_mask", "inputs", "num_beams", "num_return_sequences")


@torch.no_grad()
def generate(
    session: Session, prompts: Sequence[Sequence[int]], requests: Sequence[RowRequest], settings: Mapping[str, Any]
) -> list[list[int]]:
    """See `MoE.generate`. Raises `DataError` for a prompt without a token, `ConfigError` for settings that are ours."""
    rows = [list(need_numbers("a prompt", row)) for row in need_list("prompts", prompts)]
    if not rows or not all(rows):
        raise DataError(
            "every prompt needs a token, and there must be one prompt; begin empty ones with the model's first token"
        )
    if requests and len(requests) != len(rows):
        raise ConfigError(f"{len(requests)} requests for {len(rows)} prompts; give one for each, or none")
    if taken := [name for name in settings if name in _OURS]:
        raise ConfigError(
            f"{taken[0]}: one row goes out for each prompt that comes in; call model.generate for other ways"
        )
    ends = _ends(session, settings)
    width = max(map(len, rows))
    fill = ends[0] if ends else 0
    device = next(session.model.parameters()).device
    ids = torch.tensor([[fill] * (width - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    asked = requests or [RowRequest()] * len(rows)
    with programming.requests(session, asked), evaluating(session.model):
        out = session.model.generate(ids, attention_mask=mask, **{"pad_token_id": fill, **settings})
    return [_until(row[width:].tolist(), ends) for row in out]


def _ends(session: Session, settings: Mapping[str, Any]) -> list[int]:
    found = settings.get("eos_token_id", getattr(session.model.generation_config, "eos_token_id", None))
    return [] if found is None else list(found) if isinstance(found, list | tuple) else [int(found)]


def _until(tokens: list[int], ends: Sequence[int]) -> list[int]:
    place = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
    return tokens[:place]
