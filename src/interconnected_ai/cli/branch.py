"""`iai branch add|list|verify|remove|export|import`."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interconnected_ai.cli.completion import BranchName, RunPath
from interconnected_ai.cli.confirmation import confirm
from interconnected_ai.cli.failures import FOUND
from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import OutputPath, Source, asked_to_replace, overwrite_option
from interconnected_ai.cli.rows import column_options, model_folder, warn_of_rows
from interconnected_ai.cli.settings import seed_option
from interconnected_ai.config import BranchCard, BranchSpec, RunConfig, TrainingConfig, Watch
from interconnected_ai.errors import DataError, IntegrityError, NotAModelError
from interconnected_ai.progress import Progress
from interconnected_ai.storage import SYSTEM, read_folder, read_json

if TYPE_CHECKING:
    from torch import Tensor

    from interconnected_ai.branches import BranchCheck, InterconnectedAISystem

# A threshold needs no more of them, and each must be encoded.
_MOST_FOREIGN_TEXTS = 200

run_argument = click.argument("run", type=RunPath())


@click.group("branch")
def command() -> None:
    """Add, list, verify, remove, export and import branches of a trained run. The other branches never change by one bit."""


@command.command("add")
@run_argument
@click.argument("name")
@click.option("--data", "path", required=True, type=Source(), metavar="FILE", help="The branch's labelled rows.")
@click.option("--validation", type=Source(), metavar="FILE", help="Validation rows; default: a tenth of the rows.")
@click.option("--epochs", default=20, show_default=True, type=click.IntRange(min=1))
@click.option("--patience", default=5, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--watch",
    default="accuracy",
    show_default=True,
    type=click.Choice(["accuracy", "macro_f1", "loss"]),
    help="What of the validation rows decides which epoch is kept.",
)
@seed_option("Of weights, batches and dropout, and of the rows that are held out.", default=0)
@column_options
@with_output
def add(
    run: Path,
    name: str,
    path: str,
    validation: str | None,
    epochs: int,
    patience: int,
    watch: Watch,
    seed: int,
    text: str,
    label: str,
    output: Output,
) -> None:
    """Train branch NAME on the finished trunk of RUN and save it there, beside what others may have saved meanwhile."""
    BranchSpec.from_mapping({"name": name, "num_classes": 2}, source="branch")  # refuses an unsafe name before any work
    from interconnected_ai.branches import fit_branch
    from interconnected_ai.data import Rows, Splits, read_rows, split_rows

    system = _open(run)
    rows = read_rows(path, text, {name: label})
    apart = None if validation is None else read_rows(validation, text, {name: label})
    warn_of_rows(output, system, rows if apart is None else Rows.joined([rows, apart]))
    held_out, train = split_rows(rows, [0.1], seed=seed) if apart is None else (apart, rows)
    spec = Splits(train, held_out, Rows.of_branch(name, [], [])).specs()[0]
    system.add_branch(spec)
    settings = TrainingConfig(epochs=epochs, patience=patience, watch=watch, seed=seed)
    fit = fit_branch(
        system,
        name,
        *train.of(name),
        validation=held_out.of(name),
        outside=_foreign_texts(run),
        config=settings,
        encode=_encode_of(run, system),
    )
    checks = _unchanged(system, leave_out=name)

    def add_to(newest: "InterconnectedAISystem") -> None:
        newest.take_branch(name, system)
        _unchanged(newest)

    _save(system, run, add_to)
    output.say(
        f"Branch {name!r}: {spec.num_classes} classes, {fit.card.num_rows} rows, validation accuracy "
        f"{percent(fit.validation_accuracy)} %, encoded in {fit.encode_seconds:.1f} s, trained in {fit.train_seconds:.1f} s.",
        f"The outputs of the other {len(checks)} branches are what they were: max |Δ| = {_largest(checks):g}.",
    )
    output.result(
        {
            "branch": name,
            "num_classes": spec.num_classes,
            "num_rows": fit.card.num_rows,
            "validation_accuracy": fit.validation_accuracy,
            "encode_seconds": fit.encode_seconds,
            "train_seconds": fit.train_seconds,
            "old_outputs_max_abs_diff": _largest(checks),
        }
    )


@command.command("list")
@run_argument
@with_output
def list_branches(run: Path, output: Output) -> None:
    """The branches of RUN: classes, rows, how they were trained, calibration. Reads what the folder says of itself alone."""
    cards = _cards(run)
    output.table(
        f"{run}",
        [
            "branch",
            "classes",
            "rows",
            "trained",
            "validation accuracy %",
            "temperature",
            "unknown below",
            "calibrated on",
        ],
        [
            (
                c.name,
                c.spec.num_classes,
                c.num_rows,
                c.trained or "no",
                percent(c.metrics["accuracy"]) if "accuracy" in c.metrics else "–",
                f"{c.temperature:.3f}",
                f"{c.threshold:.3f}",
                _calibrated_on(c),
            )
            for c in cards
        ],
    )
    output.result({"branches": [card.to_dict() for card in cards]})


def _calibrated_on(card: BranchCard) -> str:
    """How many rows temperature and threshold stand on."""
    if card.calibration_rows is None:
        return "not known"
    return f"{card.calibration_rows} rows, {card.outside_rows or 0} foreign"


@command.command("verify")
@run_argument
@with_output
def verify(run: Path, output: Output) -> None:
    """Compute every branch's outputs on the stored probe texts again; exit code 1 when one differs on the same machine."""
    system = _open(run)
    checks = system.verify()
    output.table(
        f"{run}",
        ["branch", "bit-identical", "max |Δ|", "same machine and libraries"],
        [(c.branch, c.identical, f"{c.max_abs_diff:g}", c.same_machine) for c in checks],
    )
    changed = [c for c in checks if not c.identical and (c.same_machine or c.max_abs_diff > 1e-3)]
    if any(not c.same_machine for c in checks):
        output.say(
            "Fingerprints were taken elsewhere: other libraries or processors round differently in the last bits."
        )
    output.result({"branches": [asdict(c) for c in checks], "unchanged": not changed})
    if changed:
        raise click.exceptions.Exit(FOUND)


@command.command("remove")
@run_argument
@click.argument("name", type=BranchName())
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_output
def remove(run: Path, name: str, yes: bool, output: Output) -> None:
    """Take branch NAME out of RUN. Its weights are gone afterwards."""
    system = _open(run)
    name = system.branch_name(name)
    confirm(f"Remove branch {name!r} of {run} for good?", yes=yes)
    system.remove_branch(name)
    checks = _unchanged(system)

    def remove_from(newest: "InterconnectedAISystem") -> None:
        newest.remove_branch(name)
        _unchanged(newest)

    saved = _save(system, run, remove_from)
    output.say(f"Removed {name!r}; the other {len(checks)} branches are unchanged.")
    output.result({"removed": name, "branches": saved.branch_names, "old_outputs_max_abs_diff": _largest(checks)})


@command.command("export")
@run_argument
@click.argument("name")
@click.option("--out", required=True, type=OutputPath(".safetensors"), help="The file to write, NAME.safetensors.")
@overwrite_option
@with_output
def export(run: Path, name: str, out: Path, output: Output) -> None:
    """Write branch NAME of RUN into one file, for systems with the same encoder and trunk."""
    from interconnected_ai.branches import export_branch

    system = _open(run)
    name = system.branch_name(name)
    export_branch(system, name, out, overwrite=asked_to_replace())
    output.say(
        f"Written: {out}. Bring it into another copy of this system with: iai branch import RUN {shlex.quote(str(out))}"
    )
    output.result({"branch": name, "out": str(out), "bytes": out.stat().st_size, "card": system.cards[name].to_dict()})


@command.command("import")
@run_argument
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Another name than the branch has in the file.")
@overwrite_option
@with_output
def import_(run: Path, file: Path, name: str | None, output: Output) -> None:
    """Add the branch in FILE, which `branch export` wrote, to RUN. Encoder and trunk must be the ones it was trained on.

    A name that is taken needs --name, or --overwrite to replace that branch.
    """
    from interconnected_ai.branches import import_branch

    system = _open(run)

    def bring_in(newest: "InterconnectedAISystem") -> str:
        card = import_branch(newest, file, name=name, overwrite=asked_to_replace())
        return card.name

    added = bring_in(system)
    checks = _unchanged(system)

    def again(newest: "InterconnectedAISystem") -> None:
        bring_in(newest)
        _unchanged(newest)

    saved = _save(system, run, again)
    own = [check for check in checks if check.branch == added]
    others = [check for check in checks if check.branch != added]
    proved = "its outputs are those of the fingerprint" if own else "it has no fingerprint: it was never trained"
    output.say(
        f"Branch {added!r}: {proved}. The outputs of the other {len(others)} branches are what they were: "
        f"max |Δ| = {_largest(others):g}."
    )
    output.result(
        {
            "branch": added,
            "identical": all(check.identical for check in own) if own else None,
            "branches": saved.branch_names,
            "old_outputs_max_abs_diff": _largest(others),
        }
    )


def _foreign_texts(run: Path) -> list[str]:
    """Validation texts of the run's first branches: what the new branch should call unknown. None without their data."""
    from interconnected_ai.training import splits_of_finished_run

    if not (run / "run.yaml").is_file():
        return []
    try:
        texts = splits_of_finished_run(run, RunConfig.from_file(run / "run.yaml")).validation.texts
        return texts[:: max(1, len(texts) // _MOST_FOREIGN_TEXTS)]
    except DataError as error:
        click.echo(f"The threshold for unknown text is fitted on the branch's own rows alone: {error}", err=True)
        return []


def _encode_of(run: Path, system: "InterconnectedAISystem") -> "Callable[[Sequence[str]], Tensor]":
    """How texts get their vectors, with progress told: those that the run's training encoded come from its feature cache."""
    from interconnected_ai.training import FeatureCache

    kept, cache = run / "run.yaml", None
    if not system.encoder.has_lora and kept.is_file():
        folder = Path(RunConfig.from_file(kept).training.feature_cache or run / "features")
        cache = FeatureCache(folder, system) if folder.is_dir() else None

    def encode(texts: Sequence[str]) -> "Tensor":
        with Progress(len(texts), 0, "encoding") as bar:

            def tell(done: int, total: int) -> None:
                bar.advance(done, total=total)

            return system.encode(texts, progress=tell) if cache is None else cache.pooled(texts, progress=tell)

    return encode


def _open(run: Path) -> "InterconnectedAISystem":
    from interconnected_ai.branches import InterconnectedAISystem

    return InterconnectedAISystem.from_pretrained(_folder(run))


def _cards(run: Path) -> list[BranchCard]:
    """What the saved system keeps of each branch, without its weights and its encoder."""

    def read(place: Path) -> list[BranchCard]:
        path = place / "config.json"
        return [BranchCard.from_mapping(card, source=str(path)) for card in read_json(path).get("branches", [])]

    return read_folder(_folder(run), read, kind=SYSTEM)


def _folder(run: Path) -> Path:
    if not run.is_dir():
        raise NotAModelError(f"no folder at {run}; branches stand in a run or model folder on this machine")
    return model_folder(run)


def _save(
    system: "InterconnectedAISystem", run: Path, again: "Callable[[InterconnectedAISystem], None]"
) -> "InterconnectedAISystem":
    """again: the change once more, on what somebody else has saved in the run meanwhile."""
    from interconnected_ai.branches import save_change

    folder = model_folder(run)
    return save_change(system, folder, again, include_encoder=(folder / "encoder").is_dir())


def _unchanged(system: "InterconnectedAISystem", leave_out: str | None = None) -> "list[BranchCheck]":
    """Every other branch's check; our own promise, so that one that fails ends the command before anything is written."""
    checks = [check for check in system.verify() if check.branch != leave_out]
    for check in checks:
        if not check.identical and (check.same_machine or check.max_abs_diff > 1e-3):
            raise IntegrityError(
                f"branch {check.branch!r} no longer gives its stored outputs (max |Δ| = {check.max_abs_diff:g}); "
                "nothing was saved. Look with: iai branch verify"
            )
    return checks


def _largest(checks: "list[BranchCheck]") -> float:
    return max((check.max_abs_diff for check in checks), default=0.0)
