"""Experts: whole language models, each for a domain.

Public names are found on first use (PEP 562): what only lists experts loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interconnected_ai.experts.adapters.folder import AdapterFiles, read_adapter, save_adapter
    from interconnected_ai.experts.adapters.lending import BorrowedBase
    from interconnected_ai.experts.adapters.merge import merge_adapter, merge_into
    from interconnected_ai.experts.adapters.shared_base import SharedBase
    from interconnected_ai.experts.adapters.weights import AdapterWeights, LowRank
    from interconnected_ai.experts.bases import Base, base_sha256, find_base
    from interconnected_ai.experts.card import ExpertCard
    from interconnected_ai.experts.causal import CausalEngine, Int4Engine, why_not_int4
    from interconnected_ai.experts.causal_lm import CausalLM, CausalShape
    from interconnected_ai.experts.chat import ChatAnswer, ChatTemplate, Chatting, Conversation, PromptCache
    from interconnected_ai.experts.chat.speaker import Speaker
    from interconnected_ai.experts.decoder import Decoder, PrefixState, ResumableDecoder, RowAdapters
    from interconnected_ai.experts.deliberation import DeliberationEngine
    from interconnected_ai.experts.engine import Engine
    from interconnected_ai.experts.engines import choose_engine, open_engine, runnable_engines
    from interconnected_ai.experts.engines.llama_adapters import open_llamacpp
    from interconnected_ai.experts.engines.llamacpp import LlamaCppEngine, LlamaFile
    from interconnected_ai.experts.expert import Expert, open_expert
    from interconnected_ai.experts.export import write_gpt2
    from interconnected_ai.experts.export.gguf_bases import write_adapter_gguf, write_base_gguf
    from interconnected_ai.experts.exports import export_expert
    from interconnected_ai.experts.folder import save_expert
    from interconnected_ai.experts.generation import generate
    from interconnected_ai.experts.gguf_model import GgufModel
    from interconnected_ai.experts.kinds import (
        KINDS,
        ExpertKind,
        all_formats,
        embedded_card,
        expert_card,
        experts_in,
        kind_of,
    )
    from interconnected_ai.experts.language_model import LanguageModel
    from interconnected_ai.experts.loading import load_card, load_expert, load_model, load_tokenizer
    from interconnected_ai.experts.model import ExpertModel
    from interconnected_ai.experts.pool import ExpertPool, Loan
    from interconnected_ai.experts.quantized import QuantizedSize, quantize_expert, require_quantizable
    from interconnected_ai.experts.remote import RemoteExpert, RemoteServer
    from interconnected_ai.experts.scoring import HeldOut, Perplexity, measure
    from interconnected_ai.experts.text_expert import TextExpert
    from interconnected_ai.experts.torch_engine import TorchEngine

_FILES = {
    "BorrowedBase": "adapters.lending",
    "merge_adapter": "adapters.merge",
    "merge_into": "adapters.merge",
    "GgufModel": "gguf_model",
    "open_llamacpp": "engines.llama_adapters",
    "write_adapter_gguf": "export.gguf_bases",
    "write_base_gguf": "export.gguf_bases",
    "LlamaCppEngine": "engines.llamacpp",
    "LlamaFile": "engines.llamacpp",
    "SharedBase": "adapters.shared_base",
    "Base": "bases",
    "base_sha256": "bases",
    "find_base": "bases",
    "CausalLM": "causal_lm",
    "CausalShape": "causal_lm",
    "LanguageModel": "language_model",
    "LowRank": "adapters.weights",
    "AdapterWeights": "adapters.weights",
    "save_adapter": "adapters.folder",
    "read_adapter": "adapters.folder",
    "AdapterFiles": "adapters.folder",
    "ExpertCard": "card",
    "ChatAnswer": "chat",
    "ChatTemplate": "chat",
    "Chatting": "chat",
    "Conversation": "chat",
    "PromptCache": "chat",
    "CausalEngine": "causal",
    "DeliberationEngine": "deliberation",
    "ExpertPool": "pool",
    "Loan": "pool",
    "Speaker": "chat.speaker",
    "Int4Engine": "causal",
    "why_not_int4": "causal",
    "Decoder": "decoder",
    "PrefixState": "decoder",
    "ResumableDecoder": "decoder",
    "RowAdapters": "decoder",
    "Engine": "engine",
    "choose_engine": "engines",
    "open_engine": "engines",
    "runnable_engines": "engines",
    "Expert": "expert",
    "export_expert": "exports",
    "TextExpert": "text_expert",
    "open_expert": "expert",
    "ExpertKind": "kinds",
    "expert_card": "kinds",
    "experts_in": "kinds",
    "kind_of": "kinds",
    "KINDS": "kinds",
    "all_formats": "kinds",
    "embedded_card": "kinds",
    "write_gpt2": "export",
    "save_expert": "folder",
    "generate": "generation",
    "load_card": "loading",
    "load_expert": "loading",
    "load_model": "loading",
    "load_tokenizer": "loading",
    "ExpertModel": "model",
    "QuantizedSize": "quantized",
    "quantize_expert": "quantized",
    "RemoteExpert": "remote",
    "RemoteServer": "remote",
    "require_quantizable": "quantized",
    "HeldOut": "scoring",
    "Perplexity": "scoring",
    "measure": "scoring",
    "TorchEngine": "torch_engine",
}

__all__ = [
    "KINDS",
    "AdapterFiles",
    "AdapterWeights",
    "Base",
    "BorrowedBase",
    "CausalEngine",
    "CausalLM",
    "CausalShape",
    "ChatAnswer",
    "ChatTemplate",
    "Chatting",
    "Conversation",
    "Decoder",
    "DeliberationEngine",
    "Engine",
    "Expert",
    "ExpertCard",
    "ExpertKind",
    "ExpertModel",
    "ExpertPool",
    "GgufModel",
    "HeldOut",
    "Int4Engine",
    "LanguageModel",
    "LlamaCppEngine",
    "LlamaFile",
    "Loan",
    "LowRank",
    "Perplexity",
    "PrefixState",
    "PromptCache",
    "QuantizedSize",
    "RemoteExpert",
    "RemoteServer",
    "ResumableDecoder",
    "RowAdapters",
    "SharedBase",
    "Speaker",
    "TextExpert",
    "TorchEngine",
    "all_formats",
    "base_sha256",
    "choose_engine",
    "embedded_card",
    "expert_card",
    "experts_in",
    "export_expert",
    "find_base",
    "generate",
    "kind_of",
    "load_card",
    "load_expert",
    "load_model",
    "load_tokenizer",
    "measure",
    "merge_adapter",
    "merge_into",
    "open_engine",
    "open_expert",
    "open_llamacpp",
    "quantize_expert",
    "read_adapter",
    "require_quantizable",
    "runnable_engines",
    "save_adapter",
    "save_expert",
    "why_not_int4",
    "write_adapter_gguf",
    "write_base_gguf",
    "write_gpt2",
]


def __getattr__(name: str) -> Any:
    """Import the file that holds `name` the first time somebody asks for it."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
