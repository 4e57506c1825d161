"""Where the mixture-of-experts blocks of a model stand, found by the structure of its modules."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.anatomy.families import Family, family_of
from interconnected_ai.surgery.anatomy.ffn import Layout

STACKS = ("gate_up_proj", "down_proj", "gate_up_proj_bias", "down_proj_bias")
_LAYER = re.compile(r"\blayers\.(\d+)\b")


@dataclass(frozen=True)
class Place:
    """One block: its number and the modules in it.

    decoder: the decoder layer around it. shared: the experts that every token passes, None without.
    """

    number: int
    name: str
    decoder: nn.Module
    block: nn.Module
    experts: nn.Module
    router: nn.Module
    router_name: str
    shared: nn.Module | None
    layout: Layout


@dataclass(frozen=True)
class Anatomy:
    """A model's blocks, and the modules around them that keep copies of its numbers.

    backbone: the module that calls the decoder layers. configs: every config with a copy of top-k. copies: the name of a
    number → the modules, blocks and routers left out, that keep one of their own.
    """

    family: Family
    places: tuple[Place, ...]
    backbone: nn.Module
    configs: tuple[Any, ...]
    copies: dict[str, tuple[nn.Module, ...]]


def dissect(model: nn.Module) -> Anatomy:
    """The blocks of a model in memory; `ConfigError` for a dense one, `UnknownNameError` for a family nobody knows."""
    config = getattr(model, "config", None)
    if config is None or not hasattr(config, "to_dict"):
        raise ConfigError(
            f"a {type(model).__name__} is no transformers model (it has no config); open a model made by transformers, its "
            "folder or its hub id"
        )
    text = config.get_text_config()
    places = tuple(_places(model))
    if not places:
        raise ConfigError(
            f"{type(model).__name__} ({text.model_type}) has no layer of FFN experts behind a router: it is a dense model; "
            "surgery.upcycle makes a mixture of experts out of one"
        )
    family = family_of(text.to_dict(), type(model).__name__)
    places = tuple(_laid_out(place, family) for place in places)
    configs = (text,) if text is config else (text, config)
    copies = {name: tuple(_copies(model, name)) for name in ("num_experts_per_tok", "num_experts")}
    return Anatomy(family, places, _backbone(model, places), configs, copies)


def _places(model: nn.Module) -> Iterator[Place]:
    modules = dict(model.named_modules())
    for name, block in modules.items():
        experts = getattr(block, "experts", None)
        stack = getattr(experts, "down_proj", None)
        found = _LAYER.search(name)
        if not isinstance(experts, nn.Module) or not isinstance(stack, Tensor) or stack.ndim != 3 or not found:
            continue
        for router_name, router in block.named_children():
            rows = getattr(router, "weight", None)
            if isinstance(rows, Tensor) and rows.ndim == 2 and len(rows) == len(stack) and hasattr(router, "top_k"):
                decoder = modules[name[: found.end()]]
                shared = next((child for key, child in block.named_children() if key in _SHARED), None)
                blank = Layout(transposed=False, interleaved=False)
                yield Place(int(found[1]), name, decoder, block, experts, router, router_name, shared, blank)


_SHARED = ("shared_expert", "shared_experts", "shared_mlp")


def _laid_out(place: Place, family: Family) -> Place:
    transposed = bool(getattr(place.experts, "is_transposed", family.transposed))
    interleaved = not getattr(place.experts, "is_concatenated", True)
    known: Any = place
    return Place(**{**vars(known), "layout": Layout(transposed, interleaved)})


def _backbone(model: nn.Module, places: tuple[Place, ...]) -> nn.Module:
    """The innermost module that holds all decoder layers in its `layers`: the one their hidden states come from."""
    for module in model.modules():
        layers = getattr(module, "layers", None)
        if isinstance(layers, nn.ModuleList) and all(any(place.decoder is each for each in layers) for place in places):
            return module
    raise ConfigError(
        f"{type(model).__name__} keeps its layers outside one list named 'layers'; such a model is not known"
    )


def _copies(model: nn.Module, attribute: str) -> Iterator[nn.Module]:
    for module in model.modules():
        if attribute in vars(module) and not hasattr(module, "down_proj") and hasattr(module, "config"):
            yield module


def stacks(experts: nn.Module) -> dict[str, nn.Parameter]:
    """The stacked tensors there are."""
    own = dict(experts.named_parameters(recurse=False))
    return {name: own[name] for name in STACKS if name in own}
