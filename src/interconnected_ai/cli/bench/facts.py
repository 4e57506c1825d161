"""`iai bench facts`."""

from collections.abc import Sequence

import click

from interconnected_ai.cli.output import Output, with_output

_RATES = ("facts_precision", "facts_recall", "facts_in_fact_free")


@click.command("facts")
@click.option("--tuning", is_flag=True, help="Of the part that the rules were chosen on, with what they read wrongly.")
@with_output
def command(tuning: bool, output: Output) -> None:
    """The facts that rules find in labelled sentences, English and Russian: precision, recall, and what they make up."""
    from interconnected_ai.bench import bench_facts, fact_goal_rows

    found = bench_facts("tuning" if tuning else "reported")
    output.table(
        f"Facts, on {found['num_sentences_en']} English and {found['num_sentences_ru']} Russian sentences ({found['part']})",
        ["what", "language", "value", "goal"],
        [
            (row["what"], row["language"], f"{row['value']:.3f}", f"{'≤' if row['at_most'] else '≥'} {row['goal']:.2f}")
            for row in fact_goal_rows(found)
        ],
    )
    output.table(
        "By file",
        ["sentences", "how many", "precision", "recall", "in fact-free"],
        [
            (file, rates["num_sentences"], *(f"{rates[key]:.3f}" for key in _RATES))
            for file, rates in found["by_file"].items()
        ],
    )
    if tuning:
        output.table(
            "Read wrongly",
            ["sentence", "stated", "found"],
            [(row["text"], _in_words(row["stated"]), _in_words(row["found"])) for row in found["wrong"]],
        )
    output.result(found)


def _in_words(facts: Sequence[tuple[str, str, bool]]) -> str:
    return "; ".join(f"{'no more ' if ends else ''}{relation}: {value}" for relation, value, ends in facts) or "–"
