"""The kind "remote": a `remote.json`, or the folder with it: a server's model behind the OpenAI-compatible interface."""

from pathlib import Path

from interconnected_ai.errors import ConfigError
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.kinds.kind import ExpertKind
from interconnected_ai.experts.opened import Opening
from interconnected_ai.experts.remote.description import FILE
from interconnected_ai.experts.text_expert import TextExpert


def _recognises(place: Path) -> bool:
    return place.name == FILE if place.is_file() else (place / FILE).is_file()


def _card(place: Path) -> ExpertCard:
    from interconnected_ai.experts.remote import RemoteExpert

    with RemoteExpert.from_pretrained(place) as expert:
        return expert.card


def _open(place: Path, opening: Opening) -> TextExpert:
    from interconnected_ai.experts.remote import RemoteExpert

    given = {name: value for name, value in vars(opening).items() if value}
    if given:
        named = ", ".join(f"{name}={value!r}" for name, value in given.items())
        raise ConfigError(f"{named}: a remote expert is computed by its server; leave it out")
    return RemoteExpert.from_pretrained(place)


_ELSEWHERE = "its weights are on a server and not here"
REMOTE = ExpertKind(
    name="remote",
    title="a server behind the OpenAI-compatible interface",
    recognises=_recognises,
    card=_card,
    open=_open,
    engines=(),
    why_not_evaluate="a server does not tell the probabilities of a text that is given to it; evaluate the model's own files",
    why_not_quantize=f"{_ELSEWHERE}; quantise the model's own files",
    why_not_export=f"{_ELSEWHERE}; export the model's own files",
)
