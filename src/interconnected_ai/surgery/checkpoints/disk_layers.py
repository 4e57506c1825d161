"""Which tensors of a checkpoint's files are a layer's experts and its router, by name: all that an expert has, or an error."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interconnected_ai.errors import ConfigError, IntegrityError
from interconnected_ai.surgery.checkpoints.quantized import Scheme
from interconnected_ai.surgery.checkpoints.safetensor_files import Entry

_APART = re.compile(r"^(.*\blayers\.(\d+)\.(?:[\w.]*\.)?)experts\.(\d+)\.(\w+\.\w+)$")
_FUSED = re.compile(r"^(.*\blayers\.(\d+)\.(?:[\w.]*\.)?)experts\.((?:gate_up_proj|down_proj)(?:_\w+)?)$")
_GRANITE = re.compile(r"^(.*\blayers\.(\d+)\.(?:[\w.]*\.)?)((?:in|out)put_linear)\.weight$")
_GRANITE_STACKS = {"input_linear": "gate_up_proj", "output_linear": "down_proj"}
_STACK_NAME = re.compile(r"^(gate_up_proj|down_proj)(?:_(\w+))?$")
_STACK_PARTS = {None: "weight", "scale": "weight_scale", "scale_inv": "weight_scale_inv", "scale_2": "weight_scale_2"}
# a router's tensors, and the numbers that some blocks keep for the choice alone
_ROUTER = re.compile(
    r"(?:^|\.)(?:(?:gate|router)\.[\w.]+|(?:(?:moe_statics|experts)\.)?(?:e_score_correction_bias|expert_bias))$"
)

FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
_DTYPES = {
    **FLOATS, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu,
    "U8": torch.uint8, "I8": torch.int8, "I32": torch.int32, "I64": torch.int64,
}  # fmt: skip


@dataclass(frozen=True)
class DiskLayer:
    """One layer's mixture of experts in the files.

    prefix: what the names of its tensors begin with. apart: every expert has tensors of its own (else stacks). pieces: name of
    a tensor of an expert, or of the stack → its entries, one an expert where apart. common: tensors of the stacks that all
    experts share, such as one scale. router: name → entry. expert_params: numbers of ONE routed FFN expert, unpacked.
    """

    number: int
    prefix: str
    num_experts: int
    apart: bool
    pieces: dict[str, tuple[Entry, ...]]
    common: dict[str, Entry]
    router: dict[str, Entry]
    shared: tuple[Entry, ...]
    expert_params: int

    @property
    def expert_bytes(self) -> int:
        """Bytes of all routed FFN experts as they are stored, scales included."""
        return sum(entry.size_bytes for entries in self.pieces.values() for entry in entries)

    def of_expert(self, expert: int) -> dict[str, Entry]:
        """The tensors of one expert, by piece."""
        return {
            name: replace(entries[expert], name=name) if self.apart else one(entries[0], expert)
            for name, entries in self.pieces.items()
        }

    def parts(self, expert: int) -> dict[str, dict[str, Tensor]]:
        """Name of a matrix or stack → its part's name (`weight`, `scales` …) → numbers, read from the files."""
        found: dict[str, dict[str, Tensor]] = {}
        for name, entry in {**self.common, **self.of_expert(expert)}.items():
            matrix, part = split_name(name)
            found.setdefault(matrix, {})[part] = tensor_of(entry)
        return found


def disk_layers(entries: Mapping[str, Entry], scheme: Scheme | None) -> Iterator[DiskLayer]:
    """The layers with experts.

    Raises `ConfigError` for a tensor of an expert that the scheme does not know, `IntegrityError` where experts are missing.
    """
    apart: dict[str, dict[str, dict[int, Entry]]] = {}
    fused: dict[str, dict[str, Entry]] = {}
    numbers: dict[str, int] = {}
    for name, entry in entries.items():
        if found := _APART.match(name):
            apart.setdefault(found[1], {}).setdefault(found[4], {})[int(found[3])] = entry
        elif (found := _GRANITE.match(name)) and len(entry.shape) == 3:
            fused.setdefault(found[1], {})[_GRANITE_STACKS[found[3]]] = entry
        elif found := _FUSED.match(name):
            fused.setdefault(found[1], {})[found[3]] = entry
        else:
            continue
        numbers[found[1]] = int(found[2])
    for prefix, number in sorted(numbers.items(), key=lambda item: item[1]):
        if f"{prefix}gate.tid2eid" in entries:  # DeepSeek-V4's first layers: a table of token ids chooses, and stays
            continue
        layer = _layer(number, prefix, apart.get(prefix), fused.get(prefix, {}), entries, scheme)
        if layer.router:
            _check(layer, entries, scheme)
            yield layer


def _layer(
    number: int, prefix: str, apart: Mapping[str, dict[int, Entry]] | None, fused: Mapping[str, Entry],
    entries: Mapping[str, Entry], scheme: Scheme | None,
) -> DiskLayer:  # fmt: skip
    common: dict[str, Entry] = {}
    if apart is not None:
        num_experts = 1 + max(max(each) for each in apart.values())
        pieces = {key: _in_order(prefix, key, each, num_experts) for key, each in apart.items()}
    else:
        num_experts = next((e.shape[0] for e in fused.values() if len(e.shape) > 1), 0)
        pieces = {key: (entry,) for key, entry in fused.items() if entry.shape[:1] == (num_experts,)}
        common = {key: entry for key, entry in fused.items() if key not in pieces}
    beside = {
        name: entry
        for name, entry in entries.items()
        if name.startswith(prefix) and ("experts." not in name or "experts.e_score" in name)  # Laguna's stand there
    }
    rows = {
        name.removeprefix(prefix): replace(entry, shape=entry.shape[entry.shape[0] == 1 :])  # ERNIE: (1, experts)
        for name, entry in beside.items()
        if _is_router(name, entry, num_experts)
    }
    shared = tuple(entry for name, entry in entries.items() if name.startswith(prefix) and "shared" in name)
    params = sum(num_params(entry, scheme) for each in pieces.values() for entry in each) // max(num_experts, 1)
    return DiskLayer(number, prefix, num_experts, apart is not None, pieces, common, rows, shared, params)


def _is_router(name: str, entry: Entry, num_experts: int) -> bool:
    counts = entry.shape[:1] == (num_experts,) or entry.shape == (1, num_experts)
    return counts and _ROUTER.search(name) is not None


def _in_order(prefix: str, key: str, entries: dict[int, Entry], num_experts: int) -> tuple[Entry, ...]:
    missing = sorted(set(range(num_experts)) - set(entries))
    if missing:
        raise IntegrityError(
            f"{prefix}experts: no {key} of the experts {missing[:5]}; shards are missing (fetch them), or the experts are not "
            "all quantised alike, and then they cannot change places"
        )
    return tuple(entries[number] for number in range(num_experts))


def _check(layer: DiskLayer, entries: Mapping[str, Entry], scheme: Scheme | None) -> None:
    """Every tensor of the experts and of the router is one that is known, in numbers that are known."""
    named = [*layer.pieces, *layer.common]
    allowed = ("weight", "bias") if scheme is None else scheme.pieces
    strange = next((name for name in named if split_name(name)[1] not in allowed), None)
    if strange is None:
        stacks = f"{layer.prefix}experts."
        listed = {entry.name for each in layer.pieces.values() for entry in each}
        listed |= {entry.name for entry in (*layer.common.values(), *layer.router.values())}
        strange = next((name for name in entries if name.startswith(stacks) and name not in listed), None)
    what = "not quantised" if scheme is None else f"quantised as {scheme.name}"
    if strange is not None:
        raise ConfigError(
            f"layer {layer.number} has the experts' tensor {strange}, which is not known of a checkpoint that is {what} by its "
            "config.json: moved experts would leave it behind. Restore the quantization_config, or edit the checkpoint that "
            "was not quantised"
        )
    for name, each in layer.pieces.items():
        wrong = next((entry for entry in each if entry.dtype not in (FLOATS if scheme is None else _DTYPES)), None)
        if wrong is not None:
            raise ConfigError(
                f"{name} of layer {layer.number} is stored as {wrong.dtype}, and the checkpoint is {what} by its config.json; "
                "restore its quantization_config, or take a checkpoint in one of " + ", ".join(FLOATS)
            )
    _check_router(layer, entries)


def _check_router(layer: DiskLayer, entries: Mapping[str, Entry]) -> None:
    for name, entry in entries.items():
        inside = name.removeprefix(layer.prefix)
        if inside == name or "experts." in inside or not _ROUTER.search(inside):
            continue
        if entry.dtype not in FLOATS or inside.endswith(("_scale", "_scale_inv", ".scales", ".g_idx")):
            if inside.rsplit(".", 1)[-1] == "per_expert_scale":
                continue
            raise ConfigError(
                f"the router of layer {layer.number} is quantised ({name}, {entry.dtype}): its rows cannot follow the experts. "
                "Take a checkpoint whose routers were left as they are, as most are"
            )


def num_params(entry: Entry, scheme: Scheme | None) -> int:
    """How many numbers of the model a stored tensor holds: a packed one holds more than its items, a scale none."""
    if scheme is None:
        return entry.num_params
    part = split_name(entry.name)[1]
    if part in scheme.companions:
        return 0
    return entry.num_params * (scheme.numbers if part == scheme.matrix and entry.dtype not in FLOATS else 1)


def split_name(name: str) -> tuple[str, str]:
    """ "gate_proj.weight_scale" or "gate_up_proj_scales" → (name of the matrix or stack, name of its part)."""
    head, dot, tail = name.rpartition(".")
    stack = _STACK_NAME.match(tail)
    if stack:
        return head + dot + stack[1], _STACK_PARTS.get(stack[2], stack[2] or "weight")
    return (head, tail) if dot else (name, "weight")


def one(entry: Entry, index: int) -> Entry:
    """One entry along the first axis."""
    return replace(entry, shape=entry.shape[1:], ranges=entry.slice(index))


def dtype_of(entry: Entry) -> torch.dtype:
    """The dtype it is computed with; `ConfigError` for one that torch has not."""
    if entry.dtype not in _DTYPES:
        raise ConfigError(f"{entry.name} is stored as {entry.dtype}; needs one of {', '.join(_DTYPES)}")
    return _DTYPES[entry.dtype]


def tensor_of(entry: Entry) -> Tensor:
    """Its numbers, read."""
    return torch.frombuffer(bytearray(entry.content()), dtype=torch.uint8).view(dtype_of(entry)).view(entry.shape)
