"""`iai bench classify`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.rows import column_options


@click.command("classify")
@click.option(
    "--data", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Folder with banking77/, clinc150/, ru_intents/ and rumedbench/, or those that are asked for.",
)  # fmt: skip
@click.option(
    "--set", "sets", multiple=True, metavar="NAME",
    help="Measure this set alone; repeat for several: banking77, clinc150, ru_intents, rumedtop3, ru-600 (600 rows of "
    "ru_intents to learn), or a folder in DIR with tables `train` and `test`. Default: all five.",
)  # fmt: skip
@click.option(
    "--shots", type=click.IntRange(min=2), metavar="N",
    help="Learn from N rows of each class; mean over three draws. Default: from all.",
)  # fmt: skip
@click.option(
    "--part", "parts", multiple=True, type=click.Choice(["system", "no-moe", "no-lora", "heads"]),
    help="Train the default system, or it without MoE layers, encoder LoRA, or both; repeat for several. Default: system.",
)  # fmt: skip
@click.option("--epochs", type=click.IntRange(min=1), help="For a trial; default: that of `iai train`.")
@column_options
@with_output
def command(
    folder: Path,
    sets: tuple[str, ...],
    shots: int | None,
    parts: tuple[str, ...],
    epochs: int | None,
    text: str,
    label: str,
    output: Output,
) -> None:
    """Public data sets learnt by `iai train`'s defaults, beside TF-IDF and logistic regression on the frozen encoder.

    --text and --label name the columns of sets of your own.
    """
    from interconnected_ai.bench import CLASSIFY_SETS, bench_classify

    found = bench_classify(
        folder,
        sets=sets or CLASSIFY_SETS,
        shots=shots,
        parts=parts or ("system",),
        columns=(text, label),
        training={} if epochs is None else {"epochs": epochs},
        say=output.step,
    )
    output.table(
        "Test rows, %" + ("" if shots is None else f": {shots} rows a class, mean of {found['draws']} draws"),
        ["set", "method", "accuracy", "macro-F1", "hit@3"],
        [
            (each["set"], row["method"], *(percent(row[key]) for key in ("accuracy", "macro_f1", "hit_at_3")))
            for each in found["sets"]
            for row in each["methods"]
        ],
    )
    for each in found["sets"]:
        figures = each["figures"]
        if "oos_recall" in figures:
            output.say(
                f"{each['set']} out of scope: recall {percent(figures['oos_recall'])} % at the branch's threshold (in scope "
                f"answered: {percent(figures['answered'])} %), {percent(figures['oos_recall_at_4_percent_false'])} % where "
                f"4 % of the in-scope texts are refused; AUROC {figures['oos_auroc']:.4f}"
            )
        output.say(*(f"{each['set']}: {sentence}" for sentence in each["cut"]))
    output.say(f"{found['seconds'] / 60:.1f} minutes")
    output.result(found)
