"""Saving: an ordinary Hugging Face checkpoint where its format can hold the model, else one with a side-car of ours.

`surgery.json` says what the config cannot: experts by layer, closed ones, warm-ups, rules, adapters, packing. Where the weights
themselves do not fit the format they are kept in `surgery-*.safetensors`, which transformers does not look for: it refuses such
a folder instead of loading something else in silence.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, IntegrityError
from interconnected_ai.storage import ANY, AnyVersion, save_tensors, write_folder, write_json
from interconnected_ai.surgery.adapters.stand_ins import spec_to
from interconnected_ai.surgery.anatomy.evaluation import evaluating
from interconnected_ai.surgery.checkpoints.checkpoint import ADAPTERS, KIND, SIDE_CAR, Checkpoint
from interconnected_ai.surgery.checkpoints.loading import (
    SIDE_CAR_VERSION,
    adapter_tensors,
    load_session,
    no_progress_bar,
)
from interconnected_ai.surgery.checkpoints.notes import write_notes
from interconnected_ai.surgery.checkpoints.origin import carry_side_files, keep, needs_no_loss, rebased
from interconnected_ai.surgery.operations.recipes import recipe_of
from interconnected_ai.surgery.session import Session
from interconnected_ai.surgery.settings import need_path, need_version

_SHARD_BYTES = 4 << 30


@dataclass(frozen=True)
class Saved:
    """What was written. vanilla: `from_pretrained` gives the same model. words: what it would not give, None if nothing."""

    folder: Path
    vanilla: bool
    words: str | None


def save(
    session: Session, folder: str | Path, *, verify: bool = True, replaces: str | AnyVersion | None = ANY
) -> Saved:
    """Write the model; `folder` is replaced whole or not at all, and never while it is the one that was opened lazily.

    verify: open it again and compare every tensor and the logits of a probe, at the cost of a second copy in memory. replaces:
    see `storage.atomic_folder`; the folder that the session was opened from must be the one that was read.
    """
    need_path("folder", folder)
    need_version(replaces)
    needs_savable(session)
    words = lost_words(session)
    if replaces is ANY and session.source is not None and session.source[0] == Path(folder).resolve():
        replaces = session.source[1]

    def write(scratch: Path) -> None:
        write_files(session, scratch)
        if verify:
            _compare(session, scratch)

    with session.changing():  # transformers writes into configs as it saves
        version = write_folder(folder, write, kind=KIND, replaces=replaces)
        if session.source is not None and session.source[0] == Path(folder).resolve():
            session.source = session.source[0], version
        if session.origin is not None and session.origin.folder.resolve() == Path(folder).resolve():
            session.origin = rebased(session.origin, Path(folder))
    return Saved(Path(folder), words is None, words)


def save_as_stored(session: Session, folder: str | Path, *, replaces: str | AnyVersion | None = ANY) -> Saved:
    """Write the quantised checkpoint that the model was opened from, with the same steps done to its bytes.

    Raises `ConfigError` where it was not opened from one, or a step makes numbers, which would have to be quantised.
    """
    need_path("folder", folder)
    need_version(replaces)
    origin = session.origin
    if origin is None or origin.scheme is None:
        raise ConfigError("as_stored: the model was not opened from a quantised checkpoint; save it without")
    if not session.log_is_whole:
        raise ConfigError(
            f"as_stored: the model was saved since it was opened, and its log begins there; open {origin.folder} again"
        )
    checkpoint = Checkpoint(origin.folder)
    recipe = recipe_of(session)
    try:
        checkpoint.apply(recipe)
    except ConfigError as error:
        raise ConfigError(f"as_stored: {error}") from error
    checkpoint.save(folder, replaces=replaces)
    return Saved(Path(folder), vanilla=True, words=None)


def needs_savable(session: Session) -> None:
    """Raise `ConfigError` for what no folder can hold."""
    if session.functions:
        raise ConfigError(
            "a router function in Python cannot be saved; write it as rules, or take it off (set_program)"
        )


def lost_words(session: Session) -> str | None:
    """What `from_pretrained` would not give of a folder with this model; None when it gives everything."""
    return _words(session, _weights_fit(session))


def write_files(session: Session, scratch: Path, state: Mapping[str, Tensor] | None = None) -> None:
    """All files of the model into a folder. state: its tensors where somebody gathered them; None takes the model's own."""
    fits, words = _weights_fit(session), lost_words(session)
    with _storage_errors():
        _write(session, scratch, fits, _side_car(session) if words else None, state)
        if session.origin is not None:
            keep(session.origin, scratch, lambda: session.layers.all[0].num_experts, vanilla=fits)
            carry_side_files(session.origin, scratch, tokenizer=session.tokenizer is None)
    write_notes(scratch, recipe_of(session), words)


def _weights_fit(session: Session) -> bool:
    """Whether transformers' format holds the weights and loads them to the same function."""
    packed = any(layer.packed for layer in session.layers)
    return session.uniform and not packed and not any(layer.closed or layer.state.bias for layer in session.layers)


def _words(session: Session, fits: bool) -> str | None:
    """What from_pretrained would not give; None when it gives everything."""
    if not fits:
        return (
            "only surgery.open reads this folder: its layers have different numbers of experts or top-k, closed or "
            "warming experts, "
            "or experts packed in 4 bits, for which the Hugging Face format has no place"
        )
    beside = [
        *(["router rules"] if session.program.rules else []),
        *(["roles"] if session.program.roles else []),
        *(["top-p and numbers of experts by token"] if any(not x.state.reach.plain for x in session.layers) else []),
        *([f"the adapters {', '.join(session.adapters)}"] if session.adapters else []),
    ]
    return f"from_pretrained loads the model without {' and '.join(beside)}; surgery.open loads all" if beside else None


def _side_car(session: Session) -> dict[str, Any]:
    return {
        "version": SIDE_CAR_VERSION,
        "weights": "vanilla" if _weights_fit(session) else "surgery",
        "layers": {
            str(layer.number): {
                "num_experts": layer.num_experts,
                "top_k": layer.top_k,
                "closed": sorted(layer.closed),
                "bias": {str(expert): bias for expert, bias in layer.state.bias.items()},
                "packed": layer.packed,
                **({} if layer.state.reach.plain else {"reach": layer.state.reach.to_dict()}),
            }
            for layer in session.layers
        },
        "warmups": [
            {"layer": each.layer, "experts": list(each.experts), "steps": each.steps, "taken": each.taken}
            for each in session.warmups
            if not each.finished
        ],
        "program": session.program.to_dict(),
        "adapters": [spec_to(adapter.spec) for adapter in session.adapters.values()],
    }


def _write(
    session: Session, scratch: Path, fits: bool, extra: Mapping[str, Any] | None, given: Mapping[str, Tensor] | None
) -> None:
    from transformers import PreTrainedModel

    held = session.model.state_dict() if given is None else given
    state = {name: tensor for name, tensor in held.items() if ".experts.variants." not in name}
    if fits:
        with no_progress_bar():  # of the class itself: the model's own hands on to here
            PreTrainedModel.save_pretrained(session.model, scratch, state_dict=state)
    else:
        session.model.config.dtype = session.model.dtype  # a model that was cast still has the old one there
        session.model.config.architectures = [type(session.model).__name__]
        session.model.config.save_pretrained(scratch)
        for number, shard in enumerate(_shards(state, session.model)):
            save_tensors(scratch / f"surgery-{number:05d}.safetensors", shard)
    if getattr(session.model, "generation_config", None) is not None:
        session.model.generation_config.save_pretrained(scratch)
    if session.tokenizer is not None:
        session.tokenizer.save_pretrained(scratch)
    if extra is not None:
        write_json(scratch / SIDE_CAR, extra)
    if session.adapters:
        save_tensors(scratch / ADAPTERS, {name: held[name] for name in adapter_tensors(session)})


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


@torch.no_grad()
def _compare(session: Session, scratch: Path) -> None:
    """Open what was written and compare it with what is in memory, and its tensors' names with the source's."""
    if session.origin is not None and _weights_fit(session):
        needs_no_loss(session.origin, scratch, getattr(session.model, "_tied_weights_keys", None) or ())
    device, dtype = next((p.device, p.dtype) for p in session.model.parameters())
    again = load_session(scratch, session.tokenizer, dtype=dtype)
    theirs = again.model.state_dict()
    for name, tensor in session.model.state_dict().items():
        if name not in theirs or not torch.equal(tensor.cpu(), theirs[name].cpu()):
            raise IntegrityError(
                f"{name} came back different after saving; nothing was written, the model in memory is whole"
            )
    # Kernels round by how memory is aligned, and a mapped file is aligned otherwise: what is the same is read from one place.
    # So are tables that are computed and not saved (rotary frequencies): they follow a cast of the model.
    held = {**dict(session.model.named_parameters()), **dict(session.model.named_buffers())}
    for name, tensor in [*again.model.named_parameters(), *again.model.named_buffers()]:
        if name in held and held[name].shape == tensor.shape:
            tensor.data = held[name].detach().cpu()
    ids = torch.arange(8).unsqueeze(0) % session.model.config.get_text_config().vocab_size
    with evaluating(session.model):
        mine, other = session.model(ids.to(device)).logits.cpu(), again.model(ids).logits
    if device.type == "cpu" and not torch.equal(mine, other):
        raise IntegrityError("the saved model answers differently from the one in memory; nothing was written")


@contextmanager
def _storage_errors() -> Iterator[None]:
    """safetensors reports a full disk as an exception type of its own."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ == "SafetensorError":
            raise OSError(f"safetensors could not write: {error}") from error
        raise
