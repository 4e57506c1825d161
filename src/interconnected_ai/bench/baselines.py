"""What a system has to beat: TF-IDF with a linear SVM, and the frozen encoder with logistic regression."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.branches import Encoder, InterconnectedAISystem
from interconnected_ai.data import Rows, Splits
from interconnected_ai.extras import require
from interconnected_ai.training import FeatureCache, WordCounts, macro_f1

HITS = 3
TFIDF, FROZEN = "tfidf_svm", "frozen_logistic_regression"
PEERS = (TFIDF, FROZEN)
_BATCH = 256
_STRENGTHS = (0.01, 0.03, 0.1)  # of logistic regression on standardised vectors: C
_CHOSEN_ON = 4_000  # training rows at most, while the strength is chosen


@dataclass(frozen=True)
class Score:
    """Shares of 1. hit_at_3: the right label is among the three likeliest."""

    accuracy: float
    macro_f1: float
    hit_at_3: float


def score(ranked: Sequence[Sequence[str]], answers: Sequence[str]) -> Score:
    """ranked: for each row its likeliest labels, best first; answers: the right ones, which no method need know."""
    predicted = [labels[0] for labels in ranked]
    number = {label: index for index, label in enumerate(sorted({*answers, *predicted}))}
    ours, true = (torch.tensor([number[label] for label in labels]) for labels in (predicted, answers))
    return Score(
        accuracy=(ours == true).double().mean().item(),
        macro_f1=macro_f1(ours, true),
        hit_at_3=float(np.mean([answer in labels[:HITS] for labels, answer in zip(ranked, answers, strict=True)])),
    )


def score_of_system(system: InterconnectedAISystem, test: Rows, name: str) -> Score:
    """One branch's answers to its test rows."""
    texts, answers = test.of(name)
    found = system.predict(texts, branches=[name], top_n=HITS)
    return score([[label for label, _ in each.branches[name].top] for each in found], answers)


def margin_points(methods: Mapping[str, Score]) -> float:
    """Points of accuracy that "system" is above the better of the peers."""
    return 100 * (methods["system"].accuracy - max(methods[peer].accuracy for peer in PEERS))


def tfidf_svm(splits: Splits, name: str) -> Score:
    """The baseline of `iai train`, its likeliest labels ranked."""
    texts, labels = _learnt(splits, name)
    asked, answers = splits.test.of(name)
    return score(WordCounts.fit(texts, labels).ranked(asked, HITS), answers)


def frozen_logistic_regression(splits: Splits, name: str, encoder: Encoder, *, features: Path | None = None) -> Score:
    """Mean-pooled vectors of the frozen encoder, scaled to length 1 and standardised, multinomial logistic regression.

    encoder: without a LoRA that has learnt. The regression's strength is chosen on the validation rows, where there are some;
    then it learns from these too. features: a feature cache to take the encoder's outputs from, and to put new ones into.
    """
    require("sklearn", "bench", "the logistic regression baseline")

    def vectors(texts: Sequence[str]) -> np.ndarray:
        return frozen_vectors(list(texts), encoder, features)

    texts, labels = _learnt(splits, name)
    known = vectors(texts)
    learnt = len(splits.train.of(name)[0])
    strength = _strength(known[:learnt], labels[:learnt], known[learnt:], labels[learnt:])
    asked, answers = splits.test.of(name)
    return score(_ranked(_logistic_regression(strength).fit(known, labels), vectors(asked)), answers)


def frozen_vectors(texts: list[str], encoder: Encoder, features: Path | None = None) -> np.ndarray:
    """(num_texts, d_model): what the encoder alone knows, without any of our layers. Vectors of length 1."""
    system = _bare_system(encoder)
    pooled = system.encode(texts) if features is None else _cached_vectors(system, texts, features)
    out: np.ndarray = F.normalize(pooled).cpu().numpy()
    return out


def _strength(learnt: np.ndarray, labels: list[str], held_out: np.ndarray, answers: list[str]) -> float:
    """The C that is right most often on held-out vectors."""
    if not len(held_out) or len(set(labels)) < 2:
        return _STRENGTHS[1]
    rows = np.random.default_rng(0).permutation(len(learnt))[:_CHOSEN_ON]
    some = [labels[row] for row in rows]
    right = {c: _logistic_regression(c).fit(learnt[rows], some).score(held_out, answers) for c in _STRENGTHS}
    return max(right, key=lambda c: right[c])


def _logistic_regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))


def _ranked(model: Any, asked: Any) -> list[list[str]]:
    """The likeliest labels of each row, best first, of a fitted model of scikit-learn."""
    table = np.asarray(model.decision_function(asked))
    if table.ndim == 1:  # two classes have one column: for the second
        table = np.stack([-table, table], axis=1)
    best = np.argsort(-table, axis=1, kind="stable")[:, :HITS]
    return [[str(label) for label in row] for row in np.asarray(model.classes_)[best]]


def _cached_vectors(system: InterconnectedAISystem, texts: list[str], features: Path) -> Tensor:
    cache = FeatureCache(features, system)
    cache.build(texts)
    with torch.inference_mode():
        parts = [system.trunk(*cache.read(texts[i : i + _BATCH]))[0] for i in range(0, len(texts), _BATCH)]
    return torch.cat(parts)


def _bare_system(encoder: Encoder) -> InterconnectedAISystem:
    """A trunk of no layers: the encoder's mean pooling and nothing else."""
    system = InterconnectedAISystem(
        branches=[], num_moe_layers=0, max_seq_len=encoder.max_seq_len, encoder=encoder, base_model_name=encoder.name
    )
    system.trunk.norm = torch.nn.Identity()  # type: ignore[assignment]
    return system


def _learnt(splits: Splits, name: str) -> tuple[list[str], list[str]]:
    """Training rows, then validation rows: the baselines stop by no validation."""
    known = Rows.joined([splits.train, splits.validation])
    return known.of(name)
