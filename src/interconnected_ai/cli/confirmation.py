"""Asking before something goes for good: on a terminal a question, elsewhere an error that names --yes."""

import sys

import click

from interconnected_ai.cli.failures import Declined


def confirm(question: str, *, yes: bool) -> None:
    """Go on where the person says yes, or has said so with --yes.

    Raises `click.UsageError` where nobody can be asked, `Declined` where the answer is not yes.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is no terminal to ask on: add --yes to do it, or leave it")
    click.echo(f"{question} [y/N]: ", err=True, nl=False)  # `click.confirm` writes a blank to stdout
    answer = sys.stdin.readline()
    if not answer:  # Ctrl-D
        raise click.Abort
    if answer.strip().lower() not in ("y", "yes"):
        raise Declined
