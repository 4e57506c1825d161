"""Llama-shaped language models in GGUF: which there are, how their tensors are called there, and in which order heads lie.

A table, its way there and back. Writing is left to `gguf_causal` and `gguf_lora`, reading to `gguf_network`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.export.gguf_moe import MIXTURES, PLACES
from interconnected_ai.storage import GgufHead

_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}  # model_type → GGUF's
_WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_IN_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
_TURNED = ("attn_q", "attn_k")
_TURNING = ("llama", "granitemoe")  # architectures whose heads lie otherwise


@dataclass(frozen=True)
class GgufShape:
    """What writing needs to know of a base: GGUF's architecture and how many heads there are."""

    architecture: str
    n_heads: int
    n_kv_heads: int

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> "GgufShape":
        """Of a Hugging Face config.json; raises `EngineError` for a family that is not written here."""
        family = str(config.get("model_type"))
        known = _ARCHITECTURES | {name: mixture.architecture for name, mixture in MIXTURES.items()}
        if family not in known:
            raise EngineError(
                f"GGUF is written for {', '.join(known)}, this model is {family!r}; convert its folder with llama.cpp's "
                "convert_hf_to_gguf.py"
            )
        n_heads = int(config["num_attention_heads"])
        return cls(known[family], n_heads, int(config.get("num_key_value_heads") or n_heads))

    @classmethod
    def of_head(cls, head: GgufHead) -> "GgufShape":
        """Of a GGUF file; raises `EngineError` for an architecture that is not written here."""
        name = str(head.metadata.get("general.architecture"))
        if name not in set(_ARCHITECTURES.values()):
            known = ", ".join(dict.fromkeys(_ARCHITECTURES.values()))
            raise EngineError(f"adapters are written for GGUF's {known}, {head.path} is {name!r}; serve it on torch")
        n_heads = int(head.metadata[f"{name}.attention.head_count"])
        return cls(name, n_heads, int(head.metadata.get(f"{name}.attention.head_count_kv", n_heads)))

    def named(self, module: str) -> str:
        """GGUF's name of a module: model.layers.3.mlp.up_proj → blk.3.ffn_up. Raises `EngineError` where it has none."""
        if module in _WHOLE:
            return _WHOLE[module]
        found, places = LAYER.fullmatch(module), _IN_LAYER | PLACES
        if found is None or found[2] not in places:
            raise EngineError(f"GGUF's {self.architecture} has no place for the module {module!r}")
        return f"blk.{found[1]}.{places[found[2]]}"

    def turned(self, name: str, rows: Tensor) -> Tensor:
        """Rows of the module of this GGUF name, in GGUF's order.

        Hugging Face rotates the first half of a head against the second, GGUF's llama each even number against the odd one
        after it: rows (head, half, place) become (head, place, half).
        """
        place = name.rpartition(".")[2]
        if self.architecture not in _TURNING or place not in _TURNED:
            return rows
        heads = self.n_heads if place == "attn_q" else self.n_kv_heads
        halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
        return halves.swapaxes(1, 2).reshape(rows.shape)

    def returned(self, name: str, rows: Tensor) -> Tensor:
        """Rows of the module of this GGUF name, from GGUF's order to Hugging Face's: what `turned` did is taken back."""
        place = name.rpartition(".")[2]
        if self.architecture not in _TURNING or place not in _TURNED:
            return rows
        heads = self.n_heads if place == "attn_q" else self.n_kv_heads
        pairs = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
        return pairs.swapaxes(1, 2).reshape(rows.shape)
