"""What a system has to beat: TF-IDF with a linear SVM, and the frozen encoder with logistic regression."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.branches import Encoder, InterconnectedAISystem
from interconnected_ai.data import Rows, Splits
from interconnected_ai.extras import require
from interconnected_ai.training import FeatureCache, macro_f1

_BATCH = 256


@dataclass(frozen=True)
class Score:
    """Shares of 1."""

    accuracy: float
    macro_f1: float


def tfidf_svm(splits: Splits, name: str) -> Score:
    """Words (1, 2) and characters within words (2 to 4), TF-IDF, linear SVM with C = 0.5."""
    require("sklearn", "bench", "the TF-IDF baseline")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    model = make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True),
        ),
        LinearSVC(C=0.5),
    )
    texts, labels = _learnt(splits, name)
    asked, answers = splits.test.of(name)
    return score(model.fit(texts, labels).predict(asked), answers)


def frozen_logistic_regression(
    splits: Splits, name: str, *, max_seq_len: int = 128, c: float = 10.0, features: Path | None = None
) -> Score:
    """Mean-pooled, length-normalised vectors of the frozen embedded encoder, multinomial logistic regression.

    features: a feature cache to take the encoder's outputs from, and to put those of new texts into.
    """
    require("sklearn", "bench", "the logistic regression baseline")
    from sklearn.linear_model import LogisticRegression

    texts, labels = _learnt(splits, name)
    asked, answers = splits.test.of(name)
    model = LogisticRegression(C=c, max_iter=2000).fit(frozen_vectors(texts, max_seq_len, features), labels)
    return score(model.predict(frozen_vectors(asked, max_seq_len, features)), answers)


def frozen_vectors(texts: list[str], max_seq_len: int, features: Path | None = None) -> np.ndarray:
    """(num_texts, d_model): what the encoder alone knows, without any of our layers."""
    system = _bare_system(max_seq_len)
    pooled = system.encode(texts) if features is None else _cached_vectors(system, texts, features)
    out: np.ndarray = F.normalize(pooled).cpu().numpy()
    return out


def _cached_vectors(system: InterconnectedAISystem, texts: list[str], features: Path) -> Tensor:
    cache = FeatureCache(features, system)
    cache.build(texts)
    with torch.inference_mode():
        parts = [system.trunk(*cache.read(texts[i : i + _BATCH]))[0] for i in range(0, len(texts), _BATCH)]
    return torch.cat(parts)


def score(predicted: Any, answers: list[str]) -> Score:
    """Accuracy and macro-F1 of predicted labels."""
    number = {label: index for index, label in enumerate(sorted({*answers, *predicted}))}
    ours, true = (torch.tensor([number[label] for label in labels]) for labels in (predicted, answers))
    return Score((ours == true).double().mean().item(), macro_f1(ours, true))


@lru_cache(maxsize=2)
def _bare_system(max_seq_len: int) -> InterconnectedAISystem:
    """A trunk of no layers: the encoder's mean pooling and nothing else."""
    encoder = Encoder.load(max_seq_len=max_seq_len)
    system = InterconnectedAISystem(branches=[], num_moe_layers=0, max_seq_len=max_seq_len, encoder=encoder)
    system.trunk.norm = torch.nn.Identity()  # type: ignore[assignment]
    return system


def _learnt(splits: Splits, name: str) -> tuple[list[str], list[str]]:
    """Training and validation rows: the baselines stop by no validation."""
    known = Rows.joined([splits.train, splits.validation])
    return known.of(name)
