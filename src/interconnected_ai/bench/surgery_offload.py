"""A mixture with half of its experts in memory, beside the whole in memory and beside all experts on disk: tokens a second."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.bench.timing import take_turns
from interconnected_ai.surgery import MoE, OffloadedMoE, open_offloaded
from interconnected_ai.surgery import open as open_moe

TOKENS, PROMPT = 24, 8


def bench_offload(repeats: int = 5, *, model: Path | None = None, tokens: int = TOKENS) -> dict[str, Any]:
    """Greedy tokens a second with half of the experts' bytes, over the whole model's and over no expert held.

    model: a checkpoint; None makes a random Qwen3-MoE of 106 million parameters, whose router spreads its choices evenly, the
    worst case for whoever holds a part.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as opened:
        folder = _random(Path(scratch)) if model is None else model
        whole = open_moe(folder)
        experts = [layer.num_experts for layer in whole.layers]
        half = opened.enter_context(open_offloaded(folder, 1))
        total = half.expert_bytes * sum(experts)
        half.store.budget_bytes = total // 2
        blind = opened.enter_context(open_offloaded(folder, total // 2, foresee=False))
        disk = opened.enter_context(open_offloaded(folder, 1, foresee=False))
        models: dict[str, MoE | OffloadedMoE] = {"whole": whole, "half": half, "blind": blind, "disk": disk}
        seconds = take_turns({name: _writer(each, tokens) for name, each in models.items()}, repeats)
        speed = {name: tokens / each.median for name, each in seconds.items()}
        return {
            "offload_share": speed["half"] / speed["whole"],
            "offload_over_disk": speed["half"] / speed["disk"],
            "offload_foresight": speed["half"] / speed["blind"],
            "offload_at_hand": half.store.traffic.at_hand,
            "offload_bytes_share": half.store.num_bytes / total,
            "offload_tokens_per_second": speed,
        }


def _writer(model: MoE | OffloadedMoE, tokens: int) -> Callable[[], Tensor]:
    """Writes after another prompt each time, the same ones for every contestant: after one prompt again and again whoever
    holds a part would soon hold just what that takes.
    """
    size, prompts = model.model.get_input_embeddings().weight.shape[0], torch.Generator().manual_seed(0)

    @torch.no_grad()
    def write() -> Tensor:
        ids = torch.randint(1, size, (1, PROMPT), generator=prompts)
        written: Tensor = model.model.generate(
            ids, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=0
        )
        return written

    return write


def _random(folder: Path) -> Path:
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=1024, hidden_size=256, num_hidden_layers=8, num_attention_heads=4, num_key_value_heads=2, head_dim=64,
        moe_intermediate_size=512, intermediate_size=512, num_experts=32, num_experts_per_tok=4, norm_topk_prob=True,
        tie_word_embeddings=True, max_position_embeddings=512, pad_token_id=None, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    Qwen3MoeForCausalLM(config).save_pretrained(folder / "model")
    return folder / "model"
