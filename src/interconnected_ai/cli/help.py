"""`iai help [VERB [SUBVERB]]`."""

import click

from interconnected_ai.cli.completion import Verb
from interconnected_ai.cli.output import Output, with_output


@click.command("help")
@click.argument("verbs", nargs=-1, type=Verb(), metavar="[VERB [SUBVERB]]")
@with_output
def command(verbs: tuple[str, ...], output: Output) -> None:
    """What a verb takes: the same as `iai VERB SUBVERB --help`."""
    context = click.get_current_context().parent
    assert context is not None, "the verb of a group"
    found: click.Command = context.command
    for number, verb in enumerate(verbs):
        if not isinstance(found, click.Group):
            above = " ".join(verbs[:number])
            raise click.UsageError(f"{above} has no verbs of its own, so no {verb!r}; try: iai help {above}")
        _, inner, _ = found.resolve_command(context, [verb])
        assert inner is not None, "an unknown verb is an error"
        found, context = inner, click.Context(inner, info_name=verb, parent=context)
    text = found.get_help(context)
    click.echo(text, err=output.as_json)
    output.result({"help": text})
