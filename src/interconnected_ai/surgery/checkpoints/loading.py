"""Reading what `saving` wrote, and ordinary checkpoints: a session with everything that stands beside the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from interconnected_ai.errors import FormatVersionError, IntegrityError
from interconnected_ai.storage import MANIFEST, is_complete, load_tensors, read_folder, read_json, version_of
from interconnected_ai.surgery.adapters.edited_experts import settle
from interconnected_ai.surgery.adapters.nf4 import PackedExperts
from interconnected_ai.surgery.adapters.stand_ins import spec_from
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.anatomy.places import stacks
from interconnected_ai.surgery.checkpoints.checkpoint import ADAPTERS, KIND, SIDE_CAR
from interconnected_ai.surgery.operations import layer_edits
from interconnected_ai.surgery.operations.adapting import put_in
from interconnected_ai.surgery.operations.snapshot import exchange
from interconnected_ai.surgery.routing.edited_router import put_state
from interconnected_ai.surgery.routing.programs import Program
from interconnected_ai.surgery.routing.warmup import Warmup
from interconnected_ai.surgery.session import Session

SIDE_CAR_VERSION = 1


def load_session(
    folder: Path, tokenizer: Any, *, dtype: Any = "auto", expert_parallel: int | None = None, **loading: Any
) -> Session:
    """The model in a folder, with what stands in a side-car. loading: further arguments of `from_pretrained`.

    A folder that `save` wrote is read from one version of it, whoever replaces it meanwhile.
    """

    def read(place: Path) -> Session:
        session = _read(place, tokenizer, dtype, expert_parallel, loading)
        version = version_of(place)
        session.source = None if version is None else (place.resolve(), version)
        return session

    if is_complete(folder) and read_json(folder / MANIFEST).get("kind") == KIND:
        return read_folder(folder, read, kind=KIND)
    return _read(folder, tokenizer, dtype, expert_parallel, loading)


def _read(folder: Path, tokenizer: Any, dtype: Any, expert_parallel: int | None, loading: Mapping[str, Any]) -> Session:
    if (folder / SIDE_CAR).is_file():
        try:
            return _edited(folder, tokenizer, dtype, expert_parallel, loading)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise IntegrityError(
                f"{folder / SIDE_CAR} does not say what it should ({type(error).__name__}: {error}); restore it from a copy"
            ) from error
    return Session(_vanilla(folder, dtype, loading).eval(), tokenizer, expert_parallel)


def _edited(
    folder: Path, tokenizer: Any, dtype: Any, expert_parallel: int | None, loading: Mapping[str, Any]
) -> Session:
    """The model in a folder with a side-car."""
    content = read_json(folder / SIDE_CAR)
    if content.get("version") != SIDE_CAR_VERSION:
        raise FormatVersionError(
            f"{folder / SIDE_CAR} has version {content.get('version')!r}, this package reads {SIDE_CAR_VERSION}"
        )
    model = _vanilla(folder, dtype, loading) if content["weights"] == "vanilla" else _built(folder, dtype)
    session = Session(model.eval(), tokenizer, expert_parallel)
    if content["weights"] != "vanilla":
        _fill(session, folder, content["layers"])
    _dress(session, content)
    if content["adapters"]:
        _fill_adapters(session, load_tensors(folder / ADAPTERS))
    session.start_log()
    return session


def _vanilla(folder: Path, dtype: Any, loading: Mapping[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM

    with _loading_errors(folder), no_progress_bar():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **loading)


def _built(folder: Path, dtype: Any) -> Any:
    """The model of the config without weights worth anything."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    with _loading_errors(folder), no_init_weights():
        config = AutoConfig.from_pretrained(folder)
        return AutoModelForCausalLM.from_config(config, dtype=config.dtype if dtype == "auto" else dtype)


def _fill(session: Session, folder: Path, layers: Mapping[str, Any]) -> None:
    """Give every layer its own number of experts, then load all tensors."""
    state: dict[str, Tensor] = {}
    for path in sorted(folder.glob("surgery-[0-9]*.safetensors")):
        state |= load_tensors(path)
    for layer in session.layers:
        told = layers[str(layer.number)]
        if told["packed"]:
            _expect_packed(layer, state)
        for module, prefix in ((layer.place.experts, "experts"), (layer.router, layer.place.router_name)):
            for name in [*module._parameters, *module._buffers]:
                stored = state.get(f"{layer.place.name}.{prefix}.{name}")
                if stored is not None:
                    exchange(module, name, torch.empty_like(stored))
        layer_edits.count(layer, told["num_experts"])
        layer_edits.set_top_k([layer], told["top_k"])
    missing, unexpected = session.model.load_state_dict(state, strict=False)
    tied = set(getattr(session.model, "_tied_weights_keys", None) or ())
    lost = [name for name in missing if name not in tied]
    if lost or unexpected:
        raise IntegrityError(
            f"{folder} lacks {', '.join(lost[:5]) or 'nothing'} and has the unknown "
            f"{', '.join(unexpected[:5]) or 'nothing'}; restore "
            "it from a copy"
        )
    session.model.tie_weights()


def _dress(session: Session, content: Mapping[str, Any]) -> None:
    for layer in session.layers:
        told = content["layers"][str(layer.number)]
        bias = {int(expert): bias for expert, bias in told["bias"].items()}
        put_state(layer.router, replace(layer.state, closed=frozenset(told["closed"]), bias=bias))
    for told in content.get("warmups", ()):
        place = session.layers[told["layer"]]
        session.expect_warmup(Warmup(place, tuple(told["experts"]), told["steps"], told["taken"]))
    with session.changing() as before:
        session.install(before, Program.from_mapping(content["program"], source=SIDE_CAR))
    for told in content["adapters"]:
        put_in(session, spec_from(told), seed=0)


def _fill_adapters(session: Session, tensors: dict[str, Tensor]) -> None:
    _, unexpected = session.model.load_state_dict(tensors, strict=False)
    lost = set(adapter_tensors(session)) - set(tensors)
    if unexpected or lost:
        raise IntegrityError(
            f"{ADAPTERS} does not belong to this folder's adapters ({sorted({*unexpected, *lost})[:5]}); restore it"
        )


def _expect_packed(layer: Layer, state: Mapping[str, Tensor]) -> None:
    """Packed stacks of the sizes in `state`, to be filled."""
    experts = layer.place.experts
    matrices = {name: stack for name, stack in stacks(experts).items() if stack.ndim == 3}
    for name in matrices:
        del experts._parameters[name]
    packed = PackedExperts(matrices)
    for buffer in ("codes", "largest"):
        for name in matrices:
            stored = state[f"{layer.place.name}.experts.packed.{name}.{buffer}"]
            setattr(packed.get_submodule(name), buffer, torch.empty_like(stored))
    experts.add_module("packed", packed)
    settle(layer)


def adapter_tensors(session: Session) -> dict[str, Tensor]:
    """What all adapters learnt."""
    return {name: tensor for name, tensor in session.model.state_dict().items() if ".experts.variants." in name}


@contextmanager
def _loading_errors(folder: Path) -> Iterator[None]:
    """What transformers says of a folder it cannot load, as one kind of error; a lack of memory is not the folder's."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (ValueError, OSError, RuntimeError, LookupError, TypeError, SafetensorError, StrictDataclassError) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise IntegrityError(
            f"{folder} could not be loaded by transformers: {' '.join(map(str.strip, told))}"
        ) from error


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """transformers' own bars off for a moment."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
