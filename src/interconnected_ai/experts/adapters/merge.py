"""An adapter folded into its base: an ordinary folder of Hugging Face that transformers and vLLM open."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.errors import AdapterError, InterconnectedAIError, NotAModelError
from interconnected_ai.experts.adapters.folder import AdapterFiles, read_adapter
from interconnected_ai.experts.adapters.shared_base import require_same_base
from interconnected_ai.experts.adapters.template import require_known_tokens
from interconnected_ai.experts.adapters.weights import AdapterWeights, LowRank
from interconnected_ai.experts.bases import Base, find_base
from interconnected_ai.experts.causal_lm import CausalLM
from interconnected_ai.experts.chat.sources import TemplateSource
from interconnected_ai.text import PretrainedTokenizer


def merge_adapter(
    adapter: AdapterFiles | str | Path, folder: str | Path, *, base: Base | str | Path | None = None
) -> CausalLM:
    """Write base + adapter as a folder of Hugging Face, safetensors and tokenizer; it is replaced whole or not at all.

    base: where the base is; None is what the adapter names. A base from a GGUF file is written dequantised. Returns the merged
    model. Raises `AdapterError` for another base than the adapter's, and what `find_base` and `CausalLM` raise.
    """
    files = adapter if isinstance(adapter, AdapterFiles) else read_adapter(adapter)
    found = base if isinstance(base, Base) else find_base(named_base(files) if base is None else base)
    require_same_base(files, found.name, found.sha256)
    tokenizer, of_base = PretrainedTokenizer.from_place(found.path), TemplateSource.of_place(found.path)
    require_known_tokens(files.added_tokens, tokenizer, adapter=files.folder, base=found.name)
    model = CausalLM.from_pretrained(found)
    merge_weights(model.network, files.weights)
    card, template = files.card, files.chats.template or of_base.template
    model.save_pretrained(
        folder, tokenizer, template=template, licence=card.licence or found.licence,
        languages=card.languages or found.languages,
    )  # fmt: skip
    return model


def merge_into(network: Any, adapter: AdapterFiles | str | Path, base: Base) -> None:
    """Add an adapter to the weights of a network of this base, in place. Raises `AdapterError` for another base's adapter."""
    files = adapter if isinstance(adapter, AdapterFiles) else read_adapter(adapter)
    require_same_base(files, base.name, base.sha256)
    merge_weights(network, files.weights)


def named_base(files: AdapterFiles) -> str:
    """The base that an adapter names; where nothing stands there any more, what has its name beside the adapter, by its hash.

    Raises `AdapterError` where it names none, `NotAModelError` for a path that leads nowhere.
    """
    if not files.card.base:
        raise AdapterError(
            f"{files.folder} names no base; name the one that it was trained on (base=, a folder, GGUF file or hub id)"
        )
    named = Path(files.card.base)
    if not named.is_absolute() or named.exists():
        return files.card.base
    for folder in files.folder.resolve().parents[:2]:
        moved = folder / named.name
        if moved.exists() and _sha256_of(moved) == files.card.base_sha256:
            return str(moved)
    raise NotAModelError(
        f"{files.folder} stands on the base {named}, and nothing is there; bring it back, or put it beside the adapter: "
        f"{files.folder.resolve().parent / named.name}"
    )


def _sha256_of(place: Path) -> str:
    """Of the base that stands there; "" where it is none."""
    try:
        return find_base(place).sha256
    except InterconnectedAIError:
        return ""


@torch.no_grad()
def merge_weights(network: Any, weights: AdapterWeights) -> None:
    """Add the adapter's matrices to a network's own, in place, computed in float32; a head that is tied becomes one of its own.

    Nobody else may compute with the network meanwhile. Raises `AdapterError` for modules that it has not.
    """
    modules = dict(network.named_modules())
    embedding = network.get_input_embeddings().weight
    for name, part in weights.named():
        module = modules.get(name)
        weight = getattr(module, "weight", None)
        delta = _delta(module, part)
        if not isinstance(weight, nn.Parameter) or weight.shape != delta.shape:
            raise AdapterError(
                f"the adapter's module {name!r} does not fit the base; open the base that it was trained on"
            )
        if weight is embedding:
            weight = _untied(network, module)
        weight.copy_(weight.float() + delta.to(weight.device))


def _delta(module: nn.Module | None, part: LowRank) -> Tensor:
    """In the module's own layout: GPT-2's Conv1D keeps its matrix transposed."""
    delta = part.delta()
    return delta if isinstance(module, nn.Linear) else delta.t()


def _untied(network: Any, module: Any) -> nn.Parameter:
    module.weight = nn.Parameter(module.weight.detach().clone(), requires_grad=False)
    network.config.tie_word_embeddings = False
    weight: nn.Parameter = module.weight
    return weight
