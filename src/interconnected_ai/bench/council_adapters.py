"""Adapters of one base as a council, beside one adapter that was trained on the text of all for as many tokens as they have
read together, and beside one that has read as many as each of them; and the council with the first of these as its seed.

A document's first tokens are the question: the router reads them, and who foretold them well weighs more. What follows is
measured, the same tokens for everybody, on documents that no training, router or setting has seen.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.bench.adapter_quickstart import STEPS, adapter_config
from interconnected_ai.bench.council_quickstart import COUNCIL, EXPERTS, ROUTER, Making, places_of, standing_council
from interconnected_ai.bench.timing import machine
from interconnected_ai.branches import Encoder, TextVectors
from interconnected_ai.data import TEST, TRAIN, VALIDATION, Document, Survey, Texts, survey
from interconnected_ai.errors import DataError
from interconnected_ai.experts import (
    LEAST_PRIOR,
    AdapterFiles,
    AdapterWeights,
    Foretold,
    Recollection,
    SharedBase,
    expert_card,
    find_base,
    foretold,
    read_adapter,
)
from interconnected_ai.routing import LearnedRouter
from interconnected_ai.storage import is_complete
from interconnected_ai.text import digest_of
from interconnected_ai.training import adapter_training_folder, train_adapter
from interconnected_ai.types import Request

QUESTION_TOKENS = 32
MEASURED_BYTES = 16_000  # of each domain
LONGEST_BYTES = 6_000  # of a document, so that several are measured of each domain
SINGLE, SHORT = "single", "single_of_an_adapters_steps"
_SEQ_LEN = 512
_KEY = b"council adapters"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """Held-out documents as everybody foretold them.

    domains: of each document. recalled: of each document's tokens what a recollection of the training texts thought of it and
    what its word weighs, (num_tokens, 2).
    """

    told: Foretold
    domains: tuple[str, ...]
    priors: Tensor  # (num_documents, k), of the router; its columns are everybody but the two on all text
    recalled: tuple[Tensor, ...]

    def figures(self) -> dict[str, float]:
        """Bits per byte by contestant, over the tokens after the question; the base and the adapters deliberate."""
        members, single = self._only(*self._members()), self._only(SINGLE)
        costs, alone = members.costs(), single.costs()[:, 0]
        own = torch.tensor([members.names.index(domain) for domain in self.domains])
        priors = self.priors
        found = {
            "base": costs[:, members.names.index("base")],
            SINGLE: alone,
            **({SHORT: self._only(SHORT).costs()[:, 0]} if SHORT in self.told.names else {}),
            "best_single_expert": costs[:, int(costs.sum(0).argmin())],
            "own_adapter": costs.gather(1, own[:, None])[:, 0],
            "oracle": costs.min(1).values,
            "routed": members.mixture_costs(priors, width=1),
            "width_2": members.mixture_costs(priors, width=2),
            "width_3": members.mixture_costs(priors, width=3),
            "council": members.mixture_costs(priors),
            "council_with_single": self._with_single(LEAST_PRIOR),
            "council_with_single_heard_fully": self._with_single(1.0),
            "council_equal_priors": members.mixture_costs(),
            "uniform": members.mixture_costs(forgetting=1.0),
            "council_recollecting": self._recollecting(members.mixture_nats(priors)),
            "single_recollecting": self._recollecting([one[:, 0] for one in single.nats]),
        }
        return {name: self._bits(cost) for name, cost in found.items()}

    def router_accuracy(self) -> float:
        """Share of the documents whose domain's adapter has the largest prior."""
        names = self._members()
        own = torch.tensor([names.index(domain) for domain in self.domains])
        return float((self.priors.argmax(1) == own).double().mean())

    def _with_single(self, prior: float) -> Tensor:
        """(num_documents,) costs of everybody with the adapter on all text as the seed, whose word begins with this weight."""
        seed = self.priors.new_full((len(self.priors), 1), prior)
        return self._only(*self._members(), SINGLE).mixture_costs(torch.cat([self.priors, seed], dim=1))

    def _recollecting(self, nats: Sequence[Tensor]) -> Tensor:
        """(num_documents,) what these tokens cost where the recollection has its say. nats: (num_tokens,) for each document."""
        costs = []
        for own, recalled in zip(nats, self.recalled, strict=True):
            told, weights = recalled.unbind(1)
            both = (1.0 - weights) * (-own).exp() + weights * told
            costs.append(-both.log()[self.told.num_given :].sum())
        return torch.stack(costs)

    def _members(self) -> tuple[str, ...]:
        return tuple(name for name in self.told.names if name not in (SINGLE, SHORT))

    def _only(self, *names: str) -> Foretold:
        places = [self.told.names.index(name) for name in names]
        nats = tuple(one[:, places] for one in self.told.nats)
        return Foretold(names, nats, self.told.num_bytes, self.told.num_given)

    def _bits(self, costs: Tensor) -> float:
        return self.told.bits_per_byte(costs)


def bench_council_adapters(
    folder: Path,
    base: str = "smollm2",
    *,
    adapters: Path | None = None,
    steps: int = STEPS,
    measured_bytes: int = MEASURED_BYTES,
    on_validation: bool = False,
    seed: int = 0,
    say: Say = print,
) -> dict[str, Any]:
    """Bits per byte of the council and of all it is held against. Keys are those of `iai bench council --json`.

    folder, adapters, steps: as `run_council_quickstart` has them; what stands there is used, what does not is made, the
    two adapters on all text too: `single` with as many steps as the three together, the other with those of one.
    on_validation: leave test documents unread.
    """
    started = time.perf_counter()
    found = find_base(base)
    making = Making(folder, found, steps, seed, False, say)
    places = places_of(folder, adapters, standing_council(folder / COUNCIL))
    making.adapters({name: place for name, place in places.items() if place.parent == folder / EXPERTS})
    making.router()
    taken = {name: _steps_of(place) for name, place in places.items()}
    on_all = {
        name: _on_all_text(folder, base, name, of_all, making.surveyed(), seed, say)
        for name, of_all in ((SINGLE, sum(taken.values())), (SHORT, max(taken.values())))
    }
    say("Foretelling what was held out …")
    documents = held_out_documents(making.surveyed(), VALIDATION if on_validation else TEST, measured_bytes)
    learnt = [
        document.text for one in making.surveyed().values() for side, _, document in one.documents() if side == TRAIN
    ]
    measured = _measured(folder, base, {**places, **on_all}, documents, learnt)
    figures = measured.figures()
    others = [name for name in figures if name != SINGLE]
    return {
        "machine": machine(),
        "measured_on": "validation" if on_validation else "test",
        "num_documents": len(measured.domains),
        "num_tokens": sum(len(one) - QUESTION_TOKENS for one in measured.told.nats),
        "question_tokens": QUESTION_TOKENS,
        "steps": taken | {name: _steps_of(place) for name, place in on_all.items()},
        "bits_per_byte": figures,
        "adapters_council_over_single_bpb": figures["council"] / figures[SINGLE],
        "adapters_council_over_single_bpb_equal_expert_tokens": figures["council"] / figures[SHORT],
        **{f"adapters_{name}_over_single_bpb": figures[name] / figures[SINGLE] for name in others if name != "council"},
        "adapters_council_recollecting_over_single_recollecting_bpb": (
            figures["council_recollecting"] / figures["single_recollecting"]
        ),
        "adapters_router_accuracy": measured.router_accuracy(),
        "adapters_routed_over_own": figures["routed"] / figures["own_adapter"],
        "adapters_seconds": time.perf_counter() - started,
    }


def held_out_documents(texts: Mapping[str, Survey], side: int, most_bytes: int) -> list[tuple[str, str]]:
    """(domain, text) of documents of one side, as many bytes of each domain, drawn by a hash."""
    found: list[tuple[str, str]] = []
    for domain, surveyed in texts.items():
        held = [document.text for at, _, document in surveyed.documents() if at == side]
        total = 0
        for text in sorted(held, key=lambda one: digest_of(one, _KEY)):
            shown = text[:LONGEST_BYTES]
            if total + len(shown.encode()) <= most_bytes:
                total += len(shown.encode())
                found.append((domain, shown))
    return found


def _on_all_text(
    folder: Path, base: str, name: str, steps: int, texts: Mapping[str, Survey], seed: int, say: Say
) -> Path:
    """One adapter on as much text of each domain, with so many steps."""
    config = adapter_config(folder, base, name, seed=seed, steps=steps)
    assert config.text is not None
    config = config.with_changes(text=config.text.with_changes(paths=tuple(f"docs:{domain}" for domain in texts)))
    place = Path(config.output)
    if not is_complete(place):
        is_begun = (adapter_training_folder(config) / "run.yaml").is_file()
        say(f"{'Going on with' if is_begun else 'Training'} one adapter on the text of all: {steps} steps …")
        train_adapter(config, resume=is_begun, surveyed=survey(_of_all(texts)))
    if _steps_of(place) != steps:
        raise DataError(f"{place} was trained for {_steps_of(place)} steps, and {steps} are needed now; remove it")
    return place


def _of_all(texts: Mapping[str, Survey]) -> Texts:
    """The text of all domains, as much to learn from of each; every document on the side that it has in its own domain."""
    sides: dict[int, list[Document]] = {TRAIN: [], VALIDATION: [], TEST: []}
    learnt: list[list[Document]] = []
    for surveyed in texts.values():
        own: list[Document] = []
        for side, _, document in surveyed.documents():
            (own if side == TRAIN else sides[side]).append(document)
        learnt.append(sorted(own, key=lambda one: digest_of(one.source, _KEY)))
    least = min(sum(len(one.text.encode()) for one in own) for own in learnt)
    for own in learnt:
        total = 0
        for document in own:
            if total < least:
                sides[TRAIN].append(document)
                total += len(document.text.encode())
    return Texts.of_sides(sides, name="documentation")


def _measured(
    folder: Path, base: str, places: Mapping[str, Path], documents: Sequence[tuple[str, str]], learnt: Sequence[str]
) -> Measured:
    with SharedBase.open(base) as shared:
        words = shared.tokenizer
        kept = [one for one in documents if len(words.encode(one[1])) >= QUESTION_TOKENS + 8]
        if not kept:
            raise DataError(f"no held-out document has {QUESTION_TOKENS + 8} tokens; measure more bytes")
        files: dict[str, AdapterFiles] = {name: read_adapter(place) for name, place in places.items()}
        models: dict[str, Any] = {name: shared.model_with(shared.prepared(one)) for name, one in files.items()}
        models["base"] = shared.model_with(AdapterWeights({}))
        window = min(_SEQ_LEN, shared.engine.max_seq_len)
        told = foretold(models, [text for _, text in kept], words, seq_len=window, num_given=QUESTION_TOKENS)
        memory = Recollection.of(words.encode_batch(list(learnt)), vocab_size=words.vocab_size, end_id=words.start_id)
        recalled = tuple(_recalled(memory, words.encode(text), words.start_id) for _, text in kept)
        questions = [words.decode(words.encode(text)[:QUESTION_TOKENS]) for _, text in kept]
    router = LearnedRouter.from_pretrained(folder / ROUTER, TextVectors(Encoder.load()))
    rest = [name for name in told.names if name not in (SINGLE, SHORT)]
    return Measured(told, tuple(domain for domain, _ in kept), _priors(router, questions, rest), recalled)


def _recalled(memory: Recollection, token_ids: Sequence[int], start_id: int) -> Tensor:
    """(num_tokens, 2): what the recollection thought of each token, and what its word weighs."""
    read, rows = [start_id], []
    for token in token_ids:
        told, alike = memory.foretell(read)
        rows.append((float(told[token]), memory.weights[alike]))
        read.append(token)
    return torch.tensor(rows, dtype=torch.float64)


def _priors(router: LearnedRouter, questions: Sequence[str], names: Sequence[str]) -> Tensor:
    """(num_documents, k): the router's scores, `LEAST_PRIOR` at least, as a council has them."""
    routes = router.route([Request(question) for question in questions])
    rows = []
    for route in routes:
        scores = {each.expert: each.score for each in route.experts}
        rows.append([max(scores.get(name, 0.0), LEAST_PRIOR) for name in names])
    return torch.tensor(rows, dtype=torch.float64)


def _steps_of(place: Path) -> int:
    steps = (expert_card(str(place)).training or {}).get("steps")
    if not isinstance(steps, int):
        raise DataError(
            f"{place} does not say in how many steps it was trained; train it with iai expert quickstart --base"
        )
    return steps
