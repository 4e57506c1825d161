"""Bases and adapters as GGUF files: a base alone, or with an adapter merged into it, or an adapter to serve beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from interconnected_ai.arguments import checked, shown
from interconnected_ai.errors import ConfigError
from interconnected_ai.experts.adapters.folder import AdapterFiles, read_adapter
from interconnected_ai.experts.adapters.merge import merge_weights, named_base
from interconnected_ai.experts.adapters.shared_base import require_same_base
from interconnected_ai.experts.adapters.template import require_known_tokens
from interconnected_ai.experts.bases import Base, find_base
from interconnected_ai.experts.causal_lm import CausalLM
from interconnected_ai.experts.chat.sources import TemplateSource
from interconnected_ai.experts.export.gguf_causal import write_causal_gguf
from interconnected_ai.experts.export.gguf_llama import GgufShape
from interconnected_ai.experts.export.gguf_lora import write_gguf_lora
from interconnected_ai.storage import read_gguf, read_json
from interconnected_ai.text import PretrainedTokenizer, gguf_entries


def write_base_gguf(
    base: str | Path | Base, out: str | Path, *, precision: str = "float32", adapter: str | Path | None = None
) -> None:
    """Write a base as one GGUF file, with its tokenizer and chat template. adapter: a folder, merged into the weights.

    The weights of a GGUF base are dequantised first, so a merged file is rounded twice where both are quantised.
    Raises `AdapterError` for an adapter of another base, `EngineError` for a family that is not written to GGUF, and what
    `find_base` and `read_adapter` raise.
    """
    found = base if isinstance(base, Base) else find_base(base)
    change = None if adapter is None else read_adapter(adapter)
    if change is not None:
        require_same_base(change, found.name, found.sha256)
        tokenizer = PretrainedTokenizer.from_place(found.path)
        require_known_tokens(change.added_tokens, tokenizer, adapter=change.folder, base=found.name)
    model = CausalLM.from_pretrained(found, dtype=torch.float32)
    name = _name_of(found)
    if change is not None:
        merge_weights(model.network, change.weights)
        name = change.card.name or change.folder.name
    entries: dict[str, Any] = {"general.name": name, "general.type": "model"}
    if found.licence:
        entries["general.license"] = found.licence
    if found.languages:
        entries["general.languages"] = found.languages
    tokenizer_entries = _tokenizer_entries(found, model.config.vocab_size)
    if change is not None and change.chats.template is not None:
        tokenizer_entries = {**tokenizer_entries, "tokenizer.chat_template": change.chats.template}
    write_causal_gguf(model.network, tokenizer_entries, out, precision=precision, entries=entries)


@checked
def write_network_gguf(
    network: nn.Module, tokenizer: str | Path, out: str | Path, *, precision: str = "float32", name: str = ""
) -> None:
    """Write a transformers network that stands in memory, dense or a mixture of experts, as one GGUF file.

    tokenizer: the folder with its tokenizer and chat template. name: what the file calls itself. Raises as `write_causal_gguf`
    does, `TokenizerError` for a tokenizer that GGUF does not know, and `ConfigError` for what is no path.
    """
    for setting, path in (("tokenizer", tokenizer), ("out", out)):
        if "\0" in str(path):
            raise ConfigError(f"{setting}={shown(path)}: no path holds a null character")
    place = Path(tokenizer)
    template = TemplateSource.in_folder(place).template
    vocab_size = network.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    entries = gguf_entries(PretrainedTokenizer.from_folder(place), vocab_size, template=template)
    named: dict[str, Any] = {"general.type": "model"} | ({"general.name": name} if name else {})
    write_causal_gguf(network, entries, out, precision=precision, entries=named)


def write_adapter_gguf(
    adapter: str | Path | AdapterFiles, out: str | Path, *, base: str | Path | Base | None = None
) -> None:
    """Write an adapter's folder as a GGUF LoRA file, to be served on its base.

    base: None is the one that the adapter names. Raises `AdapterError` for one of another base, or one that names none.
    """
    files = adapter if isinstance(adapter, AdapterFiles) else read_adapter(adapter)
    wanted = named_base(files) if base is None else base
    found = wanted if isinstance(wanted, Base) else find_base(wanted)
    require_same_base(files, found.name, found.sha256)
    shape = (
        read_gguf(found.path) if found.form == "gguf" else GgufShape.of_config(read_json(found.path / "config.json"))
    )
    write_gguf_lora(files.weights, shape, out, name=files.card.name or files.folder.name)


def _name_of(base: Base) -> str:
    """What a file says that its makers call it, or its own name."""
    stated = read_gguf(base.path).metadata.get("general.name") if base.form == "gguf" else None
    return stated if isinstance(stated, str) and stated else base.path.stem


def _tokenizer_entries(base: Base, vocab_size: int) -> Mapping[str, Any]:
    """The file's own, or those of the folder's tokenizer and template."""
    if base.form == "gguf":
        return {n: v for n, v in read_gguf(base.path).metadata.items() if n.startswith("tokenizer.")}
    template = TemplateSource.in_folder(base.path).template
    return gguf_entries(PretrainedTokenizer.from_folder(base.path), vocab_size, template=template)
