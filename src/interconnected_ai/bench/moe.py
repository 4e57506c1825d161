"""The MoE layer against dense feed-forwards of the same total and of the same active size, and against transformers'."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.bench.timing import Timing, machine, take_turns
from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.nn import FeedForward, MoELayer, choose_backend

D_MODEL, D_FF, NUM_EXPERTS, TOP_K = 768, 3072, 8, 2
TOKENS = {4096: 7, 512: 21}  # tokens → repeats
HF_SHAPE = {"d_model": 768, "d_ff": 384, "num_experts": 64, "top_k": 8, "tokens": 1024}
Shape = Mapping[str, int]


def bench_moe(*, repeats: int | None = None) -> dict[str, Any]:
    """Speeds as ratios: above 1 the MoE layer is faster. Keys are those of `iai bench moe --json`.

    speedup_vs_dense_total: against one dense FFN with as many parameters (the limit is num_experts / top_k = 4, as long
    as the dense FFN's inner activations do not fall out of the cache); efficiency_vs_dense_active: against a dense FFN
    with as many parameters as a token uses (the limit is 1). At 512 tokens reading all experts' weights from memory
    costs as much as it can save: `limit_512` adds that reading to the arithmetic.
    """
    backend = choose_backend(torch.device("cpu"), torch.float32)
    result: dict[str, Any] = {"machine": machine(), "backend": backend.name, "backend_reason": backend.reason}
    for tokens, usual in TOKENS.items():
        times = _inference_times(tokens, repeats or usual)
        suffix = "" if tokens == 4096 else f"_{tokens}"
        moe = times["moe"].median
        # The tougher of two ways to run the dense FFN: all rows at once, or in chunks whose activations stay in cache.
        total = min(times["dense_total"].median, times["dense_total_chunked"].median)
        active = min(times["dense_active"].median, times["dense_active_chunked"].median)
        result |= {
            f"speedup_vs_dense_total{suffix}": times["dense_total"].median / moe,
            f"speedup_vs_dense_total_chunked{suffix}": total / moe,
            f"efficiency_vs_dense_active{suffix}": times["dense_active"].median / moe,
            f"efficiency_vs_dense_active_chunked{suffix}": active / moe,
            f"seconds{suffix}": {name: t.median for name, t in times.items()},
            f"spread{suffix}": max(t.spread for t in times.values()),
        }
    result |= _reading_limit(result)
    return result | _against_transformers(repeats or 5)


def _inference_times(tokens: int, repeats: int) -> dict[str, Timing]:
    generator = torch.Generator().manual_seed(0)
    moe = MoELayer(D_MODEL, D_FF, NUM_EXPERTS, TOP_K, generator=generator).eval()
    nn.init.normal_(moe.router.weight, std=D_MODEL**-0.5, generator=generator)
    total = FeedForward(D_MODEL, D_FF * NUM_EXPERTS, generator=generator).eval()
    active = FeedForward(D_MODEL, D_FF * TOP_K, generator=generator).eval()
    hidden = torch.randn(tokens, D_MODEL, generator=generator)
    with torch.inference_mode():
        return take_turns(
            {
                "moe": lambda: moe(hidden),
                "dense_total": lambda: total(hidden),
                "dense_total_chunked": lambda: _in_chunks(total, hidden),
                "dense_active": lambda: active(hidden),
                "dense_active_chunked": lambda: _in_chunks(active, hidden),
            },
            repeats,
        )


def _in_chunks(module: nn.Module, hidden: Tensor, rows: int = 512) -> Tensor:
    return torch.cat([module(part) for part in hidden.split(rows)])


def _reading_limit(result: dict[str, Any]) -> dict[str, Any]:
    """How fast 512 tokens could be: the arithmetic at the dense FFN's speed, plus reading all experts from memory."""
    weights = torch.ones(64 * 2**20)  # 256 MiB, more than any cache here
    seconds = take_turns({"read": lambda: weights.sum()}, 7)["read"].median
    bandwidth = weights.nbytes / seconds
    extra_bytes = (NUM_EXPERTS - TOP_K) * 2 * D_MODEL * D_FF * 4
    dense_active, moe = result["seconds_512"]["dense_active"], result["seconds_512"]["moe"]
    limit = dense_active / (dense_active + extra_bytes / bandwidth)
    return {
        "read_bandwidth_gb_per_second": bandwidth / 1e9,
        "limit_512": limit,
        "share_of_limit_512": dense_active / moe / limit,
    }


def _against_transformers(repeats: int) -> dict[str, Any]:
    """Forward and backward of the same weights in transformers' Qwen3-MoE block and in ours."""
    hidden = torch.randn(
        HF_SHAPE["tokens"], HF_SHAPE["d_model"], generator=torch.Generator().manual_seed(1), requires_grad=True
    )
    blocks = {name: transformers_block(name) for name in ("eager", "grouped_mm")}
    ours = same_weights(blocks["eager"])
    difference = (ours(hidden)[0] - blocks["eager"](hidden[None])[0]).abs().max().item()
    if difference > 1e-4:
        raise InterconnectedAIError(
            f"the two blocks differ by {difference:g}: the comparison would compare unlike things"
        )

    def train(block: nn.Module, inputs: Tensor) -> None:
        block.zero_grad(set_to_none=True)
        out = block(inputs)
        (out[0] if isinstance(out, tuple) else out).sum().backward()

    times = take_turns(
        {
            "ours": lambda: train(ours, hidden),
            "hf_eager": lambda: train(blocks["eager"], hidden[None]),
            "hf_grouped_mm": lambda: train(blocks["grouped_mm"], hidden[None]),
        },
        repeats,
    )
    return {
        "train_shape": HF_SHAPE,
        "train_speedup_vs_hf_eager": times["hf_eager"].median / times["ours"].median,
        "train_speedup_vs_hf_grouped": times["hf_grouped_mm"].median / times["ours"].median,
        "train_seconds": {name: t.median for name, t in times.items()},
        "train_max_abs_diff": difference,
    }


def transformers_block(implementation: str, shape: Shape = HF_SHAPE) -> nn.Module:
    """Transformers' Qwen3-MoE block with seeded weights; implementation: "eager" or "grouped_mm"."""
    from transformers import Qwen3MoeConfig
    from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock

    config = Qwen3MoeConfig(
        hidden_size=shape["d_model"],
        moe_intermediate_size=shape["d_ff"],
        num_experts=shape["num_experts"],
        num_experts_per_tok=shape["top_k"],
        norm_topk_prob=True,
    )
    config._experts_implementation = implementation
    block: nn.Module = Qwen3MoeSparseMoeBlock(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=shape["d_model"] ** -0.5, generator=generator)
    return block


def same_weights(block: Any, shape: Shape = HF_SHAPE) -> MoELayer:
    """Our layer with the weights of transformers' block: gated experts without biases, stored transposed."""
    layer = MoELayer(
        shape["d_model"], shape["d_ff"], shape["num_experts"], shape["top_k"],
        activation="silu", gated=True, bias=False,
    )  # fmt: skip
    with torch.no_grad():
        layer.experts.w_in.copy_(block.experts.gate_up_proj.transpose(1, 2))
        layer.experts.w_out.copy_(block.experts.down_proj.transpose(1, 2))
        layer.router.weight.copy_(block.gate.weight)
    return layer
