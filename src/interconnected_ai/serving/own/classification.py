"""What branches say of texts as JSON, written straight from the table of their answers: no record is made of any of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

if TYPE_CHECKING:
    from interconnected_ai.branches import AnswerPart, AnswerTable
    from interconnected_ai.config import BranchCard

_ROWS = 64  # texts that are written at once: some megabytes of pieces with hundreds of branches
_MOST_CARDS = 4096
_TRUTHS = np.array([b"false", b"true"], dtype=object)


@dataclass(frozen=True, eq=False)
class _Words:
    """A branch's words as JSON: its name with the beginning of its answer, its labels, its refusal. card: whose they are."""

    card: "BranchCard"
    begin: bytes
    labels: np.ndarray
    refusal: bytes

    @classmethod
    def of(cls, card: "BranchCard") -> "_Words":
        labels = np.empty(len(card.spec.labels), dtype=object)
        labels[:] = [_as_json(label) for label in card.spec.labels]
        return cls(card, _as_json(card.name) + b':{"label":', labels, _as_json(card.spec.refusal))


class AnswerWriter:
    """Each text's answers of all branches, as one JSON object: {"BRANCH": {"label": …, "answer": …, …}, …}.

    Names and labels become JSON once, when a card is first met. Any number of threads may write at once.
    """

    def __init__(self) -> None:
        self._known: dict[int, _Words] = {}  # by the card's id, which is no other's while it is kept here

    def __call__(self, table: "AnswerTable", texts: Sequence[str]) -> list[bytes]:
        """A text's answers each, in the branches' order."""
        written: list[bytes] = []
        for start in range(0, len(texts), _ROWS):
            tables = [self._pieces(part, slice(start, start + _ROWS)) for part in table.parts]
            if len(tables) == 1:  # joined but once
                whole = tables[0].reshape(len(tables[0]), -1)
            else:
                whole = np.concatenate([_joined(each) for each in tables], axis=1)[:, table.columns]
            written += [b"{" + b"".join(pieces)[:-1] + b"}" for pieces in whole.tolist()]
        return written

    def _pieces(self, part: "AnswerPart", rows: slice) -> np.ndarray:
        """(num_texts, branches, pieces) of answers, each with its branch's name before it and a comma behind it."""
        words = [self._words_of(card) for card in part.cards]
        classes = part.classes[rows]  # (num_texts, branches, top)
        labels = np.stack([each.labels for each in words])[np.arange(len(words))[:, None], classes]
        shares, familiarity = _numbers(part.best[rows]), _numbers(part.familiarity[rows])
        unknown = part.unknown[rows]
        label, share = labels[..., 0], shares[..., 0]
        answer = np.where(unknown, _objects([each.refusal for each in words]), label)
        pieces: list[Any] = [
            _objects([each.begin for each in words]), label, b',"answer":', answer, b',"confidence":', share, b',"unknown":',
            _TRUTHS[unknown.astype(np.intp)], b',"familiarity":', familiarity, b',"top":[{"label":', label,
            b',"probability":', share,
        ]  # fmt: skip
        for place in range(1, classes.shape[-1]):
            pieces += [b'},{"label":', labels[..., place], b',"probability":', shares[..., place]]
        pieces.append(b"}]},")
        table = np.empty((*unknown.shape, len(pieces)), dtype=object)
        for number, piece in enumerate(pieces):
            table[..., number] = piece
        return table

    def _words_of(self, card: "BranchCard") -> _Words:
        found = self._known.get(id(card))
        if found is None:
            if len(self._known) >= _MOST_CARDS:  # of cards that were exchanged, mostly
                self._known = {}
            found = self._known[id(card)] = _Words.of(card)
        return found


def _joined(table: np.ndarray) -> np.ndarray:
    """(…) the pieces of each place one after another. table: (…, pieces), bytes everywhere."""
    *shape, num_pieces = table.shape
    return _objects([b"".join(each) for each in table.reshape(-1, num_pieces).tolist()]).reshape(shape)


def _numbers(values: np.ndarray) -> np.ndarray:
    """Numbers as JSON, each as short as tells it from all others; null for what is none."""
    flat = np.ascontiguousarray(values, dtype=np.float64).reshape(-1)
    return _objects(orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")).reshape(values.shape)


def _objects(values: list[bytes]) -> np.ndarray:
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def _as_json(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
