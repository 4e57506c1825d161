"""`iai expert export EXPERT --to FORMAT --out PATH`."""

from pathlib import Path

import click

from interconnected_ai.cli.completion import ExpertPath
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, asked_to_replace, overwrite_option
from interconnected_ai.cli.units import spoken_bytes

_FORMATS = {
    "gpt2": "transformers and vLLM open it",
    "gguf": "llama.cpp and its relatives run it",
    "gguf-lora": "llama.cpp serves it on its base",
    "onnx": "ONNX Runtime runs it",
    "ctranslate2": "CTranslate2 runs it",
    "safetensors": "transformers and vLLM open it",
    "peft": "PEFT opens it, and vLLM beside the base",
}


@click.command("export")
@click.argument("expert", type=ExpertPath())
@click.option("--to", "to", required=True, help=f"The format: {', '.join(_FORMATS)}.")
@click.option(
    "--out", required=True, type=OutputPath(may_stand=True),
    help="The folder, or for gguf the file, to write; in a folder that exists a gguf is NAME.gguf.",
)  # fmt: skip
@overwrite_option
@click.option(
    "--quantize",
    help="Of the weights: q8_0, q4_0 (gguf; of pretrained models also float16, q5_1, q5_0, q4_1); int8, int4 (onnx); "
    "int8 (ctranslate2).  [default: float32]",
)
@with_output
def command(expert: Path, to: str, out: Path, quantize: str | None, output: Output) -> None:
    """Write EXPERT in the format of another program.

    Of experts trained from nothing gpt2 and gguf hold pre-norm ones, onnx and ctranslate2 both kinds. Hugging Face models and
    GGUF files are written as safetensors and gguf. So is an adapter, merged into its base; peft and gguf-lora hold it alone.
    """
    from interconnected_ai.experts import export_expert

    done = export_expert(expert, to, out, quantize=quantize, overwrite=asked_to_replace())
    output.say(f"{done.path}: {done.precision}, {spoken_bytes(done.size_bytes)}; {_FORMATS.get(to, to)}")
    output.result(
        {"format": done.format, "path": str(done.path), "precision": done.precision, "size_bytes": done.size_bytes}
    )
