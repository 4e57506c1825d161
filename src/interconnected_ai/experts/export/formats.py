"""The formats by name, and the one call that writes any of them from an expert's folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.errors import EngineError, TokenizerError
from interconnected_ai.experts.folder import FLOAT, ExpertFiles, read_files
from interconnected_ai.experts.names import chosen
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.storage import refuse_same, refuse_standing

_GGUF_SUFFIX = ".gguf"
_PRECISIONS = (FLOAT, "int8", "int4", "q8_0", "q4_0")


@dataclass(frozen=True)
class Exported:
    """What was written and where.

    size_bytes: of all its files. precision: of the weights.
    """

    format: str
    path: Path
    precision: str
    size_bytes: int


def export_expert(
    expert: str | Path, to: str, out: str | Path, *, quantize: str | None = None, overwrite: bool = False
) -> Exported:
    """Write the expert of a folder in another program's format.

    to: "gpt2" (transformers, vLLM), "gguf" (llama.cpp), "onnx" (ONNX Runtime) or "ctranslate2". out: a folder; for gguf a
    file, or a folder that gets NAME.gguf. quantize: "q8_0" or "q4_0" for gguf, "int8" or "int4" for onnx, "int8" for
    ctranslate2; None is float32. overwrite: replace what an earlier export left there, whole or not at all.
    Raises `ConfigError` where `out` is, lies in or contains the expert, `StorageError` where something stands there and
    `overwrite` is not asked for, `UnknownNameError` for another format, `EngineError` for an expert or precision that the
    format cannot hold, `MissingExtraError` where the format's package is missing.
    """
    write = FORMATS[chosen("format", to, FORMATS)]
    precision = FLOAT if quantize is None else chosen("precision", quantize, _PRECISIONS)
    place = _place(Path(out), to, Path(expert))
    refuse_same(place, expert, name="out")
    refuse_standing(place, overwrite=overwrite, name="out")
    write(read_files(expert), place, precision)
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return Exported(to, place, precision, sum(file.stat().st_size for file in files))


def _place(out: Path, to: str, expert: Path) -> Path:
    """What is written: `out`, or for gguf a file in that folder."""
    return out / f"{expert.resolve().name}{_GGUF_SUFFIX}" if to == "gguf" and out.suffix != _GGUF_SUFFIX else out


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
