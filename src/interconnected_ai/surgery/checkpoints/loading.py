"""Reading what `saving` wrote, and ordinary checkpoints: a session with everything that stands beside the weights."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from interconnected_ai.errors import FormatVersionError, IntegrityError
from interconnected_ai.hub import ONE_NETWORK
from interconnected_ai.storage import MANIFEST, is_complete, load_tensors, read_folder, read_json, version_of
from interconnected_ai.surgery.adapters.edited_experts import settle
from interconnected_ai.surgery.adapters.nf4 import PackedExperts
from interconnected_ai.surgery.adapters.stand_ins import spec_from
from interconnected_ai.surgery.anatomy.families import family_of
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.anatomy.places import stacks
from interconnected_ai.surgery.checkpoints.checkpoint import ADAPTERS, KIND, SIDE_CAR
from interconnected_ai.surgery.checkpoints.origin import (
    KEPT,
    Origin,
    as_entries,
    dequantised,
    origin_of,
    unplaced_in,
)
from interconnected_ai.surgery.checkpoints.quantized import Scheme, scheme_of
from interconnected_ai.surgery.checkpoints.safetensor_files import Entry, files_of, read_header
from interconnected_ai.surgery.operations import layer_edits
from interconnected_ai.surgery.operations.adapting import put_in
from interconnected_ai.surgery.operations.snapshot import exchange
from interconnected_ai.surgery.routing.edited_router import put_state
from interconnected_ai.surgery.routing.programs import Program
from interconnected_ai.surgery.routing.reach import Reach
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
    model, origin = _vanilla(folder, dtype, loading)
    session = Session(model.eval(), tokenizer, expert_parallel)
    session.origin = origin
    return session


def _edited(
    folder: Path, tokenizer: Any, dtype: Any, expert_parallel: int | None, loading: Mapping[str, Any]
) -> Session:
    """The model in a folder with a side-car."""
    content = read_json(folder / SIDE_CAR)
    if content.get("version") != SIDE_CAR_VERSION:
        raise FormatVersionError(
            f"{folder / SIDE_CAR} has version {content.get('version')!r}, this package reads {SIDE_CAR_VERSION}"
        )
    model, origin = _vanilla(folder, dtype, loading) if content["weights"] == "vanilla" else _built(folder, dtype)
    session = Session(model.eval(), tokenizer, expert_parallel)
    session.origin = origin
    if content["weights"] != "vanilla":
        _fill(session, folder, content["layers"])
    _dress(session, content)
    if content["adapters"]:
        _fill_adapters(session, load_tensors(folder / ADAPTERS))
    session.start_log()
    return session


def _vanilla(folder: Path, dtype: Any, loading: Mapping[str, Any]) -> tuple[Any, Origin]:
    """The model of an ordinary checkpoint, whole: a vision tower belongs to it, a quantised one is dequantised."""
    from transformers import AutoConfig

    told = read_json(folder / "config.json")
    scheme = scheme_of(told, folder)
    entries = {name: e for path in files_of(folder) if path.name != ADAPTERS for name, e in read_header(path).items()}
    state: Mapping[str, Tensor] = {}
    with _loading_errors(folder), no_progress_bar(), ONE_NETWORK:
        config = AutoConfig.from_pretrained(folder)
        if scheme is not None:
            state = _dequantised(config, entries, scheme, dtype)
        for kind in model_classes(config):
            given = {"config": config, "state_dict": state} if scheme is not None else {}
            model, found = kind.from_pretrained(
                None if scheme is not None else folder, dtype=dtype, output_loading_info=True, **given, **loading
            )
            if not _towers_gone(found["missing_keys"], entries):
                break
    _needs_all(folder, found["missing_keys"])
    unplaced = unplaced_in(state or entries, model, found["unexpected_keys"])
    if scheme is None:
        kept = {name: entries[name] for name in unplaced}
    else:
        kept = as_entries({name: state[name] for name in unplaced})
        warnings.warn(
            f"{folder} is quantised ({scheme.name}) and was opened as {model.dtype}: `save` writes it so. "
            "save(as_stored=True) writes it quantised as it was, where steps only moved experts or changed top-k",
            stacklevel=2,
        )
    whole = type(model).__name__ in (config.architectures or [type(model).__name__])
    return model, origin_of(folder, entries if whole else (), kept, scheme)


def model_classes(config: Any) -> list[Any]:
    """The class that holds all of a checkpoint, a mixture that also sees or hears being more than its language model; then
    the language model's, for folders whose towers were taken out and whose config still speaks of them.
    """
    import transformers

    named = [
        getattr(transformers, name)
        for name in getattr(config, "architectures", None) or ()
        if name.endswith(("ForCausalLM", "ForConditionalGeneration")) and hasattr(transformers, name)
    ]
    return [*named[:1], transformers.AutoModelForCausalLM]


def _towers_gone(missing: Iterable[str], entries: Iterable[str]) -> bool:
    """Whether what is missing are whole parts of the model, such as its eyes, of which the files hold nothing."""
    parts = {".".join(name.split(".")[:2]) + "." for name in missing}
    return bool(parts) and not any(name.startswith(tuple(parts)) for name in entries)


def _dequantised(config: Any, entries: Mapping[str, Entry], scheme: Scheme, dtype: Any) -> dict[str, Tensor]:
    """The tensors of a quantised checkpoint in ordinary numbers; the config forgets that it was quantised."""
    text = config.get_text_config()
    for each in (config, text):
        if hasattr(each, "quantization_config"):
            del each.quantization_config
    wanted = (text.dtype or config.dtype or torch.bfloat16) if dtype in ("auto", None) else dtype
    wanted = getattr(torch, wanted) if isinstance(wanted, str) else wanted
    return dequantised(entries, scheme, wanted, transposed=family_of(text.to_dict()).transposed)


def _needs_all(folder: Path, missing: Iterable[str]) -> None:
    lost = sorted(missing)
    if lost:
        raise IntegrityError(
            f"{folder} lacks {', '.join(lost[:5])}{f' and {len(lost) - 5} more' if len(lost) > 5 else ''}, which transformers "
            "would fill with random numbers; fetch the missing shards"
        )


def _built(folder: Path, dtype: Any) -> tuple[Any, Origin]:
    """The model of the config, and what stands beside its weights."""
    kept = read_header(folder / KEPT) if (folder / KEPT).is_file() else {}
    return built(folder, dtype), origin_of(folder, (), kept)


def built(folder: Path, dtype: Any) -> Any:
    """The model of the config without weights worth anything."""
    from transformers import AutoConfig
    from transformers.initialization import no_init_weights

    with _loading_errors(folder), ONE_NETWORK, no_init_weights():
        config = AutoConfig.from_pretrained(folder)
        kind = model_classes(config)[0]
        build = getattr(kind, "from_config", None) or kind._from_config  # the automatic class has the one
        return build(config, dtype=config.dtype if dtype == "auto" else dtype)


def _fill(session: Session, folder: Path, layers: Mapping[str, Any]) -> None:
    """Give every layer its own number of experts, then load all tensors."""
    state: dict[str, Tensor] = {}
    for path in sorted(folder.glob("surgery-[0-9]*.safetensors")):
        state |= load_tensors(path)
    for layer in session.layers:
        told = layers[str(layer.number)]
        if told["packed"]:
            _expect_packed(layer, state)
        place = layer.place
        held = [
            (place.experts, name, f"experts.{name}") for name in [*place.experts._parameters, *place.experts._buffers]
        ]
        for owner, name, below in [*held, *((rows.owner, rows.name, rows.path) for rows in place.rows.values())]:
            stored = state.get(f"{place.name}.{below}")
            if stored is not None:
                exchange(owner, name, torch.empty_like(stored))
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
        if "reach" in told:
            layer_edits.set_reach([layer], Reach.from_dict(told["reach"]))
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
    except (
        ValueError, OSError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError, StrictDataclassError
    ) as error:  # fmt: skip
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
