"""`iai bench gpu`."""

from pathlib import Path

import click

from interconnected_ai.cli.failures import FOUND
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, asked_to_replace, overwrite_option


@click.command("gpu")
@click.option(
    "--output", "folder", required=True, type=OutputPath(may_stand=True, file_okay=False), metavar="DIR",
    help="gpu.md and gpu.json, written anew after every part; a log of each.",
)  # fmt: skip
@click.option(
    "--device", default="auto", show_default=True, type=click.Choice(["auto", "cuda", "cpu"]),
    help="auto: a GPU where there is one.",
)  # fmt: skip
@click.option("--tiny", is_flag=True, help="Small shapes, to check that every part runs; on a CPU always.")
@click.option("--minutes", default=8.0, show_default=True, type=click.FloatRange(min=0), help="For all parts together.")
@click.option("--part", "only", multiple=True, metavar="PART", help="This part alone; several times.")
@overwrite_option
@with_output
def command(folder: Path, device: str, tiny: bool, minutes: float, only: tuple[str, ...], output: Output) -> None:
    """Everything that needs a GPU: its tests, the MoE layer, generation, training, FSDP2, surgery at Qwen3-30B-A3B's size.

    Each part runs in a process of its own with a limit; one that fails is recorded, and the next one begins. Where there is no
    GPU it runs with tiny shapes on the CPU, which checks the parts and measures nothing.

    Exit code 0: every part is done; 1: one failed, was stopped or not reached.
    """
    from interconnected_ai.bench import bench_gpu

    found = bench_gpu(folder, device=device, tiny=True if tiny else None, minutes=minutes, only=only,
                      overwrite=asked_to_replace())  # fmt: skip
    output.table(
        f"On {found['machine']['gpu'] if found['device'] == 'cuda' else 'a CPU: a check, no measurement'}",
        ["part", "state", "seconds"],
        [(each["part"], each["state"], each["seconds"]) for each in found["parts"]],
    )
    output.say(f"Figures: {folder / 'gpu.md'}")
    output.result(found)
    if not found["all_done"]:
        raise click.exceptions.Exit(FOUND)
