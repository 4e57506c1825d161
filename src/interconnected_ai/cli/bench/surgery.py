"""`iai bench surgery`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, print_measured, with_output


@click.command("surgery")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(min=1), help="Runs of each contestant.")
@click.option(
    "--model", type=click.Path(path_type=Path),
    help="The folder `base` of `iai surgery quickstart`: what LoRA on the suggested experts gains; what half of them cost.",
)  # fmt: skip
@click.option("--part", "parts", multiple=True, help="Measure this part only; repeat for several.")
@click.option(
    "--seeds",
    default=1,
    show_default=True,
    type=click.IntRange(min=1),
    help="Comparisons of suggested experts to average.",
)
@click.option(
    "--short", is_flag=True,
    help="40 steps of 512 tokens for each contestant: for a mixture of pretrained models.",
)  # fmt: skip
@with_output
def command(repeats: int, model: Path | None, parts: tuple[str, ...], seeds: int, short: bool, output: Output) -> None:
    """Operations by family, adapters of single experts beside PEFT's, experts in 4 bits, rules in the router.

    Parts are families, adapters, packing, program, gpu, offload, and of a model (--model) suggestion and, when they are named,
    pruning and top-p.
    """
    from interconnected_ai.bench import (
        FAMILY_STEPS,
        PRUNING_COURSE,
        SHORT_PRUNING_COURSE,
        SHORT_SUGGESTION_COURSE,
        SUGGESTION_COURSE,
        bench_surgery,
    )

    course = SHORT_SUGGESTION_COURSE if short else SUGGESTION_COURSE
    found = bench_surgery(
        repeats=repeats, model=model, parts=parts, course=course, num_seeds=seeds,
        pruning=SHORT_PRUNING_COURSE if short else PRUNING_COURSE, say=output.step,
    )  # fmt: skip
    ticks = found.get("ticks", {})
    if ticks:
        output.table(
            "Operations on tiny random models",
            ["family", *FAMILY_STEPS],
            [(family, *("✓" if held else "✗" for held in row.values())) for family, row in ticks.items()],
        )
        for family, steps in found["failures"].items():
            output.say(*(f"{family}, {step}: {why}" for step, why in steps.items()))
        output.say(*(f"Refused: {family}, since {why}" for family, why in found["refused"].items()))
    lines = [
        (
            f"families in which every step holds, of transformers' {len(ticks) + len(found.get('refused', {}))} (goal 50)",
            "families_passing",
        ),
        ("LoRA on 2 of 64 experts: time over PEFT on all (goal ≤ 0.5)", "lora_time_over_peft"),
        ("  the same with four times the tokens", "lora_time_over_peft_more_tokens"),
        ("  extra memory over PEFT's (goal ≤ 0.1)", "lora_memory_over_peft"),
        ("experts in 4 bits: bytes over bfloat16 (goal ≤ 0.3)", "bytes_4bit_over_bf16"),
        ("  relative error of the logits of a random model", "logits_relative_error_4bit"),
        ("rules in the router: share of a forward pass (goal ≤ 0.05)", "program_overhead"),
        ("LoRA on the suggested quarter: share of the gain on all (goal ≥ 0.9)", "suggested_gain_share"),
        ("  on the quarter that is used most, layer by layer", "used_gain_share"),
        ("  on random quarters", "random_gain_share"),
        ("  share of the parameters (goal ≤ 0.3)", "suggested_params_share"),
        ("half of the experts, repaired: perplexity over the whole model's (goal ≤ 1.1)", "pruned_half_perplexity"),
        ("  before the repair", "pruned_half_before_repair"),
        ("  over the whole model's trained as long", "pruned_half_over_whole_trained"),
        ("  a random half, repaired", "random_half_perplexity"),
        ("half of the experts in memory: tokens a second over the whole model's", "offload_share"),
        ("  over all experts on disk", "offload_over_disk"),
        ("  over the same without foresight", "offload_foresight"),
    ]
    print_measured(output, found, [line for line in lines if line[1] in found])
