"""A base on disk: a tiny Llama of random weights with a tokenizer and ChatML, as a Hugging Face folder."""

import json
from pathlib import Path

from tests.experts import chat_templates as shapes
from tests.training.tiny_causal import tiny_llama

from interconnected_ai.experts.chat.template import CHATML


def tiny_base(folder: Path, *, window: int = 128) -> Path:
    """The folder, with config.json, model.safetensors, tokenizer.json and a chat template."""
    words = shapes.byte_level()
    end = words.token_to_id("<|im_end|>")
    network = tiny_llama(
        vocab_size=words.get_vocab_size(), max_position_embeddings=window, initializer_range=0.1, eos_token_id=end,
        bos_token_id=words.token_to_id("<s>"), pad_token_id=end,
    )  # fmt: skip
    network.save_pretrained(folder)
    words.save(str(folder / "tokenizer.json"))
    kept = {
        "bos_token": "<s>",
        "eos_token": "<|im_end|>",
        "chat_template": CHATML,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(kept), encoding="utf-8")
    return folder
