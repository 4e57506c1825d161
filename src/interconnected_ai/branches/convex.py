"""Head and wide part of a branch as one convex problem: multinomial logistic regression on vectors and words side by side.

How long words are beside meaning, and whether answers are smoothed, is chosen by cross-validation on the rows themselves, so
validation rows stay unread.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.arguments import checked
from interconnected_ai.branches.branch import Branch
from interconnected_ai.errors import NonFiniteLossError
from interconnected_ai.nn import (
    BagProduct,
    Bags,
    Problem,
    descend,
    fit_temperature,
    products_of,
    root_of,
    softmax_regression,
    surely_more_right,
    times,
)

SCALES = (0.5, 1.0, 2.0)
SMOOTHING = 0.1
_SURE = 3.0  # standard errors, beyond which smoothing has helped; measured on nine sets, see docs/log.md
_FOLDS = 5
_ABOUT = 0.005  # shares of right answers that differ by less are about the same where only some of the rows were tried
_FEWEST_ROWS = 4 * _FOLDS  # with fewer, folds say nothing
_FEW_ROWS = 2_000  # up to here the problem is solved by its rows, and its scale is chosen on as many
_STEPS, _STEPS_OF_A_FOLD = 100, 30


def regress(
    branch: Branch,
    pooled: Tensor,
    bags: Bags | None,
    targets: Tensor,
    texts: Sequence[str] | None = None,
    *,
    ridge: float,
    class_weights: Tensor | None = None,
    seed: int = 0,
) -> None:
    """Give head and wide part the weights that minimise Σ cross-entropy + ridge / 2 · ‖weights‖², the bias left free.

    pooled: (num_rows, d_model), bags: the same rows' terms, targets: (num_rows,). texts: the rows', by which folds show whether
    smoothed targets answer unseen rows better; None leaves targets as they are. L-BFGS (Liu and Nocedal 1989): over the rows'
    coefficients where rows are few (representer theorem), else over the weights, from where they are. The branch is changed in
    place: one thread at a time.
    """
    inputs = (pooled + branch.adapter(pooled)).detach()
    if not torch.isfinite(inputs).all():
        raise NonFiniteLossError(f"the vectors that branch {branch.card.name!r} learns from are not all numbers", 0)
    if branch.wide is None:
        bags = None
    problem = Problem(ridge, class_weights)
    if len(targets) > _FEW_ROWS:
        _by_weights(branch, inputs, bags, targets, problem)
        return
    similarity = _similarity(branch, inputs, bags)
    if texts is not None and len(targets) >= _FEWEST_ROWS:
        folds = _folds(texts, torch.Generator().manual_seed(seed)).to(targets.device)
        problem = _smoothed_where_it_helps(similarity, targets, folds, problem, branch.head.out_features)
    _by_rows(branch, inputs, bags, targets, similarity, problem)


def choose_scale(
    branch: Branch,
    pooled: Tensor,
    bags: Bags,
    targets: Tensor,
    texts: Sequence[str],
    *,
    ridge: float,
    class_weights: Tensor | None = None,
    seed: int = 0,
) -> float:
    """How long words should be beside the pooled vectors: that of `SCALES` that answers most rows which it has not learnt.

    By cross-validation on these rows, or on some thousand of them; rows of one text share a fold. Of scales that are as good
    the largest, where only some of the rows were tried of those that are about as good: the more rows, the more words say.
    Too few rows to tell: 1.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(targets), generator=generator)[:_FEW_ROWS].sort().values
    if len(rows) < _FEWEST_ROWS:
        return 1.0
    rows = rows.to(targets.device)
    inputs, targets, bags = (pooled + branch.adapter(pooled)).detach()[rows], targets[rows], bags.take(rows)
    folds = _folds([texts[row] for row in rows.tolist()], generator).to(targets.device)
    by_meaning, by_words = inputs @ inputs.T, products_of(bags, _num_terms(branch))

    problem = Problem(ridge, class_weights)

    def accuracy(scale: float) -> float:
        similarity = by_meaning + branch.length_of_words(scale) ** 2 * by_words
        logits = _unseen_logits(similarity, targets, folds, problem, branch.head.out_features)
        return (logits.argmax(dim=-1) == targets).double().mean().item()

    found = {scale: accuracy(scale) for scale in SCALES}
    about = _ABOUT if len(texts) > len(rows) else 0.0
    return max(scale for scale in SCALES if found[scale] >= max(found.values()) - about)


@checked
def scale_beside_learnt_vectors(num_rows: int) -> float:
    """How long words should be beside vectors of an encoder that has learnt the same rows.

    Folds of these rows say nothing of it: what the encoder has learnt already needs no words, and the shortest would be chosen
    always. Few rows know few words (docs/log.md).
    """
    return SCALES[0] if num_rows <= _FEW_ROWS else 1.0


def _smoothed_where_it_helps(
    similarity: Tensor, targets: Tensor, folds: Tensor, problem: Problem, num_classes: int
) -> Problem:
    """The problem with smoothed targets, where those answer more rows of other folds than plain ones by three standard errors
    of the rows that the two answer differently (McNemar 1947): few rows, unevenly dealt out. Else as it is.
    """
    smoothed = Problem(problem.ridge, problem.class_weights, SMOOTHING)
    plain, logits = (_unseen_logits(similarity, targets, folds, one, num_classes) for one in (problem, smoothed))
    was, found = (each.argmax(dim=-1) == targets for each in (plain, logits))
    if not surely_more_right([(was, found)], errors=_SURE):
        return problem
    return Problem(problem.ridge, problem.class_weights, SMOOTHING, fit_temperature(logits, targets))


def _unseen_logits(similarity: Tensor, targets: Tensor, folds: Tensor, problem: Problem, num_classes: int) -> Tensor:
    """(num_rows, num_classes): every row's logits by a regression on the rows of the other folds."""
    logits = torch.zeros(len(targets), num_classes, device=targets.device)
    for fold in range(_FOLDS):
        known, asked = (folds != fold).nonzero().flatten(), (folds == fold).nonzero().flatten()
        if len(known) and len(asked):
            root = root_of(similarity[known][:, known])
            unseen = torch.linalg.solve_triangular(root, similarity[known][:, asked], upper=False).T
            weights, bias = softmax_regression(root, targets[known], num_classes, problem, _STEPS_OF_A_FOLD)
            logits[asked] = unseen @ weights + bias
    return logits


def _similarity(branch: Branch, inputs: Tensor, bags: Bags | None) -> Tensor:
    """(num_rows, num_rows): products of vectors and of words as long as they are in this branch."""
    similarity = inputs @ inputs.T
    if branch.wide is None or bags is None:
        return similarity
    return similarity + branch.wide.scale**2 * products_of(bags, _num_terms(branch))


def _by_rows(
    branch: Branch, inputs: Tensor, bags: Bags | None, targets: Tensor, similarity: Tensor, problem: Problem
) -> None:
    root, wide = root_of(similarity), branch.wide
    weights, bias = softmax_regression(root, targets, branch.head.out_features, problem, _STEPS)
    weights, bias = weights / problem.temperature, bias / problem.temperature
    coefficients = torch.linalg.solve_triangular(root.T, weights, upper=True)  # (num_rows, num_classes)
    with torch.no_grad():
        branch.head.weight.copy_(coefficients.T @ inputs)
        branch.head.bias.copy_(bias)
        if wide is not None and bags is not None:
            wide.weight.copy_(wide.scale * times(bags.transposed(_num_terms(branch)), coefficients))


def _by_weights(branch: Branch, inputs: Tensor, bags: Bags | None, targets: Tensor, problem: Problem) -> None:
    head, wide = branch.head, branch.wide
    learnt = [head.weight, head.bias]
    product: tuple[Bags, Bags] | None = None
    if wide is not None and bags is not None:
        scaled = Bags(bags.terms, bags.starts, bags.weights * wide.scale)
        product = scaled, scaled.transposed(_num_terms(branch))
        learnt.append(wide.weight)

    def logits() -> Tensor:
        found = F.linear(inputs, head.weight, head.bias)
        if wide is None or product is None:
            return found
        return found + cast(Tensor, BagProduct.apply(wide.weight, *product))

    descend(logits, learnt, [each for each in learnt if each is not head.bias], targets, problem, _STEPS)


def _folds(texts: Sequence[str], generator: torch.Generator) -> Tensor:
    """(num_texts,) the fold of each; equal texts share one."""
    distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    order = torch.randperm(len(distinct), generator=generator) % _FOLDS
    return order[torch.tensor([distinct[text] for text in texts])]


def _num_terms(branch: Branch) -> int:
    assert branch.wide is not None
    return len(branch.wide.vocabulary)
