"""One more branch for a finished run, or one less: read, train, prove that the others stand, save beside others' changes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interconnected_ai.arguments import checked
from interconnected_ai.branches import BranchCheck, BranchFit, InterconnectedAISystem, fit_branch, save_change
from interconnected_ai.config import BranchSpec, RunConfig, TrainingConfig
from interconnected_ai.data import Rows, Splits, split_rows
from interconnected_ai.errors import DataError, IntegrityError
from interconnected_ai.training.system.features import FeatureCache
from interconnected_ai.training.system.run_rows import splits_of_finished_run

if TYPE_CHECKING:
    from torch import Tensor

# A threshold needs no more of them, and each must be encoded.
_MOST_FOREIGN_TEXTS = 200
_ROUNDING = 1e-3  # of a logit, between machines and libraries
Tell = Callable[[str, int, int], None]  # what is being done, how much of it is done, how much there is


@dataclass(frozen=True)
class GrownBranch:
    """A branch that was added. checks: of all others, which are what they were. remarks: what a person should know of it."""

    spec: BranchSpec
    fit: BranchFit
    checks: tuple[BranchCheck, ...]
    remarks: tuple[str, ...] = ()


@checked
def add_branch(
    system: InterconnectedAISystem,
    folder: Path,
    name: str,
    rows: Rows,
    *,
    run: Path | None = None,
    held_out: Rows | None = None,
    config: TrainingConfig | None = None,
    tell: Tell = lambda doing, done, total: None,
) -> GrownBranch:
    """Train the branch `name` on the finished trunk of a system and save it in the folder that this came from.

    run: the run that the folder is of, whose validation rows say what is foreign to the branch, and whose vectors are taken
    where it has them. held_out: validation rows; a tenth of the rows, where none are given. tell: is told how far it is.
    What others have saved in the folder meanwhile stays. Raises `ConfigError` for a name that is taken, `DataError` for rows
    that cannot be learnt, `IntegrityError` where another branch would answer otherwise, and nothing is saved then.
    """
    config = config or TrainingConfig()
    apart, train = (held_out, rows) if held_out is not None else split_rows(rows, [0.1], seed=config.seed)
    spec = Splits(train, apart, Rows.of_branch(name, [], [])).specs()[0]
    outside, remarks = ([], ()) if run is None else _foreign_texts(run)
    system.add_branch(spec)
    fit = fit_branch(
        system, name, *train.of(name), validation=apart.of(name), outside=outside, config=config,
        encode=_encode_of(run, system, tell),
    )  # fmt: skip
    tell("checking", 0, 1)
    checks = tuple(check for check in require_unchanged(system) if check.branch != name)
    tell("saving", 0, 1)

    def again(newest: InterconnectedAISystem) -> None:
        newest.take_branch(name, system)
        require_unchanged(newest)

    save_in_place(system, folder, again)
    return GrownBranch(spec, fit, checks, remarks)


@checked
def remove_branch(
    system: InterconnectedAISystem, folder: Path, name: str
) -> tuple[InterconnectedAISystem, list[BranchCheck]]:
    """Take a branch out of a system and of the folder that it came from; what was saved, and the checks of the others.

    Raises `UnknownNameError`, and `IntegrityError` where another branch would answer otherwise; nothing is saved then.
    """

    def remove_from(newest: InterconnectedAISystem) -> list[BranchCheck]:
        newest.remove_branch(name)
        return require_unchanged(newest)

    checks = remove_from(system)
    return save_in_place(system, folder, remove_from), checks


@checked
def save_in_place(
    system: InterconnectedAISystem, folder: Path, again: Callable[[InterconnectedAISystem], object]
) -> InterconnectedAISystem:
    """Save a changed system where it came from, with its encoder where that stands there. again: see `save_change`."""
    return save_change(system, folder, again, include_encoder=(folder / "encoder").is_dir())


@checked
def is_changed(check: BranchCheck) -> bool:
    """Whether a branch answers otherwise, which is more than what machines and libraries round differently."""
    return not check.identical and (check.same_machine or check.max_abs_diff > _ROUNDING)


@checked
def require_unchanged(system: InterconnectedAISystem) -> list[BranchCheck]:
    """Every branch's check. Raises `IntegrityError` for one that fails: it is our own promise, before anything is written."""
    checks = system.verify()
    for check in checks:
        if is_changed(check):
            raise IntegrityError(
                f"branch {check.branch!r} no longer gives its stored outputs (max |Δ| = {check.max_abs_diff:g}); "
                "nothing was saved. Look with: iai branch verify"
            )
    return checks


def _foreign_texts(run: Path) -> tuple[list[str], tuple[str, ...]]:
    """Validation texts of the run's first branches: what the new branch should call unknown. None without their data."""
    if not (run / "run.yaml").is_file():
        return [], ()
    try:
        texts = splits_of_finished_run(run, RunConfig.from_file(run / "run.yaml")).validation.texts
    except DataError as error:
        return [], (f"The threshold for unknown text is fitted on the branch's own rows alone: {error}",)
    return texts[:: max(1, len(texts) // _MOST_FOREIGN_TEXTS)], ()


def _encode_of(run: Path | None, system: InterconnectedAISystem, tell: Tell) -> "Callable[[Sequence[str]], Tensor]":
    """How texts get their vectors: those that the run's training encoded come from its feature cache."""
    cache = None
    if run is not None and (run / "run.yaml").is_file():
        place = Path(RunConfig.from_file(run / "run.yaml").training.feature_cache or run / "features")
        cache = FeatureCache(place, system) if place.is_dir() else None

    def encode(texts: Sequence[str]) -> "Tensor":
        def progress(done: int, total: int) -> None:
            tell("encoding", done, total)

        tell("encoding", 0, len(texts))
        return system.encode(texts, progress=progress) if cache is None else cache.pooled(texts, progress=progress)

    return encode
