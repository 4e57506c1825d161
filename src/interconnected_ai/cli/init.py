"""`iai init TABLE…`."""

import os
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai import __version__
from interconnected_ai.cli.commented import commented_yaml, sample_line
from interconnected_ai.cli.from_tables import Start, start_of
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, Source, overwrite_option
from interconnected_ai.cli.settings import OF_A_TRAINING, seed_option, set_option
from interconnected_ai.config import RunConfig
from interconnected_ai.storage import atomic_file

if TYPE_CHECKING:
    from interconnected_ai.data import Splits
    from interconnected_ai.doctor import Check

SUFFIXES = (".yaml", ".yml")
_MOST_CLASSES_SHOWN = 12


@click.command("init")
@click.argument("tables", nargs=-1, required=True, type=Source(), metavar="TABLE...")
@click.option("--text", help="Column of the texts.  [default: told from names and contents]")
@click.option("--label", "labels", multiple=True, help="Column of the labels; of one table several, a branch each.")
@click.option(
    "--output", "file", type=OutputPath(*SUFFIXES, may_lie_inside=SUFFIXES), default=Path("iai.yaml"), show_default=True,
    metavar="FILE.yaml",
    help="The config to write.",
)  # fmt: skip
@overwrite_option
@seed_option(OF_A_TRAINING)
@set_option
@with_output
def command(
    tables: tuple[str, ...],
    text: str | None,
    labels: tuple[str, ...],
    file: Path,
    seed: int | None,
    assignments: tuple[str, ...],
    output: Output,
) -> None:
    """Write a commented config for the rows in TABLE: a file, a folder of files, or a dataset; several are a branch each.

    Columns, language, encoder, classes and warnings are shown; `iai train` with the config trains. Of files in one folder
    NAME_train, NAME_validation and NAME_test are one branch.
    """
    changes = {} if seed is None else {"training": {"seed": seed}}
    found = _look(start_of(tables, text=text, labels=labels, changes=changes, assignments=assignments))
    _show(found, output)
    with atomic_file(file) as scratch:
        scratch.write_text(_written(found, file, tables), encoding="utf-8")
    command_line = f"iai train {shlex.quote(str(file))}"
    output.say(f"Wrote {file}. Next: {command_line}")
    output.result(
        {
            "config": str(file),
            "run": found.config.output,
            "encoder": {"name": found.config.system.base_model_name, "reason": found.encoder_reason},
            "branches": [_record(found, name) for name in found.splits.train.branch_names],
            "changes": found.reasons,
            "next": command_line,
        }
    )


@dataclass(frozen=True)
class _Found:
    """What the tables are: a config with whole paths, their rows, and what the checklist says of them.

    reasons: setting → why it is no default.
    """

    start: Start
    config: RunConfig
    splits: "Splits"
    checks: "list[Check]"
    encoder_reason: str
    reasons: Mapping[str, str]

    def classes(self, branch: str) -> Counter[str]:
        """The rows of each class, all sides together, the largest first."""
        sides = (self.splits.train, self.splits.validation, self.splits.test)
        return Counter(label for side in sides if branch in side.labels for label in side.of(branch)[1])


def _look(start: Start) -> _Found:
    """Read the rows, choose the encoder, go through the checklist, and set what it advises."""
    from interconnected_ai.branches import EMBEDDED_ENCODER
    from interconnected_ai.data import load_splits
    from interconnected_ai.doctor import checklist
    from interconnected_ai.training import encoder_of_run, with_encoder

    splits = load_splits(start.config.data)
    choice = encoder_of_run(start.config, splits)
    config = with_encoder(start.config, replace(choice, base_model_name=choice.base_model_name or EMBEDDED_ENCODER))
    found = [check for check in checklist(config, splits=splits) if check.state != "ok"]
    config, changes, left = start.advised(config, found)
    evidence = {check.name: check.evidence for check in found}
    reasons = {change.setting: f"not {change.before}: {evidence[change.reason]}" for change in changes}
    return _Found(start, config, splits, left, choice.reason, reasons)


def _show(found: _Found, output: Output) -> None:
    """Tables for people: columns with their reasons and a row, classes; then what the checklist found."""
    from interconnected_ai.data import Remark

    for tables, columns in found.start.tables:
        output.say(f"{tables.path}: {columns}")
        if columns.example is not None:
            output.say(f"  {sample_line(*columns.example)}")
        output.say(*(f"  {side}: {path}" for side, path in _held_out(tables.validation, tables.test)))
    for branch in found.splits.train.branch_names:
        classes = found.classes(branch)
        output.say(f"Branch {branch}: {classes.total()} rows, {len(classes)} classes: {_shares(classes)}")
    output.say(f"Encoder: {found.config.system.base_model_name} ({found.encoder_reason})")
    output.say(*(f"Set {setting}: {reason}" for setting, reason in found.reasons.items()))
    output.warn(Remark(check.name, check.evidence, check.remedy) for check in found.checks)


def _held_out(validation: str | None, test: str | None) -> list[tuple[str, str]]:
    return [(side, path) for side, path in (("validation rows", validation), ("test rows", test)) if path is not None]


def _shares(classes: Counter[str]) -> str:
    shown = ", ".join(f"{label} {count}" for label, count in classes.most_common(_MOST_CLASSES_SHOWN))
    more = len(classes) - _MOST_CLASSES_SHOWN
    return shown if more <= 0 else f"{shown} and {more} more, the smallest {min(classes.values())}"


def _written(found: _Found, file: Path, tables: Sequence[str]) -> str:
    """The file's text, with data paths relative to its folder."""
    config = _relative(found.config, file.resolve().parent)
    reasons = {"output": "the run's folder, relative to the one that the command runs in", **found.reasons}
    reasons["system.base_model_name"] = found.encoder_reason
    sources: dict[str, list[str]] = {}
    for branch in found.splits.train.branch_names:
        classes = found.classes(branch)
        sources[branch] = [f"{classes.total()} rows, {len(classes)} classes: {_shares(classes)}"]
    for each, columns in found.start.tables:
        branch = each.name if each.name in sources else next(iter(sources))
        reasons |= {f"{branch}.path": "relative to this file"} if not each.path.startswith("hf:") else {}
        reasons |= {f"{branch}.text": columns.text_reason, f"{branch}.label": columns.label_reason}
        if columns.example is not None:
            sources[branch].append(sample_line(*columns.example))
    head = [
        f"Written by: iai init {' '.join(map(shlex.quote, tables))} (version {__version__})",
        f"Look through it, then: iai train {shlex.quote(str(file))}",
        "A setting behind a # has the default that is shown; take the # away to change it. All of them: docs/train.md",
    ]
    return commented_yaml(config, head=head, reasons=reasons, sources=sources)


def _relative(config: RunConfig, folder: Path) -> RunConfig:
    """The config with data paths from this folder, where there is a way from it."""
    content = config.to_dict()
    for source in [content["data"]["table"]] if content["data"]["table"] else content["data"]["branches"]:
        for side in ("path", "validation", "test"):
            if source[side] is not None and not source[side].startswith("hf:"):
                source[side] = _way(source[side], folder)
    return RunConfig.from_mapping(content)


def _way(path: str, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return path


def _record(found: _Found, branch: str) -> dict[str, Any]:
    named = [(each, columns) for each, columns in found.start.tables if each.name == branch]
    each, columns = (named or found.start.tables)[0]
    classes = found.classes(branch)
    label = columns.labels[found.splits.train.branch_names.index(branch)] if not named else columns.labels[0]
    shown = {**asdict(each), **asdict(columns), "name": branch, "label": label}
    del shown["labels"]
    return {**shown, "num_rows": classes.total(), "classes": dict(classes.most_common())}
