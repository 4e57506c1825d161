"""How commands speak: tables and sentences for people, or one JSON object on stdout; all else goes to stderr."""

import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from interconnected_ai.cli.failures import Answer, Invocation
from interconnected_ai.cli.outputs import refuse_unsafe_outputs
from interconnected_ai.cli.values import expand_home, refuse_unusable

if TYPE_CHECKING:
    from interconnected_ai.data import Remark

F = TypeVar("F", bound=Callable[..., Any])


class Output:
    """Where a command's result goes. With `as_json` the words go to stderr and the figures to stdout."""

    def __init__(self, as_json: bool, answer: Answer | None = None) -> None:
        self.as_json = as_json
        self._answer = answer or Answer()
        self._warnings: list[dict[str, str]] | None = None
        # Wide enough for a table even where the output is a file or a pipe.
        width = None if sys.stdout.isatty() else 120
        self._console = Console(stderr=as_json, width=width, highlight=False, soft_wrap=True)

    def mute(self) -> None:
        """Say no sentence and show no table any more: this process is not the one that speaks."""
        self._console.quiet = True

    @property
    def is_quiet(self) -> bool:
        """Whether -q was given: results, warnings and errors alone."""
        context = click.get_current_context(silent=True)
        return context is not None and context.meta.get(_LEVEL, logging.INFO) > logging.INFO

    def note(self, *sentences: str) -> None:
        """Print what a person may want to know on the way to the result; nothing with -q."""
        if not self.is_quiet:
            self.say(*sentences)

    def step(self, sentence: str) -> None:
        """Tell on stderr how far long work is; nothing with -q."""
        if not self.is_quiet:
            click.echo(sentence, err=True)

    def say(self, *sentences: str) -> None:
        """Print sentences for people."""
        for sentence in sentences:
            self._console.print(sentence, markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print a table for people; numbers are aligned to the right, and names of one word in the first column stay whole."""
        table = Table(title=title, title_justify="left", title_style="bold")
        cells = [[_shown(cell) for cell in row] for row in rows]
        for index, column in enumerate(columns):
            numeric = all(_is_number(row[index]) for row in cells) and bool(cells)
            is_name = index == 0 and all(" " not in row[0] and 3 * len(row[0]) <= self._console.width for row in cells)
            table.add_column(column, justify="right" if numeric else "left", no_wrap=is_name)
        for row in cells:
            table.add_row(*row)
        self._console.print(table)

    def warn(self, remarks: "Iterable[Remark]", *, show: bool = True) -> None:
        """Tell on stderr what is odd about the rows, each thing once, and keep it for the result's key "warnings".

        show: False where it was told already.
        """
        told = self._warnings = self._warnings or []
        for remark in remarks:
            if (found := asdict(remark)) not in told:
                told.append(found)
                if show:
                    click.echo(f"warning: {remark}", err=True)

    def result(self, content: Mapping[str, Any]) -> None:
        """The command's result as the one JSON object on stdout, if that was asked for, with "warnings" of the rows read."""
        if self.as_json:
            warnings = {} if self._warnings is None else {"warnings": self._warnings}
            self._answer.print({**content, **warnings})


def with_output(function: F) -> F:
    """Give a command the flags --json, -q and -v; the function receives an `Output` as `output`.

    Arguments that no command can use (`cli.values`) and outputs that would destroy something (`cli.outputs`) are refused before
    the function is called.
    """

    def receive(context: click.Context, parameter: click.Parameter, value: bool) -> Output:
        _set_levels(logging.INFO)
        return Output(value, Invocation.current().answer)

    def take_level(level: int) -> Callable[[click.Context, click.Parameter, bool], None]:
        def take(context: click.Context, parameter: click.Parameter, value: bool) -> None:
            if value and _LEVEL in context.meta:
                raise click.UsageError("-q says less and -v says more; give one of them", context)
            if value:
                context.meta[_LEVEL] = level

        return take

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        context = click.get_current_context()
        refuse_unusable(context)
        expand_home(context)
        refuse_unsafe_outputs(context)
        _set_levels(context.meta.get(_LEVEL, logging.INFO))
        try:
            return function(*args, **{name: context.params.get(name, value) for name, value in kwargs.items()})
        finally:
            _set_levels(logging.INFO)  # a command leaves no silence to the next one

    quiet = click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, callback=take_level(logging.WARNING),
        help="No progress and no remarks: the result, warnings and errors alone.",
    )  # fmt: skip
    verbose = click.option(
        "-v", "--verbose", is_flag=True, expose_value=False, callback=take_level(logging.DEBUG),
        help="More on stderr: every evaluation and checkpoint, and what libraries warn of.",
    )  # fmt: skip
    as_json = click.option(
        "--json", "output", is_flag=True, callback=receive, help="One JSON object on stdout, everything else on stderr."
    )
    return as_json(quiet(verbose(checked)))  # type: ignore[return-value]


def print_measured(output: Output, found: Mapping[str, Any], lines: Iterable[tuple[str, str]]) -> None:
    """A measurement: a table of what stands at these keys, each with its words, and all of it as the result."""
    output.table("Measured", ["what", "value"], [(what, found[key]) for what, key in lines])
    output.result(found)


def percent(share: float) -> str:
    """0.9312 → 93.12"""
    return f"{100 * share:.2f}"


_LEVEL = "interconnected_ai.cli.level"  # of log lines, in a context's meta


def _set_levels(level: int) -> None:
    """Our own log lines on stderr, as many as -q or -v say; of libraries' (see `cli.chatter` too) errors alone."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("interconnected_ai").setLevel(level)
    for noisy in ("bm25s", "httpx", "accelerate"):
        logging.getLogger(noisy).setLevel(logging.WARNING if level == logging.DEBUG else logging.ERROR)


def _shown(cell: Any) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:,.3f}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("-", "").replace("+", "").replace("×", "").strip().isdigit()
