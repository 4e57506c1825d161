"""Which rows make up which batch: every batch holds rows of every branch, and an epoch shows every row."""

from dataclasses import dataclass

import numpy as np

from interconnected_ai.arguments import checked
from interconnected_ai.data.rows import Rows
from interconnected_ai.errors import ConfigError


@dataclass(frozen=True)
class BatchPlan:
    """The batches of any epoch, computed from the seed alone, so that a resumed run sees the same ones.

    groups: row numbers by the branch they belong to. A branch with fewer rows than there are batches repeats its rows.
    """

    groups: tuple[np.ndarray, ...]
    batch_size: int
    seed: int

    @classmethod
    def for_rows(cls, rows: Rows, batch_size: int, seed: int) -> "BatchPlan":
        """Raises `ConfigError` when a batch is too small to hold a row of every branch."""
        members: dict[str, list[int]] = {name: [] for name in rows.branch_names}
        for row, home in enumerate(rows.home()):
            if home is not None:
                members[home].append(row)
        groups = tuple(np.array(group) for group in members.values() if group)
        if batch_size < len(groups):
            raise ConfigError(f"batch_size={batch_size} cannot hold a row of each of {len(groups)} branches; raise it")
        return cls(groups, batch_size, seed)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch."""
        return -(-sum(len(group) for group in self.groups) // self.batch_size)

    def epoch(self, number: int) -> list[np.ndarray]:
        """Row numbers of each batch of an epoch, about `batch_size` in each and in proportion to the branches' sizes."""
        random = np.random.default_rng((self.seed, number))
        steps = self.steps_per_epoch
        parts = [_pieces(group, steps, random) for group in self.groups]
        return [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]


def _pieces(group: np.ndarray, steps: int, random: np.random.Generator) -> list[np.ndarray]:
    shuffled = np.concatenate([random.permutation(group) for _ in range(max(1, -(-steps // len(group))))])
    # A branch with fewer rows than batches gives each batch one, however the repeats come out.
    pieces = np.array_split(shuffled[:steps] if len(group) < steps else shuffled, steps)
    return [pieces[i] for i in random.permutation(steps)]  # array_split puts the longer pieces first


@checked
def share_of(batch: np.ndarray, part: int, num_parts: int) -> np.ndarray:
    """Every `num_parts`-th row of a batch: rows of each branch are dealt out evenly over processes or micro-batches."""
    return batch[part::num_parts]
