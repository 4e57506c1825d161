"""An expert on disk: config.json, model.safetensors, tokenizer.json and a README card, whole or absent."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import IntegrityError, TokenizerError
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.names import chosen
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.experts.quantization import (
    QUANTIZED,
    QuantizedMatrix,
    dequantized_tensors,
    packed_tensors,
    quantize_model,
    unpacked_matrices,
)
from interconnected_ai.hub import local_folder
from interconnected_ai.nn import sinusoidal_positions
from interconnected_ai.storage import (
    EXPERT,
    MANIFEST,
    atomic_folder,
    load_tensors,
    read_folder,
    read_json,
    save_tensors,
    write_json,
)
from interconnected_ai.text import Tokenizer

TOKENIZER = "tokenizer.json"
FLOAT = "float32"
_WEIGHTS = "model.safetensors"
_POSITIONS = "positions.pe"
Network = TypeVar("Network", bound=ExpertNetwork)


def save_expert(
    model: ExpertNetwork,
    folder: str | Path,
    tokenizer: Tokenizer | None = None,
    card: ExpertCard | None = None,
    *,
    precision: str = "float32",
) -> None:
    """Write the expert; `folder` is replaced whole or not at all. Raises `TokenizerError` for another model's tokenizer.

    precision: of the matrices, "float32", "int8" or "int4" (`quantize_model`); what is loaded is float32 again, rounded.
    """
    chosen("precision", precision, [FLOAT, *QUANTIZED])
    card = card or ExpertCard(name=Path(folder).name)
    if tokenizer is not None:
        require_same_tokenizer(card, tokenizer, model.config)
        card = replace(card, tokenizer_sha256=tokenizer.sha256)
    with atomic_folder(folder, kind=EXPERT) as scratch:
        content = {
            "model": model.get_model_config(),
            "name": card.name,
            "tokenizer_sha256": card.tokenizer_sha256,
            "training": card.training,
            **{name: value for name, value in _told(card).items() if value},
        }
        if precision != FLOAT:
            content["precision"] = precision
        write_json(scratch / "config.json", content)
        save_tensors(scratch / _WEIGHTS, _kept_tensors(model, precision))
        if tokenizer is not None:
            tokenizer.save(scratch / TOKENIZER)
        (scratch / "README.md").write_text(_card_text(model, card), encoding="utf-8")


@dataclass(frozen=True)
class ExpertFiles:
    """What a folder held when it was read: all of one version, whatever is written there afterwards.

    tokenizer: None where there is none, or none was asked for. tensors: mapped from the file, read when they are first used;
    none where none were asked for. stored: the precision of the matrices, "float32", "int8" or "int4".
    key: what tells these weights and this tokenizer from all others.
    """

    folder: Path
    config: ExpertConfig
    card: ExpertCard
    stored: str
    key: str
    tokenizer: Tokenizer | None
    tensors: dict[str, Tensor]

    def network(self, kind: type[Network]) -> Network:
        """The network of this class with the folder's weights, in float32 and in evaluation mode."""
        tensors = dict(self.tensors)
        if self.stored != FLOAT:
            positions = sinusoidal_positions(self.config.max_seq_len, self.config.d_model)
            tensors = dequantized_tensors(tensors) | {_POSITIONS: positions}
        with torch.device("meta"), _Uninitialised():
            network = kind.from_config(self.config)
        if self.config.tie_weights and "embedding.weight" in tensors:
            tensors["head.weight"] = tensors["embedding.weight"]
        _require_shapes(self.folder, network, tensors)
        network.load_state_dict(tensors, assign=True)
        if self.config.tie_weights:
            network.head.weight = network.embedding.weight
        return network.requires_grad_(True).eval()

    def quantized(self) -> dict[str, QuantizedMatrix]:
        """The packed matrices, by the names of their weights; none for an expert in float32."""
        return {} if self.stored == FLOAT else unpacked_matrices(self.tensors)

    def own_tokenizer(self) -> Tokenizer:
        """The tokenizer; raises `TokenizerError` where there is none."""
        if self.tokenizer is None:
            raise TokenizerError(
                f"{self.folder} holds no {TOKENIZER}; give token ids, or save the expert with its tokenizer"
            )
        return self.tokenizer


def read_files(folder_or_hub_id: str | Path, *, weights: bool = True, tokenizer: bool = True) -> ExpertFiles:
    """An expert's folder or hub repository; checksums, version and tokenizer are checked.

    A writer beside it is no hindrance: what comes back is what stood there before or after. weights, tokenizer: whether to
    read them. Raises `StorageError` for what is no whole expert, `TokenizerError` for another model's tokenizer.
    """

    def read(folder: Path) -> ExpertFiles:
        return _read(folder, weights=weights, tokenizer=tokenizer)

    return read_folder(local_folder(folder_or_hub_id), read, kind=EXPERT)


def _read(folder: Path, *, weights: bool, tokenizer: bool) -> ExpertFiles:
    path = folder / "config.json"
    content = read_json(path)
    config = ExpertConfig.from_mapping(content.get("model", {}), source=str(path))
    card = ExpertCard(
        content.get("name", ""), content.get("tokenizer_sha256"), content.get("training", {}),
        languages=tuple(content.get("languages", ())), licence=content.get("licence"),
        examples=tuple(content.get("examples", ())),
    )  # fmt: skip
    words = Tokenizer.load(folder / TOKENIZER) if tokenizer and (folder / TOKENIZER).is_file() else None
    if words is not None:
        require_same_tokenizer(card, words, config)
    tensors = load_tensors(folder / _WEIGHTS) if weights else {}
    return ExpertFiles(folder, config, card, str(content.get("precision", FLOAT)), _key(folder), words, tensors)


def _key(folder: Path) -> str:
    """From the files' checksums, as the manifest has them."""
    files = read_json(folder / MANIFEST)["files"]
    parts = "".join(files[name]["sha256"] for name in ("config.json", _WEIGHTS, TOKENIZER) if name in files)
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


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


def _require_shapes(folder: Path, model: ExpertNetwork, tensors: dict[str, torch.Tensor]) -> None:
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if wrong := [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]:
        name = sorted(wrong)[0]
        raise IntegrityError(
            f"{folder / _WEIGHTS}: tensor {name!r} has shape {_shown(found.get(name))}, the config asks for "
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


def _kept_tensors(model: ExpertNetwork, precision: str) -> dict[str, torch.Tensor]:
    """All tensors, a tied head once; quantised matrices packed, and then without the table of positions, which is computed."""
    tensors = {n: t for n, t in model.state_dict().items() if not (model.config.tie_weights and n == "head.weight")}
    if precision == FLOAT:
        return tensors
    matrices = quantize_model(model, precision)
    others = {name: tensor for name, tensor in tensors.items() if name not in matrices and name != _POSITIONS}
    return others | packed_tensors(matrices)


def _shown(shape: torch.Size | None) -> str:
    return "none (it is missing)" if shape is None else str(tuple(shape))


def _told(card: ExpertCard) -> dict[str, Any]:
    return {"languages": list(card.languages), "licence": card.licence, "examples": list(card.examples)}


def _card_text(model: ExpertNetwork, card: ExpertCard) -> str:
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
