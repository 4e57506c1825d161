"""Random words in the published quantised layouts, read number by number as their makers say, beside what surgery reads.

Nothing here packs or quantises, so a reader and a writer that share a mistake cannot agree. Where each layout is said:
AWQ: AutoAWQ, awq/utils/packing_utils.py. GPTQ: AutoGPTQ, auto_gptq/nn_modules/qlinear/qlinear_cuda.py. compressed-tensors:
compressors/quantized_compressors/pack_quantized.py, nvfp4_quantized.py. modelopt: torch/quantization/qtensor/nvfp4_tensor.py.
Bits of E2M1 and E4M3: OCP Microscaling Formats 1.0 and OCP 8-bit Floating Point 1.0.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from interconnected_ai.surgery.checkpoints.quantized import scheme_of

NOWHERE = Path("/nowhere")
AWQ_COLUMNS = (0, 2, 4, 6, 1, 3, 5, 7)  # of eight, in the order in which they are packed, the lowest bits first


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Any int32 words."""
    return torch.randint(-(2**31), 2**31, shape, dtype=torch.int32, generator=torch.Generator().manual_seed(seed))


def octets(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def halves(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).half()


def bits_of(word: int, number: int, bits: int) -> int:
    """The unsigned number in these bits of an int32."""
    return (word % 2**32 >> (bits * number)) % 2**bits


def read(told: dict[str, Any], **parts: Tensor) -> Tensor:
    """What surgery takes the tensors for."""
    scheme = scheme_of({"quantization_config": told}, NOWHERE)
    assert scheme is not None
    return scheme.dequantised(parts)


def compressed(kind: str, bits: int) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": {"num_bits": bits}}
    return {"quant_method": "compressed-tensors", "format": kind, "config_groups": {"group_0": group}}


def e2m1(code: int) -> float:
    """A sign, two bits of exponent (bias 1), one of mantissa."""
    exponent, mantissa = code >> 1 & 3, code & 1
    size = mantissa / 2 if exponent == 0 else (1 + mantissa / 2) * 2.0 ** (exponent - 1)
    return -size if code & 8 else size


def e4m3(code: int) -> float:
    """A sign, four bits of exponent (bias 7), three of mantissa; no infinity, and all ones is no number."""
    exponent, mantissa = code >> 3 & 15, code & 7
    size = mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return -size if code & 128 else size


def same(found: Tensor, wanted: list[list[float]]) -> None:
    torch.testing.assert_close(found, torch.tensor(wanted), rtol=1e-6, atol=1e-6)
    assert found.std() > 0


def test_awq_is_read_as_autoawq_reads_it() -> None:
    rows, columns, group = 12, 16, 4  # (in, out)
    words, zeros, scales = drawn(rows, columns // 8), drawn(rows // group, columns // 8, seed=1), halves(3, columns)

    def at(table: Tensor, row: int, column: int) -> int:
        return bits_of(int(table[row, column // 8]), AWQ_COLUMNS.index(column % 8), 4)

    wanted = [
        [
            (at(words, row, column) - at(zeros, row // group, column)) * float(scales[row // group, column])
            for row in range(rows)
        ]
        for column in range(columns)
    ]
    same(read({"quant_method": "awq", "bits": 4}, qweight=words, qzeros=zeros, scales=scales), wanted)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("layout", ["gptq", "gptq_v2"])
@pytest.mark.parametrize("ordered", [True, False])
def test_gptq_is_read_as_autogptq_reads_it(bits: int, layout: str, ordered: bool) -> None:
    word = 32 // bits
    rows, columns, group = 2 * word, word, word  # (in, out)
    words, zeros, scales = drawn(2, columns), drawn(2, columns // word, seed=1), halves(2, columns)
    of_row = [row // group for row in range(rows)] if ordered else [row % 2 for row in range(rows)]

    def zero(row: int, column: int) -> int:
        stored = bits_of(int(zeros[of_row[row], column // word]), column % word, bits)
        return stored if layout == "gptq_v2" else (stored + 1) % 2**bits  # stored less one, all ones standing for 0

    wanted = [
        [
            (bits_of(int(words[row // word, column]), row % word, bits) - zero(row, column))
            * float(scales[of_row[row], column])
            for row in range(rows)
        ]
        for column in range(columns)
    ]
    told = {"quant_method": "gptq", "bits": bits, "checkpoint_format": layout}
    beside = {} if ordered else {"g_idx": torch.tensor(of_row, dtype=torch.int32)}
    same(read(told, qweight=words, qzeros=zeros, scales=scales, **beside), wanted)


def test_a_gptq_zero_of_all_ones_is_zero() -> None:
    """What (0 − 1) leaves in four bits."""
    told = {"quant_method": "gptq", "bits": 4}
    found = read(told, qweight=drawn(1, 8), qzeros=torch.tensor([[-1]], dtype=torch.int32), scales=torch.ones(1, 8))
    assert found.min() >= 0


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("beside", ["symmetric", "zero points", "rows in an order of their own"])
def test_packed_integers_are_read_as_compressed_tensors_reads_them(bits: int, beside: str) -> None:
    word, middle = 32 // bits, 2 ** (bits - 1)
    rows, columns, groups = 2 * word, 3 * word, 3  # (out, in)
    width = columns if "rows" in beside else columns - 1  # the last word is filled up
    words, scales = drawn(rows, 3), halves(rows, groups)
    zeros = drawn(2, groups, seed=1)
    of_column = [column % groups if "rows" in beside else column // word for column in range(width)]

    def zero(row: int, column: int) -> int:
        return bits_of(int(zeros[row // word, of_column[column]]), row % word, bits) - middle if "zero" in beside else 0

    wanted = [
        [
            (bits_of(int(words[row, column // word]), column % word, bits) - middle - zero(row, column))
            * float(scales[row, of_column[column]])
            for column in range(width)
        ]
        for row in range(rows)
    ]
    more = {"weight_zero_point": zeros} if "zero" in beside else {}
    more |= {"weight_g_idx": torch.tensor(of_column, dtype=torch.int32)} if "rows" in beside else {}
    parts = {"weight_packed": words, "weight_scale": scales, "weight_shape": torch.tensor([rows, width]), **more}
    same(read(compressed("pack-quantized", bits), **parts), wanted)


@pytest.mark.parametrize("maker", ["modelopt", "compressed-tensors"])
def test_nvfp4_is_read_as_its_makers_read_it(maker: str) -> None:
    rows, columns = 3, 32
    codes = octets(rows, columns // 2)
    scales = octets(rows, columns // 16, seed=1) & 0x77  # above zero, and no number that is none
    scales[0, 0] = 3  # below the smallest normal number
    whole = 0.37

    def number(row: int, column: int) -> float:
        code = int(codes[row, column // 2]) >> 4 * (column % 2) & 15  # the low half of a byte first
        scaled = e2m1(code) * e4m3(int(scales[row, column // 16]))
        return scaled * whole if maker == "modelopt" else scaled / whole

    wanted = [[number(row, column) for column in range(columns)] for row in range(rows)]
    stored, one = scales.view(torch.float8_e4m3fn), torch.tensor([whole])
    if maker == "modelopt":
        told = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
        found = read(told, weight=codes, weight_scale=stored, weight_scale_2=one[0])
    else:
        told = compressed("nvfp4-pack-quantized", 4)
        found = read(told, weight_packed=codes, weight_scale=stored, weight_global_scale=one)
    same(found, wanted)


@pytest.mark.parametrize("scales", ["a tensor", "a row", "a block"])
def test_eight_bits_are_read_as_they_are_stored(scales: str) -> None:
    rows, columns, block = 5, 7, (2, 3)
    codes = octets(rows, columns) & 0xF7  # no code that is no number
    shape = {"a tensor": (1,), "a row": (rows, 1), "a block": (3, 3)}[scales]
    table = halves(*shape, seed=1).float()

    def scale(row: int, column: int) -> float:
        if scales == "a block":
            return float(table[row // block[0], column // block[1]])
        return float(table[0] if scales == "a tensor" else table[row, 0])

    wanted = [[e4m3(int(codes[row, column])) * scale(row, column) for column in range(columns)] for row in range(rows)]
    told = {"quant_method": "fp8"} | ({"weight_block_size": list(block)} if scales == "a block" else {})
    name = "weight_scale_inv" if scales == "a block" else "weight_scale"
    same(read(told, weight=codes.view(torch.float8_e4m3fn), **{name: table}), wanted)
