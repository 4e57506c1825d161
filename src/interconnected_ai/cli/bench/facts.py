"""`iai bench facts`."""

import click

from interconnected_ai.cli.output import Output, with_output


@click.command("facts")
@click.option("--tuning", is_flag=True, help="Of the half that the rules were chosen on, with what they read wrongly.")
@with_output
def command(tuning: bool, output: Output) -> None:
    """The facts that rules find in labelled sentences, English and Russian: precision, recall, and what they make up."""
    from interconnected_ai.bench import bench_facts
    from interconnected_ai.bench.facts import GOALS, LANGUAGES

    found = bench_facts(tuning=tuning)
    output.table(
        f"Facts, on the {found['half']} half of 150 sentences a language",
        ["what", "language", "value", "goal"],
        [
            (what, language, f"{found[f'{key}_{language}']:.3f}", f"{'≤' if at_most else '≥'} {wanted:.2f}")
            for key, what, wanted, at_most in GOALS
            for language in LANGUAGES
        ],
    )
    if tuning:
        output.table(
            "Read wrongly",
            ["sentence", "stated", "found"],
            [(w["text"], w["stated"], w["found"]) for w in found["wrong"]],
        )
    output.result(found)
