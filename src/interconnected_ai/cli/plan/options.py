"""Options that several plans share, as decorators: each group says one thing about what is planned."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from interconnected_ai.cli.outputs import OutputPath, overwrite_option

F = TypeVar("F", bound=Callable[..., Any])
GIGABYTES = click.FloatRange(min=0, min_open=True, max=1e9)


def _group(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator that adds these options, in this order."""

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def source_argument(function: F) -> F:
    """CONFIG or RUN: a plan's or a run's settings, or the folder of a run."""
    return click.argument("source", required=False, type=click.Path(path_type=Path), metavar="[CONFIG|RUN]")(function)


def branches_options(function: F) -> F:
    """What the system answers and for how many texts."""
    return _group(
        click.option("--branches", type=click.IntRange(min=1, max=10_000), help="How many branches.  [default: 3]"),
        click.option("--classes", help="Classes of each branch: one number, or one for each branch (100,50,80)."),
        click.option(
            "--encoder", help="Hub id, or a folder or file with its config.json. Default: the embedded encoder."
        ),
        click.option("--rows", type=int, help="Training rows of all branches together.  [default: 10000]"),
        click.option("--tokens", type=int, help="Mean tokens of a text.  [default: where texts are cut]"),
    )(function)


def moe_options(function: F) -> F:
    """The size of the layers that all branches share."""
    return _group(
        click.option("--experts", type=int, help="FFN experts in an MoE layer.  [default: 8]"),
        click.option("--top-k", type=int, help="FFN experts per token.  [default: 2]"),
        click.option("--d-ff", type=int, help="Hidden size of one FFN expert.  [default: 4 × the encoder's width]"),
    )(function)


def device_options(default: str | None = None) -> Callable[[F], F]:
    """Where it runs: a row of the device table, or of a file of one's own."""
    return _group(
        click.option(
            "--device",
            default=default,
            show_default=default is not None,
            help='A name of the device table, or "this machine".',
        ),
        click.option("--devices", type=click.Path(path_type=Path), help="A YAML file with device rows of your own."),
    )


def limit_options(function: F) -> F:
    """What it must stay within, and what is expected of it."""
    return _group(
        click.option("--num-devices", type=int, help="Devices that share a batch.  [default: 1]"),
        click.option("--memory-gb", type=GIGABYTES, help="Memory to stay within, in place of the device's."),
        click.option("--budget", type=float, help="USD for the training."),
        click.option("--growth", type=int, help="Branches you expect to add in a year."),
        click.option(
            "--set", "assignments", multiple=True, metavar="KEY=VALUE",
            help="Any setting of a plan by its key, such as training.epochs=20; repeat for several.",
        ),
    )(function)  # fmt: skip


def written_options(function: F) -> F:
    """What is made of a plan: a config to train, a picture."""
    return _group(
        click.option("--write", type=OutputPath(), help="Write a config for `iai train`."),
        overwrite_option,
        click.option(
            "--data", multiple=True, metavar="BRANCH=FILE", help="Data of a branch, for --write; repeat for several."
        ),
        click.option(
            "--plot",
            type=OutputPath(".png", ".svg", ".html", may_lie_inside=(".png", ".svg", ".html")),
            help="Draw the comparison (.png, .svg or .html).",
        ),
    )(function)


def expert_shape_options(function: F) -> F:
    """The shape of a small language model, by its name or by its sizes."""
    return _group(
        click.option("--preset", "preset_name", help="Tiny, Small, Medium or Large, the document's sizes."),
        click.option("--vocab-size", type=int, help="Words of its tokenizer."),
        click.option("--d-model", type=int, help="Width.  [default: 512]"),
        click.option("--layers", type=int, help="Transformer blocks.  [default: 6]"),
        click.option("--heads", type=int, help="Attention heads.  [default: 8]"),
        click.option("--d-ff", type=int, help="Hidden size of the feed-forward block.  [default: 4 × d_model]"),
        click.option("--context", type=int, help="Tokens that are kept.  [default: max_seq_len of the shape]"),
    )(function)
