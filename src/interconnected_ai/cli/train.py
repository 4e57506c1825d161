"""`iai train CONFIG`, `iai train TABLE…`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.cli.from_tables import Start, as_begun, is_config, refuse_columns, require_one, start_of
from interconnected_ai.cli.interruption import naming_what_goes_on
from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import OutputPath, Source
from interconnected_ai.cli.settings import OF_A_TRAINING, config_with, seed_option, set_option
from interconnected_ai.config import RunConfig
from interconnected_ai.errors import ConfigError

if TYPE_CHECKING:
    from interconnected_ai.branches import Encoder
    from interconnected_ai.data import Splits
    from interconnected_ai.training import RunResult


@click.command("train")
@click.argument("targets", nargs=-1, required=True, type=Source(), metavar="CONFIG|TABLE...")
@click.option("--text", help="Of tables: column of the texts.  [default: told from names and contents]")
@click.option(
    "--label", "labels", multiple=True, help="Of tables: column of the labels; of one table several, a branch each."
)
@click.option(
    "--output", "folder", type=OutputPath(may_stand=True), metavar="RUN",
    help="The run's folder.  [default: the config's; of tables runs/NAME]",
)  # fmt: skip
@seed_option(OF_A_TRAINING)
@set_option
@click.option("--resume", is_flag=True, help="Go on with an interrupted run from its last checkpoint.")
@click.option("--new-rows", is_flag=True, help="With --resume: the data may hold new rows beside those it began with.")
@click.option("--overwrite", is_flag=True, help="Drop what an earlier run left in the output folder.")
@click.option("--force", is_flag=True, help="Train although the checklist says that it will end with an error.")
@click.option(
    "--no-baseline", is_flag=True, help="Do not measure counted words with a linear classifier beside the result."
)
@with_output
def command(
    targets: tuple[str, ...],
    text: str | None,
    labels: tuple[str, ...],
    folder: Path | None,
    seed: int | None,
    assignments: tuple[str, ...],
    resume: bool,
    new_rows: bool,
    overwrite: bool,
    force: bool,
    no_baseline: bool,
    output: Output,
) -> None:
    """Train the system that CONFIG (YAML or JSON) describes, and write it to the config's output folder.

    Without a config: TABLE is a file of rows, a folder of files or a dataset, and several are a branch each. Columns, encoder
    and settings are those that `iai init` would write; they are told, and kept in the run.

    Paths in the config are relative to its folder, the output folder to the current one. `accelerate launch -m
    interconnected_ai.cli train CONFIG` runs it on several processes. The checklist of `iai doctor CONFIG` comes first: what
    will surely fail stops it, warnings do not.
    """
    given: dict[str, Any] = {} if folder is None else {"output": str(folder)}
    given |= {} if seed is None else {"training": {"seed": seed}}
    start: Start | None = None
    if any(map(is_config, targets)):
        refuse_columns(text, labels)
        config = Path(require_one(targets, "arguments"))
        settings = with_absolute_paths(config_with(RunConfig, config, assignments, given), config.parent)
    else:
        start = start_of(targets, text=text, labels=labels, changes=given, assignments=assignments)
        settings = as_begun(start.config) if resume else start.config
    from dataclasses import asdict

    from interconnected_ai.training import (
        data_files,
        finished_results,
        process_rank,
        refuse_taken_folder,
        splits_of_run,
        train_run,
    )

    if process_rank() != 0:
        output.mute()
    if new_rows and not resume:
        raise click.UsageError("--new-rows says what a resumed run may find; give --resume with it")
    loaded: dict[str, Any] = {}
    if process_rank() == 0:
        refuse_taken_folder(Path(settings.output), resume=resume, overwrite=overwrite, data=data_files(settings))
    if start is not None:
        output.note(*(f"{tables.path}: {columns}" for tables, columns in start.tables))
    if process_rank() == 0 or start is not None:  # what is advised, all processes must take
        splits = splits_of_run(settings, resume=resume, new_rows=new_rows)
        loaded = {"splits": splits}
        if not (resume and finished_results(settings, splits)):
            settings, encoder = _checked(settings, splits, force, output, start, resume=resume)
            loaded["encoder"] = encoder
    with naming_what_goes_on():
        result = train_run(
            settings, resume=resume, overwrite=overwrite, new_rows=new_rows, baseline=not no_baseline, **loaded
        )
    if process_rank() != 0:
        return
    if result.was_finished:
        output.say(
            f"{result.folder} was finished already; nothing was trained or written. --overwrite trains it anew, and "
            "--resume --new-rows goes on once rows have been added."
        )
    _show_test(result, output)
    output.say(
        f"{result.fit.steps} steps in {result.fit.train_seconds:.1f} s on {result.fit.device} in {result.fit.precision}, "
        f"best epoch {result.fit.best_epoch}",
        f'Model: {result.folder / "model"}. Try: iai predict {shlex.quote(str(result.folder))} "a text"',
    )
    output.result(
        {
            "run": str(result.folder),
            "was_finished": result.was_finished,
            "fit": asdict(result.fit),
            "test": {name: asdict(m) for name, m in result.test.items()},
            "baseline": {name: asdict(found) for name, found in result.baseline.items()},
        }
    )


def _show_test(result: "RunResult", output: Output) -> None:
    """The figures on the test rows, the baseline's beside them, and which branches do not reach it."""
    columns = ["branch", "rows", "accuracy %", "macro-F1 %", "calibration error %"]
    rows = [
        (name, m.num_rows, percent(m.accuracy), percent(m.macro_f1), percent(m.calibration_error))
        for name, m in result.test.items()
    ]
    if not rows:
        return
    if not result.baseline:
        output.table("Test rows", columns, rows)
        return
    beside = [
        (percent(b.accuracy), percent(b.macro_f1)) if b else ("–", "–")
        for b in (result.baseline.get(name) for name in result.test)
    ]
    kind, *_ = [found.name for found in result.baseline.values()]
    output.table(
        "Test rows",
        [*columns, "baseline accuracy %", "baseline macro-F1 %"],
        [(*row, *more) for row, more in zip(rows, beside, strict=True)],
    )
    seconds = sum(found.seconds for found in result.baseline.values())
    output.say(f"Baseline: {kind} (scikit-learn) on the same rows, {seconds:.1f} s")
    below = [name for name, found in result.baseline.items() if result.test[name].accuracy < found.accuracy]
    if below:
        output.say(
            f"Below the baseline's accuracy: {', '.join(below)}. What ails them: iai doctor {shlex.quote(str(result.folder))}"
        )


def _checked(
    settings: RunConfig, splits: "Splits", force: bool, output: Output, start: Start | None, *, resume: bool
) -> tuple[RunConfig, "Encoder"]:
    """Go through the checklist and tell what is not ok; returns the config with its encoder named, and the encoder.

    start: what tables alone gave; where it is not resumed, what the checklist advises is set. Raises `ConfigError` with what
    will surely fail.
    """
    from interconnected_ai.branches import Encoder
    from interconnected_ai.data import Remark
    from interconnected_ai.doctor import checklist
    from interconnected_ai.training import encoder_of_run, with_encoder

    choice = encoder_of_run(settings, splits, resume=resume)
    settings = with_encoder(settings, choice)
    output.note(f"Encoder: {choice}")
    encoder = Encoder.load(settings.system.base_model_name, max_seq_len=settings.system.max_seq_len)
    checks = [c for c in checklist(settings, splits=splits, encoder=encoder) if c.name != "output folder free"]
    found = [check for check in checks if check.state != "ok"]
    output.note(f"Checklist: {len(checks) - len(found)} of {len(checks)} ok. All of it: iai doctor CONFIG")
    if start is not None and not resume:
        settings, changes, found = start.advised(settings, found)
        output.note(*(f"  set: {change.words}" for change in changes))
    output.say(*(f"  {check.state}: {check.name}: {check.evidence}. {check.remedy}" for check in found))
    output.warn((Remark(check.name, check.evidence, check.remedy) for check in found), show=False)
    failing = [f"{check.name}: {check.evidence}. {check.remedy}" for check in found if check.state == "fails"]
    if failing and not force:
        raise ConfigError("this run would fail; --force starts it all the same\n" + "\n".join(failing))
    return settings, encoder


def with_absolute_paths(settings: RunConfig, folder: Path) -> RunConfig:
    """The config with paths of data and encoder that do not depend on where it is read from: it is kept in the run's folder."""
    content = settings.to_dict()
    encoder = content["system"]["base_model_name"]
    if encoder is not None and (inside := folder / Path(encoder).expanduser()).is_dir():
        content["system"]["base_model_name"] = str(inside.resolve())
    sources = [content["data"]["table"]] if content["data"]["table"] else content["data"]["branches"]
    for source in sources:
        for key in ("path", "validation", "test"):
            path = source[key]
            if path is not None and not path.startswith("hf:"):
                source[key] = str((folder / path).resolve())
    return RunConfig.from_mapping(content)
