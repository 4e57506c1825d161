"""How the weights of a topic model come to be: one convex problem, solved. The only file of the room that needs torch."""

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.nn import BagProduct, Bags, Problem, descend, fit_temperature, fit_threshold
from interconnected_ai.routing.topic_model import TextViews, TopicModel
from interconnected_ai.text import Vocabulary

RIDGE = 0.1  # scikit-learn's C = 10
_LEAST_DEVIATION = 1e-4


def fit_topic_model(
    views: TextViews,
    topics: np.ndarray,
    owners: np.ndarray,
    vocabulary: Vocabulary,
    *,
    scale: float,
    steps: int,
    start: TopicModel | None = None,
) -> TopicModel:
    """The weights that minimise Σ cross-entropy + ridge / 2 · ‖weights‖², the bias left free, after at most so many steps.

    topics: (num_texts,) the topic of each; owners: (num_topics,) each topic's expert. scale: how long a text's words are beside
    its vector. start: a model of the same texts and topics to go on from.
    """
    model = _without_weights(views, topics, owners, vocabulary) if start is None else start
    inputs, targets = torch.from_numpy(model.scaled(views.vectors)), torch.from_numpy(topics)
    weight, bias = _learnable(model.weight), _learnable(model.bias)
    learnt, penalised = [weight, bias], [weight]
    product: tuple[Bags, Bags] | None = None
    words = _learnable(model.words / np.float32(scale))
    if len(vocabulary):
        bags = Bags.joined([Bags(*map(torch.from_numpy, vocabulary.weighted(part))) for part in views.ngrams])
        scaled = Bags(bags.terms, bags.starts, bags.weights * scale)
        product = scaled, scaled.transposed(len(vocabulary))
        learnt.append(words)
        penalised.append(words)

    def logits() -> Tensor:
        found = inputs @ weight + bias
        if product is None:
            return found
        by_words: Tensor = BagProduct.apply(words, *product)
        return found + by_words

    descend(logits, learnt, penalised, targets, Problem(RIDGE), steps)
    return model.with_changes(weight=_array(weight), bias=_array(bias), words=_array(words) * np.float32(scale))


def temperature_of(logits: np.ndarray, targets: np.ndarray) -> float:
    """What (num_texts, num_experts) logits are divided by to be honest about these answers (see `nn.fit_temperature`)."""
    return fit_temperature(torch.from_numpy(logits), torch.from_numpy(targets))


def threshold_of(inside: np.ndarray, outside: np.ndarray | None, *, keep: float) -> float:
    """The score below which a text is nobody's business (see `nn.fit_threshold`); `keep` of the others score above it."""
    apart = None if outside is None else torch.from_numpy(outside)
    return fit_threshold(torch.from_numpy(inside), apart, keep=keep)


def _without_weights(views: TextViews, topics: np.ndarray, owners: np.ndarray, vocabulary: Vocabulary) -> TopicModel:
    """A model that knows what texts have in common and where topics lie, and answers nothing yet."""
    vectors, num_topics = views.vectors, len(owners)
    deviation = np.maximum(vectors.std(axis=0), _LEAST_DEVIATION * (1.0 + float(vectors.std())))
    model = TopicModel(
        owners=owners.astype(np.int64),
        mean=vectors.mean(axis=0),
        deviation=deviation.astype(np.float32),
        weight=np.zeros((vectors.shape[1], num_topics), np.float32),
        bias=np.zeros(num_topics, np.float32),
        vocabulary=vocabulary,
        words=np.zeros((len(vocabulary), num_topics), np.float32),
        directions=np.zeros((vectors.shape[1], num_topics), np.float32),
    )
    sums = np.zeros((num_topics, vectors.shape[1]), np.float32)
    np.add.at(sums, topics, model.scaled(vectors))
    sums[owners < 0] = 0.0  # what is nobody's business has no place that others could be near to
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return model.with_changes(directions=np.ascontiguousarray((sums / lengths).T))


def _learnable(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).clone().requires_grad_()


def _array(tensor: Tensor) -> np.ndarray:
    out: np.ndarray = tensor.detach().numpy()
    return out
