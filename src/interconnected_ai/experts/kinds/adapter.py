"""The kind "adapter": a LoRA adapter that shares its base with all others of the process; on torch, torch-int4 or llama.cpp."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.adapters.card import is_adapter, read_card
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.kinds.kind import ExpertKind
from interconnected_ai.experts.opened import Opened, Opening

if TYPE_CHECKING:
    from interconnected_ai.experts.adapters.folder import AdapterFiles
    from interconnected_ai.experts.bases import Base

_NAME = "adapter"  # within a server of its own
_ENGINES = ("torch", "torch-int4", "llamacpp")


def _card(place: Path) -> ExpertCard:
    card = read_card(place)
    return replace(card, name=card.name or place.name)


def _open(place: Path, opening: Opening) -> Opened:
    from weakref import finalize

    from interconnected_ai.experts.adapters.engine import AdapterEngine
    from interconnected_ai.experts.adapters.folder import read_adapter
    from interconnected_ai.experts.adapters.lending import BorrowedBase
    from interconnected_ai.experts.adapters.merge import named_base
    from interconnected_ai.experts.adapters.shared_base import require_same_base
    from interconnected_ai.experts.adapters.template import chat_template
    from interconnected_ai.experts.bases import find_base

    engine_name = opening.engine_of(_ENGINES, "an adapter's folder")
    files = read_adapter(place)
    base = find_base(named_base(files))
    require_same_base(files, base.name, base.sha256)  # before the base is loaded
    if engine_name == "llamacpp":
        return _on_llamacpp(files, base)
    borrowed = BorrowedBase(base, device=opening.device, engine="torch" if engine_name == "auto" else engine_name)
    try:
        shared = borrowed.shared
        weights = shared.prepared(files)
        engine = AdapterEngine(shared.engine, weights, shared.tokenizer)
    except BaseException:
        borrowed.give_back()
        raise
    engine.after_close(finalize(engine, borrowed.give_back))
    card = replace(
        files.card, name=files.card.name or place.name, context=engine.max_seq_len, vocab_size=engine.vocab_size,
        languages=files.card.languages or base.languages, licence=files.card.licence or base.licence,
    )  # fmt: skip
    return Opened(
        engine, shared.tokenizer, card, None, lambda: shared.model_with(weights), base.path,
        lambda: chat_template(files.chats, base.path, shared.tokenizer),
    )  # fmt: skip


def _on_llamacpp(files: "AdapterFiles", base: "Base") -> Opened:
    """Over the base's GGUF file, which all servers of the machine map once."""
    from interconnected_ai.experts.adapters.merge import merge_weights
    from interconnected_ai.experts.adapters.template import chat_template
    from interconnected_ai.experts.causal_lm import CausalLM
    from interconnected_ai.experts.engines.llama_adapters import open_llamacpp
    from interconnected_ai.text import PretrainedTokenizer

    def merged() -> CausalLM:
        model = CausalLM.from_pretrained(base)
        merge_weights(model.network, files.weights)
        return model

    engine = open_llamacpp(base, {_NAME: files.folder}, adapter=_NAME, keeps_prompts=True)
    tokenizer = PretrainedTokenizer.from_gguf(base.path)
    card = replace(
        files.card, name=files.card.name or files.folder.name, context=engine.max_seq_len, vocab_size=engine.vocab_size,
        languages=files.card.languages or base.languages, licence=files.card.licence or base.licence,
    )  # fmt: skip
    return Opened(
        engine, tokenizer, card, None, merged, base.path, lambda: chat_template(files.chats, base.path, tokenizer)
    )


def _peft(place: Path, out: Path, precision: str) -> None:
    from interconnected_ai.experts.adapters.folder import export_peft, read_adapter

    _require_float(precision, "peft")
    export_peft(read_adapter(place), out)


def _merged(place: Path, out: Path, precision: str) -> None:
    from interconnected_ai.experts.adapters.merge import merge_adapter

    _require_float(precision, "safetensors")
    merge_adapter(place, out)


def _merged_gguf(place: Path, out: Path, precision: str) -> None:
    from interconnected_ai.experts.adapters.folder import read_adapter
    from interconnected_ai.experts.adapters.merge import named_base
    from interconnected_ai.experts.export.gguf_bases import write_base_gguf

    write_base_gguf(named_base(read_adapter(place)), out, precision=precision, adapter=place)


def _gguf_lora(place: Path, out: Path, precision: str) -> None:
    from interconnected_ai.experts.export.gguf_bases import write_adapter_gguf

    _require_float(precision, "gguf-lora")
    write_adapter_gguf(place, out)


def _require_float(precision: str, format_name: str) -> None:
    if precision != "float32":
        raise EngineError(f"{format_name} is exported in float32 alone, not {precision!r}; gguf can be quantised")


ADAPTER = ExpertKind(
    name="adapter",
    title="a LoRA adapter on a shared base",
    recognises=is_adapter,
    card=_card,
    open=_open,
    engines=_ENGINES,
    formats={"peft": _peft, "safetensors": _merged, "gguf": _merged_gguf, "gguf-lora": _gguf_lora},
    why_not_quantize=(
        "an adapter is a few MB beside its base; iai expert export --to gguf --quantize q8_0 writes base and adapter as one "
        "file of fewer bits"
    ),
)
