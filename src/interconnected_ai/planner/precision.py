"""Bytes of a number in each precision."""

# Packed weights only: the scales of int8 and int4 come on top, see `SCALE_BYTES`.
BYTES: dict[str, float] = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1, "int4": 0.5}

FLOAT_PRECISIONS = ("float32", "bfloat16", "float16")

# A 16-bit scale for each group of 64 weights, as bitsandbytes and GGUF keep them (GPTQ groups of 128 need half of it).
SCALE_BYTES: dict[str, float] = {"int8": 2 / 64, "int4": 2 / 64}


def weight_bytes(num_params: int, precision: str, *, scales: bool = False) -> int:
    """Bytes of that many weights; with `scales` those of a quantised format too."""
    each = BYTES[precision] + (SCALE_BYTES.get(precision, 0.0) if scales else 0.0)
    return round(num_params * each)
