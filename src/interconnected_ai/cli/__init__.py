"""The `iai` command. One file a verb, imported when it is called, so that `--help` answers at once."""

import os
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from interconnected_ai import __version__
from interconnected_ai.cli.chatter import without_chatter
from interconnected_ai.cli.environment import with_defaults
from interconnected_ai.cli.failures import (
    READER_GONE,
    Invocation,
    failure_of,
    make_streams_usable,
    show_traceback_if_asked,
    undisturbed,
)
from interconnected_ai.errors import nearest_first
from interconnected_ai.patience import OF_COMMANDS, says_how_threads_wait

__all__ = ["VERBS", "Verbs", "iai", "main"]

# oneDNN, under PyTorch on CPUs, makes a program for every new shape of a tensor and keeps 1,024 of them, up to .8 MB each.
_BOUNDS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}

# verb → what it does, in the order of a first encounter
VERBS = {
    "quickstart": "Train a system on real text that is on this machine already, add a branch, prove the rest unchanged.",
    "init": "Write a commented config for a table: columns, language, encoder and classes told, and what is odd.",
    "train": "Train the system that a config describes, or that tables alone ask for.",
    "doctor": "What is wrong with a run, before it (a config) or after it (its folder), and what helps.",
    "predict": "Answer for texts, with every branch or the named ones.",
    "evaluate": "Measure every branch of a run on labelled rows.",
    "branch": "Add, list, verify and remove branches of a trained run.",
    "compare": "Is run B better than run A? Paired tests on the same rows.",
    "generate": "Continue a prompt with an expert, a small language model of one's own.",
    "chat": "Talk with an expert, turn by turn, or give it one message.",
    "report": "One page of a run: curves, use of the experts, confusion, calibration, cost.",
    "expert": "Train, measure and list experts: small language models, each for a domain.",
    "plan": "Size, price and compare systems before they are built.",
    "surgery": "See, change, add, train and program the experts of a pretrained mixture of experts.",
    "council": "Experts, a router and a memory as one: write its config; iai chat talks with it.",
    "route": "Who answers a request, and why: explain, train and measure routers.",
    "memory": "Search a memory, see what a model would be given, import, export, forget.",
    "serve": "Serve councils, experts and systems over HTTP, to every program that speaks OpenAI's dialect.",
    "key": "Who may ask a server: make, list and revoke API keys.",
    "bench": "Measure the numbers that the README quotes.",
    "help": "What a verb takes: iai help VERB [SUBVERB].",
}


class Verbs(click.Group):
    """Commands that are imported when they are called; their one-line help stands in a table."""

    def __init__(self, room: str, verbs: dict[str, str], **settings: Any) -> None:
        """room: the package whose files are the commands; verbs: file name → what the command does."""
        super().__init__(**settings)
        self._room, self._verbs = room, verbs

    def list_commands(self, context: click.Context) -> list[str]:
        """The verbs in the order of their table."""
        return list(self._verbs)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The `command` of the verb's file."""
        if name not in self._verbs:
            return None
        command: click.Command = import_module(f"{self._room}.{name}").command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._verbs.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The table's verbs, without importing the commands."""
        found = [CompletionItem(name, help=line) for name, line in self._verbs.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it; an unknown verb names the nearest."""
        if args and not args[0].startswith("-") and args[0] not in self._verbs:
            known = ", ".join(nearest_first(args[0], self._verbs))
            raise click.UsageError(f"no command {args[0]!r}; known, nearest first: {known}", context)
        return super().resolve_command(context, args)


@click.group(cls=Verbs, room=__name__, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="iai")
def iai() -> None:
    """Size, train and grow domain-specific systems of experts, on the hardware you have.

    Every command takes --json: one JSON object on stdout, everything else on stderr. Exit code 0: done; 1: `doctor` or
    `branch verify` found something; 2: wrong input, or what the machine refuses; 70: a fault of this program; 130: stopped
    (143: a training or a server, by SIGTERM); 141: the reader of the output went away (`| head`).
    """


def main(args: list[str] | None = None) -> None:
    """The entry point: runs a verb and turns every error into one clear message and an exit code."""
    given = sys.argv[1:] if args is None else args
    call = Invocation(given)
    make_streams_usable()
    try:
        with without_chatter(), with_defaults(_BOUNDS | ({} if says_how_threads_wait(os.environ) else OF_COMMANDS)):
            code = iai.main(args=given, prog_name="iai", standalone_mode=False, obj=call)
        _leave_other_processes()
        sys.exit(code if isinstance(code, int) else 0)  # click hands back the code of `Exit` instead of raising it
    except SystemExit as leave:
        # click and rich leave with 1, which is a verdict here, where what they write to is closed.
        sys.exit(READER_GONE if isinstance(leave.__context__, BrokenPipeError) else leave.code)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  nothing stands above to turn it into words
        with undisturbed():
            show_traceback_if_asked()
            failure = failure_of(error)
            if isinstance(error, click.UsageError) and error.ctx is not None:
                click.echo(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n", err=True)
            failure.show(call.answer if "--json" in given else None)
        sys.exit(failure.code)


def _leave_other_processes() -> None:
    """Take leave of the other processes of a training: threads of theirs that still ran at the exit would abort it."""
    distributed = sys.modules.get("torch.distributed")  # not imported for it
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
