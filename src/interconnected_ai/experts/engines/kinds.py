"""The table of engines: each row says what an engine can run and how it is opened on an expert's folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import EngineError, UnknownNameError
from interconnected_ai.experts.engines.conversion import conversion
from interconnected_ai.experts.folder import (
    TOKENIZER,
    checked_folder,
    load_model,
    load_quantized,
    load_tokenizer,
    read_config,
    read_precision,
)
from interconnected_ai.experts.torch_engine import TorchEngine
from interconnected_ai.extras import require
from interconnected_ai.storage import atomic_folder
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Generate


@dataclass(frozen=True)
class Source:
    """An expert's folder, checked, and how an engine on it is to be opened.

    precision: that the engine is to compute in. stored: that the folder's weights are in.
    """

    folder: Path
    shape: ExpertConfig
    tokenizer: Tokenizer | None
    precision: str
    stored: str
    end_id: int | None
    threads: int | None
    cache: Path | None

    def converted(self, engine: str, write: Callable[[Path], None]) -> Path:
        """The folder with this expert in the engine's own form."""
        return conversion(self.folder, f"{engine}-{self.precision}", write, self.cache)


@dataclass(frozen=True)
class EngineKind:
    """What there is to know of an engine before it is opened.

    package: what has to be importable, brought by `extra`. precisions: of the weights it computes with. unfit: why it cannot
    run an expert of this shape, "" if it can. dequantizes: a quantised expert runs too, its weights in float32 again.
    """

    package: str
    extra: str
    precisions: tuple[str, ...]
    unfit: Callable[[ExpertConfig], str]
    open: Callable[[Source], Generate]
    dequantizes: bool = False

    def has(self, precision: str, stored: str) -> bool:
        """Whether the engine computes in this precision on weights stored in that one."""
        return precision in self.precisions or (self.dequantizes and precision == stored)


def open_source(name: str, source: Source) -> Generate:
    """The engine of this name on a checked folder."""
    kind = engine_kind(name)
    if not kind.has(source.precision, source.stored):
        able = " and ".join(other for other, row in _TABLE.items() if source.precision in row.precisions)
        raise EngineError(
            f"the engine {name} has no precision={source.precision!r}, it has {', '.join(kind.precisions)}; "
            + (f"{able} can" if able else "no engine has it")
        )
    if reason := kind.unfit(source.shape):
        raise EngineError(f"the engine {name} cannot run this expert: {reason}; torch runs every expert")
    require(kind.package, kind.extra, f"the engine {name}")
    return kind.open(source)


def runnable_engines(expert: str | Path, precision: str | None = None) -> dict[str, str]:
    """Every engine's name → why it cannot run this expert here, "" for those that can."""
    source = source_of(expert, None, precision)
    return {name: why_not(name, source) for name in _TABLE}


def why_not(name: str, source: Source) -> str:
    """Why an engine cannot run this expert here, "" if it can."""
    kind = engine_kind(name)
    if find_spec(kind.package) is None:
        return f'not installed (pip install "interconnected-ai[{kind.extra}]")'
    if not kind.has(source.precision, source.stored):
        return f"has no precision {source.precision}"
    return kind.unfit(source.shape)


def engine_kind(name: str) -> EngineKind:
    """The table's row; raises `UnknownNameError` for a name that nobody knows."""
    if name not in _TABLE:
        raise UnknownNameError("engine", name, [*_TABLE, "auto"])
    return _TABLE[name]


def source_of(
    expert: str | Path,
    tokenizer: Tokenizer | None,
    precision: str | None,
    *,
    end_id: int | None = None,
    threads: int | None = None,
    cache: str | Path | None = None,
) -> Source:
    """An expert's folder, checked once, and how an engine is to be opened on it."""
    folder = checked_folder(expert)
    if tokenizer is None and (folder / TOKENIZER).is_file():
        tokenizer = load_tokenizer(folder)
    stored = read_precision(folder)
    return Source(
        folder, read_config(folder), tokenizer, precision or stored, stored, end_id, threads,
        None if cache is None else Path(cache),
    )  # fmt: skip


def _open_torch(source: Source) -> Generate:
    model = load_model(source.folder)
    return TorchEngine(model, source.tokenizer, end_id=source.end_id)


def _open_onnx(source: Source) -> Generate:
    from interconnected_ai.experts.engines.onnx import OnnxEngine
    from interconnected_ai.experts.export.onnx import write_onnx

    def write(place: Path) -> None:
        quantized = load_quantized(source.folder)
        write_onnx(load_model(source.folder), None, place, precision=source.precision, quantized=quantized)

    folder = source.converted("onnx", write)
    return OnnxEngine(folder, source.tokenizer, end_id=source.end_id, threads=source.threads)


def _open_ctranslate2(source: Source) -> Generate:
    from interconnected_ai.experts.engines.ctranslate2 import CTranslate2Engine
    from interconnected_ai.experts.export.ctranslate2 import write_ctranslate2

    def write(place: Path) -> None:
        write_ctranslate2(load_model(source.folder), source.tokenizer, place, precision=source.precision)

    folder = source.converted("ctranslate2", write)
    return CTranslate2Engine(folder, source.tokenizer, end_id=source.end_id, threads=source.threads)


def _open_llamacpp(source: Source) -> Generate:
    from interconnected_ai.experts.engines.llamacpp import LlamaCppEngine
    from interconnected_ai.experts.export.gguf import write_gguf

    known = None if source.tokenizer is None else source.tokenizer.end_id
    if source.end_id not in (None, known):
        raise EngineError(
            f"the engine llamacpp ends an answer at the tokenizer's end token alone, not end_id={source.end_id}"
        )

    def write(place: Path) -> None:
        with atomic_folder(place, kind="expert converted to GGUF") as scratch:
            write_gguf(
                load_model(source.folder), source.tokenizer, scratch / _GGUF, precision=_IN_GGUF[source.precision]
            )

    file = source.converted("llamacpp", write) / _GGUF
    return LlamaCppEngine(file, source.shape, source.tokenizer, threads=source.threads)


def _any_shape(shape: ExpertConfig) -> str:
    return ""


def _onnx_unfit(shape: ExpertConfig) -> str:
    width = shape.head_width
    return f"its attention takes heads whose width is a multiple of 8, here it is {width}" if width % 8 else ""


def _llamacpp_unfit(shape: ExpertConfig) -> str:
    return "" if shape.norm == "pre" else "GGUF's gpt2 is a pre-norm transformer, this one is post-norm"


_GGUF = "model.gguf"
_IN_GGUF = {"float32": "float32", "int8": "q8_0", "int4": "q4_0"}
_TABLE: dict[str, EngineKind] = {
    "torch": EngineKind("torch", "", ("float32",), _any_shape, _open_torch, dequantizes=True),
    "onnx": EngineKind("onnxruntime", "onnx", ("float32", "int8", "int4"), _onnx_unfit, _open_onnx),
    "ctranslate2": EngineKind("ctranslate2", "ctranslate2", ("float32", "int8"), _any_shape, _open_ctranslate2),
    "llamacpp": EngineKind("xllamacpp", "llamacpp", ("float32", "int8", "int4"), _llamacpp_unfit, _open_llamacpp),
}
ENGINES: Sequence[str] = tuple(_TABLE)
