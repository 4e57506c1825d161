"""LoRA adapters as GGUF files, which llama.cpp's server applies request by request on one base."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.adapters.weights import AdapterWeights, LowRank
from interconnected_ai.experts.export.gguf_llama import GgufShape
from interconnected_ai.extras import require
from interconnected_ai.storage import GgufHead, atomic_file


def write_gguf_lora(
    weights: AdapterWeights,
    base: GgufHead | GgufShape,
    out: str | Path,
    *,
    name: str = "adapter",
) -> None:
    """Write one file, in float32.

    base: the GGUF file whose weights it changes, against which names and shapes are held; or only its shape.
    Raises `EngineError` for an adapter of nothing, or one that does not fit the base; `MissingExtraError` without the package
    gguf.
    """
    gguf = require("gguf", "llamacpp", "adapters in llama.cpp")
    shape = base if isinstance(base, GgufShape) else GgufShape.of_head(base)
    if not weights.modules:
        raise EngineError("the adapter changes no module; train it first")
    known = None if isinstance(base, GgufShape) else {tensor.name: tensor.shape for tensor in base.tensors}
    # llama.cpp multiplies by alpha / rank, or by 1 where alpha is 0: one scale for all is kept apart, else it goes into B.
    alphas = {part.scale * part.rank for part in weights.modules.values()}
    alpha = alphas.pop() if len(alphas) == 1 else 0.0
    with atomic_file(out) as scratch:
        writer = gguf.GGUFWriter(str(scratch), shape.architecture)
        try:
            writer.add_type(gguf.GGUFType.ADAPTER)
            writer.add_name(name)
            writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
            writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
            for module, part in weights.named():
                there = shape.named(module)
                _require_fit(module, f"{there}.weight", part, known)
                rows = shape.turned(there, part.b.detach().float().cpu())
                rows = rows if alpha else rows * part.scale
                for side, tensor in (("lora_a", part.a.detach().float().cpu()), ("lora_b", rows)):
                    writer.add_tensor(f"{there}.weight.{side}", np.ascontiguousarray(tensor.numpy()))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def _require_fit(module: str, name: str, part: LowRank, known: Mapping[str, tuple[int, ...]] | None) -> None:
    changed = (part.b.shape[0], part.a.shape[1])
    if part.a.shape[0] != part.b.shape[1]:
        raise EngineError(f"the adapter's {module} has ranks {part.a.shape[0]} and {part.b.shape[1]}; it is damaged")
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
