"""`iai plan expert`, `iai plan pool`: small language models of one's own, one or many. Imports no torch."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.plan.units import spoken_bytes
from interconnected_ai.config import ExpertConfig


@click.command("expert")
@click.option("--preset", "preset_name", help="Tiny, Small, Medium or Large, the document's sizes.")
@click.option("--vocab-size", type=int, help="Words of its tokenizer.")
@click.option("--d-model", type=int, help="Width.  [default: 512]")
@click.option("--layers", type=int, help="Transformer blocks.  [default: 6]")
@click.option("--heads", type=int, help="Attention heads.  [default: 8]")
@click.option("--d-ff", type=int, help="Hidden size of the feed-forward block.  [default: 4 × d_model]")
@click.option("--context", type=int, help="Tokens that are kept.  [default: max_seq_len of the shape]")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1), help="Rows generated at once.")
@click.option("--device", default="this machine", show_default=True, help="A name of the device table.")
@click.option("--devices", type=click.Path(path_type=Path), help="A YAML file with device rows of your own.")
@with_output
def expert(preset_name: str | None, device: str, devices: Path | None, context: int | None, batch: int, output: Output,
           **shape: int | None) -> None:  # fmt: skip
    """A small language model: parameters, bytes, KV cache, tokens per second."""
    from interconnected_ai.planner import find_device
    from interconnected_ai.planner.expert import decode_rate, expert_size, kv_cache_bytes

    sized = expert_size(_expert_shape(preset_name, shape))
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


def _expert_shape(preset_name: str | None, flags: dict[str, int | None]) -> ExpertConfig:
    from interconnected_ai.planner.expert import preset

    keys = {"vocab_size": "vocab_size", "d_model": "d_model", "layers": "n_layers", "heads": "n_heads", "d_ff": "d_ff"}
    given: dict[str, Any] = {keys[flag]: value for flag, value in flags.items() if flag in keys and value is not None}
    if preset_name:
        return preset(preset_name).with_changes(**given)
    if "vocab_size" not in given:
        raise click.UsageError("give --vocab-size, or --preset Tiny, Small, Medium or Large")
    return ExpertConfig.from_mapping(given, source="iai plan")


@click.command("pool")
@click.option("--experts", required=True, type=int, help="How many experts there are.")
@click.option("--ram-gb", required=True, type=float, help="RAM that they may take.")
@click.option("--preset", "preset_name", help="Tiny, Small, Medium or Large.")
@click.option("--params", type=int, help="Parameters of one expert, in place of a shape.")
@click.option("--vocab-size", type=int, help="Words of its tokenizer.")
@click.option("--d-model", type=int, help="Width.")
@click.option("--layers", type=int, help="Transformer blocks.")
@click.option("--heads", type=int, help="Attention heads.")
@click.option("--d-ff", type=int, help="Hidden size of the feed-forward block.")
@click.option("--precision", default="float16", show_default=True, help="float32, float16, bfloat16, int8 or int4.")
@click.option("--active", default=1, show_default=True, type=int, help="Experts that answer at the same time.")
@click.option("--context", type=int, help="Tokens that each keeps.  [default: max_seq_len of the shape]")
@with_output
def pool(experts: int, ram_gb: float, preset_name: str | None, params: int | None, precision: str, active: int,
         context: int | None, output: Output, **shape: int | None) -> None:  # fmt: skip
    """Many experts within a RAM budget: how many stay in memory, and what loading another takes."""
    from interconnected_ai.planner import this_machine
    from interconnected_ai.planner.expert import pool_size

    place = this_machine()
    found = pool_size(
        params if params is not None else _expert_shape(preset_name, shape),
        experts,
        round(ram_gb * 1e9),
        precision,
        num_active=active,
        num_context_tokens=context,
        disk_bandwidth=place.measured_disk_bandwidth,
        memory_bandwidth=place.bandwidth,
    )
    load = "not measured (iai plan --calibrate)" if found.load_seconds is None else f"{found.load_seconds:.2f} s"
    output.table(
        f"{experts} experts in {ram_gb:g} GB, {precision}",
        ["what", "value"],
        [
            ("one expert", spoken_bytes(found.expert_bytes)),
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
