"""An expert as a GGUF file of the architecture gpt2, with its tokenizer inside: what llama.cpp and its relatives run.

llama.cpp computes GELU by the tanh approximation, so its logits differ a little from ours (about 1e-3 of their size).
"""

from pathlib import Path
from typing import Any

import numpy as np

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.export.gpt2 import gpt2_tensors, require_pre_norm
from interconnected_ai.experts.export.vocabulary import vocabulary
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.extras import require
from interconnected_ai.storage import atomic_file
from interconnected_ai.text import Tokenizer

PRECISIONS = {"float32": "F32", "q8_0": "Q8_0", "q4_0": "Q4_0"}  # ours → GGUF's
_FILE_TYPES = {"float32": "ALL_F32", "q8_0": "MOSTLY_Q8_0", "q4_0": "MOSTLY_Q4_0"}
_BLOCK = 32  # weights that share a scale in q8_0 and q4_0
_ARCHITECTURE = "gpt2"

# GPT-2's names → GGUF's
_WHOLE = {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
}
_IN_BLOCK = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


def write_gguf(
    model: ExpertNetwork,
    tokenizer: Tokenizer | None,
    out: str | Path,
    *,
    precision: str = "float32",
    name: str = "expert",
    end_id: int | None = None,
) -> None:
    """Write one file. precision: "float32", "q8_0" or "q4_0", of all matrices; norms, biases and positions stay float32.

    Without a tokenizer the tokens have no text and the file continues token ids; end_id: the one that ends an answer then,
    which such a file cannot do without, so None is 0.
    Raises `EngineError` for a post-norm expert or an unknown precision, `MissingExtraError` without the package gguf.
    """
    require_pre_norm(model.config, "GGUF's gpt2")
    if precision not in PRECISIONS:
        raise EngineError(f"gguf knows no precision {precision!r}; it has {', '.join(PRECISIONS)}")
    gguf = require("gguf", "llamacpp", "export to GGUF")
    with atomic_file(out) as scratch:
        writer = gguf.GGUFWriter(str(scratch), _ARCHITECTURE)
        try:
            _add_shape(writer, gguf, model, precision, name)
            _add_tokenizer(writer, gguf, tokenizer, model.config.vocab_size, end_id or 0)
            _add_tensors(writer, gguf, model, precision)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def gguf_name(name: str) -> str:
    """GGUF's name of a tensor, from GPT-2's: transformer.h.3.ln_1.bias → blk.3.attn_norm.bias."""
    stem, part = name.rsplit(".", 1)
    if stem in _WHOLE:
        return f"{_WHOLE[stem]}.{part}"
    number, place = stem.removeprefix("transformer.h.").split(".", 1)
    return f"blk.{number}.{_IN_BLOCK[place]}.{part}"


def _add_shape(writer: Any, gguf: Any, model: ExpertNetwork, precision: str, name: str) -> None:
    shape = model.config
    writer.add_name(name)
    writer.add_block_count(shape.n_layers)
    writer.add_context_length(shape.max_seq_len)
    writer.add_embedding_length(shape.d_model)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.n_heads)
    writer.add_layer_norm_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType[_FILE_TYPES[precision]])


def _add_tokenizer(writer: Any, gguf: Any, tokenizer: Tokenizer | None, vocab_size: int, end_id: int) -> None:
    """Byte-level BPE, cut as GPT-2 cuts. The format wants a name for every row, also for those that no token uses."""
    kinds = [gguf.TokenType.UNUSED] * vocab_size
    merges = ["<|no|> <|merge|>"]  # llama.cpp refuses a file without merges
    if tokenizer is not None:
        special = {tokenizer.end_id, *(tokenizer.role_id(role) for role in tokenizer.roles)}
        for number in range(tokenizer.vocab_size):
            kinds[number] = gguf.TokenType.CONTROL if number in special else gguf.TokenType.NORMAL
        merges, end_id = tokenizer.merges or merges, tokenizer.end_id
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary(tokenizer, vocab_size))
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(end_id)
    writer.add_eos_token_id(end_id)
    writer.add_add_bos_token(False)


def _add_tensors(writer: Any, gguf: Any, model: ExpertNetwork, precision: str) -> None:
    """Matrices as (out, in): the transpose of GPT-2's, and quantised where their rows are made of whole blocks."""
    wanted = gguf.GGMLQuantizationType[PRECISIONS[precision]]
    for name, tensor in gpt2_tensors(model).items():
        is_block_matrix = name.startswith("transformer.h.") and tensor.dim() == 2
        array = (tensor.T if is_block_matrix else tensor).contiguous().numpy().astype(np.float32)
        is_kept = array.ndim == 1 or "wpe" in name or array.shape[-1] % _BLOCK or precision == "float32"
        kind = gguf.GGMLQuantizationType.F32 if is_kept else wanted
        writer.add_tensor(gguf_name(name), array if is_kept else gguf.quants.quantize(array, kind), raw_dtype=kind)
