"""`iai bench grow`."""

import click

from interconnected_ai.cli.output import Output, print_measured, with_output


@click.command("grow")
@click.option(
    "--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="Trainings to take the mean of."
)
@with_output
def command(seeds: int, output: Output) -> None:
    """A branch added after training against the same branch trained jointly."""
    from interconnected_ai.bench import bench_grow

    found = bench_grow(seeds=seeds)
    print_measured(
        output,
        found,
        [
            ("time of adding over joint training from scratch (goal ≤ 0.05)", "added_over_joint_time"),
            ("points of accuracy below the jointly trained branch (goal ≤ 1)", "accuracy_gap_points"),
            ("largest change of an old branch's output (goal 0)", "old_outputs_max_abs_diff"),
        ],
    )
