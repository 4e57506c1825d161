"""An expert on disk: config.json, model.safetensors, tokenizer.json and a README card, whole or absent."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import IntegrityError, TokenizerError
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.experts.quantization import (
    QuantizedMatrix,
    dequantized_tensors,
    packed_tensors,
    quantize_model,
    unpacked_matrices,
)
from interconnected_ai.hub import local_folder
from interconnected_ai.nn import sinusoidal_positions
from interconnected_ai.storage import (
    atomic_folder,
    check_folder,
    load_tensors,
    read_json,
    recover,
    save_tensors,
    write_json,
)
from interconnected_ai.text import Tokenizer

KIND = "interconnected_ai expert"
TOKENIZER = "tokenizer.json"
FLOAT = "float32"
_POSITIONS = "positions.pe"


@dataclass(frozen=True)
class ExpertCard:
    """What is known of an expert besides its weights.

    tokenizer_sha256: of the tokenizer it was trained with (`Tokenizer.sha256`), None before any training.
    training: plain values of how it was trained and how well it does, such as bits per byte.
    """

    name: str = ""
    tokenizer_sha256: str | None = None
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def seq_len(self) -> int | None:
        """Tokens of the windows it was trained on, which is also how far it should be read; None where that is not known."""
        return self.training.get("seq_len")


def save_expert(
    model: ExpertModel,
    folder: str | Path,
    tokenizer: Tokenizer | None = None,
    card: ExpertCard | None = None,
    *,
    precision: str = "float32",
) -> None:
    """Write the expert; `folder` is replaced whole or not at all. Raises `TokenizerError` for another model's tokenizer.

    precision: of the matrices, "float32", "int8" or "int4" (`quantize_model`); what is loaded is float32 again, rounded.
    """
    card = card or ExpertCard(name=Path(folder).name)
    if tokenizer is not None:
        require_same_tokenizer(card, tokenizer, model.config)
        card = ExpertCard(card.name, tokenizer.sha256, card.training)
    with atomic_folder(folder, kind=KIND) as scratch:
        content = {
            "model": model.get_model_config(),
            "name": card.name,
            "tokenizer_sha256": card.tokenizer_sha256,
            "training": card.training,
        }
        if precision != FLOAT:
            content["precision"] = precision
        write_json(scratch / "config.json", content)
        save_tensors(scratch / "model.safetensors", _kept_tensors(model, precision))
        if tokenizer is not None:
            tokenizer.save(scratch / TOKENIZER)
        (scratch / "README.md").write_text(_card_text(model, card), encoding="utf-8")


def load_model(folder_or_hub_id: str | Path) -> ExpertModel:
    """The model of an expert's folder, in evaluation mode; checksums, shapes and version are checked.

    Weights are mapped from the file and read when they are first used.
    """
    return _read_model(checked_folder(folder_or_hub_id))


def load_card(folder_or_hub_id: str | Path) -> ExpertCard:
    """What an expert's folder says of itself."""
    return _read_card(checked_folder(folder_or_hub_id))


def load_tokenizer(folder_or_hub_id: str | Path) -> Tokenizer:
    """The tokenizer in an expert's folder; raises `TokenizerError` when there is none, or it is not the model's own."""
    folder = checked_folder(folder_or_hub_id)
    return _read_tokenizer(folder, _read_card(folder), read_config(folder))


def load_expert(folder_or_hub_id: str | Path) -> tuple[ExpertModel, Tokenizer, ExpertCard]:
    """Model, tokenizer and card of an expert's folder, which is checked once."""
    folder = checked_folder(folder_or_hub_id)
    card, model = _read_card(folder), _read_model(folder)
    return model, _read_tokenizer(folder, card, model.config), card


def load_quantized(folder: Path) -> dict[str, QuantizedMatrix]:
    """The packed matrices of a checked folder, by the names of their weights; none for an expert in float32."""
    if read_precision(folder) == FLOAT:
        return {}
    return unpacked_matrices(load_tensors(folder / "model.safetensors"))


def read_precision(folder: Path) -> str:
    """The precision of a checked folder's matrices: "float32", "int8" or "int4"."""
    return str(read_json(folder / "config.json").get("precision", FLOAT))


def read_config(folder: Path) -> ExpertConfig:
    """The shape that a checked folder names."""
    path = folder / "config.json"
    return ExpertConfig.from_mapping(read_json(path).get("model", {}), source=str(path))


def _read_card(folder: Path) -> ExpertCard:
    content = read_json(folder / "config.json")
    return ExpertCard(content.get("name", ""), content.get("tokenizer_sha256"), content.get("training", {}))


def _read_tokenizer(folder: Path, card: ExpertCard, config: ExpertConfig) -> Tokenizer:
    if not (folder / TOKENIZER).is_file():
        raise TokenizerError(f"{folder} holds no {TOKENIZER}; give token ids, or save the expert with its tokenizer")
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    require_same_tokenizer(card, tokenizer, config)
    return tokenizer


def _read_model(folder: Path) -> ExpertModel:
    config = read_config(folder)
    tensors = load_tensors(folder / "model.safetensors")
    if read_precision(folder) != FLOAT:
        tensors = dequantized_tensors(tensors) | {_POSITIONS: sinusoidal_positions(config.max_seq_len, config.d_model)}
    with torch.device("meta"), _Uninitialised():
        model = ExpertModel.from_config(config)
    if config.tie_weights and "embedding.weight" in tensors:
        tensors["head.weight"] = tensors["embedding.weight"]
    _require_shapes(folder, model, tensors)
    model.load_state_dict(tensors, assign=True)
    if config.tie_weights:
        model.head.weight = model.embedding.weight
    return model.requires_grad_(True).eval()


class _Uninitialised(TorchFunctionMode):
    """No initial weights for a model whose weights are read from a file; on the meta device they would take a second."""

    _SKIPPED = frozenset(
        {init.normal_, init.uniform_, init.kaiming_uniform_, init.constant_}
        | {Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_, Tensor.mul_}
    )

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function in self._SKIPPED:
            return args[0] if args else (kwargs or {})["tensor"]
        return function(*args, **(kwargs or {}))


def _require_shapes(folder: Path, model: ExpertModel, tensors: dict[str, torch.Tensor]) -> None:
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if wrong := [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]:
        name = sorted(wrong)[0]
        raise IntegrityError(
            f"{folder / 'model.safetensors'}: tensor {name!r} has shape {_shown(found.get(name))}, the config asks for "
            f"{_shown(expected.get(name))}; config and weights are of different models"
        )


def require_same_tokenizer(card: ExpertCard, tokenizer: Tokenizer, config: ExpertConfig) -> None:
    """Raise `TokenizerError` unless this is the tokenizer that the model was trained with."""
    if card.tokenizer_sha256 is not None and card.tokenizer_sha256 != tokenizer.sha256:
        raise TokenizerError(
            f"this tokenizer (SHA-256 {tokenizer.sha256[:12]}…) is not the one that expert {card.name!r} was trained with "
            f"({card.tokenizer_sha256[:12]}…); its token ids mean other words. Use the tokenizer.json in the expert's folder"
        )
    if tokenizer.vocab_size > config.vocab_size:
        raise TokenizerError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, the model knows {config.vocab_size}; it belongs to another model"
        )


def checked_folder(folder_or_hub_id: str | Path) -> Path:
    """The folder of an expert, whole and unaltered."""
    folder = local_folder(folder_or_hub_id)
    recover(folder)
    check_folder(folder, kind=KIND)
    return folder


def _kept_tensors(model: ExpertModel, precision: str) -> dict[str, torch.Tensor]:
    """All tensors, a tied head once; quantised matrices packed, and then without the table of positions, which is computed."""
    tensors = {n: t for n, t in model.state_dict().items() if not (model.config.tie_weights and n == "head.weight")}
    if precision == FLOAT:
        return tensors
    matrices = quantize_model(model, precision)
    others = {name: tensor for name, tensor in tensors.items() if name not in matrices and name != _POSITIONS}
    return others | packed_tensors(matrices)


def _shown(shape: torch.Size | None) -> str:
    return "none (it is missing)" if shape is None else str(tuple(shape))


def _card_text(model: ExpertModel, card: ExpertCard) -> str:
    shape = model.config
    figures = "".join(
        f"| {key} | {value} |\n" for key, value in card.training.items() if isinstance(value, int | float | str)
    )
    table = f"\n| training | |\n|---|---|\n{figures}" if figures else ""
    return (
        "---\nlibrary_name: interconnected-ai\npipeline_tag: text-generation\n---\n\n"
        f"# {card.name or 'An expert'}\n\n"
        f"A transformer language model of {model.get_num_params():,} parameters: vocabulary {shape.vocab_size:,}, d_model "
        f"{shape.d_model}, {shape.n_layers} layers, {shape.n_heads} heads, d_ff {shape.inner}, {shape.norm}-norm, window "
        f"{shape.max_seq_len:,} tokens.\n{table}\n"
        "```python\nfrom interconnected_ai import Expert\n\n"
        'expert = Expert.from_pretrained("this folder")\nprint(expert.generate("Return the", max_new_tokens=20))\n```\n'
    )
