"""`iai council plan`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.plan.expert_shape import expert_shape
from interconnected_ai.cli.plan.options import GIGABYTES, device_options, expert_shape_options
from interconnected_ai.cli.units import spoken_bytes, spoken_count

DEFAULT_PRESET, DEFAULT_WINDOW = "tiny", 256


@click.command("plan")
@click.option(
    "--tokens", required=True, type=click.IntRange(1), help="Tokens of text to learn from, of all domains together."
)
@click.option("--domains", required=True, type=click.IntRange(2, 10_000), help="How many domains, an expert each.")
@click.option("--minutes", required=True, type=click.FloatRange(min=0, min_open=True), help="Of training, for either.")
@click.option("--ram-gb", type=GIGABYTES, help="RAM for what answers.  [default: half of the machine's]")
@expert_shape_options
@click.option("--precision", default="float32", show_default=True, help="Of the training: float32 or bfloat16.")
@device_options("this machine")
@click.option(
    "--curve", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE.json",
    help="What iai bench council --part seed --json said here.  [default: docs/results/council.md]",
)  # fmt: skip
@with_output
def command(
    tokens: int,
    domains: int,
    minutes: float,
    ram_gb: float | None,
    preset_name: str | None,
    context: int | None,
    precision: str,
    device: str,
    devices: Path | None,
    curve: Path | None,
    output: Output,
    **shape: int | None,
) -> None:
    """Whether a council of experts or one dense model foretells text better, before anything is trained.

    Both have experts of one shape (--preset tiny, where none is said), read the same text for the same minutes, and take as
    much computing an answer's token. The verdict rests on a measured curve and says how sure it is.
    """
    from interconnected_ai.planner import curve_from, find_device, plan_council
    from interconnected_ai.storage import read_json

    is_bare = preset_name is None and shape["vocab_size"] is None
    sized = expert_shape(DEFAULT_PRESET if is_bare else preset_name, shape)
    place = find_device(device, devices)
    found = plan_council(
        sized.with_changes(max_seq_len=context or DEFAULT_WINDOW),
        text_tokens=tokens,
        num_domains=domains,
        minutes=minutes,
        ram_bytes=round(ram_gb * 1e9) if ram_gb is not None else place.memory_bytes // 2,
        device=place,
        precision=precision,
        curve=None if curve is None else curve_from(read_json(curve), source=str(curve)),
    )
    pool = found.pool
    output.table(
        f"{domains} domains, {minutes:g} minutes on {place.name}",
        ["", "one dense model", "a council"],
        [
            ("parameters", f"{found.size.num_params:,}", f"{(domains + 1) * found.size.num_params:,}"),
            ("  of one expert", "", f"{found.size.num_params:,}"),
            ("on disk", spoken_bytes(pool.expert_bytes), spoken_bytes(pool.disk_bytes)),
            ("stay in memory", "1 of 1", f"{pool.num_resident} of {domains + 1}"),
            ("bits per byte", "1", f"{found.ratio.expected:.3f} ({found.ratio.low:.3f}–{found.ratio.high:.3f})"),
        ],
    )
    read = found.tokens_read
    output.say(
        f"{spoken_count(read.expected)} tokens ({spoken_count(read.low)}–{spoken_count(read.high)}) are read in that time, the "
        f"text {found.passes:.1f} times, {read.expected / found.size.num_params:.0f} for each parameter.",
        f"{found.verdict}: {found.reason}.",
        f"Measured {found.measured}; times: {found.assumption.text}.",
    )
    output.result(found.to_dict())
