"""Rows that no model has learnt: what may be measured on without flattering anybody."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from interconnected_ai.arguments import checked
from interconnected_ai.branches import InterconnectedAISystem
from interconnected_ai.data import LabelColumn, Rows
from interconnected_ai.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unseen:
    """Rows without those that were learnt. left_out: of each branch how many. unrecorded: branches of which a trained model
    keeps no record, so that nothing can be left out for them.
    """

    rows: Rows
    left_out: Mapping[str, int]
    unrecorded: tuple[str, ...]

    @property
    def told(self) -> list[str]:
        """In words what was left out and what could not be checked; empty when there is nothing to tell."""
        out = [
            f"{name}: {count} {'row' if count == 1 else 'rows'} left out, which {'was' if count == 1 else 'were'} learnt "
            f"(trained, stopped or calibrated on); {self._num_rows(name)} left"
            for name, count in self.left_out.items()
            if count
        ]
        if self.unrecorded:
            out.append(
                f"{', '.join(self.unrecorded)}: a model keeps no record of what it has learnt; whether these rows are new "
                "to it cannot be checked"
            )
        return out

    def required(self) -> "Unseen":
        """Itself; raises `DataError` when no row is left."""
        if any(self.left_out.values()) and not any(self._num_rows(name) for name in self.rows.branch_names):
            raise DataError(
                f"all {sum(self.left_out.values())} rows were learnt (trained, stopped or calibrated on); nothing is left to "
                "measure on. Give rows that no model has seen, or measure on these all the same: --include-learnt "
                "(include_learnt=True)"
            )
        return self

    def _num_rows(self, name: str) -> int:
        return len(self.rows.rows_of(name))


@checked
def unseen(rows: Rows, *systems: InterconnectedAISystem) -> Unseen:
    """The rows without those that one of these systems has trained, stopped or calibrated on, branch by branch.

    Validation rows count as learnt: they chose the epoch and fitted temperature and threshold. Texts are the same when they
    differ in case and spacing alone. May be called from several threads at once.
    """
    labels, left_out, unrecorded = dict(rows.labels), {}, list[str]()
    for name in rows.branch_names:
        texts, of_texts = rows.of(name)
        numbers, seen = rows.rows_of(name), np.zeros(len(texts), dtype=bool)
        for system in systems:
            if name not in system.cards or not texts:
                continue
            learnt = system.learnt_texts(name)
            if learnt is not None:
                seen |= learnt.holds(texts)
            elif system.cards[name].trained is not None and name not in unrecorded:
                unrecorded.append(name)
        left_out[name] = int(seen.sum())
        if seen.any():
            kept = np.flatnonzero(~seen)
            labels[name] = LabelColumn([numbers[i] for i in kept], [of_texts[i] for i in kept], len(rows))
    fewer = replace(rows, labels=labels)
    if any(left_out.values()):  # nor need their texts be encoded
        fewer = fewer.select([row for row, labelled in enumerate(fewer.by_row()) if labelled])
    return Unseen(fewer, left_out, tuple(unrecorded))


@checked
def unseen_rows(rows: Rows, *systems: InterconnectedAISystem) -> Rows:
    """`unseen`'s rows, after a word in the log on what was left out. Raises `DataError` when nothing is left."""
    found = unseen(rows, *systems).required()
    for sentence in found.told:
        logger.warning("%s", sentence)
    return found.rows
