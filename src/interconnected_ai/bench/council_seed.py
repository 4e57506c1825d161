"""A council of experts that branched from one seed against dense models: bits per byte of held-out text of all domains.

The first tokens of a document are a request: routers read them, everybody is conditioned on them, and only what follows is
counted. Settings are chosen on validation documents; test documents are read once.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from interconnected_ai.bench.council_texts import DOMAINS, council_domains
from interconnected_ai.bench.council_trainings import Trained, Trainings, opened, widened
from interconnected_ai.bench.domain_texts import Domain
from interconnected_ai.bench.timing import machine
from interconnected_ai.branches import Encoder, TextVectors
from interconnected_ai.config import ExpertConfig, Precision
from interconnected_ai.data import TEST, VALIDATION
from interconnected_ai.experts import ExpertModel, Foretold, RunningWeights, foretold, mixed
from interconnected_ai.planner import expert_size, expert_training_flops
from interconnected_ai.routing import Example, LearnedRouter, LikelihoodRouter, understood
from interconnected_ai.types import LogLikelihoods, Request, Route, Router

SEED = "seed"
FORGETTINGS = (0.0, 0.02, 0.1, 0.2)
SEED_PRIORS = (0.02, 0.1, 0.3)  # what the seed's word weighs beside the experts' scores, which add up to 1
POWERS = (1.0, 0.5, 0.0)
_MOST_REQUESTS = 250  # of each domain, that the router learns from
# key, what it is, the goal; all are ceilings
GOALS = (
    ("council_over_dense_bpb", "council over dense, equal total tokens", 1.00),
    ("council_over_dense_bpb_equal_expert_tokens", "council over dense, tokens as many as an expert had", 0.97),
    ("over_oracle", "router's expert over the domain's own", 1.01),
)
Say = Callable[[str], None]


@dataclass(frozen=True)
class CouncilSizes:
    """What is compared.

    steps: of the dense model; seed and experts share as many. seed_share: the seed's part of them.
    branch_rate: an expert's highest rate over the seed's. num_given: tokens of a request. most_bytes: of each domain's text.
    """

    domains: tuple[str, ...] = DOMAINS
    vocab_size: int = 1000
    d_model: int = 64
    n_layers: int = 2
    n_heads: int = 2
    seq_len: int = 256
    batch_size: int = 8
    steps: int = 3000
    seed_share: float = 0.5
    branch_rate: float = 0.5
    lr: float = 0.0125
    num_given: int = 32
    most_bytes: int = 1_200_000
    held_fraction: float = 0.03
    precision: Precision = "auto"
    seed: int = 0

    @property
    def shape(self) -> ExpertConfig:
        """Of an expert, of the seed, and of the dense model of as many active parameters."""
        return ExpertConfig(
            vocab_size=self.vocab_size, d_model=self.d_model, n_layers=self.n_layers, n_heads=self.n_heads,
            max_seq_len=self.seq_len, dropout=0.0, norm="pre",
        )  # fmt: skip

    @property
    def seed_steps(self) -> int:
        """Of the seed."""
        return round(self.steps * self.seed_share)

    @property
    def branch_steps(self) -> int:
        """Of each expert."""
        return max(1, (self.steps - self.seed_steps) // len(self.domains))


def short(sizes: CouncilSizes) -> CouncilSizes:
    """A sixth of the work: four domains, fewer steps."""
    return replace(sizes, domains=sizes.domains[:4], steps=sizes.steps // 4, most_bytes=sizes.most_bytes // 2)


# What else is measured, for the curve: changes to the sizes. Shares of steps are of the full run's.
def curve_of(sizes: CouncilSizes) -> list[tuple[str, CouncilSizes]]:
    """(what differs, the sizes) of the points beside the full run's."""
    quarter = replace(sizes, steps=max(1, sizes.steps // 4))
    points = [("a sixteenth of the tokens", replace(sizes, steps=max(1, sizes.steps // 16)))]
    points += [
        (f"a quarter of the tokens, seed {share:.0%}", replace(quarter, seed_share=share))
        for share in (0.0, 0.25, 0.5, 0.75)
    ]
    if len(sizes.domains) > 4:
        points.append(("a quarter of the tokens, four alike domains", replace(quarter, domains=sizes.domains[:4])))
    points.append(
        (
            "a quarter of the tokens, twice as wide",
            replace(quarter, d_model=2 * sizes.d_model, n_heads=2 * sizes.n_heads, lr=sizes.lr / 2),
        )
    )
    return points


def bench_council_seed(
    sizes: CouncilSizes | None = None,
    *,
    domains: Sequence[Domain] | None = None,
    curve: bool = True,
    largest: bool = True,
    say: Say = print,
) -> dict[str, Any]:
    """Every contestant trained and measured; keys are those of `iai bench council --part seed --json`.

    domains: those that the sizes name, where they are at hand. curve: other tokens, seeds, domains and widths too.
    largest: the dense model of as many parameters as the whole council has, on as many tokens, which takes half of the time.
    Raises `MissingExtraError` without the libraries whose text is read.
    """
    sizes, started = sizes or CouncilSizes(), time.perf_counter()
    if domains is None:
        say(f"Reading {', '.join(sizes.domains)} …")
        domains = council_domains(
            sizes.domains, most_bytes=sizes.most_bytes, held_fraction=sizes.held_fraction, seed=sizes.seed
        )
    with opened(
        domains, sizes.vocab_size, batch_size=sizes.batch_size, precision=sizes.precision, seed=sizes.seed
    ) as trainings:
        say("Learning a router from how the domains' documents begin …")
        prior = _learned(domains, trainings, sizes.num_given)
        main = _Contest(sizes, domains, trainings, prior, say)
        found = main.result(largest=largest)
        points = [_point("all of the tokens", sizes, found)]
        for what, other in curve_of(sizes) if curve else []:
            say(f"The curve: {what} …")
            kept = [domain for domain in domains if domain.name in other.domains]
            points.append(
                _point(what, other, _Contest(other, kept, trainings, prior, say).result(largest=False, rows=False))
            )
    return {
        "machine": machine(),
        "sizes": asdict(sizes),
        "text_bytes": {domain.name: domain.num_bytes for domain in domains},
        **found,
        "curve": points,
        "seconds": time.perf_counter() - started,
    }


def council_goal_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures against the goals: what, value, goal."""
    return [{"what": what, "value": found[key], "goal": goal} for key, what, goal in GOALS if key in found]


def _point(what: str, sizes: CouncilSizes, found: Mapping[str, Any]) -> dict[str, Any]:
    keys = (
        "council_bpb", "dense_bpb", "council_over_dense_bpb", "council_over_dense_bpb_equal_expert_tokens", "over_oracle",
        "num_params", "dense_tokens", "expert_tokens", "text_tokens",
    )  # fmt: skip
    return {
        "what": what,
        "num_domains": len(sizes.domains),
        "seed_share": sizes.seed_share,
        **{key: found[key] for key in keys if key in found},
    }


@dataclass(frozen=True)
class _Settings:
    """How the experts deliberate, as validation documents prefer it. width: None are all."""

    width: int | None
    forgetting: float
    seed_prior: float


class _Contest:
    """One council and the dense models beside it."""

    def __init__(
        self, sizes: CouncilSizes, domains: Sequence[Domain], trainings: Trainings, prior: Router, say: Say
    ) -> None:
        self.sizes, self.domains, self.trainings, self.prior, self.say = sizes, domains, trainings, prior, say
        self.names = [domain.name for domain in domains]
        self.shape = sizes.shape.with_changes(vocab_size=trainings.tokenizer.vocab_size)

    def result(self, *, largest: bool, rows: bool = True) -> dict[str, Any]:
        """Figures of the council and of the dense models. rows: every width and contestant, not the goals' alone."""
        members = self._members()
        dense = self._dense(self.sizes.steps)
        alike = self._dense(self.sizes.seed_steps + self.sizes.branch_steps) if rows else None
        heard = {
            side: self._heard({name: one.model for name, one in members.items()}, side) for side in (VALIDATION, TEST)
        }
        router = self._router(heard[VALIDATION])
        choosing, asked = (
            _Judged(heard[side], self._priors(router, heard[side], side), self._owners(side))
            for side in (VALIDATION, TEST)
        )
        best = {width: _best(choosing, width) for width in _widths(len(self.names))}
        chosen = min(best.values(), key=choosing.bits)
        council, dense_bits = asked.bits(chosen), self._bits(dense)
        found: dict[str, Any] = {
            "num_params": dense.num_params,
            "text_tokens": self.trainings.tokens_of(self.names),
            "dense_tokens": dense.tokens,
            "expert_tokens": sum(one.tokens for name, one in members.items() if name in (SEED, self.names[0])),
            "settings": {**asdict(chosen), "width": chosen.width or len(members)},
            "council_bpb": council,
            "dense_bpb": dense_bits,
            "routed_bpb": asked.routed,
            "oracle_bpb": asked.own,
            "council_over_dense_bpb": council / dense_bits,
            "over_oracle": asked.routed / asked.own,
            "router_accuracy": asked.accuracy,
        }  # fmt: skip
        if alike is not None:
            found["council_over_dense_bpb_equal_expert_tokens"] = council / self._bits(alike)
            found["rows"] = self._rows(members, dense, alike, asked, best, largest)
            found["power"] = self._powers(members, choosing, chosen)
        return found

    # Trained

    def _members(self) -> dict[str, Trained]:
        """The experts by their domains, and the seed, if there is one."""
        sizes = self.sizes
        if not sizes.seed_steps:
            self.say(f"  {len(self.names)} experts from nothing, {sizes.branch_steps} steps each …")
            return {name: self.trainings.dense([name], self.shape, sizes.branch_steps, sizes.lr) for name in self.names}
        self.say(f"  a seed of {sizes.seed_steps} steps, {len(self.names)} experts of {sizes.branch_steps} more …")
        seed = self._dense(sizes.seed_steps)
        rate = sizes.lr * sizes.branch_rate
        experts = {name: self.trainings.branch(name, seed, sizes.branch_steps, rate) for name in self.names}
        return {**experts, SEED: seed}

    def _dense(self, steps: int, shape: ExpertConfig | None = None) -> Trained:
        lr = self.sizes.lr * self.shape.d_model / (shape or self.shape).d_model
        return self.trainings.dense(self.names, shape or self.shape, steps, lr)

    # Measured

    def _heard(self, models: Mapping[str, ExpertModel], side: int) -> Foretold:
        texts = [document.text for domain in self.domains for document in domain.sides[side]]
        return foretold(
            models, texts, self.trainings.tokenizer, num_given=self.sizes.num_given, most_tokens=self.sizes.seq_len
        )

    def _texts(self, side: int) -> list[tuple[str, list[int]]]:
        """(domain, token ids) of the documents that are measured, in the order of `_heard`."""
        words, shown = self.trainings.tokenizer, self.sizes.num_given
        found = []
        for domain in self.domains:
            for ids in words.encode_batch([document.text for document in domain.sides[side]]):
                if len(ids) > shown:
                    found.append((domain.name, ids[: self.sizes.seq_len]))
        return found

    def _owners(self, side: int) -> list[str]:
        return [name for name, _ in self._texts(side)]

    def _bits(self, one: Trained) -> float:
        heard = self._heard({"one": one.model}, TEST)
        return heard.bits_per_byte(heard.costs()[:, 0])

    # Routed

    def _router(self, choosing: Foretold) -> LikelihoodRouter:
        """Experts' likelihoods of a request beside what was learnt of the domains' texts; how much they say is fitted."""
        examples = [
            Example(text, owner)
            for text, owner in zip(self._requests(VALIDATION), self._owners(VALIDATION), strict=True)
        ]
        return LikelihoodRouter(self._likelihoods(choosing, VALIDATION), self.prior).with_fitted_weight(examples)

    def _priors(self, router: LikelihoodRouter, heard: Foretold, side: int) -> Tensor:
        """(num_documents, num_domains): the router's scores, in the order of the domains."""
        asking = replace(router, likelihoods=self._likelihoods(heard, side))
        routes = asking.route([Request(text) for text in self._requests(side)])
        rows = [{each.expert: each.score for each in route.experts} for route in routes]
        return torch.tensor([[row.get(name, 0.0) for name in self.names] for row in rows], dtype=torch.float64)

    def _requests(self, side: int) -> list[str]:
        words = self.trainings.tokenizer
        return [words.decode(ids[: self.sizes.num_given]) for _, ids in self._texts(side)]

    def _likelihoods(self, heard: Foretold, side: int) -> LogLikelihoods:
        """ln likelihood of the requests that were heard; those of one wording have one."""
        known = {
            understood(Request(text)).text: dict(zip(self.names, row[: len(self.names)].tolist(), strict=True))
            for text, row in zip(self._requests(side), -heard.given_costs(), strict=True)
        }
        return lambda texts: [known[text] for text in texts]

    # Told

    def _rows(
        self,
        members: Mapping[str, Trained],
        dense: Trained,
        alike: Trained,
        asked: "_Judged",
        best: Mapping[int | None, _Settings],
        largest: bool,
    ) -> list[dict[str, Any]]:
        whole = sum(one.num_params for one in members.values())
        flops = sum(one.flops for one in members.values())
        tokens = sum(one.tokens for one in members.values())
        single = next(iter(members.values()))

        def row(what: str, bits: float, width: int = 1) -> dict[str, Any]:
            return {
                "what": what, "bpb": bits, "active_params": width * single.num_params, "total_params": whole,
                "train_tokens": tokens, "train_flops": flops,
            }  # fmt: skip

        out = [row("routed, one expert", asked.routed)]
        for width, settings in best.items():
            said = "all" if width is None else f"{width}"
            out.append(row(f"routed, {said} deliberate", asked.bits(settings), width or len(members)))
        out += [
            row("the domain's own expert", asked.own),
            row("the best expert of each document, in hindsight", asked.hindsight),
            row("best single expert for all", asked.best_single),
            row("all alike, one mean", asked.uniform, len(members)),
        ]
        if SEED in members:
            out.append({**_dense_row("seed alone", members[SEED], asked.seed)})
        out.append(_dense_row("dense, equal active parameters, tokens and FLOPs", dense, self._bits(dense)))
        out.append(_dense_row("dense of an expert's tokens", alike, self._bits(alike)))
        wide = widened(self.shape, whole)
        per_step = expert_training_flops(wide, self.sizes.batch_size * self.sizes.seq_len)
        self.say(f"  dense of {expert_size(wide).num_params:,} parameters, equal FLOPs …")
        equal = self._dense(max(1, round(flops / per_step)), wide)
        out.append(_dense_row("dense, equal total parameters and training FLOPs", equal, self._bits(equal)))
        if largest:
            self.say(f"  dense of {expert_size(wide).num_params:,} parameters, equal tokens …")
            largest_one = self._dense(self.sizes.steps, wide)
            out.append(_dense_row("dense, equal total parameters and tokens", largest_one, self._bits(largest_one)))
        return out

    def _powers(self, members: Mapping[str, Trained], choosing: "_Judged", chosen: _Settings) -> list[dict[str, float]]:
        """What other means than the arithmetic one pay for validation documents, some of each domain."""
        texts = self._texts(VALIDATION)
        rows = _some_of_each([name for name, _ in texts], 12)
        with torch.inference_mode():
            paid = [_powered(members, choosing, chosen, row, texts[row][1], self) for row in rows]
        num_bytes = sum(choosing.heard.num_bytes[row] for row in rows)
        return [
            {"power": power, "bpb": sum(each[number] for each in paid) / math.log(2) / num_bytes}
            for number, power in enumerate(POWERS)
        ]


@dataclass(frozen=True)
class _Judged:
    """What the members paid for the documents of a side, and whom the router would ask.

    priors: (num_documents, num_domains). owners: the documents' domains.
    """

    heard: Foretold
    priors: Tensor
    owners: Sequence[str]

    def bits(self, settings: _Settings) -> float:
        """Of the mixture."""
        return self.heard.bits_per_byte(self.costs(settings))

    def costs(self, settings: _Settings) -> Tensor:
        """(num_documents,) of the mixture."""
        return self.heard.mixture_costs(
            self.with_seed(settings.seed_prior),
            width=settings.width,
            forgetting=settings.forgetting,
            always=SEED if self.has_seed else None,
        )

    def with_seed(self, seed_prior: float) -> Tensor:
        """(num_documents, k): the router's scores, with the seed's where there is one; nobody's word weighs nothing."""
        told = self.priors.clamp(min=1e-4)
        seed = torch.full((len(told), 1), seed_prior, dtype=torch.float64)
        return torch.cat([told, seed], dim=1) if self.has_seed else told

    @property
    def has_seed(self) -> bool:
        """Whether the seed is a member; it comes last."""
        return self.heard.names[-1] == SEED

    @property
    def _costs(self) -> Tensor:
        return self.heard.costs()

    def _at(self, columns: Tensor) -> float:
        return self.heard.bits_per_byte(self._costs.gather(1, columns[:, None])[:, 0])

    @property
    def routed(self) -> float:
        """Of the router's first choice alone."""
        return self._at(self.priors.argmax(1))

    @property
    def _own(self) -> Tensor:
        return torch.tensor([self.heard.names.index(name) for name in self.owners])

    @property
    def own(self) -> float:
        """Of the expert of the document's domain, as an oracle of domains would choose."""
        return self._at(self._own)

    @property
    def accuracy(self) -> float:
        """Documents whose own expert the router asks."""
        return float((self.priors.argmax(1) == self._own).double().mean())

    @property
    def hindsight(self) -> float:
        """Of the member that paid least for the document."""
        return self.heard.bits_per_byte(self._costs.min(1).values)

    @property
    def best_single(self) -> float:
        """Of the one domain's expert that is best for all documents."""
        return min(
            self.heard.bits_per_byte(self._costs[:, number])
            for number, name in enumerate(self.heard.names)
            if name != SEED
        )

    @property
    def uniform(self) -> float:
        """Of the plain mean of all members' distributions."""
        return self.heard.bits_per_byte(self.heard.mixture_costs(forgetting=1.0))

    @property
    def seed(self) -> float:
        """Of the seed alone."""
        return self.heard.bits_per_byte(self._costs[:, -1])


def _best(choosing: _Judged, width: int | None) -> _Settings:
    """The forgetting and the seed's prior that validation documents prefer at this width."""
    priors = SEED_PRIORS if choosing.has_seed else (0.0,)
    tried = [_Settings(width, forgetting, prior) for forgetting, prior in product(FORGETTINGS, priors)]
    return min(tried, key=choosing.bits)


def _widths(num_domains: int) -> list[int | None]:
    return [*(width for width in (2, 4) if width <= num_domains), None]


class _Remembering:
    """A router that is asked once what several contests ask."""

    def __init__(self, router: Router) -> None:
        self._router, self._known = router, dict[str, Route]()

    def route(self, requests: Sequence[Request], /) -> list[Route]:
        """The routes of the requests, in order."""
        unknown = list(dict.fromkeys(one.text for one in requests if one.text not in self._known))
        if unknown:
            self._known.update(zip(unknown, self._router.route([Request(text) for text in unknown]), strict=True))
        return [self._known[one.text] for one in requests]


def _learned(domains: Sequence[Domain], trainings: Trainings, num_given: int) -> Router:
    """Whose text begins so: learnt from the first tokens of documents that the experts learn, too."""
    words = trainings.tokenizer
    examples = []
    for domain in domains:
        texts = [document.text for document in domain.train[:_MOST_REQUESTS]]
        examples += [Example(words.decode(ids[:num_given]), domain.name) for ids in words.encode_batch(texts)]
    return _Remembering(LearnedRouter.fit(examples, TextVectors(Encoder.load())))


def _dense_row(what: str, one: Trained, bits: float) -> dict[str, Any]:
    return {
        "what": what, "bpb": bits, "active_params": one.num_params, "total_params": one.num_params,
        "train_tokens": one.tokens, "train_flops": one.flops,
    }  # fmt: skip


def _some_of_each(owners: Sequence[str], most: int) -> list[int]:
    taken: dict[str, int] = {}
    rows = []
    for row, owner in enumerate(owners):
        if taken.setdefault(owner, 0) < most:
            taken[owner] += 1
            rows.append(row)
    return rows


def _powered(
    members: Mapping[str, Trained],
    choosing: _Judged,
    chosen: _Settings,
    row: int,
    token_ids: list[int],
    contest: _Contest,
) -> list[float]:
    """Nats of one document after its request, for each of `POWERS`. Weights are those of the arithmetic mixture."""
    names = list(members)
    prior = choosing.with_seed(chosen.seed_prior)[row : row + 1]
    order = prior.clone()
    if choosing.has_seed:
        order[:, -1] = torch.inf
    kept = order.topk(min(chosen.width or len(names), len(names)), dim=-1).indices[0]
    read = torch.tensor([[contest.trainings.tokenizer.start_id, *token_ids[:-1]]])
    log_probs = torch.stack(
        [members[names[number]].model(read)[0].float().log_softmax(-1) for number in kept.tolist()], dim=1
    )  # (num_tokens, k, vocab_size)
    weights, weighed = RunningWeights(prior[:, kept], chosen.forgetting), []
    targets = torch.tensor(token_ids)
    told = log_probs[torch.arange(len(targets)), :, targets]  # (num_tokens, k)
    for each in told:
        weighed.append(weights.log_weights[0].clone())
        weights.observe(each[None])
    log_weights = torch.stack(weighed)
    shown = contest.sizes.num_given
    return [
        -float(mixed(log_weights, log_probs, power)[torch.arange(len(targets)), targets][shown:].double().sum())
        for power in POWERS
    ]
