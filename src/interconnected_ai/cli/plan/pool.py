"""`iai plan pool`: many experts within a RAM budget."""

from dataclasses import asdict

import click

from interconnected_ai.cli.alternatives import alternatives
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.plan.expert_shape import expert_shape
from interconnected_ai.cli.plan.options import GIGABYTES, expert_shape_options
from interconnected_ai.cli.units import spoken_bytes


@click.command("pool")
@click.option("--experts", required=True, type=int, help="How many experts there are.")
@click.option("--ram-gb", required=True, type=GIGABYTES, help="RAM that they may take.")
@expert_shape_options
@click.option("--params", type=int, help="Parameters of one expert, in place of a shape.")
@click.option("--precision", default="float16", show_default=True, help="float32, float16, bfloat16, int8 or int4.")
@click.option("--active", default=1, show_default=True, type=int, help="Experts that answer at the same time.")
@alternatives("params", ("preset_name", "vocab_size", "d_model", "layers", "heads", "d_ff"))
@with_output
def command(experts: int, ram_gb: float, preset_name: str | None, params: int | None, precision: str, active: int,
            context: int | None, output: Output, **shape: int | None) -> None:  # fmt: skip
    """Many experts within a RAM budget: how many stay in memory, and what loading another takes."""
    from interconnected_ai.planner import pool_size, this_machine

    place = this_machine()
    found = pool_size(
        params if params is not None else expert_shape(preset_name, shape),
        experts,
        round(ram_gb * 1e9),
        precision,
        num_active=active,
        num_context_tokens=context,
        disk_bandwidth=place.measured_disk_bandwidth,
        memory_bandwidth=place.bandwidth,
    )
    load = "not measured (iai plan calibrate)" if found.load_seconds is None else f"{found.load_seconds:.2f} s"
    output.table(
        f"{experts} experts in {ram_gb:g} GB, {precision}",
        ["what", "value"],
        [
            ("one expert", spoken_bytes(found.expert_bytes)),
            *(
                [("its engine's second copy of the matrices", spoken_bytes(found.copied_bytes))]
                if found.copied_bytes
                else []
            ),
            ("working memory of one that answers", spoken_bytes(found.working_bytes)),
            ("stay in memory", f"{found.num_resident} of {experts}"),
            ("memory in use", spoken_bytes(found.used_bytes)),
            ("memory in which all stay", spoken_bytes(found.needed_for_all_bytes)),
            ("on disk", spoken_bytes(found.disk_bytes)),
            ("loading one from disk", load),
            ("loading one from the page cache", _short_seconds(found.cached_load_seconds)),
        ],
    )
    if not found.fits:
        output.say(
            f"{active} answering experts do not fit: they need {spoken_bytes(found.needed_bytes)}. Raise --ram-gb, lower "
            "--active or --context, or take int8 or int4"
        )
    output.result(
        {
            **asdict(found),
            "fits": found.fits,
            "all_resident": found.all_resident,
            "used_bytes": found.used_bytes,
            "needed_bytes": found.needed_bytes,
            "needed_for_all_bytes": found.needed_for_all_bytes,
            "disk_bytes": found.disk_bytes,
        }
    )


def _short_seconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{1000 * seconds:.1f} ms"
