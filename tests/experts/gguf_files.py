"""Tiny GGUF files of real architectures, beside the models that they were written from."""

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from interconnected_ai.experts.adapters.weights import AdapterWeights, LowRank
from interconnected_ai.experts.export.gguf_causal import write_causal_gguf
from interconnected_ai.text import Tokenizer

TEXT = ["the cat sat on the mat and the dog ran", "Привет, мир! 12345 日本語", "don't I'LL  two\n\n\ttabs"] * 4
OWN = Tokenizer.train(TEXT, 400)
PROMPT = OWN.encode("the cat sat on the mat and the dog") * 2
_FAMILIES = {
    "llama": transformers.LlamaConfig,
    "mistral": transformers.MistralConfig,
    "qwen2": transformers.Qwen2Config,
    "qwen3": transformers.Qwen3Config,
}
ROPES: dict[str, dict[str, Any]] = {
    "linear": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0},
    "llama3": {
        "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
}  # fmt: skip


def entries(**more: Any) -> dict[str, Any]:
    """The tokenizer of all these files: byte-level BPE with an end token, its words cut as GPT-2 does."""
    kinds = tuple(3 if number == OWN.end_id else 1 for number in range(OWN.vocab_size))
    named = {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": tuple(OWN.token(number) for number in range(OWN.vocab_size)),
        "token_type": kinds,
        "merges": tuple(OWN.merges),
        "eos_token_id": OWN.end_id,
        "add_bos_token": False,
    }
    return {f"tokenizer.ggml.{name}": value for name, value in named.items()} | more


def network(family: str = "llama", **settings: Any) -> Any:
    """A model of two layers with random weights, whose logits are far apart."""
    torch.manual_seed(0)
    shape = {
        "vocab_size": OWN.vocab_size, "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.3,
        "bos_token_id": None, "eos_token_id": OWN.end_id,
    }  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(_FAMILIES[family](**shape | settings)).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def write(model: Any, place: Path, *, precision: str = "float32", **more: Any) -> Path:
    """The model as a GGUF file."""
    write_causal_gguf(model, entries(), place, precision=precision, entries={"general.name": "tiny", **more})
    return place


def adapter(model: Any, seed: int, *, rank: int = 4) -> AdapterWeights:
    """A LoRA adapter on all linear layers but the head."""
    drawn = torch.Generator().manual_seed(seed)
    names = [n for n, part in model.named_modules() if isinstance(part, torch.nn.Linear) and n != "lm_head"]
    found = {}
    for name in names:
        part = model.get_submodule(name)
        first = torch.randn(rank, part.in_features, generator=drawn) * 0.2
        found[name] = LowRank(first, torch.randn(part.out_features, rank, generator=drawn) * 0.2, 2.0)
    return AdapterWeights(found)


def merged(model: Any, weights: AdapterWeights) -> Any:
    """Another model with the adapter in its weights."""
    import copy

    changed = copy.deepcopy(model)
    for name, part in weights.named():
        changed.get_submodule(name).weight.data += part.delta()
    return changed


@torch.no_grad()
def logprobs(model: Any, token_ids: list[int]) -> Tensor:
    """(seq, vocab) log probabilities of what follows every token."""
    found: Tensor = model(torch.tensor([token_ids])).logits[0].log_softmax(-1)
    return found


def is_greedy(model: Any, prompt: list[int], answer: list[int], *, within: float = 0.05) -> bool:
    """Whether each token of the answer is the likeliest, or so near it that float16 keys and values may tell otherwise."""
    shares = logprobs(model, [*prompt, *answer])[len(prompt) - 1 : -1]
    said = shares.gather(1, torch.tensor(answer)[:, None])[:, 0]
    return bool((shares.max(-1).values - said < within).all())
