"""A GGUF file of a Llama-shaped model as a network of transformers: its weights as floats, its config from its entries.

transformers' own reader takes half a minute for a small file and leaves out how positions are stretched; other shapes are its.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.errors import EngineError, IntegrityError
from interconnected_ai.experts.export.gguf_llama import GgufShape
from interconnected_ai.extras import require
from interconnected_ai.hub import ONE_NETWORK
from interconnected_ai.storage import GgufHead, GgufTensor

LEAN = ("llama", "qwen2", "qwen3")  # GGUF's architectures that are read here
_SCALING = "rope.scaling.type"


def is_mixture(head: GgufHead) -> bool:
    """Whether its feed-forward parts are experts behind a router (GGUF calls Mixtral a llama)."""
    return bool(head.metadata.get(f"{head.metadata.get('general.architecture')}.expert_count"))


def require_plain_positions(head: GgufHead) -> None:
    """Raise `EngineError` for a file whose positions are stretched, which nobody reads on torch: answers would be wrong."""
    architecture = head.metadata.get("general.architecture")
    kind = head.metadata.get(f"{architecture}.{_SCALING}", "none")
    if kind != "none" or any(tensor.name.startswith("rope_freqs") for tensor in head.tensors):
        raise EngineError(
            f"{head.path}: its positions are stretched (rope scaling), which is not read from GGUF files on torch; the engine "
            "llamacpp runs it, and a folder of the same model with safetensors runs on torch"
        )


def llama_network(head: GgufHead, dtype: torch.dtype) -> nn.Module:
    """The network with the file's weights, dequantised. Raises `IntegrityError` for tensors that are missing or misshapen."""
    from transformers import AutoConfig, AutoModelForCausalLM

    there = {tensor.name: tensor for tensor in head.tensors}
    config = AutoConfig.for_model(str(head.metadata["general.architecture"]), **llama_config(head, there))
    with ONE_NETWORK, torch.random.fork_rng(devices=[]):  # what it draws as initial weights is overwritten
        network: nn.Module = AutoModelForCausalLM.from_config(config, dtype=dtype)
    shape = GgufShape.of_head(head)
    dequantize = dequantizer(head.path)
    with torch.no_grad():
        for name, parameter in network.named_parameters():  # a head that is the embedding comes once
            module, _, part = name.rpartition(".")
            named = shape.named(module)
            found = there.get(f"{named}.{part}")
            if found is None or found.shape != tuple(parameter.shape):
                shown = "is missing" if found is None else f"has shape {found.shape}"
                raise IntegrityError(
                    f"{head.path}: the tensor {named}.{part} {shown}, needed is {tuple(parameter.shape)}; fetch the file again"
                )
            parameter.copy_(shape.returned(named, dequantize(found)))
    return network.eval()


def llama_config(head: GgufHead, there: dict[str, GgufTensor]) -> dict[str, Any]:
    """transformers' config of a file's entries."""
    architecture = str(head.metadata["general.architecture"])

    def entry(name: str, otherwise: Any = None) -> Any:
        found = head.metadata.get(f"{architecture}.{name}", otherwise)
        if found is None:
            raise IntegrityError(f"{head.path} has no entry {architecture}.{name}; convert it anew with llama.cpp")
        return found

    width, num_heads = int(entry("embedding_length")), int(entry("attention.head_count"))
    embedding = there.get("token_embd.weight")
    if embedding is None:
        raise IntegrityError(f"{head.path} has no tensor token_embd.weight; fetch the file again")
    head_width = int(entry("attention.key_length", entry("rope.dimension_count", width // num_heads)))
    ids = {name: head.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos", "padding")}
    found = {
        "vocab_size": embedding.shape[0],
        "hidden_size": width,
        "intermediate_size": int(entry("feed_forward_length")),
        "num_hidden_layers": int(entry("block_count")),
        "num_attention_heads": num_heads,
        "num_key_value_heads": int(entry("attention.head_count_kv", num_heads)),
        "max_position_embeddings": int(entry("context_length")),
        "rms_norm_eps": float(entry("attention.layer_norm_rms_epsilon")),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(entry("rope.freq_base", 10_000.0))},
        "tie_word_embeddings": "output.weight" not in there,
        "bos_token_id": ids["bos"],
        "eos_token_id": ids["eos"],
        "pad_token_id": ids["padding"],
    }
    if architecture == "qwen2":
        return found
    found["head_dim"] = head_width
    found["attention_bias"] = "blk.0.attn_q.bias" in there
    return found | ({"mlp_bias": "blk.0.ffn_up.bias" in there} if architecture == "llama" else {})


def dequantizer(path: Path) -> Callable[[GgufTensor], Tensor]:
    """Tensors of a file, by the package gguf, in float32."""
    gguf = require("gguf", "llamacpp", "reading a GGUF file on PyTorch")
    mapped = np.memmap(path, dtype=np.uint8, mode="r")

    def dequantize(tensor: GgufTensor) -> Tensor:
        raw = mapped[tensor.offset : tensor.offset + tensor.num_bytes]
        rows = raw.reshape(*tensor.shape[:-1], -1)
        values = gguf.quants.dequantize(np.asarray(rows), gguf.GGMLQuantizationType[tensor.type_name])
        return torch.from_numpy(np.array(values, dtype=np.float32)).view(tensor.shape)

    return dequantize
