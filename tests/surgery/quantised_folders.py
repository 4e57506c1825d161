"""Tiny mixtures as folders in the published quantised formats, and the numbers that their tensors stand for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from interconnected_ai.bench.tiny_moes import make

Made = tuple[dict[str, Tensor], Tensor]  # tensors by their suffix, and what they stand for
_GRID = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


def blocks(scale: Tensor, shape: torch.Size, size: tuple[int, int]) -> Tensor:
    """A scale a block, spread over a matrix."""
    wide = scale.repeat_interleave(size[0], 0).repeat_interleave(size[1], 1)
    return wide[: shape[0], : shape[1]]


def fp8_blocks(weight: Tensor) -> Made:
    """DeepSeek-V3's: a scale for 8 × 8 numbers here, 128 × 128 there."""
    rows, columns = -(-weight.shape[0] // 8), -(-weight.shape[1] // 8)
    scale = torch.stack(
        [
            torch.stack([weight[8 * r : 8 * r + 8, 8 * c : 8 * c + 8].abs().max() / 448 for c in range(columns)])
            for r in range(rows)
        ]
    )
    wide = blocks(scale, weight.shape, (8, 8))
    kept = (weight / wide).to(torch.float8_e4m3fn)
    return {"weight": kept, "weight_scale_inv": scale}, kept.float() * wide


def fp8_tensor(weight: Tensor) -> Made:
    """One scale for a matrix, and one for what goes into it."""
    scale = weight.abs().max() / 448
    kept = (weight / scale).to(torch.float8_e4m3fn)
    return {"weight": kept, "weight_scale": scale, "input_scale": torch.tensor(0.5)}, kept.float() * scale


def int8_rows(weight: Tensor) -> Made:
    """compressed-tensors' int-quantized: a scale for each row."""
    scale = weight.abs().amax(1, keepdim=True) / 127
    kept = (weight / scale).round().clamp(-128, 127)
    return {"weight": kept.to(torch.int8), "weight_scale": scale}, kept * scale


def _fp4(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest E2M1 numbers: their codes and themselves."""
    codes = (numbers.abs().unsqueeze(-1) - _GRID).abs().argmin(-1)
    return (codes + 8 * (numbers < 0)).to(torch.uint8), _GRID[codes] * torch.where(numbers < 0, -1.0, 1.0)


def _pairs(codes: Tensor) -> Tensor:
    return codes[..., 0::2] | (codes[..., 1::2] << 4)


def nvfp4(weight: Tensor) -> Made:
    """modelopt's: FP8 scales for 16 numbers, times one for all."""
    second = weight.abs().max() / (6 * 448)
    groups = weight.unflatten(1, (-1, 16))
    scale = (groups.abs().amax(-1) / 6 / second).to(torch.float8_e4m3fn)
    codes, values = _fp4(groups / (scale.float() * second).unsqueeze(-1))
    whole = (values * scale.float().unsqueeze(-1)).flatten(1) * second
    parts = {"weight": _pairs(codes.flatten(1)), "weight_scale": scale, "weight_scale_2": second}
    return {**parts, "input_scale": torch.tensor(0.25)}, whole


def nvfp4_packed(weight: Tensor) -> Made:
    """compressed-tensors': the same, by a global scale that divides."""
    parts, _ = nvfp4(weight)
    whole = 1 / parts["weight_scale_2"]
    values = nvfp4(weight)[1] / parts["weight_scale_2"] / whole
    return {
        "weight_packed": parts["weight"], "weight_scale": parts["weight_scale"],
        "weight_global_scale": whole.reshape(1), "input_global_scale": torch.tensor([4.0]),
    }, values  # fmt: skip


def words(numbers: Tensor, dim: int, order: tuple[int, ...] = tuple(range(8))) -> Tensor:
    """Eight 4-bit numbers an int32 along a dimension; nibble i holds number order[i]."""
    groups = numbers.long().movedim(dim, -1).unflatten(-1, (-1, 8))
    packed = sum(groups[..., order[i]] << (4 * i) for i in range(8))
    assert isinstance(packed, Tensor)
    packed = torch.where(packed >= 2**31, packed - 2**32, packed)
    return packed.to(torch.int32).movedim(-1, dim).contiguous()


def _grouped(weight: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """(in, out) codes with (groups, out) scales and zeros."""
    groups = weight.T.unflatten(0, (-1, size))
    low, high = groups.amin(1).clamp(max=0), groups.amax(1).clamp(min=0)
    scale = ((high - low) / 15).half().float().clamp_min(1e-4)
    zero = (-low / scale).round().clamp(0, 15)
    codes = (groups / scale.unsqueeze(1) + zero.unsqueeze(1)).round().clamp(0, 15)
    return codes, scale, zero


def awq(weight: Tensor) -> Made:
    """AutoAWQ's GEMM layout."""
    codes, scale, zero = _grouped(weight, 16)
    order = (0, 2, 4, 6, 1, 3, 5, 7)
    whole = ((codes - zero.unsqueeze(1)) * scale.unsqueeze(1)).flatten(0, 1).T
    parts = {"qweight": words(codes.flatten(0, 1), 1, order), "qzeros": words(zero, 1, order)}
    return {**parts, "scales": scale.half()}, whole


def gptq(weight: Tensor) -> Made:
    """GPTQ with its rows in an order of their own; zeros are stored less one."""
    order = torch.randperm(weight.shape[1], generator=torch.Generator().manual_seed(5))
    group = torch.empty_like(order)
    group[order] = torch.arange(len(order)) // 8
    codes, scale, zero = _grouped(weight[:, order], 8)
    zero = zero.clamp(min=1)
    whole = torch.empty_like(weight)
    whole[:, order] = ((codes - zero.unsqueeze(1)) * scale.unsqueeze(1)).flatten(0, 1).T
    rows = torch.empty_like(codes.flatten(0, 1))
    rows[order] = codes.flatten(0, 1)
    parts = {"qweight": words(rows, 0), "qzeros": words(zero - 1, 1), "scales": scale.half()}
    return {**parts, "g_idx": group.to(torch.int32)}, whole


def packed(weight: Tensor) -> Made:
    """compressed-tensors' pack-quantized, with zero points."""
    codes, scale, zero = _grouped(weight, 8)
    whole = ((codes - zero.unsqueeze(1)) * scale.unsqueeze(1)).flatten(0, 1).T
    return {
        "weight_packed": words(codes.flatten(0, 1).T, 1), "weight_scale": scale.T.contiguous(),
        "weight_zero_point": words(zero.T, 0), "weight_shape": torch.tensor(weight.shape),
    }, whole  # fmt: skip


def _compressed(kind: str, bits: int) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": "int"}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "format": kind, "config_groups": groups, "ignore": ["re:.*gate$"]}


# name → how a matrix is kept, and what the config says of it
FORMATS: dict[str, tuple[Callable[[Tensor], Made], dict[str, Any]]] = {
    "fp8 blocks": (fp8_blocks, {"quant_method": "fp8", "weight_block_size": [8, 8], "activation_scheme": "dynamic"}),
    "fp8 tensors": (fp8_tensor, {"quant_method": "fp8", "activation_scheme": "static"}),
    "modelopt fp8": (fp8_tensor, {"quant_method": "modelopt", "quant_algo": "FP8"}),
    "nvfp4": (nvfp4, {"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["lm_head", "*gate"]}),
    "awq": (awq, {"quant_method": "awq", "bits": 4, "group_size": 16, "version": "gemm", "zero_point": True}),
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": 8, "desc_act": True, "checkpoint_format": "gptq"}),
    "pack-quantized": (packed, _compressed("pack-quantized", 4)),
    "nvfp4-pack-quantized": (nvfp4_packed, _compressed("nvfp4-pack-quantized", 4)),
    "int-quantized": (int8_rows, _compressed("int-quantized", 8)),
    "float-quantized": (fp8_tensor, _compressed("float-quantized", 8)),
}


def write_quantised(folder: Path, kind: str, family: str = "qwen3_moe") -> Path:
    """A folder of a tiny mixture whose linear layers but the routers are quantised, and beside it `whole` in float32."""
    quantise, told = FORMATS[kind]
    make(family).save_pretrained(folder / "whole")
    state = load_file(folder / "whole" / "model.safetensors")
    quantised, whole = {}, {}
    for name, tensor in state.items():
        if name.endswith("_proj.weight") and tensor.ndim == 2:
            parts, stands_for = quantise(tensor.float())
            quantised |= {f"{name.removesuffix('weight')}{part}": each.contiguous() for part, each in parts.items()}
            whole[name] = stands_for.contiguous()
        else:
            quantised[name] = whole[name] = tensor
    save_file(whole, folder / "whole" / "model.safetensors", {"format": "pt"})
    return _finish(folder, quantised, told)


def write_mxfp4(folder: Path) -> Path:
    """gpt-oss as it is published: blocks, scales and biases of stacks."""
    make("gpt_oss", intermediate_size=32).save_pretrained(folder / "whole")
    state = load_file(folder / "whole" / "model.safetensors")
    quantised, whole = {}, {}
    for name, tensor in state.items():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            groups = tensor.float().transpose(1, 2).unflatten(2, (-1, 32))  # (experts, out, blocks, 32)
            exponents = torch.floor(torch.log2(groups.abs().amax(-1) / 4))
            codes, values = _fp4(groups / torch.exp2(exponents).unsqueeze(-1))
            quantised[f"{name}_blocks"] = _pairs(codes).contiguous()
            quantised[f"{name}_scales"] = (exponents + 127).to(torch.uint8).contiguous()
            whole[name] = (values * torch.exp2(exponents).unsqueeze(-1)).flatten(2).transpose(1, 2).contiguous()
        else:
            quantised[name] = whole[name] = tensor
    save_file(whole, folder / "whole" / "model.safetensors", {"format": "pt"})
    return _finish(
        folder, quantised, {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.mlp.router"]}
    )


def _finish(folder: Path, tensors: dict[str, Tensor], told: dict[str, Any]) -> Path:
    there = folder / "quantised"
    there.mkdir()
    config = json.loads((folder / "whole" / "config.json").read_text())
    (there / "config.json").write_text(json.dumps({**config, "quantization_config": told}))
    save_file(tensors, there / "model.safetensors", {"format": "pt"})
    return there
