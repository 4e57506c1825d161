"""One pass over a loader of the user's own: the training step of the document's quick start."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from interconnected_ai.arguments import checked
from interconnected_ai.branches import InterconnectedAISystem
from interconnected_ai.errors import DataError, NonFiniteLossError
from interconnected_ai.nn import device_of
from interconnected_ai.training.system.loss import GlobalBatch, system_loss


@checked
def train_epoch(
    model: InterconnectedAISystem,
    loader: Iterable[Any],
    device: torch.device | str,
    optimizer: torch.optim.Optimizer,
    *,
    balance_loss_weight: float = 0.01,
    gradient_clip: float = 1.0,
) -> float:
    """One pass over a loader, as in the document's quick start; returns the mean task loss.

    A batch is a mapping with input_ids (batch, seq), branch_id (batch,), labels (batch,) and optionally attention_mask,
    or a tuple (input_ids, branch_id, labels). branch_id numbers branches in the order of creation.
    Raises `ConfigError` for a device that is not here.
    """
    device = device_of(device)
    model.to(device).train()
    losses: list[float] = []
    for batch in loader:
        fields = (
            batch if isinstance(batch, Mapping) else dict(zip(("input_ids", "branch_id", "labels"), batch, strict=True))
        )
        fields = {key: value.to(device) for key, value in fields.items()}
        output = model(fields["input_ids"], fields.get("attention_mask"))
        targets = {
            name: fields["labels"].where(fields["branch_id"] == number, torch.full_like(fields["labels"], -1))
            for number, name in enumerate(model.branch_names)
        }
        loss = system_loss(output, targets, GlobalBatch(len(fields["labels"])), balance_loss_weight=balance_loss_weight)
        if not torch.isfinite(loss.total):
            raise NonFiniteLossError(f"the loss became {loss.total.item()} in batch {len(losses) + 1}", len(losses) + 1)
        optimizer.zero_grad()
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), gradient_clip)
        optimizer.step()
        losses.append(loss.task.item())
    if not losses:
        raise DataError("the loader gave no batches")
    model.eval()
    return sum(losses) / len(losses)
