"""`iai surgery compare A B`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, Source, overwrite_option
from interconnected_ai.cli.surgery.inputs import domains_in, open_model
from interconnected_ai.cli.surgery.outcome import telling_warnings


@click.command("compare")
@click.argument("first", type=Source())
@click.argument("second", type=Source())
@click.option(
    "--texts", "places", multiple=True, type=click.Path(path_type=Path),
    help="A file or folder of texts, one domain; repeat it for several.  [default: some tokens, and no perplexity]",
)  # fmt: skip
@click.option("--max-tokens", default=256, show_default=True, type=click.IntRange(min=2), help="Of each text.")
@click.option(
    "--page", type=OutputPath(".md", ".html", ".htm"), help="Write the comparison to this Markdown or HTML file."
)
@overwrite_option
@with_output
def command(
    first: str, second: str, places: tuple[Path, ...], max_tokens: int, page: Path | None, output: Output
) -> None:
    """What differs between the mixtures FIRST and SECOND: experts, routers, rules, tensors, answers, perplexity.

    Experts are found again wherever they stand now. Both models are held in memory.
    """
    from interconnected_ai.surgery import compare, comparison_parts, write_comparison

    texts = domains_in(places) if places else None
    with telling_warnings(output):
        models = open_model(first), open_model(second)
    found = compare(*models, texts, names=_names(first, second), max_tokens=max_tokens)
    for part in comparison_parts(found):
        if part.sentence:
            output.say(part.sentence)
        if part.rows:
            output.table(part.heading, part.columns, part.rows)
    if page is not None:
        write_comparison(found, page)
        output.say(f"Page: {page}")
    output.result({**found.to_dict(), "page": None if page is None else str(page)})


def _names(first: str, second: str) -> tuple[str, str]:
    short = Path(first).name or first, Path(second).name or second
    return short if short[0] != short[1] else (first, second)
