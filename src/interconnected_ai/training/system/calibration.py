"""After training: every branch's confidence made honest, on rows that were not learnt from."""

from dataclasses import asdict

import numpy as np
import torch

from interconnected_ai.branches import InterconnectedAISystem, probabilities
from interconnected_ai.data import Rows
from interconnected_ai.nn import fit_temperature, fit_threshold
from interconnected_ai.training.system.metrics import branch_metrics


def calibrate(system: InterconnectedAISystem, validation: Rows) -> None:
    """Fit every branch's temperature and threshold on validation rows; other branches' rows stand for foreign text."""
    if not len(validation):
        return
    pooled = system.encode(validation.texts)
    targets = validation.targets([card.spec for card in system.cards.values()])
    for name, card in system.cards.items():
        mine = targets[name] >= 0
        if not mine.any():
            continue
        logits = system.logits_of(pooled, [name])[name].cpu()
        own, answers = logits[mine], torch.from_numpy(targets[name][mine])
        card = card.with_changes(temperature=fit_temperature(own, answers))
        table = probabilities(logits, card)
        own_texts = set(validation.of(name)[0])
        foreign = [row for row in np.flatnonzero(~mine).tolist() if validation.texts[row] not in own_texts]
        threshold = fit_threshold(table[mine].amax(dim=-1), table[foreign].amax(dim=-1))
        metrics = asdict(branch_metrics(table[mine], answers, threshold=threshold))
        system.cards[name] = card.with_changes(
            threshold=threshold,
            calibration_rows=len(own),
            outside_rows=len(foreign),
            metrics={k: float(v) for k, v in metrics.items()},
        )
