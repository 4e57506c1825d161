"""`iai doctor CONFIG` before a run, `iai doctor RUN` during or after it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.cli.expert.adapt import config_in
from interconnected_ai.cli.failures import FOUND
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, asked_to_replace, overwrite_option
from interconnected_ai.cli.settings import config_with, set_option
from interconnected_ai.cli.train import with_absolute_paths
from interconnected_ai.config import AdapterRunConfig, RunConfig, settings_in

if TYPE_CHECKING:
    from interconnected_ai.doctor import Advice, Check, Diagnosis

_OF_AN_ADAPTER = frozenset({"base", "adapter", "chats", "preferences"})


@click.command("doctor")
@click.argument("target", metavar="CONFIG|RUN", type=click.Path(path_type=Path))
@click.option(
    "--fix", is_flag=True, help="Write the config with the settings that help, beside the one that was looked at."
)
@click.option(
    "--output", "file", type=OutputPath(may_lie_inside=(".yaml", ".yml")), metavar="FILE.yaml",
    help="With --fix: the file to write.  [default: beside the one that was looked at, its name with -fixed]",
)  # fmt: skip
@overwrite_option
@set_option
@with_output
def command(target: Path, fix: bool, file: Path | None, assignments: tuple[str, ...], output: Output) -> None:
    """What is wrong with a run: before it (CONFIG, a YAML or JSON file), or during and after it (RUN, its folder).

    Before: the document's checklist of seven, and what else makes runs fail; the rows are read and the encoder is loaded.
    Of a config of iai expert adapt: base, rows, their lengths, and whether there is an answer to learn.
    After: the illnesses that the logged figures show, each with its evidence, what the document advises, and what helps.
    RUN may be a language model's adapter or its training (iai expert adapt), too.

    Exit code 0: nothing was found; 1: something was; 2: there was nothing to look at.
    """
    if file is not None and not fix:
        raise click.UsageError("--output names the file that --fix writes; add --fix")
    if assignments and not _is_config(target):
        raise click.UsageError(f"--set changes a setting of a config, and {target} is a run; name a config")
    healthy = (
        _before(target, fix, file, assignments, output) if _is_config(target) else _after(target, fix, file, output)
    )
    if not healthy:
        raise click.exceptions.Exit(FOUND)


def _is_config(target: Path) -> bool:
    return target.is_file() or (not target.is_dir() and target.suffix in (".yaml", ".yml", ".json"))


def _is_of_an_adapter(path: Path) -> bool:
    """Whether the file is for `iai expert adapt`."""
    settings = settings_in(path)
    if not isinstance(settings, Mapping) or "data" in settings:
        return False
    return not _OF_AN_ADAPTER.isdisjoint(settings) or ("text" in settings and "model" not in settings)


def _before(path: Path, fix: bool, file: Path | None, assignments: Sequence[str], output: Output) -> bool:
    config: RunConfig | AdapterRunConfig
    if _is_of_an_adapter(path):
        config = config_in(path, assignments)
        from interconnected_ai.doctor import adapter_checklist

        checks = adapter_checklist(config)
    else:
        config = with_absolute_paths(config_with(RunConfig, path, assignments), path.parent)
        from interconnected_ai.doctor import checklist

        checks = checklist(config)
    _show_checks(checks, output)
    found = [check for check in checks if check.state != "ok"]
    fixed = _fix(config, found, file or path.with_name(f"{path.stem}-fixed.yaml"), None, output) if fix else None
    output.result({"config": str(path), "healthy": not found, "checks": [asdict(c) for c in checks], "fixed": fixed})
    return not found


def _after(folder: Path, fix: bool, file: Path | None, output: Output) -> bool:
    from interconnected_ai.doctor import diagnose
    from interconnected_ai.training import adapter_run_folder

    diagnosis = diagnose(folder)
    _show_diagnosis(diagnosis, output)
    fixed = None
    if fix:
        of_adapter = adapter_run_folder(folder)
        run = of_adapter or folder
        config = (RunConfig if of_adapter is None else AdapterRunConfig).from_file(run / "run.yaml")
        place = file or run / "run-fixed.yaml"
        fixed = _fix(config, diagnosis.illnesses, place, _next_to(Path(config.output)), output)
    output.result(
        {
            "run": str(folder),
            "state": diagnosis.state,
            "healthy": diagnosis.is_healthy,
            "illnesses": [asdict(illness) for illness in diagnosis.illnesses],
            "unjudged": diagnosis.unjudged,
            "fixed": fixed,
        }
    )
    return diagnosis.is_healthy


def _show_checks(checks: "Sequence[Check]", output: Output) -> None:
    output.table("Before the run", ["state", "check", "evidence"], [(c.state, c.name, c.evidence) for c in checks])
    output.say(*(f"{check.name}: {check.remedy}" for check in checks if check.state != "ok"))


def _show_diagnosis(diagnosis: "Diagnosis", output: Output) -> None:
    output.say(f"{diagnosis.run}: {diagnosis.state}")
    for illness in diagnosis.illnesses:
        output.say("", illness.name, f"  evidence   {illness.evidence}")
        if illness.document_remedy is not None:
            output.say(f"  document   {illness.document_remedy}")
        output.say(f"  remedy     {illness.remedy}")
    if diagnosis.is_healthy:
        output.say("Nothing was found.")
    output.say(*(f"Not looked at: {item}" for item in diagnosis.unjudged))


def _fix(
    config: RunConfig | AdapterRunConfig, found: "Sequence[Advice]", file: Path, run: str | None, output: Output
) -> dict[str, Any] | None:
    """Write the changed config and say what changed; None where no setting helps."""
    from interconnected_ai.doctor import fixed_config, write_fixed

    fixed: RunConfig | AdapterRunConfig
    if isinstance(config, RunConfig):
        fixed, changes = fixed_config(config, found, output=run)
    else:
        fixed, changes = fixed_config(config, found, output=run)
    if not changes:
        output.say("", "No setting to change; no file was written.")
        return None
    write_fixed(file, fixed, changes, overwrite=asked_to_replace())
    output.say("", *(change.words for change in changes), f"Wrote {file}. Next: {_verb(config)} {file}")
    return {"file": str(file), "changes": [asdict(change) for change in changes]}


def _verb(config: RunConfig | AdapterRunConfig) -> str:
    """The command that runs a config."""
    return "iai train" if isinstance(config, RunConfig) else "iai expert adapt --config"


def _next_to(folder: Path) -> str:
    """A folder for the new run that is not taken: runs/a → runs/a-fixed, runs/a-fixed-2, …"""
    names = [f"{folder.name}-fixed", *(f"{folder.name}-fixed-{number}" for number in range(2, 1000))]
    return str(next(place for name in names if not (place := folder.with_name(name)).exists()))
