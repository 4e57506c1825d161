"""`iai branch add|list|verify|remove|export|import`."""

import shlex
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from interconnected_ai.cli.completion import BranchName, RunPath
from interconnected_ai.cli.confirmation import confirm
from interconnected_ai.cli.failures import FOUND
from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import OutputPath, Source, asked_to_replace, overwrite_option
from interconnected_ai.cli.rows import column_options, model_folder, warn_of_rows
from interconnected_ai.cli.settings import seed_option
from interconnected_ai.config import BranchCard, BranchSpec, TrainingConfig, Watch
from interconnected_ai.errors import NotAModelError
from interconnected_ai.progress import Progress
from interconnected_ai.storage import SYSTEM, read_folder, read_json

if TYPE_CHECKING:
    from interconnected_ai.branches import BranchCheck, InterconnectedAISystem

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
    from interconnected_ai.data import Rows, read_rows
    from interconnected_ai.training import add_branch

    system = _open(run)
    rows = read_rows(path, text, {name: label})
    apart = None if validation is None else read_rows(validation, text, {name: label})
    warn_of_rows(output, system, rows if apart is None else Rows.joined([rows, apart]))
    settings = TrainingConfig(epochs=epochs, patience=patience, watch=watch, seed=seed)
    with _Telling() as telling:
        grown = add_branch(
            system, model_folder(run), name, rows, run=run, held_out=apart, config=settings, tell=telling.tell
        )
    for remark in grown.remarks:
        click.echo(remark, err=True)
    spec, fit, checks = grown.spec, grown.fit, grown.checks
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
    from interconnected_ai.training import is_changed

    system = _open(run)
    checks = system.verify()
    output.table(
        f"{run}",
        ["branch", "bit-identical", "max |Δ|", "same machine and libraries"],
        [(c.branch, c.identical, f"{c.max_abs_diff:g}", c.same_machine) for c in checks],
    )
    changed = [check for check in checks if is_changed(check)]
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
    from interconnected_ai.training import remove_branch

    saved, checks = remove_branch(system, model_folder(run), name)
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
    from interconnected_ai.training import require_unchanged, save_in_place

    system = _open(run)

    def bring_in(newest: "InterconnectedAISystem") -> str:
        card = import_branch(newest, file, name=name, overwrite=asked_to_replace())
        return card.name

    added = bring_in(system)
    checks = require_unchanged(system)

    def again(newest: "InterconnectedAISystem") -> None:
        bring_in(newest)
        require_unchanged(newest)

    saved = save_in_place(system, model_folder(run), again)
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


class _Telling:
    """Shows how far an encoding is; what follows it is short."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._bar: Progress | None = None

    def tell(self, doing: str, done: int, total: int) -> None:
        """See `training.add_branch`."""
        if doing != "encoding" or not done:
            self._open.close()
            self._bar = self._open.enter_context(Progress(total, 0, doing)) if doing == "encoding" else None
        elif self._bar is not None:
            self._bar.advance(done, total=total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


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


def _largest(checks: "Iterable[BranchCheck]") -> float:
    return max((check.max_abs_diff for check in checks), default=0.0)
