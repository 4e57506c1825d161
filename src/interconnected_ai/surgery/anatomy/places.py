"""Where the mixture-of-experts blocks of a model stand, found by the structure of its modules."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.mixtures import num_experts_in
from interconnected_ai.surgery.anatomy.families import Family, family_of
from interconnected_ai.surgery.anatomy.ffn import Layout

STACKS = ("gate_up_proj", "up_proj", "down_proj", "gate_up_proj_bias", "up_proj_bias", "down_proj_bias")
_LAYER = re.compile(r"\blayers\.(\d+)\b")
_ROUTERS = ("gate", "router")


@dataclass(frozen=True)
class Rows:
    """Numbers of a router of which each expert has one row. path: below the block; axis: the one that counts experts."""

    owner: nn.Module
    name: str
    path: str
    axis: int = 0

    @property
    def tensor(self) -> Tensor:
        """The numbers as they are."""
        found = getattr(self.owner, self.name)
        assert isinstance(found, Tensor), "rows are numbers"
        return found


@dataclass(frozen=True)
class Place:
    """One block: its number and the modules in it.

    decoder: the decoder layer around it; the block itself where router and experts stand in the layer. shared: the experts that
    every token passes, None without. rows: what of its router belongs to single experts, "weight" the matrix.
    """

    number: int
    name: str
    decoder: nn.Module
    block: nn.Module
    experts: nn.Module
    router: nn.Module
    router_name: str
    rows: Mapping[str, Rows]
    shared: nn.Module | None
    layout: Layout


@dataclass(frozen=True)
class Anatomy:
    """A model's blocks, and the modules around them that keep copies of its numbers.

    backbone: the module that calls the decoder layers. configs: every config with a copy of top-k. copies: the name of a
    number → the modules, blocks and routers left out, that keep one of their own. fixed: (experts, top-k) of each layer whose
    router cannot be operated on, since it reads a table of token ids (DeepSeek-V4).
    """

    family: Family
    places: tuple[Place, ...]
    backbone: nn.Module
    configs: tuple[Any, ...]
    copies: dict[str, tuple[nn.Module, ...]]
    fixed: tuple[tuple[int, int], ...]


def dissect(model: nn.Module) -> Anatomy:
    """The blocks of a model in memory; `ConfigError` for a dense one, `UnknownNameError` for a family nobody knows."""
    config = getattr(model, "config", None)
    if config is None or not hasattr(config, "to_dict"):
        raise ConfigError(
            f"a {type(model).__name__} is no transformers model (it has no config); open a model made by transformers, its "
            "folder or its hub id"
        )
    text = config.get_text_config()
    said = text.to_dict()
    if not num_experts_in(said) and not _has_stacks(model):
        raise ConfigError(
            f"{type(model).__name__} ({text.model_type}) has no layer of FFN experts behind a router: it is a dense model; "
            "surgery.upcycle makes a mixture of experts out of one"
        )
    family = family_of(said, type(model).__name__)
    places = tuple(_places(model, _prefix(model, text), family))
    if not places:
        raise ConfigError(
            f"{type(model).__name__} ({text.model_type}) has experts, and no layer of them as {family.name} has them in "
            "transformers 5; open a model that transformers made"
        )
    for place in places:
        if family.routing.top_k_in_config:
            place.router.top_k = getattr(text, family.routing.top_k_in_config)
    configs = (text,) if text is config else (text, config)
    names = {"num_experts_per_tok", "num_experts"}
    copies = {name: tuple(_copies(model, name)) for name in names}
    fixed = tuple(_fixed(model, {id(place.router) for place in places}))
    return Anatomy(family, places, _backbone(model, places), configs, copies, fixed)


def _has_stacks(model: nn.Module) -> bool:
    """Whether anything in the model looks like stacked experts."""
    return any(_is_stacked(getattr(module, "experts", None)) for module in model.modules())


def _is_stacked(experts: Any) -> bool:
    stack = getattr(experts, "down_proj", None)
    return isinstance(experts, nn.Module) and isinstance(stack, Tensor) and stack.ndim == 3


def _prefix(model: nn.Module, text: Any) -> str:
    """What the names in the text model begin with: a wrapper may have experts in its vision or its voice too."""
    for name, module in model.named_modules():
        layers = getattr(module, "layers", None)
        if isinstance(layers, nn.ModuleList) and getattr(module, "config", None) is text:
            return f"{name}." if name else ""
    return ""


def _places(model: nn.Module, prefix: str, family: Family) -> Iterator[Place]:
    modules = dict(model.named_modules())
    for name, block in modules.items():
        found = _LAYER.search(name)
        if not name.startswith(prefix) or not found or not _is_stacked(getattr(block, "experts", None)):
            continue
        for router_name, router in block.named_children():
            if router_name in _ROUTERS and not hasattr(router, "tid2eid"):
                rows = _rows_of(family, block, router_name, len(block.experts.down_proj))
                if "weight" not in rows:
                    continue
                shared = next((child for key, child in block.named_children() if key in _SHARED), None)
                experts: Any = block.experts
                layout = _layout(experts, family)
                decoder = modules[name[: found.end()]]
                yield Place(int(found[1]), name, decoder, block, experts, router, router_name, rows, shared, layout)


def _rows_of(family: Family, block: nn.Module, router_name: str, num_experts: int) -> dict[str, Rows]:
    """The router's numbers by expert, under the names that steps and side-cars know them by."""
    matrix = f"{router_name}.{family.row.matrix}"
    correction = family.row.correction.replace("gate.", f"{router_name}.")
    scale = f"{router_name}.{family.row.scale}" if family.row.scale else ""
    found = {}
    for path in (matrix, matrix.replace("weight", "bias"), correction, scale):
        owner, _, name = path.rpartition(".")
        held = _at(block, owner)
        numbers = getattr(held, name, None) if held is not None and name else None
        if isinstance(numbers, Tensor) and num_experts in numbers.shape:
            found[name] = Rows(held, name, path, numbers.shape.index(num_experts))  # type: ignore[arg-type]
    return found


def _at(block: nn.Module, path: str) -> nn.Module | None:
    """The module at a path below a block."""
    found: Any = block
    for name in path.split(".") if path else ():
        found = getattr(found, name, None)
    return found if isinstance(found, nn.Module) else None


def _fixed(model: nn.Module, known: set[int]) -> Iterator[tuple[int, int]]:
    for module in model.modules():
        for router in map(module._modules.get, _ROUTERS):
            if router is not None and id(router) not in known and hasattr(router, "tid2eid"):
                yield int(router.num_experts), int(router.top_k)  # type: ignore[arg-type]


def router_sizes(model: nn.Module) -> set[tuple[int, Any]]:
    """(experts, top-k) of all layers: more than one, and no config.json can say it."""
    try:
        places = dissect(model).places
    except (ConfigError, UnknownNameError):  # packed experts have no stacks, and other models no experts
        return set()
    rows = [(place.rows["weight"], place.router) for place in places]
    return {(weight.tensor.shape[weight.axis], router.top_k) for weight, router in rows}


_SHARED = ("shared_expert", "shared_experts", "shared_mlp")


def _layout(experts: nn.Module, family: Family) -> Layout:
    transposed = bool(getattr(experts, "is_transposed", family.transposed))
    return Layout(transposed, interleaved=not getattr(experts, "is_concatenated", True))


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
