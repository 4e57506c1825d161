"""Single settings over a config on the command line: `--set training.epochs=3`, and the file read with them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from interconnected_ai.config import Record, merged, settings_in, with_settings

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R", bound=Record)


def set_option(function: F) -> F:
    """--set KEY=VALUE, repeatable, as `assignments`."""
    return click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE",
        help="A setting of the config, such as training.epochs=3; repeat for several.",
    )(function)  # fmt: skip


def seed_option(meaning: str, *, default: int | None = None) -> Callable[[F], F]:
    """--seed. default: None leaves it to the config."""
    return click.option(
        "--seed", type=click.IntRange(0, 2**63 - 1), default=default, show_default=default is not None, help=meaning
    )


OF_A_TRAINING = "Of weights, batches and dropout."


def config_with(record: type[R], file: Path, assignments: Sequence[str], changes: Mapping[str, Any] | None = None) -> R:
    """The config in a file with flags (`changes`) and then KEY=VALUE laid over it. Raises `ConfigError` as the record does."""
    settings = settings_in(file)
    if not isinstance(settings, Mapping):
        return record.from_mapping(settings, source=str(file))  # which says what is wrong
    settings = merged(settings, changes or {})
    return record.from_mapping(with_settings(record, settings, assignments), source=str(file))
