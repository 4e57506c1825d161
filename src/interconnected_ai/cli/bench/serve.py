"""`iai bench serve`."""

from dataclasses import replace

import click

from interconnected_ai.cli.output import Output, with_output

PARTS = ("generation", "overhead", "classify", "chat", "overload", "faults", "fuzz", "soak")


@click.command("serve")
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Only this; may be given again.")
@click.option("--tokens", "num_tokens", type=click.IntRange(2), default=128, show_default=True, help="Of each answer.")
@click.option(
    "--d-model", type=click.IntRange(min=32), default=512, show_default=True, help="Of the expert that is served."
)
@click.option("--layers", "n_layers", type=click.IntRange(min=1), default=8, show_default=True, help="Its, too.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.05),
    default=2.0,
    show_default=True,
    help="Of everyday work, in the part soak.",
)
@click.option("--short", is_flag=True, help="Tiny sizes, for a trial; sizes that are given are not used.")
@with_output
def command(
    parts: tuple[str, ...], num_tokens: int, d_model: int, n_layers: int, minutes: float, short: bool, output: Output
) -> None:
    """A server in a process of its own: beside the engine alone, beside llama.cpp's server, under load and under faults."""
    from interconnected_ai.bench import ServingSizes, bench_serving, serving_goal_rows, short_serving

    sizes = ServingSizes()
    sizes = short_serving() if short else replace(
        sizes, expert=replace(sizes.expert, num_tokens=num_tokens, d_model=d_model, n_layers=n_layers),
        endurance=replace(sizes.endurance, soak_minutes=minutes),
    )  # fmt: skip
    found = bench_serving(parts or PARTS, sizes=sizes, say=output.step)
    for title, rows in (("Tokens a second, streams", "rows"), ("Tokens a second, chats", "chat_rows")):
        if found.get(rows):
            names = list(found[rows][0])
            shown = [[f"{each[name]:.3f}" if isinstance(each[name], float) else each[name] for name in names]
                     for each in found[rows]]  # fmt: skip
            output.table(title, [name.replace("_", " ") for name in names], shown)
    output.table(
        "Goals",
        ["what", "value", "goal"],
        [
            (row["what"], f"{row['value']:.3f}", f"{'≤' if row['at_most'] else '≥'} {row['goal']:g}")
            for row in serving_goal_rows(found)
        ],
    )
    for what in ("faults_not_survived", "fuzz_found"):
        if found.get(what):
            told = found[what].items() if isinstance(found[what], dict) else enumerate(found[what])
            output.say(*(f"{name}: {words}" for name, words in told))
    output.result(found)
