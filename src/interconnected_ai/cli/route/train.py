"""`iai route train`."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import OutputPath, Source, overwrite_option
from interconnected_ai.cli.route.routers import encoder_named, examples_in, table_of_requests, texts_outside
from interconnected_ai.cli.rows import column_options

if TYPE_CHECKING:
    from interconnected_ai.routing import Example, ExpertCard


@click.command("train")
@click.argument("table", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", required=True, type=OutputPath(), metavar="FOLDER", help="Where the router goes.")
@column_options
@click.option("--topic", metavar="COLUMN", help="Column of what a request is about, finer than who answers it.")
@click.option(
    "--validation", type=click.Path(path_type=Path, dir_okay=False), metavar="TABLE",
    help="Rows that choose, with the same columns. Default: a tenth of TABLE.",
)  # fmt: skip
@click.option(
    "--outside", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Texts that are nobody's business, a line each or a table: a tenth of them chooses the threshold. Rows of TABLE "
    "without a label are such too.",
)  # fmt: skip
@click.option("--kind", type=click.Choice(["learned", "semantic"]), default="learned", show_default=True,
              help="Regression over topics, or the nearest examples.")  # fmt: skip
@click.option(
    "--encoder",
    type=Source(),
    metavar="NAME",
    help="Hub id, folder, or `multilingual`. Default: by the language of the texts.",
)
@click.option("--keep", type=click.FloatRange(0.5, 0.999), default=0.965, show_default=True,
              help="Share of somebody's requests that is to be answered.")  # fmt: skip
@overwrite_option
@with_output
def command(
    table: Path,
    out: Path,
    text: str,
    label: str,
    topic: str | None,
    validation: Path | None,
    outside: Path | None,
    kind: str,
    encoder: str | None,
    keep: float,
    output: Output,
) -> None:
    """Learn a router from TABLE: requests, and in the column --label who should answer them."""
    from interconnected_ai.routing import LearnedRouter, SemanticRouter
    from interconnected_ai.training import encoder_by_language

    rows = table_of_requests(table, text, label, topic)
    output.warn(rows.remarks)
    examples = examples_in(rows, texts_outside(outside, text))
    choosing = None if validation is None else examples_in(table_of_requests(validation, text, label, topic))
    choice = None if encoder is not None else encoder_by_language(rows.texts)
    if choice is not None:
        output.step(f"encoder: {choice}")
    encode = encoder_named(encoder if choice is None else choice.base_model_name)
    if kind == "learned":
        learned = LearnedRouter.fit(examples, encode, validation=choosing, keep=keep, say=output.step)
        learned.save_pretrained(out)
        accuracy, experts = learned.settings.accuracy, learned.experts
    else:
        cards, chosen = _cards_and_rest(examples, choosing)
        semantic = SemanticRouter.fit(cards, encode, validation=chosen, keep=keep, say=output.step)
        semantic.save_pretrained(out)
        accuracy, experts = semantic.nearness.accuracy, semantic.experts
    told = "" if accuracy is None else f", {percent(accuracy)} % right on rows that chose"
    output.say(f"{out}: a {kind} router for {len(experts)} experts from {len(examples):,} requests{told}")
    told_of = {"router": str(out), "kind": kind, "experts": list(experts)}
    output.result({**told_of, "num_requests": len(examples), "accuracy": accuracy})


def _cards_and_rest(
    examples: "Sequence[Example]", choosing: "Sequence[Example] | None"
) -> "tuple[list[ExpertCard], list[Example]]":
    """A card of each expert with its requests, and the rows that choose the threshold: those given, and nobody's business."""
    from interconnected_ai.routing import ExpertCard

    texts: dict[str, list[str]] = defaultdict(list)
    for each in examples:
        if each.expert is not None:
            texts[each.expert].append(each.text)
    cards = [ExpertCard(expert, examples=tuple(own)) for expert, own in sorted(texts.items())]
    return cards, [*(choosing or ()), *(each for each in examples if each.expert is None)]
