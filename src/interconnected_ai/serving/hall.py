"""`Hall`: what is behind the door. A council or single experts, systems of branches, a memory; and who is meant by a name."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from interconnected_ai.config import CouncilConfig
from interconnected_ai.council import Council
from interconnected_ai.errors import (
    ConfigError,
    ConflictError,
    InterconnectedAIError,
    NotAModelError,
    UnknownNameError,
)
from interconnected_ai.experts import (
    BatchLimits,
    ExpertCard,
    ExpertPool,
    TextExpert,
    expert_card,
    experts_in,
    open_expert,
)
from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory
from interconnected_ai.planner import this_machine
from interconnected_ai.serving.embedders import Embedder
from interconnected_ai.serving.voices import CouncilVoice, ExpertVoice, Voice
from interconnected_ai.storage import MANIFEST, SYSTEM, read_json, state_of, version_of

if TYPE_CHECKING:
    from interconnected_ai.branches import InterconnectedAISystem

COUNCIL = "council"
_WIDE = re.compile(r"council:([1-9][0-9]?)")
_COUNCILS = (".yaml", ".yml", ".json")
_RUN = "run.yaml"  # of a training, from its beginning on
_WAIT_SECONDS = 60.0
_BUSY_SECONDS = 5.0  # until a memory that another process writes in is given up for this time


@dataclass(frozen=True)
class Watched:
    """Something on disk that may change while it is served. state: what tells it from what it was. take: have the new one.

    `take` raises an error of ours where that cannot be, and then everything is as it was.
    """

    name: str
    state: Callable[[], object]
    take: Callable[[], object]


class Hall:
    """What is served.

    council: who answers as "council", its experts under their own names too. experts: a pool of others. systems: folders of
    branches by name; folders: where these came from, by the same names, which they need to be changed. All stay their owner's,
    unless `open` made them. file: the council's, which is looked at again when it changes; batching: of experts in `experts`
    that are opened anew.

    Threads: everything may be called from any number of them.
    Raises `ConfigError` where nothing is to be served, or two things have one name.
    """

    def __init__(
        self,
        *,
        council: Council | None = None,
        experts: ExpertPool[TextExpert] | None = None,
        cards: Mapping[str, ExpertCard] | None = None,
        systems: Mapping[str, "InterconnectedAISystem"] | None = None,
        folders: Mapping[str, Path] | None = None,
        file: Path | None = None,
        places: Mapping[str, str | Path] | None = None,
        batching: BatchLimits | None = None,
    ) -> None:
        if council is None and experts is None and not systems:
            raise ConfigError("nothing is served; give a council, an expert or a system")
        self.council, self.experts, self.systems = council, experts, dict(systems or {})
        self._folders = dict(folders or {})
        self._file, self._places, self._batching = file, dict(places or {}), batching
        self._cards = dict(cards or {})
        self._refreshing = threading.RLock()
        self.encoders = _embedders(self.systems)
        self.began = int(time.time())
        self._voices = self._made_voices()
        self._opened = ExitStack()

    @classmethod
    def open(cls, places: Sequence[str | Path], *, batching: BatchLimits | None = None) -> Self:
        """What stands at these places: a council's file, experts, folders of experts, systems of branches.

        batching: experts make the answers of all requests together within these limits, where their engines do that.
        """
        with ExitStack() as opened:
            council: Council | None = None
            file: Path | None = None
            found: dict[str, str | Path] = {}
            systems: dict[str, InterconnectedAISystem] = {}
            folders: dict[str, Path] = {}
            for place in places:
                path = Path(place).expanduser()
                if path.suffix.lower() in _COUNCILS and path.is_file():
                    if council is not None:
                        raise ConfigError(f"{place}: a second council; one is served at a time")
                    council, file = _council_of(path, opened, batching), path.resolve()
                elif (folder := _system_at(path)) is not None:
                    name = path.resolve().name
                    if name in systems:
                        raise ConfigError(
                            f"two systems are called {name!r}: {folders[name]} and {folder}; rename a folder"
                        )
                    systems[name], folders[name] = _system_in(folder, systems.values()), folder.resolve()
                else:
                    _merge(found, _experts_at(place, path))
            cards = {name: expert_card(place) for name, place in found.items()}
            pool = opened.enter_context(_pool_of(found, cards, batching)) if found else None
            hall = cls(
                council=council, experts=pool, cards=cards, systems=systems, folders=folders, file=file, places=found,
                batching=batching,
            )  # fmt: skip
            hall._opened = opened.pop_all()
            return hall

    # Who is meant

    @property
    def models(self) -> tuple[str, ...]:
        """Names that may be asked, the council first."""
        return tuple(self._voices)

    @property
    def pools(self) -> dict[str, ExpertPool[TextExpert]]:
        """The pools of experts, by what they are called in figures."""
        found = {} if self.council is None else {COUNCIL: self.council.pool}
        return found if self.experts is None else {**found, "experts": self.experts}

    @property
    def memory(self) -> ThreeLevelMemory | None:
        """The council's memory."""
        return None if self.council is None else self.council.memory

    def voice(self, model: str) -> Voice:
        """Who answers under this name; `council:3` is the council with three that deliberate. Raises `UnknownNameError`."""
        if (voice := self._voices.get(model)) is not None:
            return voice
        if self.council is not None and (wide := _WIDE.fullmatch(model)):
            return CouncilVoice(self.council, model, width=int(wide.group(1)))
        raise UnknownNameError("model", model, self._voices)

    # Systems that change

    @property
    def in_folders(self) -> tuple[str, ...]:
        """The systems whose folders are known."""
        return tuple(self._folders)

    def folder(self, system: str) -> Path:
        """Where a system came from. Raises `ConfigError` for one that came from nowhere."""
        if system not in self._folders:
            raise ConfigError(f"the system {system!r} was given without its folder, so its branches cannot be changed")
        return self._folders[system]

    def refresh(self, system: str) -> None:
        """Take up what stands in a system's folder, in one step: a request finds the old branches or the new.

        Where encoder or trunk are others it is another system, which stands in the place of the old one.
        """
        with self._refreshing:
            live, folder = self.systems[system], self.folder(system)
            coming = _system_in(folder, [live, *self.systems.values()])
            try:
                live.take_branches(coming)
            except ConflictError:
                self.systems = {**self.systems, system: coming}
                self.encoders = _embedders(self.systems)

    # What changes on disk while it is served

    def watched(self) -> list[Watched]:
        """What may change: the council's file with rules and routers, every expert, every system."""
        found = [Watched(f"system {name}", partial(version_of, folder), partial(self.refresh, name))
                 for name, folder in self._folders.items()]  # fmt: skip
        if self.council is not None:
            found.append(Watched("council", self._council_state, self._retake_council))
            found += [
                Watched(f"expert {name}", partial(state_of, member.place), partial(self._reopen_in_council, name))
                for name, member in self.council.config.experts.items()
            ]
        found += [
            Watched(f"expert {name}", partial(state_of, place), partial(self._reopen, name))
            for name, place in self._places.items()
        ]
        return found

    def _council_state(self) -> object:
        assert self.council is not None
        config = self.council.config
        return tuple(state_of(place) for place in (self._file, config.rules, *config.routers) if place is not None)

    def _retake_council(self) -> None:
        assert self.council is not None
        self.council.take(self.council.config if self._file is None else _config_of(self._file))
        self._voices = self._made_voices()

    def _reopen_in_council(self, name: str) -> None:
        assert self.council is not None
        self.council.reopen(name)
        self._voices = self._made_voices()

    def _reopen(self, name: str) -> None:
        assert self.experts is not None
        place, card = self._places[name], expert_card(self._places[name])
        opening = partial(open_expert, place, batching=self._batching)
        self.experts.replace(
            name, opening, key=f"{place} {state_of(place)}", num_bytes=card.num_bytes or 0, wait_seconds=_WAIT_SECONDS
        )
        self._cards[name] = card
        self._voices = self._made_voices()

    def _made_voices(self) -> Mapping[str, Voice]:
        voices: dict[str, Voice] = {}
        if self.council is not None:
            voices[COUNCIL] = CouncilVoice(self.council, COUNCIL)
            for name in self.council.config.experts:
                known = self.council.cards[name]
                card = None if isinstance(known, InterconnectedAIError) else known
                self._add(voices, ExpertVoice(
                    self.council.pool, name, card, wait_seconds=self.council.config.wait_seconds
                ))  # fmt: skip
        for name in () if self.experts is None else self.experts.names:
            assert self.experts is not None
            self._add(voices, ExpertVoice(self.experts, name, self._cards.get(name), wait_seconds=_WAIT_SECONDS))
        return voices

    @staticmethod
    def _add(voices: dict[str, Voice], voice: Voice) -> None:
        if voice.name in voices or _WIDE.fullmatch(voice.name):
            raise ConfigError(f"two models are called {voice.name!r}; rename a folder, or the expert in council.yaml")
        voices[voice.name] = voice

    # Its end

    def close(self) -> None:
        """Let go what `open` opened, after the answers that are being made. Idempotent."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def stands_at(place: str | Path) -> bool:
    """Whether something that can be served stands there: a council's file, an expert or several, a system of branches."""
    path = Path(place).expanduser()
    if path.suffix.lower() in _COUNCILS:
        return path.is_file()
    return path.exists() and (_system_at(path) is not None or path.is_file() or any(experts_in(path)))


def _embedders(systems: Mapping[str, "InterconnectedAISystem"]) -> dict[str, Embedder]:
    """The encoders of the systems by their names, as they were pretrained: a training changes nobody's embeddings."""
    made = [Embedder(system.encoder.without_lora()) for system in systems.values()]
    return {embedder.name: embedder for embedder in reversed(made)}


def _system_at(path: Path) -> Path | None:
    """Where a system of branches stands: in this folder, or in the run that it is."""
    for folder in (path, path / "model"):
        manifest = folder / MANIFEST
        if manifest.is_file() and read_json(manifest).get("kind") == SYSTEM:
            return folder
    return None


def _system_in(folder: Path, beside: "Iterable[InterconnectedAISystem]") -> "InterconnectedAISystem":
    """The system of a folder. beside: those in memory, with which it shares the pretrained encoder where that is the same."""
    from interconnected_ai.branches import InterconnectedAISystem  # loads torch

    return InterconnectedAISystem.from_pretrained(folder, beside=list(beside)).eval()


def _config_of(file: Path) -> CouncilConfig:
    return CouncilConfig.from_file(file).seen_from(file.parent)


def _council_of(path: Path, opened: ExitStack, batching: BatchLimits | None) -> Council:
    """The council of a file, with a memory that does not keep everybody waiting while another process writes in it."""
    config = _config_of(path.resolve())
    memory: ThreeLevelMemory | None = None
    if config.memory is not None:
        is_file = "://" not in config.memory
        store = SQLiteStore(config.memory, busy_seconds=_BUSY_SECONDS) if is_file else config.memory
        memory = opened.enter_context(ThreeLevelMemory(store))
    return opened.enter_context(Council(config, memory=memory, batching=batching))


def _merge(found: dict[str, str | Path], more: Mapping[str, str | Path]) -> None:
    """Add experts. Raises `ConfigError` for a name that another one has."""
    for name, place in more.items():
        other = found.setdefault(name, place)
        if Path(other).resolve() != Path(place).resolve():
            raise ConfigError(f"two experts are called {name!r}: {other} and {place}; rename a folder")


def _experts_at(place: str | Path, path: Path) -> dict[str, str | Path]:
    if path.is_dir():
        found: dict[str, str | Path] = {inside.resolve().name: inside for _, inside in experts_in(path)}
        if not found and (path / _RUN).is_file():
            raise NotAModelError(
                f"{place} is a training that has not come to its end, so there is no model in it; go on with it (--resume), "
                "or begin it anew (--overwrite)"
            )
        if not found:
            raise NotAModelError(f"{place} holds neither an expert nor a system; name a folder that does")
        return found
    try:
        expert_card(place)  # raises for what is none
    except OSError as error:
        raise NotAModelError(f"{place} holds no expert: {error.strerror}; name a folder or a file that does") from error
    except InterconnectedAIError as error:
        if path.exists():
            raise
        raise NotAModelError(
            f"nothing stands at {place} ({error}); name a council.yaml, an expert, a folder of experts or a system of branches"
        ) from error
    return {path.stem if path.is_file() else str(place): path if path.is_file() else place}


def _pool_of(
    found: Mapping[str, str | Path], cards: Mapping[str, ExpertCard], batching: BatchLimits | None
) -> ExpertPool[TextExpert]:
    pool: ExpertPool[TextExpert] = ExpertPool(this_machine().memory_bytes // 2)
    for name, place in found.items():
        pool.add(name, partial(open_expert, place, batching=batching), num_bytes=cards[name].num_bytes or 0)
    return pool
