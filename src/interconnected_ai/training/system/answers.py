"""Single answers to test rows and to text that is nobody's business: what a run keeps of them, without any text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter
from torch import Tensor

from interconnected_ai.arguments import checked
from interconnected_ai.branches import BranchCard, InterconnectedAISystem, TextFeatures, class_indices, probabilities
from interconnected_ai.data import Rows
from interconnected_ai.training.run_folder import as_record, content_of, write_json_safely
from interconnected_ai.training.system.foreign import FOREIGN_TEXTS

_DIGITS = 4  # of a probability


@dataclass(frozen=True, eq=False)
class RowAnswers:
    """What one branch answered to labelled rows.

    logits: (num_rows, num_classes); familiarity: (num_rows,); targets: (num_rows,) class numbers. All on the CPU.
    """

    card: BranchCard
    logits: Tensor
    familiarity: Tensor
    targets: Tensor

    @property
    def table(self) -> Tensor:
        """(num_rows, num_classes) probabilities at the branch's own temperature."""
        return probabilities(self.logits, self.card)


@dataclass(frozen=True)
class KeptAnswers:
    """One branch's answers as a run keeps them: class numbers and probabilities of the test rows, in the rows' order.

    labels: the classes' names. given: the probability of the row's own label. foreign_confidence, foreign_answered: of each
    of `FOREIGN_TEXTS` that the tokenizer can read how sure the branch was, and whether it answered with a class.
    """

    labels: list[str]
    targets: list[int]
    answers: list[int]
    confidence: list[float]
    given: list[float]
    foreign_confidence: list[float]
    foreign_answered: list[bool]


@checked
def answer_rows(
    system: InterconnectedAISystem, rows: Rows, *, encode: Callable[[Sequence[str]], Tensor] | None = None
) -> dict[str, RowAnswers]:
    """Every branch that `rows` has labels for, with its answers. One trunk pass over the texts serves them all.

    encode: texts to pooled vectors (num_texts, d_model) of the system as it is; None is `system.encode`.
    Raises `UnknownNameError` for a branch or a label that the system does not have.
    """
    names = [system.branch_name(name) for name in rows.branch_names if rows.of(name)[0]]
    features = TextFeatures((encode or system.encode)(rows.texts), rows.texts)
    out = {}
    for name in names:
        targets = class_indices(system.cards[name], rows.of(name)[1])
        mine = features[rows.rows_of(name)]
        logits, near = system.logits_of(mine, [name])[name].cpu(), system.branch(name).familiarity(mine).cpu()
        out[name] = RowAnswers(system.cards[name], logits, near, targets)
    return out


@checked
def keep_answers(path: Path, system: InterconnectedAISystem, answered: Mapping[str, RowAnswers]) -> None:
    """Write what the system answered to the test rows, and what it says to `FOREIGN_TEXTS`, as one JSON file."""
    features = system.features_of(_readable(system, FOREIGN_TEXTS))
    kept = {}
    for name, found in answered.items():
        confidence, chosen = found.table.max(dim=-1)
        table = probabilities(system.logits_of(features, [name])[name].cpu(), found.card).amax(dim=-1)
        near = system.branch(name).familiarity(features).cpu()
        kept[name] = KeptAnswers(
            labels=list(found.card.spec.labels),
            targets=found.targets.tolist(),
            answers=chosen.tolist(),
            confidence=_rounded(confidence),
            given=_rounded(found.table.gather(-1, found.targets[:, None])[:, 0]),
            foreign_confidence=_rounded(table),
            foreign_answered=(table * near >= found.card.threshold).tolist(),
        )
    write_json_safely(path, {name: asdict(answers) for name, answers in kept.items()})


def _readable(system: InterconnectedAISystem, texts: Sequence[str]) -> list[str]:
    """Those of which the encoder's tokenizer knows half of the tokens or more: the others are all one text to it."""
    tokenizer = system.encoder.tokenizer
    unknown, added = tokenizer.unk_token_id, set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    words = [[token for token in ids if token not in added] for ids in system.encoder.tokenize(texts)]
    return [text for text, ids in zip(texts, words, strict=True) if ids and 2 * ids.count(unknown) <= len(ids)]


@checked
def kept_answers(path: Path) -> dict[str, KeptAnswers]:
    """What `keep_answers` wrote, by branch; empty where there is no such file. Raises `IntegrityError` for a damaged one."""
    return as_record(path, content_of(path), _KEPT) if path.exists() else {}


@checked
def likely_mislabelled(confidence: Tensor, given: Tensor, correct: Tensor) -> Tensor:
    """(num_rows,) whether a row is answered otherwise than labelled so surely that its label is the likelier mistake.

    confidence: of the answer, given: of the row's label, both (num_rows,) calibrated probabilities; correct: (num_rows,).
    """
    return ~correct & (confidence >= SURE) & (given <= 1 - SURE)


SURE = 0.9  # of calibrated answers this sure, at most one in ten is wrong
_KEPT = TypeAdapter(dict[str, KeptAnswers])


def _rounded(values: Tensor) -> list[float]:
    return [round(value, _DIGITS) for value in values.to(torch.float64).tolist()]
