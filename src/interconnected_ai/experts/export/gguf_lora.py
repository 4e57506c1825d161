"""LoRA adapters as GGUF files, which llama.cpp's server applies request by request on one base."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.export.gguf_llama import GgufShape
from interconnected_ai.extras import require
from interconnected_ai.storage import GgufHead, atomic_file


def write_gguf_lora(
    modules: Mapping[str, tuple[Tensor, Tensor, float]],
    base: GgufHead | GgufShape,
    out: str | Path,
    *,
    name: str = "adapter",
) -> None:
    """Write one file. modules: Hugging Face's name → A (rank, in), B (out, rank) and scale, for W + scale · B · A.

    base: the GGUF file whose weights it changes, against which names and shapes are held; or only its shape.
    Raises `EngineError` for an adapter of nothing, or one that does not fit the base; `MissingExtraError` without the package
    gguf.
    """
    gguf = require("gguf", "llamacpp", "adapters in llama.cpp")
    shape = base if isinstance(base, GgufShape) else GgufShape.of_head(base)
    if not modules:
        raise EngineError("the adapter changes no module; train it first")
    known = None if isinstance(base, GgufShape) else {tensor.name: tensor.shape for tensor in base.tensors}
    # llama.cpp multiplies by alpha / rank, or by 1 where alpha is 0: one scale for all is kept apart, else it goes into B.
    alphas = {scale * len(first) for first, _, scale in modules.values()}
    alpha = alphas.pop() if len(alphas) == 1 else 0.0
    with atomic_file(out) as scratch:
        writer = gguf.GGUFWriter(str(scratch), shape.architecture)
        try:
            writer.add_type(gguf.GGUFType.ADAPTER)
            writer.add_name(name)
            writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
            writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
            for module, (first, second, scale) in modules.items():
                there = shape.named(module)
                _require_fit(module, f"{there}.weight", first, second, known)
                rows = shape.turned(there, second.detach().float().cpu())
                rows = rows if alpha else rows * scale
                for part, tensor in (("lora_a", first.detach().float().cpu()), ("lora_b", rows)):
                    array = np.ascontiguousarray(tensor.numpy())
                    writer.add_tensor(f"{there}.weight.{part}", array)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def _require_fit(
    module: str, name: str, first: Tensor, second: Tensor, known: Mapping[str, tuple[int, ...]] | None
) -> None:
    changed = (second.shape[0], first.shape[1])
    if first.shape[0] != second.shape[1]:
        raise EngineError(f"the adapter's {module} has ranks {first.shape[0]} and {second.shape[1]}; it is damaged")
    if known is None:
        return
    if name not in known:
        raise EngineError(
            f"the adapter changes {module!r}, the base file has no {name!r} (a head that is its embedding cannot be changed "
            "apart); train an adapter without it, or merge it"
        )
    if known[name] != changed:
        raise EngineError(
            f"the adapter's {module} changes {changed} weights, the base's has {known[name]}: it belongs to another base"
        )
