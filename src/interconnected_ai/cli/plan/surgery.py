"""`iai plan surgery`: a pretrained mixture of experts, sized from its config.json alone."""

from dataclasses import asdict
from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.plan.options import device_options
from interconnected_ai.cli.units import spoken_bytes, spoken_count


@click.command("surgery")
@click.option(
    "--config", required=True, type=click.Path(path_type=Path), help="A config.json, or a folder that holds one."
)
@click.option("--batch", default=1, show_default=True, type=int, help="Rows on one device.")
@click.option("--seq", "seq_tokens", default=2048, show_default=True, type=int, help="Tokens of a row.")
@click.option(
    "--precision", help="Of frozen weights: float32, bfloat16, float16, int8 or int4.  [default: the config's]"
)
@click.option("--lora-rank", default=16, show_default=True, type=int, help="Rank of adapters.")
@click.option("--expert-layers", type=int, help="Layers in which the single expert has an adapter.  [default: all]")
@click.option("--checkpointing/--no-checkpointing", default=True, show_default=True, help="Gradient checkpointing.")
@device_options("A100 80GB SXM")
@click.option("--num-devices", default=8, show_default=True, type=int, help="The most devices to spread it over.")
@with_output
def command(config: Path, batch: int, seq_tokens: int, precision: str | None, lora_rank: int, expert_layers: int | None,
            checkpointing: bool, device: str, devices: Path | None, num_devices: int, output: Output) -> None:  # fmt: skip
    """A pretrained MoE: parameters, and the memory of every way to run or train it, on 1..N devices."""
    from interconnected_ai.planner import find_device, free_bytes, read_pretrained, size_ways, split_over

    model, place = read_pretrained(config), find_device(device, devices)
    ways = size_ways(
        model,
        batch=batch,
        seq_tokens=seq_tokens,
        precision=precision,
        lora_rank=lora_rank,
        single_expert_layers=expert_layers,
        checkpointing=checkpointing,
    )
    free = free_bytes(place)
    prompt_flops, token_flops = model.forward_flops(seq_tokens), model.forward_flops(1, seq_tokens)
    splits = [split_over(model, way, free, num_devices) for way in ways]
    output.say(
        f"{model.name} ({model.model_type}): {model.num_params:,} parameters, {model.num_active_params:,} active per token "
        f"({model.num_active_params_without_lookup:,} without the embedding's rows)",
        f"{model.n_layers} layers, {model.num_moe_layers} of them with {model.num_experts} experts of "
        f"{model.num_expert_params:,}, top-{model.top_k}; routers {model.num_router_params:,}",
        f"{spoken_count(prompt_flops)}FLOPs to read {seq_tokens:,} tokens, {spoken_count(token_flops)}FLOPs for one after them",
        f"{place.name}: {spoken_bytes(free)} free beside the runtime; {batch} rows of {seq_tokens:,} tokens on each device",
    )
    output.table(
        "",
        ["way", "trained", "weights", "gradients + optimiser", "activations", "KV cache", "total", "recommended"],
        [
            (
                way.name,
                f"{way.num_trainable_params:,}",
                spoken_bytes(way.weights_bytes),
                spoken_bytes(way.gradient_bytes + way.optimizer_bytes),
                spoken_bytes(way.activation_bytes),
                spoken_bytes(way.kv_cache_bytes),
                spoken_bytes(way.total_bytes),
                str(split.best) if split.best else "does not fit",
            )
            for way, split in zip(ways, splits, strict=True)
        ],
    )
    output.say(*(f"{split.way.name}: {split.advice}" for split in splits))
    notes = dict.fromkeys([*model.notes, *(note for way in ways for note in way.notes)])
    output.say(*(f"Note: {note}." for note in notes))
    output.result(
        {
            "model": model.summary(),
            "prompt_flops": prompt_flops,
            "token_flops": token_flops,
            "device": place.name,
            "free_bytes": free,
            "ways": [
                {**asdict(way), "total_bytes": way.total_bytes, "advice": split.advice,
                 "splits": [asdict(row) for row in split.rows], "best": asdict(split.best) if split.best else None}
                for way, split in zip(ways, splits, strict=True)
            ],
        }
    )  # fmt: skip
