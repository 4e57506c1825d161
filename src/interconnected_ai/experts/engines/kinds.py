"""The table of engines: each row says what an engine can run and how it is opened on an expert's folder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import ConfigError, EngineError, UnknownNameError
from interconnected_ai.experts.asked import EndIds, as_end_ids
from interconnected_ai.experts.engine import Engine
from interconnected_ai.experts.engines.conversion import converted
from interconnected_ai.experts.folder import FLOAT, ExpertFiles, read_files
from interconnected_ai.experts.names import chosen
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.experts.quantization import QUANTIZED
from interconnected_ai.experts.torch_engine import TorchEngine
from interconnected_ai.extras import require
from interconnected_ai.storage import atomic_folder
from interconnected_ai.text import Tokenizer


@dataclass(frozen=True)
class Source:
    """An expert as its folder held it at one moment, and how an engine on it is to be opened.

    precision: that the engine is to compute in. mapped: as `OnnxEngine` has it.
    """

    files: ExpertFiles
    tokenizer: Tokenizer | None
    precision: str
    end_ids: tuple[int, ...] | None
    threads: int | None
    cache: Path | None
    mapped: bool = False

    def converted(self, form: str, write: Callable[[Path], None], read: Callable[[Path], Engine]) -> Engine:
        """The engine that `read` opens on the folder with this expert in a form of its own."""
        return converted(self.files, f"{form}-{self.precision}", write, read, self.cache)

    def network(self) -> ExpertNetwork:
        """The weights in float32."""
        return self.files.network(ExpertNetwork)


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
    open: Callable[[Source], Engine]
    dequantizes: bool = False

    def has(self, precision: str, stored: str) -> bool:
        """Whether the engine computes in this precision on weights stored in that one."""
        return precision in self.precisions or (self.dequantizes and precision == stored)


def open_source(name: str, source: Source) -> Engine:
    """The engine of this name on a checked folder."""
    kind = engine_kind(name)
    if not kind.has(source.precision, source.files.stored):
        able = " and ".join(other for other, row in _TABLE.items() if source.precision in row.precisions)
        raise EngineError(
            f"the engine {name} has no precision={source.precision!r}, it has {', '.join(kind.precisions)}; "
            + (f"{able} can" if able else "no engine has it")
        )
    if reason := kind.unfit(source.files.config):
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
    if not kind.has(source.precision, source.files.stored):
        return f"has no precision {source.precision}"
    return kind.unfit(source.files.config)


def engine_kind(name: str) -> EngineKind:
    """The table's row; raises `UnknownNameError` for a name that nobody knows."""
    if not isinstance(name, str) or name not in _TABLE:
        raise UnknownNameError("engine", name, [*_TABLE, "auto"])
    return _TABLE[name]


def source_of(
    expert: str | Path,
    tokenizer: Tokenizer | None,
    precision: str | None,
    *,
    end_ids: EndIds = None,
    threads: int | None = None,
    cache: str | Path | None = None,
) -> Source:
    """An expert's folder, read and checked once, and how an engine is to be opened on it."""
    return source_on(read_files(expert), tokenizer, precision, end_ids=end_ids, threads=threads, cache=cache)


def source_on(
    files: ExpertFiles,
    tokenizer: Tokenizer | None,
    precision: str | None,
    *,
    end_ids: EndIds = None,
    threads: int | None = None,
    cache: str | Path | None = None,
    mapped: bool = False,
) -> Source:
    """The same of a folder that is read already."""
    wanted = files.stored if precision is None else chosen("precision", precision, [FLOAT, *QUANTIZED])
    return Source(
        files, tokenizer or files.tokenizer, wanted, _checked_end_ids(end_ids, files.config),
        _checked_threads(threads), None if cache is None else Path(cache), mapped,
    )  # fmt: skip


def _checked_threads(threads: int | None) -> int | None:
    if threads is not None and (type(threads) is not int or not 1 <= threads <= _MOST_THREADS):
        raise ConfigError(f"threads={threads!r}: needed is a whole number from 1 to {_MOST_THREADS}")
    return threads


def _checked_end_ids(end_ids: EndIds, shape: ExpertConfig) -> tuple[int, ...] | None:
    if end_ids is None:
        return None
    listed = as_end_ids(end_ids, None)
    if isinstance(end_ids, bool) or any(not 0 <= token < shape.vocab_size for token in listed):
        raise ConfigError(f"end_ids={end_ids!r}: needed is a token id, or several, 0 to {shape.vocab_size - 1}")
    return listed


def _open_torch(source: Source) -> Engine:
    return TorchEngine(source.network(), source.tokenizer, end_ids=source.end_ids)


def _open_onnx(source: Source) -> Engine:
    from interconnected_ai.experts.engines.onnx import OnnxEngine
    from interconnected_ai.experts.export.onnx import write_onnx

    def write(place: Path) -> None:
        quantized = source.files.quantized()
        write_onnx(source.network(), None, place, precision=source.precision, quantized=quantized)

    def read(place: Path) -> Engine:
        return OnnxEngine(place, source.tokenizer, end_ids=source.end_ids, threads=source.threads, mapped=source.mapped)

    return source.converted("onnx", write, read)


def _open_ctranslate2(source: Source) -> Engine:
    from interconnected_ai.experts.engines.ctranslate2 import CTranslate2Engine
    from interconnected_ai.experts.export.ctranslate2 import write_ctranslate2

    def write(place: Path) -> None:
        write_ctranslate2(source.network(), source.tokenizer, place, precision=source.precision)

    def read(place: Path) -> Engine:
        return CTranslate2Engine(place, source.tokenizer, end_ids=source.end_ids, threads=source.threads)

    return source.converted("ctranslate2", write, read)


def _open_llamacpp(source: Source) -> Engine:
    from interconnected_ai.experts.engines.llamacpp import LlamaCppEngine, LlamaFile
    from interconnected_ai.experts.export.gguf import write_gguf

    end_ids = as_end_ids(source.end_ids, source.tokenizer)
    end_id = end_ids[0] if end_ids else None
    precision = _IN_GGUF[source.precision]

    def write(place: Path) -> None:
        with atomic_folder(place, kind="expert converted to GGUF") as scratch:
            write_gguf(source.network(), None, scratch / _GGUF, precision=precision, end_id=end_id)

    def read(place: Path) -> Engine:
        copied_bytes = _copied_by_llamacpp(source.files.config, precision)
        file = LlamaFile.of_expert(place / _GGUF, source.files.config, copied_bytes)
        return LlamaCppEngine(file, source.tokenizer, end_ids=end_ids, threads=source.threads)

    return source.converted(f"llamacpp-end{end_id}" if end_id is not None else "llamacpp", write, read)


def _copied_by_llamacpp(shape: ExpertConfig, precision: str) -> int:
    """q4_0 is read fastest in rows that are interleaved: every matrix but the embedding is copied (18 bytes for 32 weights)."""
    if precision != "q4_0":
        return 0
    width = shape.d_model
    return 18 * (shape.n_layers * width * (4 * width + 2 * shape.inner) + shape.vocab_size * width) // 32


def _any_shape(shape: ExpertConfig) -> str:
    return ""


def _onnx_unfit(shape: ExpertConfig) -> str:
    width = shape.head_width
    return f"its attention takes heads whose width is a multiple of 8, here it is {width}" if width % 8 else ""


def _llamacpp_unfit(shape: ExpertConfig) -> str:
    return "" if shape.norm == "pre" else "GGUF's gpt2 is a pre-norm transformer, this one is post-norm"


_MOST_THREADS = 1024
_GGUF = "model.gguf"
_IN_GGUF = {"float32": "float32", "int8": "q8_0", "int4": "q4_0"}
_TABLE: dict[str, EngineKind] = {
    "torch": EngineKind("torch", "", ("float32",), _any_shape, _open_torch, dequantizes=True),
    "onnx": EngineKind("onnxruntime", "onnx", ("float32", "int8", "int4"), _onnx_unfit, _open_onnx),
    "ctranslate2": EngineKind("ctranslate2", "ctranslate2", ("float32", "int8"), _any_shape, _open_ctranslate2),
    "llamacpp": EngineKind("xllamacpp", "llamacpp", ("float32", "int8", "int4"), _llamacpp_unfit, _open_llamacpp),
}
ENGINES: Sequence[str] = tuple(_TABLE)
