"""The formats of an `ExpertModel` by name, and what writes each from its folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.errors import EngineError, TokenizerError
from interconnected_ai.experts.folder import FLOAT, ExpertFiles
from interconnected_ai.experts.network import ExpertNetwork

PRECISIONS = (FLOAT, "float16", "int8", "int4", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")


@dataclass(frozen=True)
class Exported:
    """What was written and where.

    size_bytes: of all its files. precision: of the weights.
    """

    format: str
    path: Path
    precision: str
    size_bytes: int


def _gpt2(files: ExpertFiles, out: Path, precision: str) -> None:
    from interconnected_ai.experts.export.gpt2 import write_gpt2

    if precision != FLOAT:
        raise EngineError(
            f"gpt2 is exported in {FLOAT} alone, not {precision!r}; gguf, onnx and ctranslate2 can be quantised"
        )
    write_gpt2(files.network(ExpertNetwork), files.tokenizer, out)


def _gguf(files: ExpertFiles, out: Path, precision: str) -> None:
    from interconnected_ai.experts.export.gguf import write_gguf

    if files.tokenizer is None:
        raise TokenizerError(
            "a GGUF file carries its tokenizer, and this expert has none; save the expert with it first"
        )
    name = files.folder.resolve().name
    write_gguf(files.network(ExpertNetwork), files.tokenizer, out, precision=precision, name=name)


def _onnx(files: ExpertFiles, out: Path, precision: str) -> None:
    from interconnected_ai.experts.export.onnx import write_onnx

    write_onnx(files.network(ExpertNetwork), files.tokenizer, out, precision=precision, quantized=files.quantized())


def _ctranslate2(files: ExpertFiles, out: Path, precision: str) -> None:
    from interconnected_ai.experts.export.ctranslate2 import write_ctranslate2

    write_ctranslate2(files.network(ExpertNetwork), files.tokenizer, out, precision=precision)


FORMATS: dict[str, Callable[[ExpertFiles, Path, str], None]] = {
    "gpt2": _gpt2,
    "gguf": _gguf,
    "onnx": _onnx,
    "ctranslate2": _ctranslate2,
}
