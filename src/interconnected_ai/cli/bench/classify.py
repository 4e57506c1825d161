"""`iai bench classify`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, percent, with_output


@click.command("classify")
@click.option(
    "--data", "folder", required=True, type=click.Path(path_type=Path), help="Folder with banking77/ and clinc150/."
)
@click.option(
    "--epochs", default=8, show_default=True, type=click.IntRange(min=1), help="Epochs with the encoder LoRA."
)
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(["whole", "no-moe", "no-lora", "heads"]),
    help="Train this one alone: the whole system, or without MoE layers, encoder LoRA, or both; repeat for several. "
    "Default: all.",
)
@with_output
def command(folder: Path, epochs: int, parts: tuple[str, ...], output: Output) -> None:
    """BANKING77 and CLINC150 as two branches of one system, against TF-IDF and logistic regression."""
    from interconnected_ai.bench import CLASSIFY_PARTS, bench_classify

    found = bench_classify(
        folder, epochs=epochs, parts=parts or tuple(CLASSIFY_PARTS), say=lambda sentence: click.echo(sentence, err=True)
    )
    output.table(
        "Test accuracy %",
        ["", "BANKING77", "CLINC150 in scope"],
        [(r["method"], percent(r["banking77"]), percent(r["clinc150"])) for r in found["methods"]],
    )
    if "clinc150_oos_recall" in found:
        output.say(
            f"CLINC150 out of scope: recall {percent(found['clinc150_oos_recall'])} % at the branch's threshold "
            f"(in scope answered: {percent(found['clinc150_answered'])} %), AUROC {found['clinc150_oos_auroc']:.4f}"
        )
    output.result(found)
