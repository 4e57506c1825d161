"""`iai plan expert`: a small language model of one's own."""

from dataclasses import asdict
from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.plan.expert_shape import expert_shape
from interconnected_ai.cli.plan.options import device_options, expert_shape_options
from interconnected_ai.cli.units import spoken_bytes


@click.command("expert")
@expert_shape_options
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1), help="Rows generated at once.")
@device_options("this machine")
@with_output
def command(preset_name: str | None, device: str, devices: Path | None, context: int | None, batch: int, output: Output,
            **shape: int | None) -> None:  # fmt: skip
    """A small language model: parameters, bytes, KV cache, tokens per second."""
    from interconnected_ai.planner import decode_rate, expert_size, find_device, kv_cache_bytes

    sized = expert_size(expert_shape(preset_name, shape))
    place = find_device(device, devices)
    kept = context or sized.shape.max_seq_len
    flops = place.flops("float32") if "float32" in {*place.peak_flops, *place.measured_flops} else None
    rows, figures = [], {}
    for precision in ("float32", "float16", "int8", "int4"):
        rate = decode_rate(
            sized.shape,
            bandwidth=place.bandwidth,
            flops=flops,
            precision=precision,
            batch=batch,
            num_context_tokens=kept,
        )
        cache = kv_cache_bytes(
            sized.shape, kept, batch=batch, precision=precision if precision.startswith("float") else "float16"
        )
        figures[precision] = {"weight_bytes": sized.weight_bytes(precision), "kv_cache_bytes": cache, **asdict(rate)}
        rows.append(
            (
                precision,
                f"{sized.weight_bytes(precision) / 2**20:.1f} MiB",
                spoken_bytes(cache),
                f"{rate.low:,.0f}–{rate.high:,.0f}",
            )
        )
    output.say(
        f"{sized.num_params:,} parameters, {sized.num_params_without_embedding:,} without the embedding; "
        f"{place.name}, {kept:,} tokens of context, {batch} at once"
    )
    output.table("", ["precision", "weights", "KV cache", "tokens per second"], rows)
    output.say(f"Tokens per second: {figures['float32']['assumption']}.")
    output.result(
        {
            "shape": sized.shape.to_dict(),
            "num_params": sized.num_params,
            "num_params_without_embedding": sized.num_params_without_embedding,
            "device": place.name,
            "num_context_tokens": kept,
            "batch": batch,
            "precisions": figures,
        }
    )
