"""Files of conversations or preferences, row by row: what is no example is an error with file and row, what is odd a remark."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from interconnected_ai.arguments import checked
from interconnected_ai.data.chats.conversations import ReadChat, chat_of
from interconnected_ai.data.chats.examples import ChatExample, PreferencePair
from interconnected_ai.data.chats.preferences import ReadPair, pair_of
from interconnected_ai.data.chats.turns import is_turns
from interconnected_ai.data.remarks import Remark
from interconnected_ai.data.tables.datasets import open_dataset, parquet_table
from interconnected_ai.data.tables.decoding import bytes_of, decoded
from interconnected_ai.data.tables.objects import values_of
from interconnected_ai.data.tables.separated import separated_table
from interconnected_ai.data.tables.table import Table, place_of
from interconnected_ai.errors import DataError
from interconnected_ai.text import exact_digest_of, folded

Faulty = Literal["refuse", "leave out"]
Read = TypeVar("Read", ReadChat, ReadPair)
_PARQUET = b"PAR1"
_MOST_NAMED = 10


@dataclass(frozen=True)
class Chats:
    """Conversations in the order of their files, each text once, and what is odd about them."""

    examples: tuple[ChatExample, ...]
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Preferences:
    """Pairs in the order of their files, each once, and what is odd about them."""

    examples: tuple[PreferencePair, ...]
    remarks: tuple[Remark, ...] = ()


@checked
def read_chats(paths: Sequence[str], *, faulty: Faulty = "refuse") -> Chats:
    """The conversations of files: JSON in all its forms, Parquet, CSV, a dataset's folder, `hf:NAME[:CONFIG][#SPLIT]`.

    What a file is follows from its content, and the dialect from each row's keys: OpenAI's messages, ShareGPT, Alpaca, a
    prompt and its completion, a bare list of turns. A conversation that stands twice is taken once. All is held in memory.
    faulty: "leave out" counts rows that are no conversation, by what is wrong, where "refuse" raises `DataError` for the
    first, with file, row, field and remedy. May be called from several threads at once.
    """
    found = _examples(paths, chat_of, faulty)
    unread = Counter[str](key for read in found.read for key in read.unread)
    open_ends = sum(read.had_open_end for read in found.read)
    remarks = [*found.remarks]
    if unread:
        told = ", ".join(f"{key} in {count}" for key, count in unread.most_common())
        remarks.append(
            Remark("rows as written", f"what stands beside the words is not learnt: {told}", "Words alone are")
        )
    if open_ends:
        told = f"{open_ends} of {len(found.read)} conversations end on a question; what follows the last answer is left out"
        remarks.append(Remark("answers there", told, "Add the answers, if they were lost"))
    examples, twice = _each_once([read.example for read in found.read])
    return Chats(examples, (*remarks, *twice, *_torn(examples)))


@checked
def read_preferences(paths: Sequence[str], *, faulty: Faulty = "refuse") -> Preferences:
    """As `read_chats`, pairs of a better and a worse answer.

    Dialects: `chosen` and `rejected` as texts or as turns, the prompt beside them or in both, TRL's, UltraFeedback's (also
    scored `completions`: the best against the worst), OpenAI's preferred_output, HH-RLHF's transcripts.
    """
    found = _examples(paths, pair_of, faulty)
    remarks = [*found.remarks]
    if against := sum(read.scores_disagree for read in found.read):
        told = f"in {against} of {len(found.read)} pairs the rejected answer has the score of the chosen one, or a higher one"
        remarks.append(Remark("preferences agree", told, "Take these out; they teach nothing, or the opposite"))
    examples, twice = _each_once([read.pair for read in found.read])
    return Preferences(examples, (*remarks, *twice, *_reversed(examples)))


@dataclass(frozen=True)
class _Found(Generic[Read]):
    read: list[Read]
    remarks: list[Remark]


def _examples(paths: Sequence[str], make: Callable[[Any, str], Read], faulty: Faulty) -> _Found[Read]:
    read: list[Read] = []
    faults: list[tuple[str, str]] = []  # place and words
    for path in paths:
        rows = 0
        for place, row in _rows(path):
            rows += 1
            try:
                read.append(make(row, place))
            except DataError as error:
                faults.append((place, str(error)))
        if not rows:
            raise DataError(f"{path} has no rows; it needs a conversation a row")
    if faults and faulty == "refuse":
        raise DataError(_told(faults))
    if not read:
        raise DataError(
            f"{', '.join(paths) or 'no file'}: no row is left to learn from. {_told(faults) if faults else ''}"
        )
    return _Found(read, [_left_out(faults, len(read))] if faults else [])


def _told(faults: Sequence[tuple[str, str]]) -> str:
    place, words = faults[0]
    more = f". {len(faults) - 1} more rows have faults, the next: {faults[1][0]}" if len(faults) > 1 else ""
    return f"{place}: {words}{more}"


def _left_out(faults: Sequence[tuple[str, str]], num_kept: int) -> Remark:
    named = "; ".join(f"{place}: {words.partition(';')[0]}" for place, words in faults[:_MOST_NAMED])
    more = f"; and {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
    told = f"{len(faults)} of {len(faults) + num_kept} rows were left out: {named}{more}"
    return Remark("rows as written", told, "Mend them, if they are wanted")


# Rows


def _rows(path: str) -> Iterator[tuple[str, Any]]:
    """The rows of a file with where they stand; what kind of file it is, its first bytes say."""
    file = Path(path)
    if path.startswith("hf:") or file.is_dir():
        for number, row in enumerate(open_dataset(path)):
            yield place_of(path, number, None), row
        return
    if not file.is_file():
        seen_from = "" if file.is_absolute() else f" (seen from {Path.cwd()})"
        raise DataError(f"no file at {file}{seen_from}; check the path")
    data = bytes_of(file)
    if data.startswith(_PARQUET):
        yield from _of_table(parquet_table(file, None))
        return
    text = decoded(data, path)
    if text.lstrip()[:1] in ("{", "["):
        yield from _of_values(path, text)
    elif text.strip():
        yield from _of_table(separated_table(path, text, ".csv", None))


def _of_values(path: str, text: str) -> Iterator[tuple[str, Any]]:
    values = values_of(path, text)
    if is_turns([value for _, value in values]):
        lines = [line for line, _ in values]
        if all(line is None for line in lines):  # one list of turns is one conversation
            yield place_of(path, 0, None), [value for _, value in values]
            return
    for row, (line, value) in enumerate(values):
        yield place_of(path, row, line), value


def _of_table(table: Table) -> Iterator[tuple[str, Any]]:
    names = list(table.columns)
    for number, cells in enumerate(zip(*table.columns.values(), strict=True)):
        yield table.place(number), dict(zip(names, cells, strict=True))


# What is odd

Example = TypeVar("Example", ChatExample, PreferencePair)


def _each_once(examples: Iterable[Example]) -> tuple[tuple[Example, ...], list[Remark]]:
    kept: dict[int, Example] = {}
    twice: list[tuple[str, str]] = []
    for example in examples:
        first = kept.setdefault(exact_digest_of(example.text), example)
        if first is not example:
            twice.append((example.source, first.source))
    if not twice:
        return tuple(kept.values()), []
    copy, of = twice[0]
    told = f"{len(twice)} of {len(kept) + len(twice)} rows are copies and were left out, the first: {copy} of {of}"
    return tuple(kept.values()), [Remark("rows differ", told, "Nothing to do; a copy would be learnt twice as hard")]


def _torn(examples: Iterable[ChatExample]) -> list[Remark]:
    """A remark where the same beginning has several first answers."""
    answers: dict[str, set[str]] = {}
    for example in examples:
        first = example.messages[: 1 + next(p for p, m in enumerate(example.messages) if m.role == "assistant")]
        asked = "\0".join(f"{message.role}\0{message.content}" for message in first[:-1])
        answers.setdefault(folded(asked), set()).add(folded(first[-1].content))
    torn = sum(len(given) > 1 for given in answers.values())
    if not torn:
        return []
    told = f"{torn} of {len(answers)} questions have several different answers"
    return [Remark("answers agree", told, "Fine where several are right; decide on one where they contradict")]


def _reversed(examples: Iterable[PreferencePair]) -> list[Remark]:
    """A remark where a pair stands the other way round, too."""
    seen = {(pair.prompt, pair.chosen, pair.rejected): pair.source for pair in examples}
    both = [(source, seen[other]) for (asked, one, two), source in seen.items() if (other := (asked, two, one)) in seen]
    if not both:
        return []
    told = f"{len(both) // 2} pairs stand both ways round, the first: {both[0][0]} and {both[0][1]}"
    return [Remark("preferences agree", told, "Decide which answer is the better one, and take the other row out")]
