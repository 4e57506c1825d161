"""Experts: whole language models, each for a domain.

Public names are found on first use (PEP 562): what only lists experts loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interconnected_ai.experts.adapters.base_expert import open_base
    from interconnected_ai.experts.adapters.folder import AdapterFiles, read_adapter, save_adapter
    from interconnected_ai.experts.adapters.lending import BorrowedBase
    from interconnected_ai.experts.adapters.merge import merge_adapter, merge_into
    from interconnected_ai.experts.adapters.shared_base import SharedBase
    from interconnected_ai.experts.adapters.weights import AdapterWeights, LowRank
    from interconnected_ai.experts.bases import Base, base_sha256, find_base
    from interconnected_ai.experts.batch_limits import BatchLimits
    from interconnected_ai.experts.batching.batcher import Batcher, BatcherStats
    from interconnected_ai.experts.card import ExpertCard
    from interconnected_ai.experts.causal import CausalEngine, Int4Engine, why_not_int4
    from interconnected_ai.experts.causal_lm import CausalLM, CausalShape
    from interconnected_ai.experts.chat import (
        ChatAnswer,
        ChatTemplate,
        Chatting,
        Conversation,
        PromptCache,
        results_as_turns,
    )
    from interconnected_ai.experts.chat.speaker import Speaker
    from interconnected_ai.experts.decoder import Decoder, PrefixState, ResumableDecoder, RowAdapters
    from interconnected_ai.experts.decoder_engine import DecoderEngine
    from interconnected_ai.experts.deliberation import (
        LEAST_PRIOR,
        DeliberationEngine,
        Foretold,
        RecallingEngine,
        Recollection,
        RunningWeights,
        foretold,
        log_likelihoods,
        mixed,
    )
    from interconnected_ai.experts.engine import Engine
    from interconnected_ai.experts.engines import choose_engine, open_engine, runnable_engines
    from interconnected_ai.experts.engines.llama_adapters import open_llamacpp
    from interconnected_ai.experts.engines.llamacpp import LlamaCppEngine, LlamaFile
    from interconnected_ai.experts.expert import Expert, open_expert
    from interconnected_ai.experts.export import write_gpt2
    from interconnected_ai.experts.export.gguf_bases import write_adapter_gguf, write_base_gguf, write_network_gguf
    from interconnected_ai.experts.exports import export_expert
    from interconnected_ai.experts.folder import save_expert
    from interconnected_ai.experts.generation import generate
    from interconnected_ai.experts.gguf_model import GgufModel
    from interconnected_ai.experts.heap import share_heaps, trim_heap
    from interconnected_ai.experts.kinds import (
        KINDS,
        ExpertKind,
        all_formats,
        embedded_card,
        expert_card,
        experts_in,
        kind_of,
        mapped_num_bytes,
    )
    from interconnected_ai.experts.language_model import LanguageModel
    from interconnected_ai.experts.loading import expert_key, load_card, load_expert, load_model, load_tokenizer
    from interconnected_ai.experts.model import ExpertModel
    from interconnected_ai.experts.pool import Borrowing, ExpertPool, Ledger, Load, Loan, Unload
    from interconnected_ai.experts.quantized import QuantizedSize, quantize_expert, require_quantizable
    from interconnected_ai.experts.remote import RemoteExpert, RemoteServer
    from interconnected_ai.experts.scoring import HeldOut, Perplexity, measure
    from interconnected_ai.experts.streaming import TextFeed, pieces_of
    from interconnected_ai.experts.text_expert import TextExpert
    from interconnected_ai.experts.torch_engine import TorchEngine

_FILES = {
    "BorrowedBase": "adapters.lending",
    "open_base": "adapters.base_expert",
    "merge_adapter": "adapters.merge",
    "merge_into": "adapters.merge",
    "GgufModel": "gguf_model",
    "open_llamacpp": "engines.llama_adapters",
    "write_adapter_gguf": "export.gguf_bases",
    "write_base_gguf": "export.gguf_bases",
    "write_network_gguf": "export.gguf_bases",
    "LlamaCppEngine": "engines.llamacpp",
    "LlamaFile": "engines.llamacpp",
    "SharedBase": "adapters.shared_base",
    "BatchLimits": "batch_limits",
    "Batcher": "batching.batcher",
    "BatcherStats": "batching.batcher",
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
    "results_as_turns": "chat",
    "CausalEngine": "causal",
    "DecoderEngine": "decoder_engine",
    "DeliberationEngine": "deliberation",
    "Foretold": "deliberation",
    "RecallingEngine": "deliberation",
    "Recollection": "deliberation",
    "LEAST_PRIOR": "deliberation",
    "RunningWeights": "deliberation",
    "foretold": "deliberation",
    "mixed": "deliberation",
    "log_likelihoods": "deliberation",
    "ExpertPool": "pool",
    "Ledger": "pool",
    "Borrowing": "pool",
    "Load": "pool",
    "Unload": "pool",
    "Loan": "pool",
    "Speaker": "chat.speaker",
    "Int4Engine": "causal",
    "share_heaps": "heap",
    "trim_heap": "heap",
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
    "TextFeed": "streaming",
    "pieces_of": "streaming",
    "open_expert": "expert",
    "ExpertKind": "kinds",
    "expert_card": "kinds",
    "experts_in": "kinds",
    "kind_of": "kinds",
    "mapped_num_bytes": "kinds",
    "KINDS": "kinds",
    "all_formats": "kinds",
    "embedded_card": "kinds",
    "write_gpt2": "export",
    "save_expert": "folder",
    "generate": "generation",
    "expert_key": "loading",
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
    "LEAST_PRIOR",
    "AdapterFiles",
    "AdapterWeights",
    "Base",
    "BatchLimits",
    "Batcher",
    "BatcherStats",
    "BorrowedBase",
    "Borrowing",
    "CausalEngine",
    "CausalLM",
    "CausalShape",
    "ChatAnswer",
    "ChatTemplate",
    "Chatting",
    "Conversation",
    "Decoder",
    "DecoderEngine",
    "DeliberationEngine",
    "Engine",
    "Expert",
    "ExpertCard",
    "ExpertKind",
    "ExpertModel",
    "ExpertPool",
    "Foretold",
    "GgufModel",
    "HeldOut",
    "Int4Engine",
    "LanguageModel",
    "Ledger",
    "LlamaCppEngine",
    "LlamaFile",
    "Load",
    "Loan",
    "LowRank",
    "Perplexity",
    "PrefixState",
    "PromptCache",
    "QuantizedSize",
    "RecallingEngine",
    "Recollection",
    "RemoteExpert",
    "RemoteServer",
    "ResumableDecoder",
    "RowAdapters",
    "RunningWeights",
    "SharedBase",
    "Speaker",
    "TextExpert",
    "TextFeed",
    "TorchEngine",
    "Unload",
    "all_formats",
    "base_sha256",
    "choose_engine",
    "embedded_card",
    "expert_card",
    "expert_key",
    "experts_in",
    "export_expert",
    "find_base",
    "foretold",
    "generate",
    "kind_of",
    "load_card",
    "load_expert",
    "load_model",
    "load_tokenizer",
    "log_likelihoods",
    "mapped_num_bytes",
    "measure",
    "merge_adapter",
    "merge_into",
    "mixed",
    "open_base",
    "open_engine",
    "open_expert",
    "open_llamacpp",
    "pieces_of",
    "quantize_expert",
    "read_adapter",
    "require_quantizable",
    "results_as_turns",
    "runnable_engines",
    "save_adapter",
    "save_expert",
    "share_heaps",
    "trim_heap",
    "why_not_int4",
    "write_adapter_gguf",
    "write_base_gguf",
    "write_gpt2",
    "write_network_gguf",
]


def __getattr__(name: str) -> Any:
    """Import the file that holds `name` the first time somebody asks for it."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
