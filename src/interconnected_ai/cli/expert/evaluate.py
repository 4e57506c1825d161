"""`iai expert evaluate experts/NAME --text FILES`."""

from pathlib import Path

import click

from interconnected_ai.cli.alternatives import is_given
from interconnected_ai.cli.completion import ExpertPath
from interconnected_ai.cli.output import Output, with_output


@click.command("evaluate")
@click.argument("expert", type=ExpertPath())
@click.option(
    "--text", "text", multiple=True, metavar="FILES", help="Text to measure on.  [default: its test documents]"
)
@click.argument("more", nargs=-1, metavar="[FILES]...")
@click.option("--column", default="text", show_default=True, help="Column or key of the text in tables.")
@click.option("--seq-len", type=int, help="Window in tokens.  [default: that of the training]")
@click.option("--stride", type=int, help="Tokens between the windows of a long document.  [default: half the window]")
@with_output
def command(
    expert: Path,
    text: tuple[str, ...],
    more: tuple[str, ...],
    column: str,
    seq_len: int | None,
    stride: int | None,
    output: Output,
) -> None:
    """Perplexity and bits per byte of EXPERT on text files, or on the documents its training held out for testing.

    Each document is read by itself after a start token, and its own tokens count; bytes are those of UTF-8.
    """
    if is_given(click.get_current_context(), "column") and not (text or more):
        raise click.UsageError("--column says something of FILES alone; give --text FILES, or leave --column out")
    from interconnected_ai.training import evaluate_expert

    found = evaluate_expert(expert, [*text, *more], column=column, seq_len=seq_len, stride=stride)
    output.table(
        str(expert),
        ["documents", "tokens", "bytes", "perplexity", "bits per byte"],
        [(found.num_documents, found.num_tokens, found.num_bytes, found.perplexity, found.bits_per_byte)],
    )
    output.result({"expert": str(expert), **found.to_dict()})
