"""How quantised checkpoints keep a matrix: the tensors that belong together, and the numbers that they stand for.

A row of `_SCHEMES` for every published format. Whoever moves an expert moves all tensors that its row names; what no row
names is refused. Quantising is left to the tools that made the checkpoint.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.errors import ConfigError, IntegrityError
from interconnected_ai.storage import read_json

Parts = Mapping[str, Tensor]

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_INT32_BITS = 32
_BYTE_NIBBLES = 2
# E2M1: sign, two bits of exponent, one of mantissa (OCP Microscaling Formats 1.0, section 5.3.3)
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
_E8M0_BIAS = 127
# AutoAWQ packs eight columns into an int32 in the order 0 2 4 6 1 3 5 7; column i is found at nibble _AWQ_ORDER[i]
_AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
_AWQ_BITS = 4
_SINGLE_EXPERT = re.compile(r"experts\W{0,3}\d")  # "experts.5.", and the same in an expression, "experts\.5"


@dataclass(frozen=True)
class Scheme:
    """One way of keeping matrices of linear layers.

    matrix: the tensor with the numbers, as its name ends after the layer's (`gate_proj.qweight`). companions: what may stand
    beside it. numbers: how many numbers an item of `matrix` holds. read: these tensors → the matrix, in float32. upright:
    stacks are (out, in), also in families that otherwise keep them transposed.
    """

    name: str
    matrix: str
    companions: tuple[str, ...]
    numbers: int
    read: Callable[[Parts], Tensor]
    upright: bool = False

    @property
    def pieces(self) -> tuple[str, ...]:
        """All tensors that may belong to one linear layer, a layer that was left as it is among them."""
        return tuple(dict.fromkeys((self.matrix, *self.companions, "weight", "bias")))

    def dequantised(self, parts: Parts) -> Tensor:
        """The matrix of a layer: as it is stored where it was not quantised, else in float32."""
        whole = parts.get("weight")
        if whole is not None and whole.dtype in _FLOATS:
            return whole
        if self.matrix not in parts:
            raise IntegrityError(f"a layer has {', '.join(parts)} and no {self.matrix}, which {self.name} keeps it in")
        try:
            return self.read(parts)
        except (KeyError, RuntimeError, IndexError) as error:
            told = ", ".join(f"{name} {tuple(part.shape)} {part.dtype}" for name, part in parts.items())
            raise IntegrityError(f"{told} are no {self.name} matrix: {error}; fetch the checkpoint again") from error


def scheme_of(config: Mapping[str, Any], folder: Path) -> Scheme | None:
    """How a checkpoint is quantised, by its config.json or modelopt's hf_quant_config.json; None where it is not.

    Raises `ConfigError` for a way that no row knows, and for settings that name single experts: they would not follow.
    """
    told = _told(config, folder)
    if told is None:
        return None
    _needs_no_single_experts(told)
    method = str(told.get("quant_method") or "").lower()
    make = _SCHEMES.get(method)
    if make is None:
        raise ConfigError(_unknown(f"quant_method {method!r}"))
    return make(told)


def _told(config: Mapping[str, Any], folder: Path) -> Mapping[str, Any] | None:
    text = config.get("text_config")
    nested = text if isinstance(text, Mapping) else {}
    for place in (config, nested):
        for key in ("quantization_config", "compression_config"):
            if place.get(key):
                if not isinstance(place[key], Mapping):
                    raise IntegrityError(f"{folder / 'config.json'}: {key} is no object; fetch it again")
                return dict(place[key])
    beside = folder / "hf_quant_config.json"
    if not beside.is_file():
        return None
    content = read_json(beside).get("quantization")
    return {"quant_method": "modelopt", **content} if isinstance(content, Mapping) else None


def _needs_no_single_experts(told: Mapping[str, Any]) -> None:
    named = next((text for text in _strings(told) if _SINGLE_EXPERT.search(text)), None)
    if named is not None:
        raise ConfigError(
            f"quantization_config names a single expert ({named!r:.80}): when experts move it would mean another one. Open a "
            "checkpoint whose experts are all quantised alike, or the one that was not quantised"
        )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _strings(key)
            yield from _strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _strings(each)


def _unknown(what: str) -> str:
    return (
        f"{what} is not known: which tensors belong to an expert cannot be said, and so none is moved. Known are "
        f"{', '.join(_SCHEMES)}; edit the checkpoint that was not quantised, then quantise the result with the tool that made "
        "this one"
    )


# The formats


def _fp8(told: Mapping[str, Any]) -> Scheme:
    """Fine-grained and per-tensor FP8 (DeepSeek-V3, Qwen3-FP8; transformers' finegrained_fp8.py)."""
    if told.get("expert_dtype", "fp8") != "fp8":
        raise ConfigError(_unknown(f"quant_method 'fp8' with expert_dtype {told['expert_dtype']!r}"))
    block = told.get("weight_block_size")
    return _eight_bits("FP8", "weight_scale_inv", block)


def _eight_bits(name: str, scale: str, block: Any = None) -> Scheme:
    """weight · scale, a scale for the tensor, a row, or a block of it; minus a zero point first, where there is one."""
    sizes = tuple(int(each) for each in block) if isinstance(block, list | tuple) and len(block) == 2 else None

    def read(parts: Parts) -> Tensor:
        scales = parts[scale] if scale in parts else parts["weight_scale"]
        numbers = parts["weight"].float()
        zero = parts.get("weight_zero_point")
        if zero is not None:
            numbers = numbers - _spread(zero.float(), numbers, sizes)
        return numbers * _spread(scales.float(), numbers, sizes)

    beside = (
        "weight_scale",
        "weight_zero_point",
        "input_scale",
        "input_zero_point",
        "activation_scale",
        "input_scale_ub",
    )
    return Scheme(name, "weight", tuple(dict.fromkeys((scale, *beside))), 1, read)


def _mxfp4(told: Mapping[str, Any]) -> Scheme:
    """MXFP4 as gpt-oss is published: blocks of 32 numbers in 16 bytes, a power of two for each (OCP Microscaling 1.0)."""

    def read(parts: Parts) -> Tensor:
        numbers = _e2m1(parts["blocks"])  # (out, blocks, 32)
        exponents = parts["scales"].int() - _E8M0_BIAS
        return torch.ldexp(numbers, exponents.unsqueeze(-1)).flatten(-2)

    return Scheme("MXFP4", "blocks", ("scales",), _BYTE_NIBBLES, read, upright=True)


def _modelopt(told: Mapping[str, Any]) -> Scheme:
    """NVIDIA's modelopt: FP8 with a scale for each tensor, or NVFP4."""
    kind = str(told.get("quant_algo") or "").upper()
    if kind == "FP8":
        return _eight_bits("modelopt FP8", "weight_scale")
    if kind != "NVFP4":
        raise ConfigError(_unknown(f"modelopt's quant_algo {told.get('quant_algo')!r}"))

    def read(parts: Parts) -> Tensor:
        numbers = _e2m1(parts["weight"])
        return numbers * _spread(parts["weight_scale"].float(), numbers, None) * parts["weight_scale_2"].float()

    return Scheme("NVFP4", "weight", ("weight_scale", "weight_scale_2", "input_scale"), _BYTE_NIBBLES, read)


def _awq(told: Mapping[str, Any]) -> Scheme:
    """AWQ's GEMM layout (AutoAWQ): (q − zero) · scale, stored (in, out), eight columns an int32 in an order of its own."""
    if (
        int(told.get("bits", told.get("w_bit", _AWQ_BITS))) != _AWQ_BITS
        or str(told.get("version", "gemm")).lower() != "gemm"
    ):
        raise ConfigError(_unknown(f"AWQ with bits = {told.get('bits')} and version = {told.get('version')!r}"))

    def read(parts: Parts) -> Tensor:
        numbers, scales = _awq_columns(parts["qweight"]), parts["scales"].float()
        group = len(numbers) // len(scales)
        zeros = _awq_columns(parts["qzeros"]) if "qzeros" in parts else torch.full_like(scales, 1 << (_AWQ_BITS - 1))
        return ((numbers - zeros.repeat_interleave(group, 0)) * scales.repeat_interleave(group, 0)).T

    return Scheme("AWQ", "qweight", ("qzeros", "scales"), _INT32_BITS // _AWQ_BITS, read)


def _gptq(told: Mapping[str, Any]) -> Scheme:
    """GPTQ (AutoGPTQ, GPTQModel): (q − zero) · scale of the row's group.

    The first format stores zeros less one in as many bits, so that all ones stand for 0.
    """
    bits = int(told.get("bits", 4))
    if bits not in (2, 4, 8):
        raise ConfigError(_unknown(f"GPTQ with {bits} bits"))
    rules = told.get("dynamic") or {}
    if any(not str(rule).startswith("-:") for rule in rules):
        raise ConfigError(_unknown("GPTQ with layers of different settings ('dynamic')"))
    less = 0 if told.get("checkpoint_format") == "gptq_v2" else 1

    def read(parts: Parts) -> Tensor:
        numbers = _unpacked(parts["qweight"], bits, dim=0)  # (in, out)
        scales, zeros = parts["scales"].float(), (_unpacked(parts["qzeros"], bits, dim=1) + less) % (1 << bits)
        group = parts.get("g_idx")
        rows = torch.arange(len(numbers)) // (len(numbers) // len(scales)) if group is None else group.long()
        return ((numbers - zeros[rows]) * scales[rows]).T

    return Scheme("GPTQ", "qweight", ("qzeros", "scales", "g_idx"), _INT32_BITS // bits, read)


def _compressed(told: Mapping[str, Any]) -> Scheme:
    """compressed-tensors (llm-compressor): packed integers, NVFP4, and 8 bits as they are."""
    groups = list((told.get("config_groups") or {}).values())
    formats = {str(group.get("format") or told.get("format")) for group in groups} or {str(told.get("format"))}
    bits = {int((group.get("weights") or {}).get("num_bits", 8)) for group in groups} or {8}
    sparsity = (told.get("sparsity_config") or {}).get("format", "dense")
    if len(formats) > 1 or len(bits) > 1 or sparsity != "dense":
        raise ConfigError(_unknown(f"compressed-tensors with {', '.join(sorted(formats))} and sparsity {sparsity!r}"))
    kind, width = formats.pop(), bits.pop()
    if kind == "pack-quantized" and width in (2, 4, 8):
        return _packed_integers(width)
    if kind == "nvfp4-pack-quantized":
        return _packed_nvfp4()
    if kind in ("naive-quantized", "int-quantized", "float-quantized") and width == 8:
        return _eight_bits(f"compressed-tensors {kind}", "weight_scale")
    raise ConfigError(_unknown(f"compressed-tensors' format {kind!r} with {width} bits"))


def _packed_integers(bits: int) -> Scheme:
    """Unsigned integers, 2^(bits−1) above what they stand for, along the rows; zero points are packed along the columns."""

    def read(parts: Parts) -> Tensor:
        out, width = (int(each) for each in parts["weight_shape"])
        middle = 1 << (bits - 1)
        numbers = _unpacked(parts["weight_packed"], bits, dim=1)[:out, :width] - middle
        scales, order = parts["weight_scale"].float(), parts.get("weight_g_idx")
        zeros = torch.zeros_like(scales)
        if "weight_zero_point" in parts:
            zeros = _unpacked(parts["weight_zero_point"], bits, dim=0)[:out] - middle
        if order is not None and bool((order >= 0).all()):
            return (numbers - zeros[:, order.long()]) * scales[:, order.long()]
        return (numbers - _spread(zeros, numbers, None)) * _spread(scales, numbers, None)

    beside = ("weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx", "input_scale", "input_zero_point")
    return Scheme("compressed-tensors pack-quantized", "weight_packed", beside, _INT32_BITS // bits, read)


def _packed_nvfp4() -> Scheme:
    """NVFP4 of compressed-tensors: its global scale divides, where modelopt's second scale multiplies."""

    def read(parts: Parts) -> Tensor:
        numbers = _e2m1(parts["weight_packed"])
        return numbers * _spread(parts["weight_scale"].float(), numbers, None) / parts["weight_global_scale"].float()

    beside = ("weight_scale", "weight_global_scale", "input_global_scale")
    return Scheme("compressed-tensors NVFP4", "weight_packed", beside, _BYTE_NIBBLES, read)


_SCHEMES: dict[str, Callable[[Mapping[str, Any]], Scheme]] = {
    "fp8": _fp8,
    "fbgemm_fp8": lambda told: _eight_bits("FBGEMM FP8", "weight_scale"),
    "mxfp4": _mxfp4,
    "modelopt": _modelopt,
    "modelopt_fp4": lambda told: _modelopt({"quant_algo": "NVFP4", **told}),
    "awq": _awq,
    "gptq": _gptq,
    "compressed-tensors": _compressed,
}

# What a tensor beside, or in the place of, a `weight` may be called by any of them
PARTS = frozenset(
    (
        "blocks", "scales", "qweight", "qzeros", "g_idx", "weight_packed", "weight_scale", "weight_scale_inv",
        "weight_scale_2", "weight_shape", "weight_zero_point", "weight_g_idx", "weight_global_scale", "input_scale",
        "input_global_scale", "input_zero_point", "input_scale_ub", "activation_scale",
    )
)  # fmt: skip


# Numbers out of words


def _e2m1(packed: Tensor) -> Tensor:
    """(…, n) bytes → (…, 2n) numbers, the low half of a byte first."""
    nibbles = torch.stack((packed & 0xF, packed >> 4), dim=-1).flatten(-2)
    numbers: Tensor = torch.tensor(_E2M1)[nibbles.long()]
    return numbers


def _unpacked(words: Tensor, bits: int, dim: int) -> Tensor:
    """int32 words → the unsigned numbers in them, the lowest bits first, along a dimension that grows; float32."""
    shifts = torch.arange(0, _INT32_BITS, bits)
    wide = words.unsqueeze(dim + 1)
    shifts = shifts.view(-1, *[1] * (wide.ndim - dim - 2))
    return ((wide >> shifts) & ((1 << bits) - 1)).flatten(dim, dim + 1).float()


def _awq_columns(words: Tensor) -> Tensor:
    columns: Tensor = _unpacked(words, _AWQ_BITS, dim=1).unflatten(1, (-1, len(_AWQ_ORDER)))
    return columns[:, :, list(_AWQ_ORDER)].flatten(1)


def _spread(scales: Tensor, matrix: Tensor, block: tuple[int, ...] | None) -> Tensor:
    """Scales of a tensor, of rows or of blocks, one for each number of the matrix."""
    if scales.numel() == 1:
        return scales.reshape(1, 1)
    if scales.ndim == 1:
        scales = scales.unsqueeze(1)
    sizes = [ceil(whole / parts) for whole, parts in zip(matrix.shape, scales.shape, strict=True)]
    if block is not None and all(ceil(n / b) == s for n, b, s in zip(matrix.shape, block, scales.shape, strict=True)):
        sizes = list(block)
    rows, columns = matrix.shape
    return scales.repeat_interleave(sizes[0], 0)[:rows].repeat_interleave(sizes[1], 1)[:, :columns]
