"""An expert's folder in fewer bits: written beside the original, with what it weighs part by part."""

from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.errors import ConfigError, EngineError
from interconnected_ai.experts.folder import FLOAT, read_files, save_expert
from interconnected_ai.experts.kinds import kind_of
from interconnected_ai.experts.names import chosen
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.experts.quantization import QUANTIZED
from interconnected_ai.storage import refuse_same, refuse_standing


@dataclass(frozen=True)
class QuantizedSize:
    """Bytes of a quantised expert's weights.

    value_bytes: of the packed values, a byte or half a byte a weight. scale_bytes: of their scales. kept_bytes: of biases and
    norms, which stay in float32. float_bytes: what the same parameters take in float32.
    """

    precision: str
    num_params: int
    value_bytes: int
    scale_bytes: int
    kept_bytes: int
    float_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.value_bytes + self.scale_bytes + self.kept_bytes


def require_quantizable(expert: str | Path) -> None:
    """Raise `EngineError` for an expert of a kind whose weights are not quantised, with a way around."""
    kind, _ = kind_of(expert)
    if kind.why_not_quantize:
        raise EngineError(f"{expert} is {kind.title}: {kind.why_not_quantize}")


def quantize_expert(expert: str | Path, out: str | Path, precision: str, *, overwrite: bool = False) -> QuantizedSize:
    """Write the expert of a folder with its matrices in "int8" or "int4"; everything else goes along.

    overwrite: replace an expert that stands at `out`, which is never the one that is read.
    Raises `ConfigError` for one that is quantised already, since its rounding would be rounded again, and where `out` is, lies
    in or contains the expert; `StorageError` where something stands there and `overwrite` is not asked for, `EngineError` for
    an expert of another kind.
    """
    chosen("precision", precision, QUANTIZED)
    require_quantizable(expert)
    refuse_same(out, expert, name="out")
    refuse_standing(out, overwrite=overwrite, name="out")
    files = read_files(expert)
    if files.stored != FLOAT:
        raise ConfigError(
            f"{files.folder} is {files.stored} already; quantise the {FLOAT} expert, or the rounding adds up"
        )
    model = files.network(ExpertNetwork)
    save_expert(model, out, files.tokenizer, files.card, precision=precision)
    matrices = read_files(out, tokenizer=False).quantized()
    num_params = model.get_num_params()
    num_kept = num_params - sum(matrix.values.numel() for matrix in matrices.values())
    return QuantizedSize(
        precision,
        num_params,
        sum(matrix.value_bytes for matrix in matrices.values()),
        sum(matrix.scale_bytes for matrix in matrices.values()),
        4 * num_kept,
        4 * num_params,
    )
