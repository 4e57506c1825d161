"""`iai quickstart`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, percent, with_output

METHODS = {
    "tfidf_svm": "TF-IDF + SVM",
    "frozen_logistic_regression": "frozen + log. reg.",
    "dense_twin": "dense twin",
    "system": "this system",
}


@click.command("quickstart")
@click.option(
    "--output", "folder", type=click.Path(path_type=Path), default=Path("runs/quickstart"), show_default=True,
    help="Folder of the run.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace another run that stands in the folder.")
@with_output
def command(folder: Path, overwrite: bool, output: Output) -> None:
    """Train on the docstrings of Python, NumPy and PyTorch, add scikit-learn as a fourth branch, prove the rest unchanged.

    Needs no network: the encoder (all-MiniLM-L6-v2) and the texts are on this machine. Takes a few minutes.
    """
    from interconnected_ai.bench import LATER_BRANCH, run_quickstart

    done = run_quickstart(folder, overwrite=overwrite, say=lambda sentence: click.echo(sentence, err=True))
    output.table(
        "Test rows: accuracy % / macro-F1 %",
        ["branch", *METHODS.values()],
        [
            (branch, *(f"{percent(scores[m].accuracy)} / {percent(scores[m].macro_f1)}" for m in METHODS))
            for branch, scores in done.scores.items()
        ],
    )
    growth = done.growth
    output.table(
        f"The branch {LATER_BRANCH}, added to the finished trunk",
        ["", "added", "jointly from scratch"],
        [
            ("seconds", f"{growth.added_seconds:.2f}", f"{growth.joint_seconds:.1f}"),
            ("test accuracy %", percent(growth.added_accuracy), percent(growth.joint_accuracy)),
        ],
    )
    output.say(
        f"Added in {100 * growth.added_over_joint_time:.1f} % of the time of joint training. "
        f"The other branches' outputs on the test rows: max |Δ| = {growth.old_outputs_max_abs_diff:g}.",
        f'The model is in {folder / "model"}. Try: iai predict {folder} "Return the sum of array elements"',
    )
    output.result(done.to_dict())
