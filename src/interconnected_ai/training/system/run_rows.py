"""The rows of a run: read, dealt out, recorded in its folder, and known again when it is resumed or measured later."""

import logging
from pathlib import Path

from interconnected_ai.arguments import checked
from interconnected_ai.config import RunConfig, SystemConfig
from interconnected_ai.data import RowChanges, RowRecord, Rows, Splits, load_splits
from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.storage import is_complete
from interconnected_ai.training.checkpoints import CheckpointFolder

logger = logging.getLogger(__name__)

_ROWS = "rows"


@checked
def splits_of_run(
    config: RunConfig,
    *,
    resume: bool = False,
    new_rows: bool = False,
    relative_to: Path | None = None,
    splits: Splits | None = None,
) -> Splits:
    """The rows that a run learns from; a resumed run gets those that it was begun with, in that order.

    new_rows: rows may have been added since; they are dealt out by their own hash, and come after the others. splits: rows
    in memory, in place of those that the config names. Raises `DataError` that says what differs for other rows.
    """
    folder = Path(config.output)
    kept = kept_rows(folder) if resume else None
    if splits is None:
        unrecorded = resume and kept is None and _has_learnt(folder)
        splits = load_splits(config.data, relative_to=relative_to, record=kept, unrecorded=unrecorded)
    if kept is None:
        return splits
    splits = kept.in_this_order(splits)
    changes = RowChanges.between(kept, record_of(config, splits))
    refuse_other_rows(changes, f"the run {folder}", new_rows=new_rows)
    return splits


def refuse_other_rows(changes: RowChanges, what: str, *, new_rows: bool) -> None:
    """Raise `DataError` unless a training finds the rows that it was begun with, or more of them where that is allowed."""
    if changes.none or (new_rows and changes.only_new):
        return
    remedy = "Put the rows back as they were to resume, or train into another folder"
    if changes.only_new:
        remedy += "; to go on with the new rows too: --new-rows (new_rows=True)"
    raise DataError(f"{what} was begun with other rows: {changes}. {remedy}")


def record_of(config: RunConfig, splits: Splits) -> RowRecord:
    """What is kept of a run's rows."""
    data = config.data
    split = {
        "split_seed": data.split_seed,
        "validation_fraction": data.validation_fraction,
        "test_fraction": data.test_fraction,
    }
    return RowRecord.of(splits, shape_for(config, splits).branches, split)


def keep_rows(folder: Path, config: RunConfig, splits: Splits) -> None:
    """Record the rows in a run's folder."""
    record = record_of(config, splits)
    if kept_rows(folder) != record:
        record.save(folder / _ROWS)


def kept_rows(folder: Path) -> RowRecord | None:
    """The record in a run's folder; None in runs that kept none. Raises `IntegrityError` for a damaged one."""
    return RowRecord.load(folder / _ROWS) if is_complete(folder / _ROWS) else None


@checked
def splits_of_finished_run(folder: Path, config: RunConfig) -> Splits:
    """A run's rows, read again and each on the side that it had; rows that have come since are left out.

    Says in the log when some are gone or have another label or spelling.
    """
    kept = kept_rows(folder)
    splits = load_splits(config.data, record=kept, unrecorded=kept is None and _has_learnt(folder))
    if kept is None:
        return splits
    known = Splits(
        *(_recorded(part, kept, side) for side, part in enumerate((splits.train, splits.validation, splits.test)))
    )
    gone = len(kept) - sum(map(len, (known.train, known.validation, known.test)))
    if gone > 0:
        logger.warning("%d of the %d rows of the run %s are gone", gone, len(kept), folder)
    return known


@checked
def shape_for(config: RunConfig, splits: Splits) -> SystemConfig:
    """The config's system with a branch for each that the data names; its classes are those of `system.branches` or the data's.

    Raises `ConfigError` for a branch without rows, `DataError` for one with a single class.
    """
    named = {spec.name: spec for spec in config.system.branches}
    specs = [named.get(spec.name, spec) for spec in splits.specs()]
    if unknown := set(named) - {spec.name for spec in specs}:
        raise ConfigError(f"system.branches has {sorted(unknown)[0]!r}, for which data names no rows")
    return config.system.with_changes(branches=[spec.to_dict() for spec in specs])


def _recorded(rows: Rows, kept: RowRecord, side: int) -> Rows:
    """Those whose text the record has on this side."""
    sides = kept.sides_of(rows.texts, rows.branch_names, [side])
    return rows.select([row for row, found in enumerate(sides) if found == side])


def _has_learnt(folder: Path) -> bool:
    return (folder / "model").is_dir() or bool(CheckpointFolder(folder / "checkpoints").steps())
