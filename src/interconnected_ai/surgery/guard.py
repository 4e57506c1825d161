"""An opened model guards itself: its own `save_pretrained` and `push_to_hub` write what `MoE.save` writes, or refuse.

transformers' Trainer and Accelerate save through the model, and know nothing of rules, adapters, closed or packed experts.
"""

import copy
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, ref

from torch import Tensor, nn

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.adapters.nf4 import PackedExperts
from interconnected_ai.surgery.anatomy.places import router_sizes
from interconnected_ai.surgery.checkpoints.checkpoint import SIDE_CAR
from interconnected_ai.surgery.checkpoints.saving import lost_words, needs_savable, write_files
from interconnected_ai.surgery.routing.context import dress
from interconnected_ai.surgery.routing.edited_router import EditedRouter
from interconnected_ai.surgery.session import Session

_SESSIONS: "WeakKeyDictionary[nn.Module, ref[Session]]" = WeakKeyDictionary()
_REMEDY = "call `save` of its MoE and upload or load that folder (surgery.open)"
_WEIGHTS = ("model*.safetensors", "model*.safetensors.index.json", "surgery*.safetensors", SIDE_CAR)


def guard(session: Session) -> None:
    """Let the session's model save itself as `MoE.save` would, for as long as anyone holds it."""
    if hasattr(session.model, "save_pretrained"):
        dress(session.model, GuardedModel)
        _SESSIONS[session.model] = ref(session)


class GuardedModel(nn.Module):
    """A transformers model whose own ways of saving hold what was edited."""

    def save_pretrained(
        self,
        save_directory: Any,
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        push_to_hub: bool = False,
        **settings: Any,
    ) -> None:
        """As transformers', where its format holds the model. Else with a side-car, as `MoE.save` writes it, and a warning.

        Raises `ConfigError` where that cannot be: a rule written in Python, a MoE that is gone, push_to_hub=True,
        settings that split the model over processes.
        """
        known: Any = super()
        session = session_of(self)
        if session is None and holds_more(self):
            raise ConfigError(
                f"this {type(self).__name__} holds edits that from_pretrained would lose, and its MoE, which knows them, is "
                f"gone. Keep the MoE, and {_REMEDY}"
            )
        words = None if session is None else _needs_words(session)
        if session is None or words is None:
            known.save_pretrained(
                save_directory,
                is_main_process=is_main_process,
                state_dict=state_dict,
                push_to_hub=push_to_hub,
                **settings,
            )
            return
        if push_to_hub or settings.get("distributed_checkpoint") or settings.get("variant"):
            raise ConfigError(
                f"save_pretrained: {words}; with push_to_hub, distributed_checkpoint or variant this cannot be kept. {_REMEDY}"
            )
        if is_main_process:
            _write_over(session, Path(save_directory), state_dict)
            warnings.warn(f"{save_directory}: {words}", stacklevel=2)

    def push_to_hub(self, *args: Any, **settings: Any) -> Any:
        """As transformers', of the files that `save_pretrained` writes; what cannot be saved is refused before any upload."""
        known: Any = super()
        session = session_of(self)
        if session is None and holds_more(self):
            raise ConfigError(f"push_to_hub: this model holds edits that from_pretrained would lose; {_REMEDY}")
        if session is not None:
            needs_savable(session)
        return known.push_to_hub(*args, **settings)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy as a model of transformers' own; `ConfigError` for an edited one, whose rules know the layers they are in."""
        _needs_plain(self, "copied (copy.deepcopy)")
        own = _own_class(self)
        memo[id(self)] = new = own.__new__(own)
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return new

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickled as a model of transformers' own; `ConfigError` for an edited one, whose edits would not come back."""
        _needs_plain(self, "pickled (torch.save, a process that is spawned)")
        return object.__new__, (_own_class(self),), self.__dict__


def _needs_plain(model: nn.Module, what: str) -> None:
    if holds_more(model):
        raise ConfigError(
            f"an edited {type(model).__name__} cannot be {what}: its edits would be lost. Save it (`MoE.save`) and open the "
            "folder (surgery.open), as often as copies are needed"
        )


def _own_class(model: nn.Module) -> Any:
    return next(each for each in type(model).__mro__ if not issubclass(each, GuardedModel))


def session_of(model: nn.Module) -> Session | None:
    """The session that edits this model, None where nobody does any more."""
    held = _SESSIONS.get(model)
    return None if held is None else held()


def holds_more(model: nn.Module) -> bool:
    """Whether a model computes what transformers' class with its config and weights would not."""
    modules = list(model.modules())
    edited = any(isinstance(each, EditedRouter | PackedExperts) or "variants" in each._modules for each in modules)
    return edited or len(router_sizes(model)) > 1


def _needs_words(session: Session) -> str | None:
    needs_savable(session)
    words = lost_words(session)
    if words is None and session.origin is not None and session.origin.kept:
        return f"tensors that transformers' class has no place for ({', '.join(list(session.origin.kept)[:3])}) stand beside it"
    return words


def _write_over(session: Session, folder: Path, state: Mapping[str, Tensor] | None) -> None:
    """The files into a folder that holds others too (a trainer's), in place of an older model's."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        session.changing(),
        tempfile.TemporaryDirectory(dir=folder) as scratch,
    ):  # transformers writes into configs as it saves
        write_files(session, Path(scratch), state)
        for stale in [path for pattern in _WEIGHTS for path in folder.glob(pattern)]:
            stale.unlink()
        for path in sorted(Path(scratch).rglob("*")):
            target = folder / path.relative_to(scratch)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            else:
                path.replace(target)
