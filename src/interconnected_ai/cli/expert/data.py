"""`iai expert data SOURCES…`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.config import CorpusConfig

if TYPE_CHECKING:
    from interconnected_ai.data import CorpusReport, SourceReport
    from interconnected_ai.text import Tokenizer


@click.command("data")
@click.argument("sources", nargs=-1, required=True)
@click.option("--column", default="text", show_default=True, help="Column or key of the text in tables.")
@click.option(
    "--unit",
    type=click.Choice(["file", "paragraph", "line"]),
    default="file",
    show_default=True,
    help="What one document of a text file is.",
)
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    help="Count its tokens too: a tokenizer.json, or an expert's folder.",
)
@with_output
def command(sources: tuple[str, ...], column: str, unit: str, tokenizer: Path | None, output: Output) -> None:
    """What text holds: documents, words, languages, copies, what is passed over, and how it would be held out.

    SOURCES are text files, tables (.jsonl, .csv, .tsv, .parquet), folders of these, hf:NAME[:CONFIG][#SPLIT] (a dataset on
    the hub) or docs:LIBRARY (the docstrings of stdlib, numpy, torch or sklearn as they are installed). Nothing is written.
    """
    config = CorpusConfig.from_mapping({"paths": sources, "text": column, "unit": unit})
    words = None if tokenizer is None else _tokenizer(tokenizer)
    from interconnected_ai.data import Texts, count_tokens, survey

    found = survey(Texts.of_config(config))
    report = found.report if words is None else count_tokens(found, words)
    _tell(report, output)
    output.result(report.to_dict())


def _tokenizer(path: Path) -> "Tokenizer":
    from interconnected_ai.text import Tokenizer

    return Tokenizer.load(path / "tokenizer.json" if path.is_dir() else path)


def _tell(report: "CorpusReport", output: Output) -> None:
    total = report.total
    shown = [*report.sources] if len(report.sources) == 1 else [*report.sources, total]
    output.table(
        "Text",
        ["source", "documents", "characters", "bytes", "words", "copies", "languages, by bytes"],
        [
            (
                one.name,
                one.num_documents,
                one.num_characters,
                one.num_bytes,
                one.num_words,
                one.num_duplicates,
                _languages(one),
            )
            for one in shown
        ],
    )
    if total.num_tokens is not None:
        output.table(
            "Tokens, those of signs and spaces too; a word is a run of letters and digits",
            ["source", "tokens", "tokens per word", "bytes per token"],
            [(one.name, one.num_tokens, one.tokens_per_word, one.bytes_per_token) for one in shown],
        )
    for name, end in (("Shortest", total.shortest), ("Longest", total.longest)):
        if end is not None:
            output.say(f"{name} document: {end[0]:,} characters, {end[1]}")
    passed_over = [f"{count:,} × {reason}" for reason, count in total.left_out.items()]
    output.say(f"Passed over: {', '.join(passed_over) or 'nothing'}")
    output.table(
        "As it would be held out, by whole documents",
        ["side", "documents", "bytes"],
        [(side.name, side.num_documents, side.num_bytes) for side in report.sides],
    )


def _languages(one: "SourceReport") -> str:
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in one.language_shares().items())
