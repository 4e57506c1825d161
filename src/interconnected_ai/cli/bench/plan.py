"""`iai bench plan`."""

import click

from interconnected_ai.cli.output import Output, print_measured, with_output


@click.command("plan")
@click.option("--repeats", default=7, show_default=True, type=click.IntRange(min=3), help="Steps timed for each case.")
@click.option("--calibrated", is_flag=True, help="Use the stored calibration instead of measuring the machine again.")
@with_output
def command(repeats: int, calibrated: bool, output: Output) -> None:
    """The planner against this machine: step time and peak memory, predicted and measured."""
    from interconnected_ai.bench import bench_plan
    from interconnected_ai.planner import load_calibration

    device = load_calibration() if calibrated else None
    if calibrated and device is None:
        raise click.UsageError("--calibrated: no calibration is stored; make one with: iai plan calibrate")
    found = bench_plan(repeats=repeats, device=device, say=output.step)
    output.table(
        "Predicted and measured",
        ["case", "step, ms", "predicted", "error %", "peak, MB", "predicted ", "error % "],
        [
            (
                row["case"],
                f"{1000 * row['measured_seconds']:.0f}",
                f"{1000 * row['predicted_seconds']:.0f} ({1000 * row['low_seconds']:.0f}–{1000 * row['high_seconds']:.0f})",
                f"{100 * row['time_error']:+.0f}",
                f"{row['measured_bytes'] / 1e6:.0f}",
                f"{row['predicted_bytes'] / 1e6:.0f}",
                f"{100 * row['memory_error']:+.0f}",
            )
            for row in found["rows"]
        ],
    )
    print_measured(
        output,
        found,
        [
            ("median error of time (goal ≤ 0.20)", "time_median_abs_error"),
            ("median error of memory (goal ≤ 0.10)", "memory_median_abs_error"),
            ("measured inside the range (goal ≥ 0.90)", "range_coverage"),
        ],
    )
