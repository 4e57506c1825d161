"""An expert as a Hugging Face GPT-2: the same function, opened by transformers, vLLM and llama.cpp's converter.

GPT-2 is a pre-norm transformer whose positions are a table, so a pre-norm expert becomes one without loss.
"""

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.storage import atomic_folder, save_tensors, write_json
from interconnected_ai.text import END, Tokenizer

KIND = "expert exported to GPT-2"

# our block's name → GPT-2's; GPT-2's "Conv1D" keeps a matrix as (in, out), the transpose of ours
_BLOCK = {
    "norm_1": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "norm_2": "ln_2",
    "feed_forward.w_in": "mlp.c_fc",
    "feed_forward.w_out": "mlp.c_proj",
}


def require_pre_norm(config: ExpertConfig, format_name: str) -> None:
    """Raise `EngineError` for a post-norm expert, which GPT-2's format cannot describe."""
    if config.norm != "pre":
        raise EngineError(
            f'{format_name} holds pre-norm transformers, this expert is norm="{config.norm}"; export it to onnx or '
            'ctranslate2, which take both, or train an expert with norm="pre"'
        )


def gpt2_config(config: ExpertConfig, end_id: int | None) -> dict[str, Any]:
    """The content of GPT-2's config.json for an expert of this shape."""
    require_pre_norm(config, "GPT-2's format")
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.max_seq_len,
        "n_embd": config.d_model,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_inner": config.inner,
        "activation_function": "gelu",  # the exact one; GPT-2's own default is the tanh approximation
        "layer_norm_epsilon": 1e-5,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "scale_attn_weights": True,
        "tie_word_embeddings": config.tie_weights,
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "dtype": "float32",
    }


def gpt2_tensors(model: ExpertNetwork) -> dict[str, Tensor]:
    """The weights under GPT-2's names.

    The factor √d_model of the embeddings goes into their table. Where the head is that same table (tied weights), the last
    layer norm takes the factor back out: W·√d · (norm/√d) = W · norm.
    """
    require_pre_norm(model.config, "GPT-2's format")
    ours = {name: tensor.detach().float().cpu() for name, tensor in model.state_dict().items()}
    root = math.sqrt(model.config.d_model)
    taken_back = root if model.config.tie_weights else 1.0
    found = {
        "transformer.wte.weight": ours["embedding.weight"] * root,
        "transformer.wpe.weight": ours["positions.pe"],
        "transformer.ln_f.weight": ours["norm.weight"] / taken_back,
        "transformer.ln_f.bias": ours["norm.bias"] / taken_back,
    }
    if not model.config.tie_weights:
        found["lm_head.weight"] = ours["head.weight"]
    for number in range(model.config.n_layers):
        for here, there in _BLOCK.items():
            weight = ours[f"blocks.{number}.{here}.weight"]
            is_matrix = weight.dim() == 2
            found[f"transformer.h.{number}.{there}.weight"] = weight.T if is_matrix else weight
            found[f"transformer.h.{number}.{there}.bias"] = ours[f"blocks.{number}.{here}.bias"]
    return found


def write_gpt2(model: ExpertNetwork, tokenizer: Tokenizer | None, out: str | Path) -> None:
    """Write the folder that `AutoModelForCausalLM.from_pretrained` and, with a tokenizer, `AutoTokenizer` open.

    Raises `EngineError` for a post-norm expert.
    """
    end_id = None if tokenizer is None else tokenizer.end_id
    config, tensors = gpt2_config(model.config, end_id), gpt2_tensors(model)
    with atomic_folder(out, kind=KIND) as scratch:
        write_json(scratch / "config.json", config)
        write_json(
            scratch / "generation_config.json", {"bos_token_id": end_id, "eos_token_id": end_id, "pad_token_id": end_id}
        )
        save_tensors(scratch / "model.safetensors", tensors, {"format": "pt"})
        if tokenizer is not None:
            _write_tokenizer(tokenizer, scratch, model.config.max_seq_len)


def _write_tokenizer(tokenizer: Tokenizer, folder: Path, max_seq_len: int) -> None:
    tokenizer.save(folder / "tokenizer.json")
    content = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # not GPT2Tokenizer, which would drop the NFC normalisation
        "bos_token": END,
        "eos_token": END,
        "pad_token": END,
        "model_max_length": max_seq_len,
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", content)
