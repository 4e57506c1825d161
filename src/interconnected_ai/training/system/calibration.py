"""After training: where each branch's classes lie, and every branch's confidence made honest, on rows not learnt from."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.arguments import checked
from interconnected_ai.branches import (
    Answered,
    InterconnectedAISystem,
    TextFeatures,
    calibration,
    class_directions,
    probabilities,
    rows_for_directions,
)
from interconnected_ai.data import Rows
from interconnected_ai.training.system.metrics import branch_metrics


@checked
def take_directions(
    system: InterconnectedAISystem, train: Rows, encode: Callable[[Sequence[str]], Tensor] | None = None
) -> None:
    """Give every branch the directions of its classes, from rows that it has learnt. One thread; nobody predicts meanwhile.

    encode: texts to pooled vectors (num_texts, d_model) of the system as it is; None is `system.encode`.
    """
    for name, card in system.cards.items():
        targets = torch.from_numpy(train.targets([card.spec])[name])
        rows = rows_for_directions(targets, card.spec.num_classes)
        if len(rows):
            pooled = (encode or system.encode)([train.texts[row] for row in rows.tolist()])
            directions = class_directions(pooled, targets[rows].to(pooled.device), card.spec.num_classes)
            system.branch(name).directions = directions


@checked
def calibrate(
    system: InterconnectedAISystem, validation: Rows, encode: Callable[[Sequence[str]], Tensor] | None = None
) -> None:
    """Fit every branch's temperature and threshold on validation rows; other branches' rows stand for foreign text.

    encode: texts to pooled vectors (num_texts, d_model) of the system as it is; None is `system.encode`.
    """
    if not len(validation):
        return
    features = TextFeatures((encode or system.encode)(validation.texts), validation.texts)
    targets = validation.targets([card.spec for card in system.cards.values()])
    for name, card in system.cards.items():
        mine = targets[name] >= 0
        if not mine.any():
            continue
        own_texts = set(validation.of(name)[0])
        own = np.flatnonzero(mine).tolist()
        foreign = [row for row in np.flatnonzero(~mine).tolist() if validation.texts[row] not in own_texts]
        logits, near = system.logits_of(features, [name])[name].cpu(), system.branch(name).familiarity(features).cpu()
        answered, answers = Answered(logits[own], near[own]), torch.from_numpy(targets[name][mine])
        changes = calibration(card, answered, answers, Answered(logits[foreign], near[foreign]))
        card = card.with_changes(**changes)
        table = probabilities(answered.logits, card)
        metrics = branch_metrics(table, answers, threshold=card.threshold, familiarity=answered.familiarity)
        system.cards[name] = card.with_changes(metrics={key: float(value) for key, value in asdict(metrics).items()})
