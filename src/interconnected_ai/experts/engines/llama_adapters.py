"""A base and its adapters on llama.cpp: one server, one mapped file, any adapter for any row."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.adapters.folder import AdapterFiles, read_adapter
from interconnected_ai.experts.adapters.template import require_known_tokens
from interconnected_ai.experts.asked import EndIds
from interconnected_ai.experts.bases import Base, find_base
from interconnected_ai.experts.engines.llamacpp import LlamaCppEngine, LlamaFile
from interconnected_ai.experts.export.gguf_bases import write_adapter_gguf
from interconnected_ai.experts.gguf_model import GgufModel
from interconnected_ai.text import PretrainedTokenizer


def open_llamacpp(
    base: str | Path | Base,
    adapters: Mapping[str, str | Path] | None = None,
    *,
    cache: str | Path | None = None,
    end_ids: EndIds = None,
    threads: int | None = None,
    adapter: str | None = None,
    keeps_prompts: bool = False,
) -> LlamaCppEngine:
    """The engine on a base's GGUF file, with these adapters' folders by name.

    adapter: the one of every row of a call that names none. cache: where the adapters' GGUF files are kept; None is the hidden
    folder `.NAME.engines` beside each adapter.
    Raises `EngineError` for a base that is no GGUF file (`write_base_gguf` makes one), `AdapterError` for an adapter of another
    base, or with tokens that this one has not.
    """
    found = base if isinstance(base, Base) else find_base(base)
    if found.form != "gguf":
        raise EngineError(
            f"llama.cpp runs GGUF files, {found.path} is a folder; export it to gguf first, or serve it on torch"
        )
    tokenizer = PretrainedTokenizer.from_gguf(found.path)
    read = {name: read_adapter(folder) for name, folder in (adapters or {}).items()}
    for one in read.values():
        require_known_tokens(one.added_tokens, tokenizer, adapter=one.folder, base=found.name)
    files = {name: adapter_file(one, found, cache) for name, one in read.items()}
    return LlamaCppEngine(
        LlamaFile.of_model(GgufModel.read(found.path)), tokenizer, end_ids=end_ids, threads=threads, adapters=files,
        adapter=adapter, keeps_prompts=keeps_prompts,
    )  # fmt: skip


def adapter_file(adapter: str | Path | AdapterFiles, base: Base, cache: str | Path | None = None) -> Path:
    """The adapter's GGUF LoRA file, written where it is not kept yet. Threads and processes may ask for one at once."""
    files = adapter if isinstance(adapter, AdapterFiles) else read_adapter(adapter)
    folder = files.folder.resolve()
    kept = folder.with_name(f".{folder.name}.engines") if cache is None else Path(cache)
    key = hashlib.sha256(f"{files.key} {base.sha256}".encode()).hexdigest()[:16]
    place = kept / f"{folder.name}-{key}.gguf"
    if not place.is_file():
        kept.mkdir(parents=True, exist_ok=True)
        write_adapter_gguf(files, place, base=base)
    return place
