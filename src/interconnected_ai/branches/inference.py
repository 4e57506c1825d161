"""One branch's answer to tokenised text: the last step of the document's quick start."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.arguments import checked
from interconnected_ai.branches.prediction import probabilities
from interconnected_ai.branches.system import InterconnectedAISystem
from interconnected_ai.errors import DataError
from interconnected_ai.nn import device_of, in_evaluation


@checked
def inference(
    model: InterconnectedAISystem,
    input_ids: Tensor,
    branch_id: int | str = 0,
    device: torch.device | str | None = None,
    attention_mask: Tensor | None = None,
    texts: Sequence[str] | None = None,
) -> Any:
    """One branch's answer to tokenised text, as in the document's quick start.

    input_ids: (seq,) or (batch, seq); without `attention_mask`, ids equal to the padding id are padding. branch_id: the
    branch's number in the order of creation, or its name. texts: those of the rows, for a branch that answers by words too;
    without them the words are read back from the ids, as far as the tokenizer keeps them. Returns {"class", "label",
    "confidence", "familiarity", "unknown", "probabilities", "branch"} for one row, and a list of them for a batch of several.
    Computed in evaluation mode, whatever the mode of the model, which stays as it is; several threads may ask at once, as
    long as `device` does not move it.
    """
    card = model.cards[model.branch_name(branch_id)]
    if device is not None:
        model.to(device_of(device))
    if input_ids.dim() not in (1, 2) or input_ids.is_floating_point() or not input_ids.numel():
        raise DataError(
            f"input_ids {tuple(input_ids.shape)} of {input_ids.dtype}: needs token ids, (seq,) or (batch, seq)"
        )
    if attention_mask is not None and attention_mask.shape != input_ids.shape:
        raise DataError(
            f"attention_mask {tuple(attention_mask.shape)} for input_ids {tuple(input_ids.shape)}: needs the same"
        )
    input_ids = input_ids.to(model.encoder.device)
    rows = input_ids.unsqueeze(0) if input_ids.dim() == 1 else input_ids
    mask = attention_mask if attention_mask is None or attention_mask.dim() == 2 else attention_mask.unsqueeze(0)
    words = model.words_of(model.encoder.texts_of(rows) if texts is None else texts, [card.name])
    with torch.inference_mode():
        output = in_evaluation(model)(rows, mask, branches=[card.name], words=words)
    table = probabilities(output.logits[card.name], card)
    near = model.branch(card.name).familiarity(output.pooled).tolist()
    answers = [
        {
            "class": int(row.argmax()),
            "label": card.spec.labels[int(row.argmax())],
            "confidence": float(row.max()),
            "familiarity": familiar,
            "unknown": float(row.max()) * familiar < card.threshold,
            "probabilities": row.tolist(),
            "branch": card.name,
        }
        for row, familiar in zip(table, near, strict=True)
    ]
    return answers[0] if len(answers) == 1 else answers
