"""`export_expert`: any expert in another program's format, by the row of its kind."""

from pathlib import Path

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.export import PRECISIONS, Exported
from interconnected_ai.experts.folder import FLOAT
from interconnected_ai.experts.kinds import all_formats, kind_of
from interconnected_ai.experts.names import chosen
from interconnected_ai.storage import GGUF_SUFFIX, refuse_same, refuse_standing


def export_expert(
    expert: str | Path, to: str, out: str | Path, *, quantize: str | None = None, overwrite: bool = False
) -> Exported:
    """Write an expert in another program's format.

    to: "gpt2" (transformers, vLLM), "gguf" (llama.cpp), "onnx" (ONNX Runtime) or "ctranslate2" for an `ExpertModel`;
    "safetensors" (transformers, vLLM), "gguf" and, of an adapter, "gguf-lora" for the kinds that have them. out: a folder; for
    gguf a file, or a folder that gets NAME.gguf. quantize: "q8_0" or "q4_0" for gguf (a pretrained model also "float16",
    "q5_1", "q5_0", "q4_1"), "int8" or "int4" for onnx, "int8" for ctranslate2; None is float32.
    overwrite: replace what an earlier export left there, whole or not at all.
    Raises `ConfigError` where `out` is, lies in or contains the expert, `StorageError` where something stands there and
    `overwrite` is not asked for, `UnknownNameError` for another format, `EngineError` for an expert or precision that the
    format cannot hold, `MissingExtraError` where the format's package is missing.
    """
    chosen("format", to, all_formats())
    precision = FLOAT if quantize is None else chosen("precision", quantize, PRECISIONS)
    kind, source = kind_of(expert)
    if to not in kind.formats:
        way = kind.why_not_export or f"it is exported to {' and '.join(kind.formats)}"
        raise EngineError(f"{expert} is {kind.title} and cannot be written as {to}: {way}")
    place = _place(Path(out), to, Path(expert))
    refuse_same(place, source, name="out")
    refuse_standing(place, overwrite=overwrite, name="out")
    kind.formats[to](source, place, precision)
    files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return Exported(to, place, precision, sum(file.stat().st_size for file in files))


def _place(out: Path, to: str, expert: Path) -> Path:
    """What is written: `out`, or for gguf a file in that folder."""
    name = expert.resolve().name.removesuffix(GGUF_SUFFIX)
    return out / f"{name}{GGUF_SUFFIX}" if to.startswith("gguf") and out.suffix != GGUF_SUFFIX else out
