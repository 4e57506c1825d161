"""Routers on public sets: rules, nearest examples and learned ones beside TF-IDF with a linear SVM; out of scope, and times."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interconnected_ai.bench.routing_rules import rules_from
from interconnected_ai.bench.routing_sessions import session_figures
from interconnected_ai.bench.routing_sets import ROUTING_SETS, RoutingSet, load_routing_set
from interconnected_ai.bench.timing import machine
from interconnected_ai.branches import Encoder, TextVectors
from interconnected_ai.routing import (
    Cascade,
    Example,
    ExpertCard,
    LearnedRouter,
    RouterMetrics,
    RuleRouter,
    SemanticRouter,
    evaluate_router,
    latencies,
    percentile,
)
from interconnected_ai.training import WordCounts, auroc, encoder_by_language
from interconnected_ai.types import Encode, Request, Router

SETS = tuple(ROUTING_SETS)
MOST_FALSE = 0.04  # of in-scope requests, where recall of out-of-scope ones is read off
# key, what it is, the goal, and whether the goal is a ceiling
GOALS = (
    ("accuracy_learned", "learned: right expert", 0.97, False),
    ("oos_recall", "out of scope to the fallback", 0.85, False),
    ("false_oos", "in scope to the fallback", 0.04, True),
    ("rules_p99_ms", "500 rules: 99 of 100 decisions, ms", 1.0, True),
    ("learned_p99_ms", "learned: 99 of 100 decisions, ms", 25.0, True),
)
_TIMED_BY_RULES, _TIMED_BY_MODELS = 2_000, 300
Say = Callable[[str], None]


def bench_routing(
    folder: Path,
    *,
    sets: Sequence[str] = SETS,
    rows: int | None = None,
    on_validation: bool = False,
    say: Say = print,
) -> dict[str, Any]:
    """Every set: learnt, chosen on validation rows, and then asked once. Keys are those of `iai bench routing --json`.

    rows: of every side, for a trial. on_validation: leave the test rows unread; half of the validation rows is asked in their
    place. Raises `DataError` for a set that is not there.
    """
    started = time.perf_counter()
    loaded = [load_routing_set(folder, name) for name in sets]
    if on_validation:
        loaded = [each.on_validation() for each in loaded]
    if rows is not None:
        loaded = [each.first(rows) for each in loaded]
    measured = [_measure(each, say, on_validation) for each in loaded]
    figures = {key: value for each in measured[:1] for key, value in each["figures"].items()}
    figures |= {f"{each['set']}_{key}": value for each in measured for key, value in each["figures"].items()}
    return {
        "machine": machine(),
        "asked": "validation" if on_validation else "test",
        "sets": measured,
        "seconds": time.perf_counter() - started,
        **figures,
    }


def routing_goal_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures of the first set against the goals: what, value, goal, whether the goal is a ceiling."""
    return [
        {"what": what, "value": found[key], "goal": goal, "at_most": at_most}
        for key, what, goal, at_most in GOALS
        if found.get(key) is not None
    ]


def _measure(asked: RoutingSet, say: Say, on_validation: bool) -> dict[str, Any]:
    """One set's part of the JSON: every router is made before a row is asked."""
    texts = [each.text for each in asked.train]
    choice = encoder_by_language(texts)
    say(f"{asked.name}: {len(asked.train):,} requests to learn, {len(asked.test):,} to ask, encoder {choice}")
    encode = _Remembering(TextVectors(Encoder.load(choice.base_model_name)))
    rules = RuleRouter.from_text(rules_from(asked.train), source="rules")
    say(f"  {len(rules.book.rules)} rules")
    learned = LearnedRouter.fit(asked.train, encode, validation=asked.validation, say=lambda words: say(f"  {words}"))
    semantic = SemanticRouter.fit(
        _cards(asked.train), encode, validation=asked.validation, say=lambda words: say(f"  {words}")
    )
    by_words = _by_words(asked)
    cascade = Cascade([learned, semantic], fallback="nobody")
    routers: dict[str, Router] = {"rules": rules, "knn": semantic, "learned": learned, "cascade": cascade}
    found = {name: evaluate_router(router, asked.test) for name, router in routers.items()}
    own = [each for each in asked.test if each.expert is not None]
    found_by_words = by_words.ranked([each.text for each in own])
    tfidf = float(
        np.mean([row[0].split("\t")[0] == each.expert for row, each in zip(found_by_words, own, strict=True)])
    )
    for name, metrics in found.items():
        say(f"  {name}: {_in_words(metrics)}")
    say(f"  tfidf_svm: {tfidf:.2%} right")
    sessions = {}
    if any(each.expert is None for each in asked.test):
        sessions = session_figures(learned, asked.test, "English", chooses=on_validation)
    times = _times(asked, rules, learned, semantic, encode)
    return {
        "set": asked.name,
        "encoder": encode.model_id,
        "num_train": len(asked.train),
        "num_test": len(own),
        "num_outside": len(asked.test) - len(own),
        "cut": list(asked.cut),
        "routers": {name: metrics.to_dict() for name, metrics in found.items()},
        "figures": {
            **{f"accuracy_{name}": metrics.accuracy for name, metrics in found.items()},
            "accuracy_tfidf_svm": tfidf,
            **_out_of_scope(learned, asked.test),
            "oos_recall": found["learned"].oos_recall,
            "false_oos": found["learned"].false_oos if found["learned"].oos_recall is not None else None,
            "knn_oos_recall": found["knn"].oos_recall,
            "knn_false_oos": found["knn"].false_oos if found["knn"].oos_recall is not None else None,
            **sessions,
            **times,
        },
    }


def _times(
    asked: RoutingSet, rules: RuleRouter, learned: LearnedRouter, semantic: SemanticRouter, encode: "_Remembering"
) -> dict[str, float]:
    """Milliseconds that 99 of 100 decisions take at most, one request at a time, vectors computed anew."""
    requests = [Request(each.text) for each in asked.test]
    with encode.forgetting():
        taken = {
            "rules": latencies(rules, requests[:_TIMED_BY_RULES]),
            "learned": latencies(learned, requests[:_TIMED_BY_MODELS]),
            "knn": latencies(semantic, requests[:_TIMED_BY_MODELS]),
        }
    return {
        "num_rules": float(len(rules.book.rules)),
        **{f"{name}_p50_ms": 1000 * percentile(seconds, 0.50) for name, seconds in taken.items()},
        **{f"{name}_p99_ms": 1000 * percentile(seconds, 0.99) for name, seconds in taken.items()},
    }


def _out_of_scope(learned: LearnedRouter, test: Sequence[Example]) -> dict[str, float]:
    """How well the learned router's score tells nobody's requests from others, wherever its threshold lies."""
    texts = [each.text for each in test]
    if all(each.expert is not None for each in test):
        return {}
    sure = learned.scores(texts)[1]
    is_own = np.array([each.expert is not None for each in test])
    least = np.quantile(sure[is_own], MOST_FALSE)
    return {
        "oos_auroc": auroc(torch.from_numpy(sure[is_own]), torch.from_numpy(sure[~is_own])),
        "oos_recall_at_4_percent_false": float(np.mean(sure[~is_own] < least)),
    }


def _by_words(asked: RoutingSet) -> WordCounts:
    """TF-IDF and a linear SVM over experts or topics, whichever validation rows prefer; then it learns these too."""
    train, validation = ([each for each in side if each.expert is not None] for side in (asked.train, asked.validation))

    def labels(rows: Sequence[Example], finely: bool) -> list[str]:
        return [f"{each.expert}\t{each.topic}" if finely else str(each.expert) for each in rows]

    def right(finely: bool) -> float:
        fitted = WordCounts.fit([each.text for each in train], labels(train, finely))
        ranked = fitted.ranked([each.text for each in validation])
        return float(
            np.mean([row[0].split("\t")[0] == each.expert for row, each in zip(ranked, validation, strict=True)])
        )

    finely = right(True) >= right(False)
    known = [*train, *validation]
    return WordCounts.fit([each.text for each in known], labels(known, finely))


def _cards(examples: Sequence[Example]) -> list[ExpertCard]:
    texts: dict[str, list[str]] = defaultdict(list)
    for each in examples:
        if each.expert is not None:
            texts[each.expert].append(each.text)
    return [ExpertCard(expert, examples=tuple(own)) for expert, own in sorted(texts.items())]


def _in_words(found: RouterMetrics) -> str:
    outside = ""
    if found.oos_recall is not None:
        outside = f", {found.oos_recall:.2%} out of scope refused, {found.false_oos:.2%} in scope"
    return f"{found.accuracy:.2%} right{outside}"


class _Remembering:
    """An `Encode` that computes a text once, since several routers learn from the same; not while times are taken."""

    def __init__(self, encode: TextVectors) -> None:
        self.model_id = encode.model_id
        self._encode: Encode = encode
        self._known: dict[str, np.ndarray] = {}
        self._remembers = True

    def __call__(self, texts: Sequence[str], /) -> np.ndarray:
        if not self._remembers:
            fresh: np.ndarray = self._encode(texts)
            return fresh
        unknown = list(dict.fromkeys(text for text in texts if text not in self._known))
        if unknown:
            self._known.update(zip(unknown, self._encode(unknown), strict=True))
        return np.stack([self._known[text] for text in texts])

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """While the block runs every text is computed anew."""
        self._remembers = False
        try:
            yield
        finally:
            self._remembers = True
