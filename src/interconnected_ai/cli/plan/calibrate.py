"""`iai plan calibrate`: this machine, measured once, for better times in plans."""

import click

from interconnected_ai.cli.output import Output, with_output


@click.command("calibrate")
@with_output
def command(output: Output) -> None:
    """Measure this machine (under a minute) and keep the figures for plans. Let nothing else run meanwhile."""
    from interconnected_ai.bench import calibrate
    from interconnected_ai.planner import save_calibration

    device = calibrate(say=output.say)
    path, found = save_calibration(device), device.calibration
    assert found is not None
    rows = [(f"products, {p}", f"{max(r for _, r in curve) / 1e9:.1f} GFLOP/s") for p, curve in found.products.items()]
    output.table(
        device.name,
        ["what", "measured"],
        [
            *rows,
            ("memory", f"{found.bandwidth / 1e9:.1f} GB/s"),
            ("GELU", f"{found.activations_per_second / 1e6:.0f} M numbers/s"),
            ("AdamW", f"{found.updates_per_second / 1e6:.0f} M parameters/s"),
            ("a call", f"{found.op_seconds * 1e6:.2f} µs"),
            ("disk", "not measured" if found.disk_bandwidth is None else f"{found.disk_bandwidth / 1e6:.0f} MB/s"),
        ],
    )
    output.say(*found.notes, f"Kept in {path}; plans for this machine use it from now on.")
    output.result({"path": str(path), "device": device.to_dict()})
