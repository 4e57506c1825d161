"""`iai surgery export MODEL --output FILE.gguf`."""

from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, Source, overwrite_option
from interconnected_ai.cli.surgery.inputs import open_model
from interconnected_ai.cli.units import spoken_bytes
from interconnected_ai.errors import ConfigError

PRECISIONS = ["float32", "float16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]


@click.command("export")
@click.argument("model", type=Source())
@click.option(
    "--output", "target", required=True, type=OutputPath(".gguf"), help="The file to write, which llama.cpp runs."
)
@overwrite_option
@click.option(
    "--quantize", "precision", type=click.Choice(PRECISIONS), default="float32", show_default=True,
    help="Of the matrices; routers and norms stay in float32.",
)  # fmt: skip
@with_output
def command(model: str, target: Path, precision: str, output: Output) -> None:
    """Write a mixture of experts as one GGUF file, with its tokenizer and chat template.

    Of Mixtral, Qwen2-MoE, Qwen3-MoE, OLMoE and GraniteMoE, as llama.cpp computes them. What a file of weights cannot hold
    (closed experts, rules, adapters, layers with different numbers of experts) is refused.
    """
    from interconnected_ai.experts import write_network_gguf
    from interconnected_ai.hub import local_folder

    folder = local_folder(model)
    moe = open_model(str(folder))
    _need_plain(moe)
    write_network_gguf(moe.model, folder, target, precision=precision, name=folder.name)
    size = target.stat().st_size
    num_experts = moe.layers.all[0].num_experts
    output.say(f"{target}: {moe.family.name}, {num_experts} experts a layer, {precision}, {spoken_bytes(size)}")
    output.result({"path": str(target), "family": moe.family.name, "precision": precision, "size_bytes": size})


def _need_plain(moe: Any) -> None:
    """Raise `ConfigError` for what stands beside the weights, which a GGUF file has no place for."""
    if not moe.uniform:
        raise ConfigError(
            "GGUF holds one number of experts and one top-k for all layers, and this model's layers differ; prune it with the "
            "same number in every layer (--budget layer), or serve it with transformers (surgery.open)"
        )
    if not moe.plain or moe.program.roles:
        raise ConfigError(
            "GGUF holds weights alone, and this model has closed or warming experts, rules, roles, top-p, adapters or packed "
            "experts: let experts in or remove them, merge adapters (merge_adapter), unpack experts, take rules off; then save "
            "it and export that"
        )
