"""A council of small experts from nothing: a seed learns all domains, an expert of each branches from it, a router picks.

Everything that stands is used, and a training that was cut goes on: a second run does what is left.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from interconnected_ai.bench.domain_texts import Domain, domains_of, files_of, read_domains, write_domains
from interconnected_ai.bench.timing import machine
from interconnected_ai.branches import Encoder, TextVectors
from interconnected_ai.config import CouncilConfig, ExpertRunConfig, Precision
from interconnected_ai.data import TEST, TRAIN, VALIDATION, Document, documentation_by_module
from interconnected_ai.errors import ConfigError
from interconnected_ai.experts import foretold, load_model, load_tokenizer
from interconnected_ai.routing import Example, LearnedRouter, RouterMetrics, evaluate_router
from interconnected_ai.storage import atomic_file, is_complete
from interconnected_ai.text import digest_of, sentences
from interconnected_ai.training import drop_folder, owned, train_expert, training_folder, write_json_safely

COUNCIL, EXPERTS, ROUTER, TEXTS, MEMORY = "council.yaml", "experts", "router", "texts", "memory.db"
SEED = "seed"
_FEWEST_STEPS = 20  # of an expert
_ANSWER_TOKENS = 96
_HEADER = (
    "# A council of experts that branched from one seed: iai chat FILE talks with it. The seed answers where the router is\n"
    "# not sure, and deliberates with whoever is chosen. Every key: docs/council.md\n"
)
Modules = Mapping[str, Sequence[Document]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class SeededSizes:
    """How large such a council is and how long it learns.

    expert_steps: of an expert, on average; those with more text take more of them. seed_share: of all tokens, what the seed
    reads of them. branch_lr: the highest rate of an expert, which begins where the seed ended. requests: at most so many
    documents of each domain are what a router learns from.
    """

    num_experts: int = 64
    vocab_size: int = 2000
    d_model: int = 128
    n_layers: int = 4
    n_heads: int = 2
    seq_len: int = 256
    batch_size: int = 4
    expert_steps: int = 110
    seed_share: float = 0.45
    lr: float = 6e-3
    branch_lr: float = 3e-3
    requests: int = 40
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if self.num_experts < 2 or not 0.4 <= self.seed_share < 1:
            raise ConfigError(
                f"num_experts={self.num_experts}, seed_share={self.seed_share}: needed are 2 experts or more, and a seed that "
                "reads .4 of all tokens or more"
            )

    @property
    def seed_steps(self) -> int:
        """Of the seed."""
        return math.ceil(self.num_experts * self.expert_steps * self.seed_share / (1 - self.seed_share))

    def steps_of(self, domains: Sequence[Domain]) -> dict[str, int]:
        """Of each expert: as the root of its text, so that little text is not read too often, and much not too seldom."""
        roots = {domain.name: math.sqrt(domain.num_bytes) for domain in domains}
        per_root = self.expert_steps * len(domains) / sum(roots.values())
        return {name: max(_FEWEST_STEPS, round(per_root * root)) for name, root in roots.items()}


@dataclass(frozen=True)
class SeededCouncil:
    """Everything `iai council quickstart --experts N` tells.

    bits_per_byte: of a domain's held-out text, by the seed, by its own expert, and by both together. made: what this run made;
    empty where everything stood there. router: of requests about held-out documents; None where the router stood there.
    """

    council: Path
    num_params: int
    seed_share: float
    bits_per_byte: Mapping[str, Mapping[str, float]]
    made: tuple[str, ...]
    router: RouterMetrics | None
    seconds: float

    @property
    def means(self) -> dict[str, float]:
        """Bits a byte over all domains alike."""
        kinds = ("seed", "expert", "together")
        return {kind: fmean(row[kind] for row in self.bits_per_byte.values()) for kind in kinds}

    @property
    def num_better(self) -> int:
        """Experts that know their domain better than the seed does."""
        return sum(row["expert"] < row["seed"] for row in self.bits_per_byte.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "machine": machine(),
            "council": str(self.council),
            "num_experts": len(self.bits_per_byte),
            "num_params": self.num_params,
            "seed_share": self.seed_share,
            "bits_per_byte": {name: dict(row) for name, row in self.bits_per_byte.items()},
            **{f"{kind}_bpb": value for kind, value in self.means.items()},
            "num_better": self.num_better,
            "made": list(self.made),
            "router": None if self.router is None else self.router.to_dict(),
            "seconds": self.seconds,
        }


def run_seeded_council(
    folder: Path,
    sizes: SeededSizes | None = None,
    *,
    modules: Callable[[], Modules] = documentation_by_module,
    seed: int = 0,
    overwrite: bool = False,
    say: Say = print,
) -> SeededCouncil:
    """Make, or finish, the council in `folder`: texts/, experts/ with the seed among them, router/, council.yaml.

    modules: gives what there is to learn, by module; asked where no texts stand in the folder. overwrite: everything anew but
    the memory, which is its users'. Raises `ConfigError` for a folder that holds another council,
    `DataError` where the libraries have too few documented modules, `BusyError` while another run is at work there; Ctrl-C and
    SIGTERM raise `TrainingStoppedError`.
    """
    making = _Making(folder.resolve(), sizes or SeededSizes(), modules, seed, say)
    with owned(folder):
        started = time.perf_counter()
        if overwrite:
            making.drop()
        domains = making.domains()
        made = making.experts(domains)
        router = making.router(domains)
        made += ["the router"] if router is not None else []
        made += making.council(domains)
        model = load_model(making.place(SEED))
        found = SeededCouncil(
            folder / COUNCIL, model.get_num_params(), making.seed_share(domains), making.bits_per_byte(domains),
            tuple(made), router, time.perf_counter() - started,
        )  # fmt: skip
        if made:
            write_json_safely(folder / "quickstart.json", found.to_dict())
        return found


class _Making:
    """The parts of such a council, each made where it does not stand."""

    def __init__(self, folder: Path, sizes: SeededSizes, modules: Callable[[], Modules], seed: int, say: Say) -> None:
        self._folder, self._sizes, self._modules, self._seed, self._say = folder, sizes, modules, seed, say

    def place(self, name: str) -> Path:
        """An expert's folder."""
        return self._folder / EXPERTS / name

    def drop(self) -> None:
        """Let go of everything that a run makes; the texts last, so that what is half gone is known for ours."""
        (self._folder / COUNCIL).unlink(missing_ok=True)
        for part in (ROUTER, EXPERTS, TEXTS):
            drop_folder(self._folder / part)

    def domains(self) -> list[Domain]:
        """The texts, read once and kept, so that a run that goes on learns what it began with."""
        made_with = {**asdict(self._sizes), "seed": self._seed}
        place = self._folder / TEXTS
        if is_complete(place):
            domains, before = read_domains(place)
            if unlike := [key for key, value in made_with.items() if before.get(key) != value]:
                raise ConfigError(
                    f"{self._folder} holds a council of {unlike[0]}={before.get(unlike[0])}, not {made_with[unlike[0]]}; name "
                    "another --output, or make it anew with --overwrite"
                )
            return domains
        if (self._folder / COUNCIL).exists() or (self._folder / EXPERTS).exists():
            raise ConfigError(f"{self._folder} holds another council; name another --output")
        self._say("Reading the documentation of Python and the installed libraries …")
        domains = domains_of(self._modules(), self._sizes.num_experts, seed=self._seed)
        write_domains(place, domains, made_with)
        return domains

    def experts(self, domains: Sequence[Domain]) -> list[str]:
        """Train the seed, then an expert of each domain from it; what this run trained."""
        names = [domain.name for domain in domains]
        made = []
        total = sum(domain.num_bytes for domain in domains)
        if self._trained(
            self._config(SEED, names, self._sizes.seed_steps, self._sizes.lr),
            f"Training the seed on {total:,} bytes of {len(names)} modules",
        ):
            made.append(f"the {SEED}")
        steps, trained = self._sizes.steps_of(domains), 0
        with _hushed():
            for number, name in enumerate(names, start=1):
                config = self._config(name, [name], steps[name], self._sizes.branch_lr, init=str(self.place(SEED)))
                trained += self._trained(config, f"Expert {number} of {len(names)}, {name}")
        return made + ([f"{trained} experts"] if trained else [])

    def router(self, domains: Sequence[Domain]) -> RouterMetrics | None:
        """Learn who is asked from requests about the documents; how well it does on held-out ones."""
        place = self._folder / ROUTER
        if is_complete(place):
            return None
        train, validation, test = (_requests(domains, side, self._sizes.requests) for side in (TRAIN, VALIDATION, TEST))
        self._say(f"Learning a router from {len(train):,} requests …")
        learnt = LearnedRouter.fit(train, TextVectors(Encoder.load()), validation=validation)
        learnt.save_pretrained(place)
        return evaluate_router(learnt, test)

    def council(self, domains: Sequence[Domain]) -> list[str]:
        """Write council.yaml, with places as its folder sees them."""
        file = self._folder / COUNCIL
        if file.exists():
            return []
        experts = {
            domain.name: {"place": f"{EXPERTS}/{domain.name}", "description": f"the documentation of {domain.name}"}
            for domain in domains
        }
        experts[SEED] = {"place": f"{EXPERTS}/{SEED}", "description": "a little of everything"}
        settings = {
            "experts": experts, "fallback": SEED, "seed": SEED, "routers": [ROUTER], "semantic": False, "width": 2,
            "memory": MEMORY, "max_new_tokens": _ANSWER_TOKENS,
        }  # fmt: skip
        config = CouncilConfig.from_mapping(settings, source="iai council quickstart")
        with atomic_file(file) as scratch:
            scratch.write_text(_HEADER + config.to_yaml(), encoding="utf-8")
        return [COUNCIL]

    def seed_share(self, domains: Sequence[Domain]) -> float:
        """Of all tokens that were read in training, those of the seed."""
        own = sum(self._sizes.steps_of(domains).values())
        return self._sizes.seed_steps / (self._sizes.seed_steps + own)

    def bits_per_byte(self, domains: Sequence[Domain]) -> dict[str, dict[str, float]]:
        """Of the domains' test documents."""
        self._say("Measuring every expert beside the seed …")
        seed, words = load_model(self.place(SEED)), load_tokenizer(self.place(SEED))
        out = {}
        for domain in domains:
            models = {"seed": seed, "expert": load_model(self.place(domain.name))}
            found = foretold(models, [document.text for document in domain.test], words)
            costs = found.costs()
            out[domain.name] = {
                **{name: found.bits_per_byte(costs[:, number]) for number, name in enumerate(found.names)},
                "together": found.bits_per_byte(found.mixture_costs()),
            }
        return out

    def _trained(self, config: ExpertRunConfig, words: str) -> bool:
        """Train, or go on; whether there was anything left to do. What only a training needs is let go afterwards."""
        folder = training_folder(config)
        if is_complete(Path(config.output)) and (folder / "results.json").is_file():
            return False
        self._say(f"{words}: {config.training.max_steps} steps …")
        train_expert(config, resume=(folder / "run.yaml").is_file())
        drop_folder(folder / "checkpoints")
        return True

    def _config(self, name: str, domains: Sequence[str], steps: int, lr: float, **more: Any) -> ExpertRunConfig:
        texts, sizes = self._folder / TEXTS, self._sizes
        every = max(1, steps // 4)
        return ExpertRunConfig.from_mapping(
            {
                "output": str(self.place(name)),
                "text": {
                    "paths": files_of(texts, domains, TRAIN),
                    "validation": files_of(texts, domains, VALIDATION),
                    "test": files_of(texts, domains, TEST),
                },
                "model": {
                    "vocab_size": sizes.vocab_size, "d_model": sizes.d_model, "n_layers": sizes.n_layers,
                    "n_heads": sizes.n_heads, "max_seq_len": sizes.seq_len, "dropout": 0.0, "norm": "pre",
                },
                "training": {
                    "max_steps": steps, "epochs": 100_000, "batch_size": sizes.batch_size, "lr": lr,
                    "warmup_steps": max(1, steps // 20), "weight_decay": 0.1, "evaluate_every_steps": every,
                    "evaluation_tokens": 8_192, "checkpoint_every_steps": 500, "keep_checkpoints": 1,
                    "seed": self._seed, "precision": sizes.precision, "monitors": [],
                },
                **more,
            }
        )  # fmt: skip


@contextmanager
def _hushed() -> Iterator[None]:
    """Many short trainings say that they go on, and nothing of their evaluations."""
    logger = logging.getLogger("interconnected_ai.training")
    level = logger.level
    if not logger.isEnabledFor(logging.DEBUG):  # somebody wants to read it all
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _requests(domains: Sequence[Domain], side: int, most: int) -> list[Example]:
    """What people may ask about a side's documents: about the thing by its name, and about what its first sentence says."""
    found: dict[str, str | None] = {}
    for domain in domains:
        drawn = sorted(domain.sides[side], key=lambda one: digest_of(one.source, _KEY))[:most]
        for document in drawn:
            first = " ".join(next(iter(sentences(document.text)), "").split())[:_LONGEST_REQUEST]
            asked = _ASKED[digest_of(document.source, _KEY) % len(_ASKED)].format(name=document.source)
            for text in (asked, first):
                # one that two experts would be asked in the same words is nobody's
                found[text] = domain.name if found.get(text, domain.name) == domain.name else None
    return [Example(text, expert) for text, expert in found.items() if expert is not None and text]


_KEY, _LONGEST_REQUEST = b"requests", 160
_ASKED = (
    "What does {name} do?",
    "How do I use {name}?",
    "Explain {name} with an example.",
    "{name}",
    "Что делает {name}?",
)
