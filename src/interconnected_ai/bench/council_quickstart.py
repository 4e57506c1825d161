"""A council from what is on this machine: three adapters on a pretrained base, a router learnt from their texts, a memory.

Every part that stands is used, and a training that was cut goes on: a second run makes nothing.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.bench.adapter_quickstart import STEPS, adapter_config
from interconnected_ai.bench.documentation_requests import Requests, documentation_requests
from interconnected_ai.bench.expert_quickstart import DOMAINS
from interconnected_ai.bench.timing import machine
from interconnected_ai.branches import Encoder, TextVectors
from interconnected_ai.config import AdapterRunConfig, CouncilConfig
from interconnected_ai.data import Survey, Texts, survey
from interconnected_ai.errors import ConfigError, DataError, InterconnectedAIError
from interconnected_ai.experts import Base, GgufModel, expert_card, find_base, why_not_int4
from interconnected_ai.routing import LearnedRouter, RouterMetrics, evaluate_router
from interconnected_ai.storage import atomic_file, is_complete
from interconnected_ai.training import adapter_training_folder, owned, train_adapter

COUNCIL, EXPERTS, ROUTER, MEMORY = "council.yaml", "experts", "router", "memory.db"
ANSWER_TOKENS = 160
_DESCRIPTIONS = {
    "stdlib": "Python and its standard library",
    "numpy": "NumPy: arrays and numerical computing",
    "torch": "PyTorch: tensors, neural networks and their training",
}
_HEADER = (
    "# A council: iai chat FILE talks with it. The adapters share one base, which answers where the router is not sure;\n"
    "# width: 2 lets several deliberate. Every key: docs/council.md\n"
)
Say = Callable[[str], None]


@dataclass(frozen=True)
class CouncilQuickstart:
    """Everything `iai council quickstart` tells. council: the file that `iai chat` opens.

    made: what this run made, in words; empty where everything stood there. router: of held-out documents' requests; None where
    the router stood there already.
    """

    council: Path
    experts: Mapping[str, str]
    base: str
    made: tuple[str, ...]
    router: RouterMetrics | None
    seconds: float

    def sentences(self) -> list[str]:
        """What a person is told."""
        told = [f"{self.council}: {', '.join(self.experts)}; {self.base} answers where the router is not sure"]
        told.append(f"Made: {', '.join(self.made)}" if self.made else "Everything stood there already")
        if self.router is not None:
            told.append(
                f"The router, asked about documentation that nobody learnt from: {self.router.accuracy or 0:.1%} to the right "
                f"expert; of everyday talk {self.router.oos_recall or 0:.1%} to {self.base}, of questions "
                f"{self.router.false_oos or 0:.1%}"
            )
        return told

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "machine": machine(),
            "council": str(self.council),
            "experts": dict(self.experts),
            "base": self.base,
            "made": list(self.made),
            "router": None if self.router is None else self.router.to_dict(),
            "seconds": self.seconds,
        }


def run_council_quickstart(
    folder: Path,
    base: str = "smollm2",
    *,
    adapters: Path | None = None,
    steps: int = STEPS,
    seed: int = 0,
    overwrite: bool = False,
    say: Say = print,
) -> CouncilQuickstart:
    """Make, or find, the council in `folder`: experts/, router/ and council.yaml; memory.db comes with the first question.

    adapters: a folder that holds the three already, as `iai expert quickstart --base` leaves them; they are used where they
    stand. steps: of each adapter that is trained. overwrite: everything anew but the memory, which is its users'.
    Raises what `find_base` raises before anything is read or written, `ConfigError` for adapters of another base and a
    council.yaml that is none, `BusyError` while another quickstart is at work there.
    """
    found = find_base(base)
    config = None if overwrite else standing_council(folder / COUNCIL)
    places = places_of(folder, adapters, config)
    _require_adapters({name: place for name, place in places.items() if place.parent != folder / EXPERTS})
    if config is not None and all(is_complete(place) for place in (*places.values(), folder / ROUTER)):
        for place in places.values():
            _require_base(place, found)
        return CouncilQuickstart(folder / COUNCIL, _shown(folder / COUNCIL), base, (), None, 0.0)
    with owned(folder):
        started = time.perf_counter()
        making = Making(folder, found, steps, seed, overwrite, say)
        trained = making.adapters({name: place for name, place in places.items() if place.parent == folder / EXPERTS})
        for place in places.values():
            _require_base(place, found)
        router = making.router()
        made = [*(f"the adapter {name}" for name in trained), *(["the router"] if router else [])]
        if config is None:
            making.council(places)
            made.append(COUNCIL)
        return CouncilQuickstart(
            folder / COUNCIL, _shown(folder / COUNCIL), base, tuple(made), router, time.perf_counter() - started
        )


class Making:
    """What a quickstart makes in a folder; the documentation is read when the first part wants it."""

    def __init__(self, folder: Path, base: Base, steps: int, seed: int, overwrite: bool, say: Say) -> None:
        self._folder, self._base, self._steps, self._seed = folder, base, steps, seed
        self._overwrite, self._say = overwrite, say
        self._texts: dict[str, Survey] = {}

    def adapters(self, places: Mapping[str, Path]) -> list[str]:
        """Train those that do not stand there; their names."""
        trained = []
        for domain, place in places.items():
            if is_complete(place) and not self._overwrite:
                continue
            config = self._config(domain)
            is_begun = (adapter_training_folder(config) / "run.yaml").is_file() and not self._overwrite
            self._say(f"{'Going on with' if is_begun else 'Training'} the adapter {domain}: {self._steps} steps …")
            train_adapter(config, resume=is_begun, overwrite=self._overwrite, surveyed=self.surveyed()[domain])
            trained.append(domain)
        return trained

    def router(self) -> RouterMetrics | None:
        """Learn it where it does not stand there; how well it does on requests about held-out documents."""
        place = self._folder / ROUTER
        if is_complete(place) and not self._overwrite:
            return None
        requests: Requests = documentation_requests(self.surveyed())
        self._say(f"Learning a router from {len(requests.train):,} requests …")
        encode = TextVectors(Encoder.load())
        learnt = LearnedRouter.fit(requests.train, encode, validation=requests.validation)
        learnt.save_pretrained(place)
        return evaluate_router(learnt, requests.test)

    def council(self, places: Mapping[str, Path]) -> None:
        """Write council.yaml, as it is said from its folder."""
        engine = _engine_of(self._base)
        home = self._folder.resolve()
        experts: dict[str, dict[str, Any]] = {
            domain: {
                "place": _seen_from(home, place), "engine": engine, "description": _DESCRIPTIONS[domain],
                "examples": list(QUESTIONS[domain]),
            }
            for domain, place in places.items()
        }  # fmt: skip
        name = _name_of(self._base)
        experts[name] = {"place": _named_from_anywhere(self._base), "engine": engine, "description": "everything else"}
        settings = {
            "experts": experts, "fallback": name, "seed": name, "routers": [ROUTER], "semantic": False, "memory": MEMORY,
            "max_new_tokens": ANSWER_TOKENS,
        }  # fmt: skip
        config = CouncilConfig.from_mapping(settings, source="iai council quickstart")
        with atomic_file(self._folder / COUNCIL) as scratch:
            scratch.write_text(_HEADER + config.to_yaml(), encoding="utf-8")

    def _config(self, domain: str) -> AdapterRunConfig:
        base = _named_from_anywhere(self._base)
        return adapter_config(self._folder / EXPERTS, base, domain, seed=self._seed, steps=self._steps)

    def surveyed(self) -> dict[str, Survey]:
        """The documentation by expert, with what is held out of every training."""
        if not self._texts:
            self._say("Reading the documentation of Python, NumPy and PyTorch …")
            configs = {domain: self._config(domain) for domain in DOMAINS}
            self._texts = {name: survey(Texts.of_config(one.text)) for name, one in configs.items() if one.text}
        return self._texts


# What each of the three is asked, as routers of cards read it.
QUESTIONS = {
    "stdlib": ("How do I join two paths?", "What does json.dumps return?", "How do I parse command line options?"),
    "numpy": ("How do I reshape an array?", "What does numpy.linspace return?", "How do I invert a matrix in NumPy?"),
    "torch": (
        "How do I train a neural network?",
        "What does torch.nn.Linear do?",
        "How do I move a tensor to the GPU?",
    ),
}


def standing_council(file: Path) -> CouncilConfig | None:
    """The council that stands there. Raises `ConfigError` for a file that is none, which may be somebody's own."""
    if not file.exists():
        return None
    try:
        return CouncilConfig.from_file(file)
    except InterconnectedAIError as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"no council: {first}; mend it, or write it anew with --overwrite") from error


def places_of(folder: Path, adapters: Path | None, config: CouncilConfig | None) -> dict[str, Path]:
    """Where each of the three stands or will stand: as it was asked for, or as the council that stands there says.

    Raises `ConfigError` where these are two places.
    """
    asked = {domain: (adapters or folder / EXPERTS) / domain for domain in DOMAINS}
    if config is None:
        return asked
    seen = config.seen_from(folder.resolve())
    found = {}
    for domain, place in asked.items():
        named = Path(seen.experts[domain].place) if domain in seen.experts else place
        is_other = named.resolve() != place.resolve()
        if is_other and adapters is not None:
            raise ConfigError(
                f"{folder / COUNCIL} has {domain} in {named}, not in {place}; name another --output, or write it anew with "
                "--overwrite"
            )
        found[domain] = named if is_other else place
    return found


def _shown(file: Path) -> dict[str, str]:
    seen = CouncilConfig.from_file(file).seen_from(file.parent.resolve())
    return {name: member.place for name, member in seen.experts.items()}


def _require_adapters(places: Mapping[str, Path]) -> None:
    if missing := [str(place) for place in places.values() if not is_complete(place)]:
        raise DataError(
            f"{missing[0]} holds no adapter; name a folder with {', '.join(places)}, such as iai expert quickstart --base "
            "smollm2 writes, or leave --adapters out and they are trained"
        )


def _require_base(place: Path, base: Base) -> None:
    card = expert_card(str(place))
    if card.kind != "adapter" or card.base_sha256 != base.sha256:
        raise ConfigError(
            f"{place} is no adapter of {base.name} but {card.kind} {f'on {card.base}' if card.base else ''}; name its base, "
            "another --output, or train it anew with --overwrite"
        )


def _engine_of(base: Base) -> str | None:
    """The one that keeps 4-bit weights as small as they are, where the base has such."""
    return "torch-int4" if base.form == "gguf" and not why_not_int4(GgufModel.read(base.path)) else None


def _name_of(base: Base) -> str:
    """As people call it: a folder or file by its own name."""
    name = Path(base.name).resolve().stem if Path(base.name).exists() else base.name.rpartition("/")[2]
    return f"{name}-base" if name in DOMAINS else name


def _named_from_anywhere(base: Base) -> str:
    """The base's name, or the whole path of a folder or file: what is written down is read from other folders too."""
    return str(Path(base.name).expanduser().resolve()) if Path(base.name).expanduser().exists() else base.name


def _seen_from(home: Path, place: Path) -> str:
    return os.path.relpath(place.resolve(), home) if place.resolve().is_relative_to(home) else str(place.resolve())
