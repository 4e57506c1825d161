"""The formats by name, and the one call that writes any of them from an expert's folder."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.errors import EngineError, TokenizerError, UnknownNameError
from interconnected_ai.experts.folder import TOKENIZER, checked_folder, load_model, load_quantized, load_tokenizer
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.text import Tokenizer

FLOAT = "float32"
_GGUF_SUFFIX = ".gguf"


@dataclass(frozen=True)
class Exported:
    """What was written and where.

    size_bytes: of all its files. precision: of the weights.
    """

    format: str
    path: Path
    precision: str
    size_bytes: int


def export_expert(expert: str | Path, to: str, out: str | Path, *, quantize: str | None = None) -> Exported:
    """Write the expert of a folder in another program's format.

    to: "gpt2" (transformers, vLLM), "gguf" (llama.cpp), "onnx" (ONNX Runtime) or "ctranslate2". out: a folder; for gguf a
    file, or a folder that gets NAME.gguf. quantize: "q8_0" or "q4_0" for gguf, "int8" or "int4" for onnx, "int8" for
    ctranslate2; None is float32.
    Raises `UnknownNameError` for another format, `EngineError` for an expert or precision that the format cannot hold,
    `MissingExtraError` where the format's package is missing.
    """
    if to not in FORMATS:
        raise UnknownNameError("format", to, FORMATS)
    folder = checked_folder(expert)
    source = _Source(folder, load_tokenizer(folder) if (folder / TOKENIZER).is_file() else None)
    path = FORMATS[to](source, Path(out), quantize or FLOAT)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Exported(to, path, quantize or FLOAT, sum(file.stat().st_size for file in files))


@dataclass(frozen=True)
class _Source:
    """The expert to be exported."""

    folder: Path
    tokenizer: Tokenizer | None

    def model(self) -> ExpertModel:
        """Its weights, in float32."""
        return load_model(self.folder)


def _gpt2(source: _Source, out: Path, precision: str) -> Path:
    from interconnected_ai.experts.export.gpt2 import write_gpt2

    if precision != FLOAT:
        raise EngineError(
            f"gpt2 is exported in {FLOAT} alone, not {precision!r}; gguf, onnx and ctranslate2 can be quantised"
        )
    write_gpt2(source.model(), source.tokenizer, out)
    return out


def _gguf(source: _Source, out: Path, precision: str) -> Path:
    from interconnected_ai.experts.export.gguf import write_gguf

    if source.tokenizer is None:
        raise TokenizerError(
            "a GGUF file carries its tokenizer, and this expert has none; save the expert with it first"
        )
    file = out if out.suffix == _GGUF_SUFFIX else out / f"{source.folder.resolve().name}{_GGUF_SUFFIX}"
    write_gguf(source.model(), source.tokenizer, file, precision=precision, name=source.folder.resolve().name)
    return file


def _onnx(source: _Source, out: Path, precision: str) -> Path:
    from interconnected_ai.experts.export.onnx import write_onnx

    quantized = load_quantized(source.folder)
    write_onnx(source.model(), source.tokenizer, out, precision=precision, quantized=quantized)
    return out


def _ctranslate2(source: _Source, out: Path, precision: str) -> Path:
    from interconnected_ai.experts.export.ctranslate2 import write_ctranslate2

    write_ctranslate2(source.model(), source.tokenizer, out, precision=precision)
    return out


FORMATS: dict[str, Callable[[_Source, Path, str], Path]] = {
    "gpt2": _gpt2,
    "gguf": _gguf,
    "onnx": _onnx,
    "ctranslate2": _ctranslate2,
}
