"""Growing: train one new branch on a finished trunk, on pooled vectors that are computed once."""

import copy
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.arguments import checked
from interconnected_ai.branches.arguments import labelled, labels_of, texts_of
from interconnected_ai.branches.branch import Branch
from interconnected_ai.branches.calibration import Answered, calibration
from interconnected_ai.branches.convex import choose_scale, regress
from interconnected_ai.branches.familiarity import class_directions
from interconnected_ai.branches.features import TextFeatures
from interconnected_ai.branches.naming import ClassNames
from interconnected_ai.branches.system import InterconnectedAISystem
from interconnected_ai.branches.turns import Turns
from interconnected_ai.config import BranchCard, TrainingConfig, Watch
from interconnected_ai.errors import ConfigError, DataError, NonFiniteLossError
from interconnected_ai.nn import (
    Bags,
    Descent,
    learning_rate_factor,
    require_own_threads,
    surely_more_right,
    watched_score,
)
from interconnected_ai.text import KnownTexts

_training = Turns()


@dataclass(frozen=True, eq=False)
class _Course:
    """How many epochs ran, after which of them the kept weights stood, and their share of right answers on validation rows.

    beginning: the branch's state after the regression, None without one or without validation rows.
    """

    epochs: int
    kept_epoch: int
    accuracy: float
    beginning: dict[str, Any] | None


@dataclass(frozen=True)
class BranchFit:
    """How training a branch went. validation_accuracy is a share of 1, NaN without validation rows, of the weights that had not
    learnt these (see `TrainingConfig.refit`). confusion: what these weights answered to the validation rows, as (right class,
    answer, how many rows), classes by their numbers.
    """

    card: BranchCard
    epochs: int
    validation_accuracy: float
    encode_seconds: float
    train_seconds: float
    confusion: tuple[tuple[int, int, int], ...] = ()


@checked
def fit_branch(
    system: InterconnectedAISystem,
    name: str,
    texts: Iterable[str],
    labels: Iterable[str],
    *,
    validation: tuple[Iterable[str], Iterable[str]] | None = None,
    outside: Iterable[str] = (),
    config: TrainingConfig | None = None,
    encode: Callable[[Sequence[str]], Tensor] | None = None,
) -> BranchFit:
    """Train the adapter, head and wide part of one branch; the trunk and every other branch stay as they are, bit for bit.

    labels: class names of the branch's spec. validation: texts and labels to stop early by and to calibrate on.
    outside: texts that are none of the branch's business, to fit its "unknown" threshold against. encode: gives texts' pooled
    vectors in place of `system.encode`, such as `FeatureCache.pooled`, which has those of texts that were learnt before.
    With `config.refit`, the regression that training begins with is kept unless descent has surely bettered it, and is solved
    once more in the end, on the validation rows too; temperature, threshold and the card's metrics are those of before.
    A copy is trained, and put in the branch's place when it is finished: who predicts meanwhile gets the branch as it was.
    Several threads may fit branches of one system; they take turns, since dropout draws from the process's one random stream.
    Texts and labels may come in anything with an order, a generator too. Raises `DataError` for no rows, or other numbers of
    texts and labels, `UnknownNameError` for a label the branch does not have, and `ConfigError` when the branch was removed or
    replaced meanwhile, or the system is not in float32.
    """
    config = config or TrainingConfig()
    standing = system.branch(name)
    texts, labels, validation, outside = _entered(system, standing.card, texts, labels, validation, outside)
    branch = copy.deepcopy(standing)
    encode = encode or system.encode
    started = time.perf_counter()
    features = TextFeatures(encode(texts), texts)
    targets = class_indices(branch.card, labels).to(features.pooled.device)
    held_out = None
    if validation is not None and len(validation[0]):
        asked = TextFeatures(encode(validation[0]), validation[0])
        held_out = asked, class_indices(branch.card, validation[1]).to(targets.device)
    outside_features = TextFeatures(encode(outside), outside) if len(outside) else None
    names = ClassNames.of(branch.card.spec.labels, encode) if config.class_names else None
    branch.take_words(texts)
    encoded = time.perf_counter()
    with _training():
        course = _train(branch, features, targets, held_out, config, names=names)
    if held_out is not None and config.refit:
        course = _regression_unless_beaten(branch, course, *held_out, config.watch)
    branch.directions = class_directions(features.pooled, targets, branch.head.out_features)
    fitted: dict[str, Any] = {"temperature": 1.0, "threshold": 0.0, "calibration_rows": 0, "outside_rows": 0}
    confusion: tuple[tuple[int, int, int], ...] = ()
    if held_out is not None:
        apart = None if outside_features is None else _answered(branch, outside_features)
        answered = _answered(branch, held_out[0])
        fitted = calibration(branch.card, answered, held_out[1], apart)
        confusion = _confusion(held_out[1], answered.logits)
    changes = {
        **fitted,
        "trained": "added",
        "num_rows": len(texts),
        "metrics": {} if held_out is None else {"accuracy": course.accuracy},
    }
    if config.refit and course.beginning is not None and held_out is not None and course.kept_epoch == 0:
        (known, seen), (asked, answers) = (features, targets), held_out
        solve_on_pooled(branch, known.joined(asked), torch.cat([seen, answers]), config, names=names)
    # A training that kept no record leaves the texts unknown, whatever comes after it.
    before = KnownTexts.of([]) if standing.card.trained is None else standing.learnt
    if before is not None:
        branch.learnt = before | KnownTexts.of([*texts, *(() if validation is None else validation[0])])
    (sealed,) = system.sealed([branch], [changes])
    system.replace_branch(standing, sealed)
    seconds = encoded - started, time.perf_counter() - encoded
    return BranchFit(sealed.card, course.epochs, course.accuracy, *seconds, confusion)


def _confusion(targets: Tensor, logits: Tensor) -> tuple[tuple[int, int, int], ...]:
    pairs = Counter(zip(targets.tolist(), logits.argmax(dim=-1).tolist(), strict=True))
    return tuple((right, said, count) for (right, said), count in sorted(pairs.items()))


def _answered(branch: Branch, features: TextFeatures) -> Answered:
    return Answered(branch.evaluate(features), branch.familiarity(features))


Labelled = tuple[list[str], list[str]]


def _entered(
    system: InterconnectedAISystem, card: BranchCard, texts: Any, labels: Any, validation: Any, outside: Any
) -> tuple[list[str], list[str], Labelled | None, list[str]]:
    """The rows of `fit_branch` as lists, looked at before anything is computed."""
    if (precision := next(system.trunk.parameters()).dtype) != torch.float32:
        raise ConfigError(f"the system computes in {precision}, too coarse to learn in; call system.float() first")
    learnt = texts_of(texts)
    if not learnt:
        raise DataError("a branch cannot be trained on zero rows; give texts and a label for each")
    held_out = None if validation is None else labelled(validation, card, "validation")
    return learnt, labels_of(labels, card, len(learnt)), held_out, texts_of(outside)


@checked
def class_indices(card: BranchCard, labels: Iterable[str | int]) -> Tensor:
    """Labels as the numbers of the head's outputs; `UnknownNameError` names a label that the branch does not have."""
    number = {label: index for index, label in enumerate(card.spec.labels)}
    return torch.tensor([number[label] for label in labels_of(labels, card)], dtype=torch.long)


@checked
def class_weights(targets: Tensor, num_classes: int) -> Tensor:
    """(num_classes,) weights that lift rare classes: 1/√count, scaled so that the mean over all rows is 1."""
    counts = torch.bincount(targets, minlength=num_classes).float()
    weights = counts.clamp(min=1).rsqrt()
    return weights * counts.sum() / (weights * counts).sum()


def _require_vectors(features: TextFeatures | Tensor, targets: Tensor, branch: Branch) -> None:
    num_classes, d_model = branch.head.weight.shape
    pooled = features.pooled if isinstance(features, TextFeatures) else features
    if not len(pooled):
        raise DataError("a branch cannot be trained on zero rows")
    if pooled.dim() != 2 or pooled.shape[1] != d_model or targets.shape != pooled.shape[:1]:
        raise DataError(
            f"vectors {tuple(pooled.shape)} and class numbers {tuple(targets.shape)}: needs (num_rows, {d_model}) "
            "and (num_rows,)"
        )
    if targets.dtype != torch.long or not 0 <= int(targets.min()) <= int(targets.max()) < num_classes:
        raise DataError(f"class numbers of branch {branch.card.name!r}: needs whole numbers of 0 to {num_classes - 1}")


@checked
def train_on_pooled(
    branch: Branch,
    features: TextFeatures | Tensor,
    targets: Tensor,
    held_out: tuple[TextFeatures | Tensor, Tensor] | None,
    config: TrainingConfig,
    *,
    epochs: int | None = None,
    names: ClassNames | None = None,
) -> tuple[int, float]:
    """Train one adapter, head and wide part on the features of rows and their class numbers (num_rows,): first head and wide
    part as a regression, where `config.ridge` says so, then all of them by descent for `epochs` (the config's, if not given).

    features: pooled vectors (num_rows, d_model) alone will do for a branch that has no wide part. held_out: the same of
    validation rows, to keep the epoch by that is best at `config.watch` (the first of equals). names: of the classes, each of
    which the regression learns as one more row.
    Returns the epochs run and the validation accuracy of the weights that are kept (NaN without validation rows). The branch
    is changed in place and the process's random state is used: one thread at a time, and nobody computes with this branch
    meanwhile. `fit_branch` sees to both.
    """
    course = _train(branch, features, targets, held_out, config, epochs=epochs, names=names)
    return course.epochs, course.accuracy


@checked
def solve_on_pooled(
    branch: Branch,
    features: TextFeatures | Tensor,
    targets: Tensor,
    config: TrainingConfig,
    *,
    names: ClassNames | None = None,
) -> None:
    """Give head and wide part the weights of the regression on these rows; terms, scale and adapter stay as they are.

    features, targets, names: as in `train_on_pooled`. `config.ridge` None is .1 here. The branch is changed in place: nobody
    computes with it meanwhile.
    """
    require_own_threads()
    _require_vectors(features, targets, branch)
    if names is not None:
        features, targets = names.beside(features, targets)
    pooled, bags = branch.read(features)
    regress(
        branch,
        pooled,
        bags,
        targets,
        features.texts if isinstance(features, TextFeatures) else None,
        ridge=_ridge_of(config, pooled),
        class_weights=_weights_of_classes(branch, targets, config),
        seed=config.seed,
    )


def _train(
    branch: Branch,
    features: TextFeatures | Tensor,
    targets: Tensor,
    held_out: tuple[TextFeatures | Tensor, Tensor] | None,
    config: TrainingConfig,
    *,
    epochs: int | None = None,
    names: ClassNames | None = None,
) -> _Course:
    """`train_on_pooled`, and which epoch was kept."""
    require_own_threads()
    _require_vectors(features, targets, branch)
    if held_out is not None:
        _require_vectors(*held_out, branch)
    pooled, bags = branch.read(features)
    asked = None if held_out is None else branch.read(held_out[0])
    generator = torch.Generator().manual_seed(config.seed)
    weights = _weights_of_classes(branch, targets, config)
    groups = [
        {"params": list(branch.adapter.parameters()), "lr": config.lr_adapter},
        {"params": list(branch.head.parameters()), "lr": config.lr_head},
    ]
    if branch.wide is not None:
        groups.append({"params": [branch.wide.weight], "lr": config.lr_wide, "weight_decay": config.wide_decay})
    steps_per_epoch = -(-len(pooled) // config.batch_size)
    epochs = config.epochs if epochs is None else epochs
    total = steps_per_epoch * epochs
    descent = Descent(
        groups,
        lambda step: learning_rate_factor(step, total, config.warmup_steps),
        weight_decay=config.weight_decay,
        gradient_clip=config.gradient_clip,
    )
    best, best_accuracy, best_epoch, waited, epoch = -math.inf, float("nan"), 0, 0, 0
    best_state: dict[str, Any] | None = None
    beginning: dict[str, Any] | None = None
    _begin(branch, *((features, targets) if names is None else names.beside(features, targets)), config)
    if config.ridge is not None and held_out is not None and asked is not None:
        best, best_accuracy = _scores(branch, asked, held_out[1], config.watch)
        best_state = beginning = copy.deepcopy(branch.state_dict())
    rng = torch.random.get_rng_state()
    torch.manual_seed(config.seed)  # dropout
    try:
        for epoch in range(1, epochs + 1):
            branch.train()
            for rows in torch.randperm(len(pooled), generator=generator).split(config.batch_size):
                rows = rows.to(pooled.device)
                logits = branch(pooled[rows], None if bags is None else bags.take(rows))
                loss = F.cross_entropy(logits, targets[rows], weights, label_smoothing=config.label_smoothing)
                if not torch.isfinite(loss):
                    raise NonFiniteLossError(f"the loss became {loss.item()} in epoch {epoch}; lower lr_head", epoch)
                descent.step(loss)
            if held_out is None or asked is None:
                continue
            score, right = _scores(branch, asked, held_out[1], config.watch)
            if best_state is None or score > best:
                best, best_accuracy, best_epoch, waited = score, right, epoch, 0
                best_state = copy.deepcopy(branch.state_dict())
            else:
                waited += 1
                if config.patience is not None and waited >= config.patience:
                    break
    finally:
        torch.random.set_rng_state(rng)
        branch.eval()
        descent.forget_gradients()
    if best_state is not None:
        branch.load_state_dict(best_state)
    return _Course(epoch, epoch if best_state is None else best_epoch, best_accuracy, beginning)


def _regression_unless_beaten(
    branch: Branch, course: _Course, asked: TextFeatures, targets: Tensor, watch: Watch
) -> _Course:
    """The course, back at its beginning where descent is not ahead of it for sure (`surely_more_right`): what a few validation
    rows prefer by luck is worth less than learning them.

    Where something else than accuracy is watched, that decides as it does. Changes the branch in place.
    """
    if watch != "accuracy" or course.beginning is None or course.kept_epoch == 0:
        return course
    begun = copy.deepcopy(branch)
    begun.load_state_dict(course.beginning)
    was, found = (each.evaluate(asked).argmax(dim=-1) == targets for each in (begun, branch))
    if surely_more_right([(was, found)]):
        return course
    branch.load_state_dict(course.beginning)
    return replace(course, kept_epoch=0, accuracy=was.double().mean().item())


def _begin(branch: Branch, features: TextFeatures | Tensor, targets: Tensor, config: TrainingConfig) -> None:
    """Set how long words are, and let head and wide part begin as a regression, as far as the config asks for it."""
    pooled, bags = branch.read(features)
    weights = _weights_of_classes(branch, targets, config)
    ridge = _ridge_of(config, pooled)
    if branch.wide is not None and bags is not None and isinstance(features, TextFeatures):
        scale = config.wide_scale
        if scale is None:
            scale = choose_scale(
                branch, pooled, bags, targets, features.texts, ridge=ridge, class_weights=weights, seed=config.seed
            )
        branch.wide.scale.fill_(branch.length_of_words(scale))
    if config.ridge is not None:
        texts = features.texts if isinstance(features, TextFeatures) else None
        regress(branch, pooled, bags, targets, texts, ridge=ridge, class_weights=weights, seed=config.seed)


def _ridge_of(config: TrainingConfig, pooled: Tensor) -> float:
    """The penalty for vectors of length √d_model."""
    return (config.ridge or 0.1) * pooled.shape[-1]


def _weights_of_classes(branch: Branch, targets: Tensor, config: TrainingConfig) -> Tensor | None:
    return class_weights(targets, branch.head.out_features) if config.class_weights == "balanced" else None


def _scores(branch: Branch, asked: tuple[Tensor, Bags | None], targets: Tensor, watch: Watch) -> tuple[float, float]:
    """What is watched of validation rows (higher is better), and their accuracy, of the branch as it is."""
    branch.eval()
    with torch.no_grad():
        logits = branch(*asked)
    return watched_score(logits, targets, watch), watched_score(logits, targets, "accuracy")
