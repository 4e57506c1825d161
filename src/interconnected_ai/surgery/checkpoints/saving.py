"""Saving: an ordinary Hugging Face checkpoint where its format can hold the model, else one with a side-car of ours.

`surgery.json` says what the config cannot: experts by layer, closed ones, warm-ups, rules, adapters, packing. Where the weights
themselves do not fit the format they are kept in `surgery-*.safetensors`, which transformers does not look for: it refuses such
a folder instead of loading something else in silence.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, FormatVersionError, IntegrityError
from interconnected_ai.storage import atomic_folder, load_tensors, read_json, save_tensors, write_json
from interconnected_ai.surgery.adapters.stand_ins import AdapterSpec, spec_from, spec_to
from interconnected_ai.surgery.checkpoints.checkpoint import ADAPTERS, KIND, SIDE_CAR
from interconnected_ai.surgery.operations.history import exchange
from interconnected_ai.surgery.routing.programs import Program

if TYPE_CHECKING:
    from interconnected_ai.surgery.model import MoE

_VERSION = 1
_SHARD_BYTES = 4 << 30


@dataclass(frozen=True)
class Saved:
    """What was written. vanilla: `from_pretrained` gives the same model. words: what it would not give, None if nothing."""

    folder: Path
    vanilla: bool
    words: str | None


def save(moe: "MoE", folder: str | Path, *, verify: bool = True) -> Saved:
    """Write the model; `folder` is replaced whole or not at all, and never while it is the one that was opened lazily.

    verify: open it again and compare every tensor and the logits of a probe, at the cost of a second copy in memory.
    """
    if moe.functions:
        raise ConfigError(
            "a router function in Python cannot be saved; write it as rules, or take it off (set_program)"
        )
    fits, extra = _weights_fit(moe), _side_car(moe)
    words = _words(moe, fits)
    with atomic_folder(folder, kind=KIND) as scratch:
        with _storage_errors():
            _write(moe, scratch, fits, extra if words else None)
        if moe.steps and not moe.has_functions_in_log:
            moe.recipe().save(scratch / "recipe.yaml")
        (scratch / "SURGERY.md").write_text(_note(moe, words), encoding="utf-8")
        if verify:
            _compare(moe, scratch)
    return Saved(Path(folder), words is None, words)


def load_edited(folder: Path, tokenizer: Any, *, dtype: Any, expert_parallel: int | None, **loading: Any) -> "MoE":
    """The model in a folder with a side-car."""
    from interconnected_ai.surgery.model import MoE

    content = read_json(folder / SIDE_CAR)
    if content.get("version") != _VERSION:
        raise FormatVersionError(
            f"{folder / SIDE_CAR} has version {content.get('version')!r}, this package reads {_VERSION}"
        )
    model = _vanilla(folder, dtype, loading) if content["weights"] == "vanilla" else _built(folder, dtype)
    moe = MoE(model.eval(), tokenizer, expert_parallel)
    if content["weights"] != "vanilla":
        _fill(moe, folder, content["layers"])
    _dress(moe, content)
    if content["adapters"]:
        _fill_adapters(moe, load_tensors(folder / ADAPTERS))
    moe.settle_opened()
    return moe


def _weights_fit(moe: "MoE") -> bool:
    """Whether transformers' format holds the weights and loads them to the same function."""
    packed = any("packed" in layer.place.experts._modules for layer in moe.layers)
    return moe.uniform and not packed and not any(layer.closed or layer.state.bias for layer in moe.layers)


def _words(moe: "MoE", fits: bool) -> str | None:
    """What from_pretrained would not give; None when it gives everything."""
    if not fits:
        return (
            "only surgery.open reads this folder: its layers have different numbers of experts or top-k, closed or "
            "warming experts, "
            "or experts packed in 4 bits, for which the Hugging Face format has no place"
        )
    beside = [
        *(["router rules"] if moe.program.rules else []),
        *(["roles"] if moe.program.roles else []),
        *([f"the adapters {', '.join(moe.adapters)}"] if moe.adapters else []),
    ]
    return f"from_pretrained loads the model without {' and '.join(beside)}; surgery.open loads all" if beside else None


def _side_car(moe: "MoE") -> dict[str, Any]:
    return {
        "version": _VERSION,
        "weights": "vanilla" if _weights_fit(moe) else "surgery",
        "layers": {
            str(layer.number): {
                "num_experts": layer.num_experts,
                "top_k": layer.top_k,
                "closed": sorted(layer.closed),
                "bias": {str(expert): bias for expert, bias in layer.state.bias.items()},
                "packed": "packed" in layer.place.experts._modules,
            }
            for layer in moe.layers
        },
        "warmups": [
            {"layer": each.layer, "experts": list(each.experts), "steps": each.steps, "taken": each.taken}
            for each in moe.warmups
            if not each.finished
        ],
        "program": moe.program.to_dict(),
        "adapters": [spec_to(adapter.spec) for adapter in moe.adapters.values()],
    }


def _write(moe: "MoE", scratch: Path, fits: bool, extra: Mapping[str, Any] | None) -> None:
    state = {name: tensor for name, tensor in moe.model.state_dict().items() if ".experts.variants." not in name}
    if fits:
        with _no_progress_bar():
            moe.model.save_pretrained(scratch, state_dict=state)
    else:
        moe.model.config.dtype = moe.model.dtype  # a model that was cast still has the old one there
        moe.model.config.save_pretrained(scratch)
        for number, shard in enumerate(_shards(state, moe.model)):
            save_tensors(scratch / f"surgery-{number:05d}.safetensors", shard)
    if getattr(moe.model, "generation_config", None) is not None:
        moe.model.generation_config.save_pretrained(scratch)
    if moe.tokenizer is not None:
        moe.tokenizer.save_pretrained(scratch)
    if extra is not None:
        write_json(scratch / SIDE_CAR, extra)
    if moe.adapters:
        save_tensors(scratch / ADAPTERS, _adapter_tensors(moe))


def _adapter_tensors(moe: "MoE") -> dict[str, Tensor]:
    return {name: tensor for name, tensor in moe.model.state_dict().items() if ".experts.variants." in name}


def _shards(state: Mapping[str, Tensor], model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """The tensors in portions of some gigabytes; tied ones once."""
    tied = set(getattr(model, "_tied_weights_keys", None) or ()) if model.config.tie_word_embeddings else set()  # type: ignore[union-attr]
    shard: dict[str, Tensor] = {}
    filled = 0
    for name, tensor in state.items():
        size = tensor.numel() * tensor.element_size()
        if shard and filled + size > _SHARD_BYTES:
            yield shard
            shard, filled = {}, 0
        if name not in tied:
            shard[name] = tensor
            filled += size
    yield shard


def _vanilla(folder: Path, dtype: Any, loading: Mapping[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM

    with _no_progress_bar():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **loading)


def _built(folder: Path, dtype: Any) -> Any:
    """The model of the config without weights worth anything."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    config = AutoConfig.from_pretrained(folder)
    with no_init_weights():
        return AutoModelForCausalLM.from_config(config, dtype=config.dtype if dtype == "auto" else dtype)


def _fill(moe: "MoE", folder: Path, layers: Mapping[str, Any]) -> None:
    """Give every layer its own number of experts, then load all tensors."""
    state: dict[str, Tensor] = {}
    for path in sorted(folder.glob("surgery-[0-9]*.safetensors")):
        state |= load_tensors(path)
    for layer in moe.layers:
        told = layers[str(layer.number)]
        if told["packed"]:
            moe.expect_packed(layer, state)
        for module, prefix in ((layer.place.experts, "experts"), (layer.router, layer.place.router_name)):
            for name in [*module._parameters, *module._buffers]:
                stored = state.get(f"{layer.place.name}.{prefix}.{name}")
                if stored is not None:
                    exchange(module, name, torch.empty_like(stored))
        moe.set_numbers(layer, told["num_experts"], told["top_k"])
    missing, unexpected = moe.model.load_state_dict(state, strict=False)
    tied = set(getattr(moe.model, "_tied_weights_keys", None) or ())
    lost = [name for name in missing if name not in tied]
    if lost or unexpected:
        raise IntegrityError(
            f"{folder} lacks {', '.join(lost[:5]) or 'nothing'} and has the unknown "
            f"{', '.join(unexpected[:5]) or 'nothing'}; restore "
            "it from a copy"
        )
    moe.model.tie_weights()


def _dress(moe: "MoE", content: Mapping[str, Any]) -> None:
    from interconnected_ai.surgery.operations.operations import Warmup

    for layer in moe.layers:
        told = content["layers"][str(layer.number)]
        state = layer.state
        state.closed = frozenset(told["closed"])
        state.bias = {int(expert): bias for expert, bias in told["bias"].items()}
        layer.router.__dict__["surgery"] = state
    for told in content.get("warmups", ()):
        place = moe.layers[told["layer"]]
        moe.expect_warmup(Warmup(place, tuple(told["experts"]), told["steps"], told["taken"]))
    moe.install_program(Program.from_mapping(content["program"], source=SIDE_CAR))
    for told in content["adapters"]:
        spec: AdapterSpec = spec_from(told)
        moe.put_in(spec, seed=0)


def _fill_adapters(moe: "MoE", tensors: dict[str, Tensor]) -> None:
    _, unexpected = moe.model.load_state_dict(tensors, strict=False)
    lost = set(_adapter_tensors(moe)) - set(tensors)
    if unexpected or lost:
        raise IntegrityError(
            f"{ADAPTERS} does not belong to this folder's adapters ({sorted({*unexpected, *lost})[:5]}); restore it"
        )


@torch.no_grad()
def _compare(moe: "MoE", scratch: Path) -> None:
    """Open what was written and compare it with what is in memory."""
    from interconnected_ai.surgery.opening import open_moe

    device, dtype = next((p.device, p.dtype) for p in moe.model.parameters())
    again = open_moe(scratch, tokenizer=moe.tokenizer, dtype=dtype)
    for tensor in [*again.model.parameters(), *again.model.buffers()]:
        tensor.data = (
            tensor.data.clone()
        )  # a mapped file is not aligned as fresh memory is, and kernels round by alignment
    theirs = again.model.state_dict()
    for name, tensor in moe.model.state_dict().items():
        if name not in theirs or not torch.equal(tensor.cpu(), theirs[name].cpu()):
            raise IntegrityError(
                f"{name} came back different after saving; nothing was written, the model in memory is whole"
            )
    # tables that are computed and not saved (rotary frequencies) follow a cast of the whole model, and are not ours to judge
    mine_beside = {name: buffer for name, buffer in moe.model.named_buffers() if name not in theirs}
    for name, buffer in again.model.named_buffers():
        if name in mine_beside and mine_beside[name].shape == buffer.shape:
            buffer.data = mine_beside[name].detach().cpu().clone()
    ids = torch.arange(8).unsqueeze(0) % moe.model.config.get_text_config().vocab_size
    training = moe.model.training
    moe.model.eval()
    try:
        mine, other = moe.model(ids.to(device)).logits.cpu(), again.model(ids).logits
    finally:
        moe.model.train(training)
    if device.type == "cpu" and not torch.equal(mine, other):
        raise IntegrityError("the saved model answers differently from the one in memory; nothing was written")


def _note(moe: "MoE", words: str | None) -> str:
    lines = ["# Edited with interconnected_ai.surgery", ""]
    lines.append(
        f"**{words}.**" if words else "An ordinary Hugging Face checkpoint: `from_pretrained` gives the same model."
    )
    lines += ["", "```python", "from interconnected_ai import surgery", "moe = surgery.open(FOLDER)", "```", ""]
    lines += ["Steps since it was opened (`recipe.yaml` replays them):", ""] if moe.steps else []
    lines += [
        f"- {step.do} {step.arguments}" + "".join(f"; {name} {value:.3g}" for name, value in step.measured.items())
        for step in moe.steps
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def _storage_errors() -> Iterator[None]:
    """safetensors reports a full disk as an exception type of its own."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ == "SafetensorError":
            raise OSError(f"safetensors could not write: {error}") from error
        raise


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
