"""`iai quickstart`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interconnected_ai.cli.alternatives import only_with
from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import OutputPath
from interconnected_ai.cli.rows import column_options
from interconnected_ai.cli.settings import OF_A_TRAINING, seed_option

if TYPE_CHECKING:
    from interconnected_ai.bench import Quickstart, Words


@click.command("quickstart")
@click.option(
    "--output", "folder", type=OutputPath(may_stand=True), default=Path("runs/quickstart"), show_default=True,
    help="Folder of the run.",
)  # fmt: skip
@click.option(
    "--lang", "language", type=click.Choice(["en", "ru"]), default="en", show_default=True,
    help="ru: Russian texts (messages of JupyterLab and Django, then of django-allauth) and words in Russian.",
)  # fmt: skip
@click.option(
    "--data", "data", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="Your own texts: each table in FOLDER is a branch; the last by name is the one that is added.",
)  # fmt: skip
@click.option("--twin", is_flag=True, help="Also train the dense twin, a system of the same size without experts.")
@click.option("--epochs", type=click.IntRange(min=1), help="For a trial.")
@seed_option(OF_A_TRAINING, default=0)
@click.option("--overwrite", is_flag=True, help="Replace the run in the folder, whatever it is.")
@column_options
@only_with("data", "text", "label")
@with_output
def command(
    folder: Path,
    language: str,
    data: Path | None,
    twin: bool,
    epochs: int | None,
    seed: int,
    overwrite: bool,
    text: str,
    label: str,
    output: Output,
) -> None:
    """Train on the docstrings of Python, NumPy and PyTorch, add scikit-learn as a fourth branch, prove the rest unchanged.

    Needs no network: encoders and texts are on this machine. Takes a few minutes.
    """
    from interconnected_ai.bench import QUICKSTART_TEXTS, QUICKSTART_WORDS, own_texts, run_quickstart

    words = QUICKSTART_WORDS[language]
    texts = QUICKSTART_TEXTS[language]() if data is None else own_texts(data, text=text, label=label)
    if data is not None:
        from interconnected_ai.data import remarks_on

        output.warn([*remarks_on(texts.first), *remarks_on(texts.later)])
    done = run_quickstart(
        folder,
        texts=texts,
        words=words,
        twin=twin,
        overwrite=overwrite,
        settings={"seed": seed, **({} if epochs is None else {"epochs": epochs})},
        say=output.step,
    )
    _tell(done, words, output, example=words.example if data is None else texts.first.test.texts[0])
    output.result(done.to_dict())


def _tell(done: "Quickstart", words: "Words", output: Output, *, example: str) -> None:
    methods = [name for name in words.methods if name in next(iter(done.scores.values()))]
    output.table(
        words.scores,
        [words.branch, *(words.methods[name] for name in methods)],
        [
            (branch, *(f"{percent(scores[m].accuracy)} / {percent(scores[m].macro_f1)}" for m in methods))
            for branch, scores in done.scores.items()
        ],
    )
    each = ", ".join(f"{branch} {points:+.2f}" for branch, points in done.margins.items())
    output.say(words.margin.format(mean=done.mean_margin, each=each))
    growth = done.growth
    output.table(
        words.added_title.format(name=done.later),
        ["", words.added, words.jointly],
        [
            (words.seconds, f"{growth.added_seconds:.2f}", f"{growth.joint_seconds:.1f}"),
            (words.accuracy, percent(growth.added_accuracy), percent(growth.joint_accuracy)),
        ],
    )
    output.say(
        words.time.format(share=100 * growth.added_over_joint_time, difference=growth.old_outputs_max_abs_diff),
        words.next.format(model=done.folder / "model", run=shlex.quote(str(done.folder)), example=example),
    )
