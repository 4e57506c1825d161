"""`Panel`: branches as they stood at one moment, and what they say of texts."""

from collections.abc import Iterable, Sequence
from typing import Self

import torch

from interconnected_ai.branches.branch import Branch
from interconnected_ai.branches.familiarity import lengths_of
from interconnected_ai.branches.features import TextFeatures
from interconnected_ai.branches.prediction import Answers, AnswerTable, Prediction
from interconnected_ai.branches.side_by_side import logits_of
from interconnected_ai.config import BranchCard
from interconnected_ai.nn import require_own_threads
from interconnected_ai.text import Lexicon, Vocabulary

_REMEMBERED = 64
_MANY = 16  # branches that know words, for which a lexicon is made


class Panel:
    """Branches with the cards that they had. Threads: any number may ask at once, whatever comes and goes beside."""

    def __init__(self, members: tuple[tuple[BranchCard, Branch], ...], panels: "Panels | None" = None) -> None:
        self.members = members
        self.is_asked_again = False
        self._panels = panels

    @classmethod
    def of(cls, branches: Iterable[Branch]) -> Self:
        """These branches, as they are."""
        return cls(tuple((branch.card, branch) for branch in branches))

    @property
    def vocabularies(self) -> list[Vocabulary]:
        """Of those branches that know words."""
        return [branch.wide.vocabulary for _, branch in self.members if branch.wide is not None]

    def table(self, features: TextFeatures, top_n: int) -> AnswerTable:
        """Every branch's answer to every text, the `top_n` best labels in each, as arrays."""
        require_own_threads()
        if self._panels is not None and self.is_asked_again:  # a lexicon takes as long as some passes without one
            features = features.with_lexicon(self._panels.lexicon_of(self.vocabularies))
        with torch.inference_mode():
            lengths = lengths_of(features.pooled)
            logits = logits_of([branch for _, branch in self.members], features)
            answered = zip(self.members, logits, strict=True)
            return AnswerTable.read(
                ((card, said, branch.nearness(features, lengths)) for (card, branch), said in answered), top_n
            )

    def answers(self, features: TextFeatures, top_n: int) -> list[Prediction]:
        """Every branch's answer to every text, the `top_n` best labels in each."""
        return predictions(self.table(features, top_n), features.texts)


def predictions(table: AnswerTable, texts: Sequence[str]) -> list[Prediction]:
    """What a table says, text by text."""
    return [Prediction(text, Answers(table, row)) for row, text in enumerate(texts)]


class Panels:
    """The panels of one set of branches: who asks for the same ones again, their cards unchanged, gets the same panel.

    So many panels are remembered, those asked for last. Any number of threads may ask at once.
    """

    def __init__(self, branches: Iterable[Branch] = ()) -> None:
        self._branches = tuple(branches)
        self._known: dict[tuple[int, ...], Panel] = {}  # a panel keeps its branches, so no other gets their ids
        self._lexicon: Lexicon | None = None

    def of(self, branches: Iterable[Branch]) -> Panel:
        """These branches, as they are."""
        made = Panel(tuple((branch.card, branch) for branch in branches), self)
        key = tuple(id(branch) for _, branch in made.members)
        known = self._known.pop(key, None)
        panel = made if known is None or known.members != made.members else known
        panel.is_asked_again = panel is known
        self._known[key] = panel
        if len(self._known) > _REMEMBERED:
            self._known.pop(next(iter(self._known), key), None)
        return panel

    def lexicon_of(self, vocabularies: Sequence[Vocabulary]) -> Lexicon | None:
        """One that knows all of these, beside those of all other branches; None for few."""
        if len(vocabularies) < _MANY:
            return None
        lexicon = self._lexicon
        if lexicon is None or not all(map(lexicon.knows, vocabularies)):
            standing = [branch.wide.vocabulary for branch in self._branches if branch.wide is not None]
            lexicon = self._lexicon = Lexicon([*standing, *vocabularies])
        return lexicon
