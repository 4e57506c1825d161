"""Files of conversations or preferences as what a learner reads: sides of token ids, what is odd about them, kept on disk."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

import numpy as np

from interconnected_ai.arguments import checked
from interconnected_ai.data import (
    ChatExample,
    PreferencePair,
    Remark,
    RowRecord,
    dealt_out,
    read_chats,
    read_preferences,
)
from interconnected_ai.errors import DataError, IntegrityError
from interconnected_ai.storage import atomic_folder, load_arrays, read_folder, read_json, save_arrays, write_json
from interconnected_ai.training.chats.rendering import (
    Fitted,
    Renders,
    TokenizedChat,
    TokenizedPair,
    TooLong,
    fitted_chat,
    fitted_pair,
)
from interconnected_ai.training.portrait import Portrait, spread
from interconnected_ai.types import ChatMessage

KIND = "interconnected_ai conversations"
FEW = 50  # conversations: fewer teach a tone, hardly a subject
_SIDES = ("train", "validation", "test")
_ARRAYS, _FACTS = "tokens.npz", "facts.json"

Item = TypeVar("Item", TokenizedChat, TokenizedPair)
Example = TypeVar("Example", ChatExample, PreferencePair)


@dataclass(frozen=True, eq=False)
class _Corpus(ABC, Generic[Item]):
    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]
    record: RowRecord
    remarks: tuple[Remark, ...] = ()
    share_cut: float = 0.0
    portrait: Portrait = field(default_factory=Portrait)

    @property
    def facts(self) -> dict[str, Any]:
        """Examples and learnt tokens of each side, and the remarks, ready for JSON."""
        return {
            "sides": {
                name: {
                    "num_examples": len(side),
                    "num_tokens": sum(len(chat) for item in side for chat in chats_of(item)),
                    "num_counted": sum(chat.num_counted for item in side for chat in chats_of(item)),
                    "longest": max((len(item) for item in side), default=0),
                }
                for name, side in zip(_SIDES, (self.train, self.validation, self.test), strict=True)
            },
            "share_cut": self.share_cut,
            "remarks": [[remark.name, remark.evidence, remark.remedy] for remark in self.remarks],
        }

    def save(self, folder: Path) -> None:
        """Write it as a folder, whole or not at all."""
        sides = (self.train, self.validation, self.test)
        chats: list[TokenizedChat] = [chat for side in sides for item in side for chat in chats_of(item)]
        arrays = {
            "ids": np.concatenate([np.empty(0, dtype=np.int64), *(chat.ids for chat in chats)]),
            "counted": np.concatenate([np.empty(0, dtype=bool), *(chat.counted for chat in chats)]),
            "lengths": np.array([len(chat) for chat in chats], dtype=np.int64),
            "sides": np.array([len(side) for side in sides], dtype=np.int64),
            **{f"record_{name}": array for name, array in self.record.arrays.items()},
        }
        with atomic_folder(folder, kind=KIND) as scratch:
            save_arrays(scratch / _ARRAYS, arrays)
            more = {
                "per_example": self._per_example(),
                "record": self.record.facts,
                "portrait": self.portrait.to_dict(),
            }
            write_json(scratch / _FACTS, {**self.facts, **more})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote. Raises `NotAModelError` where there is none, `IntegrityError` when it was altered or is of the
        other kind.
        """

        def read(place: Path) -> Self:
            return cls._of(load_arrays(place / _ARRAYS), read_json(place / _FACTS), place)

        return read_folder(folder, read, kind=KIND)

    @classmethod
    def _of(cls, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any], place: Path) -> Self:
        size = cls._per_example()
        if facts.get("per_example") != size:
            raise IntegrityError(f"{place} holds examples of another kind; train into another folder, or anew")
        ends = np.cumsum(arrays["lengths"])[:-1]
        ids, counted = np.split(arrays["ids"], ends), np.split(arrays["counted"], ends)
        chats = (
            [TokenizedChat(one, which) for one, which in zip(ids, counted, strict=True)]
            if len(arrays["lengths"])
            else []
        )
        items = [cls._item(chats[start : start + size]) for start in range(0, len(chats), size)]
        first, second, _ = np.cumsum(arrays["sides"]).tolist()
        record = {name.removeprefix("record_"): array for name, array in arrays.items() if name.startswith("record_")}
        return cls(
            tuple(items[:first]),
            tuple(items[first:second]),
            tuple(items[second:]),
            RowRecord.from_parts(record, facts["record"], source=place),
            tuple(Remark(*remark) for remark in facts["remarks"]),
            facts["share_cut"],
            Portrait.from_mapping(facts.get("portrait") or {}),
        )

    @classmethod
    @abstractmethod
    def _per_example(cls) -> int:
        """How many conversations one example is."""

    @classmethod
    @abstractmethod
    def _item(cls, chats: Sequence[TokenizedChat]) -> Item:
        """The example that these conversations are."""


class ChatCorpus(_Corpus[TokenizedChat]):
    """Conversations as token ids, by side. Threads may share it.

    record: which conversation stood on which side. remarks: what is odd about the files and what the length cost.
    share_cut: of all conversations, those that lost turns or were left out for their length. portrait: of those to learn from.
    """

    @classmethod
    def _per_example(cls) -> int:
        return 1

    @classmethod
    def _item(cls, chats: Sequence[TokenizedChat]) -> TokenizedChat:
        return chats[0]


class PreferenceCorpus(_Corpus[TokenizedPair]):
    """As `ChatCorpus`, of pairs of a better and a worse answer."""

    @classmethod
    def _per_example(cls) -> int:
        return 2

    @classmethod
    def _item(cls, chats: Sequence[TokenizedChat]) -> TokenizedPair:
        return TokenizedPair(*chats)


def chats_of(item: TokenizedChat | TokenizedPair) -> tuple[TokenizedChat, ...]:
    """The conversations of an example: one, or the better and the worse one."""
    return (item.chosen, item.rejected) if isinstance(item, TokenizedPair) else (item,)


@checked
def chat_corpus(
    paths: Sequence[str],
    template: Renders,
    *,
    max_tokens: int,
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
    validation_fraction: float = 0.05,
    test_fraction: float = 0.0,
    seed: int = 0,
    too_long: TooLong = "truncate",
    faulty: Literal["refuse", "leave out"] = "refuse",
    recorded: RowRecord | None = None,
) -> ChatCorpus:
    """The conversations of files as token ids, of which the answers with their ends are learnt.

    max_tokens: of one conversation. too_long: "truncate" drops the oldest turns of a longer one, system prompt aside, and
    leaves it out where even the last question with its answer is longer: no answer is cut. "refuse" raises `DataError`.
    Other arguments: as `read_chats` and `dealt_out` have them. Raises `DataError` with file, row and remedy.
    """
    files = [read_chats(group, faulty=faulty) for group in (paths, validation, test) if group or group is paths]
    remarks = [remark for chats in files for remark in chats.remarks]
    groups = _by_group([chats.examples for chats in files], validation, test)
    dealt = dealt_out(
        groups[0], validation=groups[1], test=groups[2], validation_fraction=validation_fraction,
        test_fraction=test_fraction, seed=seed, recorded=recorded,
    )  # fmt: skip
    lengths = _Lengths(max_tokens, too_long)
    sides = [
        [
            TokenizedChat(c.ids, c.counted)
            for e in side
            for c in lengths.fit(e.source, fitted_chat(e, template, max_tokens))
        ]
        for side in (dealt.train, dealt.validation, dealt.test)
    ]
    train, held, tested = map(tuple, sides)
    _require_some(train, max_tokens)
    told = (*remarks, *lengths.remarks(), *_ends_remark(train, template), *_few_remark(train))
    portrait = Portrait.of((chat.question, _spoken(chat.messages)) for chat in spread(dealt.train))
    return ChatCorpus(train, held, tested, dealt.record, told, lengths.share_cut, portrait)


@checked
def preference_corpus(
    paths: Sequence[str],
    template: Renders,
    *,
    max_tokens: int,
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
    validation_fraction: float = 0.05,
    test_fraction: float = 0.0,
    seed: int = 0,
    too_long: TooLong = "truncate",
    faulty: Literal["refuse", "leave out"] = "refuse",
    recorded: RowRecord | None = None,
) -> PreferenceCorpus:
    """As `chat_corpus`, of pairs; a pair that is too long loses the oldest turns of its prompt, the same in both."""
    files = [read_preferences(group, faulty=faulty) for group in (paths, validation, test) if group or group is paths]
    remarks = [remark for pairs in files for remark in pairs.remarks]
    groups = _by_group([pairs.examples for pairs in files], validation, test)
    dealt = dealt_out(
        groups[0], validation=groups[1], test=groups[2], validation_fraction=validation_fraction,
        test_fraction=test_fraction, seed=seed, recorded=recorded,
    )  # fmt: skip
    lengths = _Lengths(max_tokens, too_long)
    sides = [
        [
            TokenizedPair(*both)
            for pair in side
            if (both := lengths.fit(pair.source, fitted_pair(pair, template, max_tokens)))
        ]
        for side in (dealt.train, dealt.validation, dealt.test)
    ]
    train, held, tested = map(tuple, sides)
    _require_some(train, max_tokens)
    ends = _ends_remark([chat for pair in train for chat in chats_of(pair)], template)
    told = (*remarks, *lengths.remarks(), *ends, *_few_remark(train))
    portrait = Portrait.of((pair.question, _spoken([*pair.prompt, *pair.chosen])) for pair in spread(dealt.train))
    return PreferenceCorpus(train, held, tested, dealt.record, told, lengths.share_cut, portrait)


def _spoken(messages: Sequence[ChatMessage]) -> str:
    """What people and the model say, without instructions."""
    return "\n".join(message.content for message in messages if message.role != "system")


def _by_group(
    found: Sequence[tuple[Example, ...]], validation: Sequence[str], test: Sequence[str]
) -> list[tuple[Example, ...]]:
    """The examples of all three groups of files, of which the absent ones are empty."""
    rest = iter(found)
    return [next(rest) if there else () for there in (True, bool(validation), bool(test))]


class _Lengths:
    """What a limit of length did to examples, counted; refuses the first too long one where that is asked for."""

    def __init__(self, max_tokens: int, too_long: TooLong) -> None:
        self.max_tokens, self.too_long = max_tokens, too_long
        self.num_examples = self.num_shortened = self.num_dropped = 0
        self.left_out: list[tuple[str, int]] = []

    def fit(self, source: str, found: Fitted) -> tuple[TokenizedChat, ...]:
        """The example's conversations, () for one that is left out."""
        self.num_examples += 1
        if found.num_tokens > self.max_tokens and self.too_long == "refuse":
            raise DataError(
                f"{source}: the conversation has {found.num_tokens:,} tokens, {self.max_tokens:,} are allowed; shorten it, "
                'raise seq_len, or let the oldest turns go (too_long: "truncate")'
            )
        if found.chats is None:
            self.left_out.append((source, found.num_tokens))
            return ()
        self.num_shortened += found.num_tokens > self.max_tokens
        self.num_dropped += found.dropped
        return found.chats

    @property
    def share_cut(self) -> float:
        """Of all examples, those that lost turns or were left out."""
        return (self.num_shortened + len(self.left_out)) / max(1, self.num_examples)

    def remarks(self) -> list[Remark]:
        """One remark, where the limit cost something."""
        told = []
        if self.num_shortened:
            lost = f", {self.num_dropped} answers with them" if self.num_dropped else ""
            told.append(f"{self.num_shortened} lost their oldest turns{lost}")
        if self.left_out:
            source, size = self.left_out[0]
            told.append(
                f"{len(self.left_out)} were left out, whose last question with its answer is longer, the first: {source} "
                f"with {size:,} tokens"
            )
        if not told:
            return []
        evidence = f"{self.max_tokens:,} tokens are allowed; of {self.num_examples} conversations {' and '.join(told)}"
        return [Remark("answers whole", evidence, "Raise seq_len, if these are wanted")]


def _require_some(train: Sequence[Any], max_tokens: int) -> None:
    if not train:
        raise DataError(
            f"not one conversation to learn from fits into {max_tokens:,} tokens; raise seq_len, or shorten the conversations"
        )


def _ends_remark(chats: Sequence[TokenizedChat], template: Renders) -> list[Remark]:
    """A remark where answers do not end with a token that ends an answer: the model would not learn to stop."""
    ends = np.array(sorted(template.end_ids), dtype=np.int64)
    open_ends = sum(not np.isin(chat.ids[np.flatnonzero(chat.counted)[-1]], ends) for chat in chats)
    if not open_ends:
        return []
    told = f"in {open_ends} of {len(chats)} conversations the last learnt token is none that ends an answer"
    return [Remark("answers end", told, "The model will not learn to stop; give the model's own chat template")]


def _few_remark(train: Sequence[Any]) -> list[Remark]:
    if len(train) >= FEW:
        return []
    told = f"{len(train)} examples to learn from"
    return [
        Remark("examples enough", told, f"Give {FEW} or more, better some hundreds, or expect a change of tone alone")
    ]
