"""Opening an engine by its name, on an expert's folder or on a model in memory."""

import tempfile
import weakref
from pathlib import Path

from interconnected_ai.experts.asked import EndIds
from interconnected_ai.experts.engine import Engine
from interconnected_ai.experts.engines.choice import choose
from interconnected_ai.experts.engines.kinds import open_source, source_on
from interconnected_ai.experts.folder import ExpertFiles, read_files, save_expert
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.experts.torch_engine import TorchEngine
from interconnected_ai.text import Tokenizer


def open_engine(
    name: str,
    expert: str | Path | ExpertNetwork,
    tokenizer: Tokenizer | None = None,
    *,
    precision: str | None = None,
    end_ids: EndIds = None,
    threads: int | None = None,
    cache: str | Path | None = None,
) -> Engine:
    """The engine of this name on an expert's folder, or on a model in memory.

    name: "torch", "onnx", "ctranslate2", "llamacpp", or "auto", which times those that are installed on this very expert
    and takes the fastest (`choose_engine`). tokenizer: for stop strings and bad words; None is the folder's, if it has one.
    precision: of the weights, "float32", "int8" or "int4"; None is the one the expert is stored in. end_ids: a token, or
    several, at any of which an answer ends; None are the tokenizer's. threads: of a step; None is torch's number. cache: where
    converted weights are kept; None is the hidden folder `.NAME.engines` beside the expert.
    Raises `UnknownNameError` for a name that nobody knows, `MissingExtraError` for an engine that is not installed,
    `EngineError` for an expert or a precision that the engine cannot run.
    """
    if isinstance(expert, ExpertNetwork):
        return _open_in_memory(name, expert, tokenizer, precision, end_ids, threads)
    return open_files(
        name, read_files(expert), tokenizer, precision=precision, end_ids=end_ids, threads=threads, cache=cache
    )


def open_files(
    name: str,
    files: ExpertFiles,
    tokenizer: Tokenizer | None = None,
    *,
    precision: str | None = None,
    end_ids: EndIds = None,
    threads: int | None = None,
    cache: str | Path | None = None,
    mapped: bool = False,
) -> Engine:
    """The same on an expert's folder that is read already. mapped: as `OnnxEngine` has it."""
    source = source_on(files, tokenizer, precision, end_ids=end_ids, threads=threads, cache=cache, mapped=mapped)
    return open_source(choose(source).engine if name == "auto" else name, source)


def _open_in_memory(
    name: str,
    model: ExpertNetwork,
    tokenizer: Tokenizer | None,
    precision: str | None,
    end_ids: EndIds,
    threads: int | None,
) -> Engine:
    if name == "torch" and precision in (None, "float32"):
        return TorchEngine(model, tokenizer, end_ids=end_ids)
    home = tempfile.TemporaryDirectory(prefix="interconnected-ai-")
    try:
        save_expert(model, Path(home.name) / "expert", tokenizer)
        engine = open_engine(
            name, Path(home.name) / "expert", tokenizer, precision=precision, end_ids=end_ids, threads=threads
        )
    except BaseException:
        home.cleanup()
        raise
    engine.after_close(weakref.finalize(engine, home.cleanup))  # engines map their files, and some load them again
    return engine
