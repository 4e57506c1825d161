"""A Llama-shaped causal language model, dense or a mixture, as one GGUF file with its tokenizer and chat template."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.export.gguf_llama import LAYER, GgufShape
from interconnected_ai.experts.export.gguf_moe import ROUTERS, add_mixture, expert_tensors, mixture_of
from interconnected_ai.experts.names import chosen
from interconnected_ai.extras import require
from interconnected_ai.storage import atomic_file

# ours → GGUF's type of the matrices, and of the embedding and the head, which 4 bits would cost most
CAUSAL_PRECISIONS = {
    "float32": ("F32", "F32"),
    "float16": ("F16", "F16"),
    "q8_0": ("Q8_0", "Q8_0"),
    "q5_1": ("Q5_1", "Q8_0"),
    "q5_0": ("Q5_0", "Q8_0"),
    "q4_1": ("Q4_1", "Q8_0"),
    "q4_0": ("Q4_0", "Q8_0"),
}
_WHOLE = ("token_embd", "output")
_BLOCK = 32
_ROPES = ("default", "linear", "llama3")


def write_causal_gguf(
    network: nn.Module,
    tokenizer_entries: Mapping[str, Any],
    out: str | Path,
    *,
    precision: str = "float32",
    entries: Mapping[str, Any] | None = None,
) -> None:
    """Write one file that llama.cpp runs.

    network: a `transformers` causal language model (Llama, Mistral, Qwen2, Qwen3; Mixtral, Qwen2-MoE, Qwen3-MoE, OLMoE,
    GraniteMoE, whose routers stay in float32). tokenizer_entries: names that begin with
    "tokenizer.", as a GGUF file has them (`text.gguf_entries`, or those of the file that the base came from). entries: others,
    such as general.name, general.license. precision: of all matrices whose rows are whole blocks.
    Raises `EngineError` for another family or a rotation that the format cannot describe, `UnknownNameError` for a precision,
    `MissingExtraError` without the package gguf.
    """
    gguf = require("gguf", "llamacpp", "export to GGUF")
    matrix_type, whole_type = CAUSAL_PRECISIONS[chosen("precision", precision, CAUSAL_PRECISIONS)]
    config = network.config.to_dict()  # type: ignore[union-attr, operator]
    shape, mixture = GgufShape.of_config(config), mixture_of(config)
    with atomic_file(out) as scratch:
        writer = gguf.GGUFWriter(str(scratch), shape.architecture)
        try:
            _add_shape(writer, gguf, config)
            if mixture is not None:
                add_mixture(writer, mixture, config)
            named = f"MOSTLY_{matrix_type}" if matrix_type != "F32" else "ALL_F32"
            writer.add_file_type(gguf.LlamaFileType[named])
            for name, value in {**(entries or {}), **tokenizer_entries}.items():
                add_entry(writer, name, value)
            for name, rows in _tensors(network, shape, config):
                stem = name.removesuffix(".weight")
                wanted = whole_type if stem in _WHOLE else matrix_type
                is_router = stem.rpartition(".")[2] in ROUTERS
                is_kept = is_router or rows.dim() == 1 or rows.shape[-1] % _BLOCK != 0 or wanted == "F32"
                kind = gguf.GGMLQuantizationType["F32" if is_kept else wanted]
                array = rows.float().contiguous().numpy().astype(np.float32, copy=False)
                writer.add_tensor(name, array if is_kept else gguf.quants.quantize(array, kind), raw_dtype=kind)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def add_entry(writer: Any, name: str, value: object) -> None:
    """One entry by the type of its value; a tuple is an array."""
    if isinstance(value, str):
        writer.add_string(name, value)
    elif isinstance(value, bool):
        writer.add_bool(name, value)
    elif isinstance(value, int):
        writer.add_uint32(name, value)
    elif isinstance(value, float):
        writer.add_float32(name, value)
    elif isinstance(value, tuple | list):
        if value:  # the writer knows no empty array
            writer.add_array(name, list(value))
    else:
        raise EngineError(f"the entry {name!r} is {type(value).__name__}, which GGUF does not hold")


def _add_shape(writer: Any, gguf: Any, config: Mapping[str, Any]) -> None:
    width, n_heads = config["hidden_size"], config["num_attention_heads"]
    head_width = config.get("head_dim") or width // n_heads
    if config.get("hidden_act", "silu") != "silu":
        raise EngineError(f"GGUF's Llama shapes have silu, this model has {config['hidden_act']!r}; serve it on torch")
    window, longest = config.get("sliding_window"), config["max_position_embeddings"]
    writer.add_vocab_size(config["vocab_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(min(longest, window or longest))  # within its window it attends to everything
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(n_heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or n_heads)
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_rope_dimension_count(head_width)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    rope = _rope(config)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10_000.0)))
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    rope.setdefault("rope_type", "default")
    if "rope_theta" not in rope and config.get("rope_theta"):
        rope["rope_theta"] = config["rope_theta"]
    if rope["rope_type"] not in _ROPES:
        raise EngineError(
            f"rope_type={rope['rope_type']!r}: written to GGUF are {', '.join(_ROPES)}; convert the folder with llama.cpp's "
            "convert_hf_to_gguf.py"
        )
    return rope


def _tensors(network: nn.Module, shape: GgufShape, config: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Names and values as GGUF has them; a head that is the embedding is left out."""
    rope = _rope(config)
    if rope["rope_type"] == "llama3":
        yield "rope_freqs.weight", _llama3_factors(rope, config)
    for name, tensor in network.state_dict().items():
        module, _, part = name.rpartition(".")
        if module == "lm_head" and config.get("tie_word_embeddings"):
            continue
        found = LAYER.fullmatch(name)
        stacked = [] if found is None else list(expert_tensors(f"blk.{found[1]}", found[2], tensor.detach().cpu()))
        if stacked:
            yield from stacked
            continue
        there = shape.named(module)
        yield f"{there}.{part}", shape.turned(there, tensor.detach().cpu())


def _llama3_factors(rope: Mapping[str, Any], config: Mapping[str, Any]) -> Tensor:
    """How many times slower each pair of a head turns: 1 for the fast ones, `factor` for the slow, between them in between."""
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    turns = rope["rope_theta"] ** -(torch.arange(0, width, 2, dtype=torch.float32) / width)
    lengths = 2 * math.pi / turns
    low, high, old = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    share = ((old / lengths - low) / (high - low)).clamp(0, 1)
    factors: Tensor = 1 / ((1 - share) / rope["factor"] + share)
    return factors
