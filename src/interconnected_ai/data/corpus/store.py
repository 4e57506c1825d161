"""A corpus on disk: every document tokenised once, each side one long array of tokens that is mapped into memory.

A folder of corpora has one for each content: its name follows from the tokenizer, the sources' bytes and how they are
read and dealt out, so a second run finds it and a changed source is never taken for the old one."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from interconnected_ai.arguments import checked
from interconnected_ai.data.corpus.documents import Document
from interconnected_ai.data.corpus.report import CorpusReport, SideReport
from interconnected_ai.data.corpus.survey import Survey, survey
from interconnected_ai.data.corpus.texts import SIDES, Texts
from interconnected_ai.errors import DataError, IntegrityError, NotAModelError
from interconnected_ai.storage import atomic_folder, read_folder, read_json, write_json
from interconnected_ai.text import TextTokenizer

logger = logging.getLogger(__name__)

KIND = "interconnected_ai corpus"
_FORMAT = "1"  # counts up when the same texts would be tokenised or dealt out otherwise
_CHUNK_CHARACTERS = 1 << 20  # tokenised at once: what a building process holds in memory
_TOKENS_AT_ONCE = 1 << 16
_NARROW = 1 << 16

# Called with the bytes that were tokenised so far, and all bytes.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TokenSide:
    """One side of a corpus. tokens: an end token, then documents with one after each, mapped from a file.

    offsets: (num_documents,) where each document's first token stands. num_bytes: of the documents in UTF-8.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    num_bytes: int

    @property
    def num_documents(self) -> int:
        """Documents on this side; pieces of one long file count as one each."""
        return len(self.offsets)


@dataclass(frozen=True)
class Corpus:
    """Tokenised text, ready to train on. Immutable: any number of threads may read it, and several may prepare one at once."""

    folder: Path
    train: TokenSide
    validation: TokenSide
    test: TokenSide
    report: CorpusReport

    @classmethod
    def prepare(
        cls,
        texts: Texts,
        tokenizer: TextTokenizer,
        folder: str | Path,
        *,
        surveyed: Survey | None = None,
        progress: Progress = lambda done, total: None,
    ) -> "Corpus":
        """The corpus of these texts in `folder`, built when it is not there yet. surveyed: of the same texts, if at hand.

        Raises `DataError` for texts that cannot be read or hold too little, `StorageError` when the disk is full; in
        both cases nothing half-written is left.
        """
        place = Path(folder) / _name(texts, tokenizer)
        try:
            return cls.open(place)
        except IntegrityError as error:
            logger.warning("The stored corpus is damaged and is built anew: %s", error)
        except NotAModelError:  # not there yet
            pass
        _build(surveyed or survey(texts), tokenizer, place, progress)
        return cls.open(place)

    @classmethod
    def open(cls, folder: str | Path) -> "Corpus":
        """A corpus that was built before. Raises `NotAModelError` where there is none, `IntegrityError` when it was altered.

        What is open stays as it is, whoever writes there afterwards.
        """

        def read(place: Path) -> "Corpus":
            content = read_json(place / "corpus.json")
            report = CorpusReport.from_dict(content["report"])
            train, validation, test = (_open_side(place, side, content["token_type"]) for side in report.sides)
            return cls(place, train, validation, test, report)

        return read_folder(folder, read, kind=KIND)

    def is_of(self, texts: Texts, tokenizer: TextTokenizer) -> bool:
        """Whether these texts, as they are now, are the ones in it. Reads every source once; `DataError` when it cannot."""
        return self.folder.name == _name(texts, tokenizer)


@checked
def count_tokens(surveyed: Survey, tokenizer: TextTokenizer) -> CorpusReport:
    """The report with the tokens of every source, and nothing stored."""
    by_source = [0] * len(surveyed.texts.sources)
    for _, source, _, ids in _encoded(surveyed, tokenizer):
        by_source[source] += len(ids)
    return surveyed.report.with_tokens(by_source)


def _name(texts: Texts, tokenizer: TextTokenizer) -> str:
    key = "\n".join([_FORMAT, tokenizer.sha256, texts.sha256()])
    return f"corpus-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _open_side(folder: Path, side: SideReport, token_type: str) -> TokenSide:
    return TokenSide(
        _mapped(folder / f"{side.name}.tokens", token_type),
        _mapped(folder / f"{side.name}.offsets", "<i8"),
        side.num_bytes,
    )


def _mapped(path: Path, kind: str) -> np.ndarray:
    return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.empty(0, dtype=kind)


# --- writing --------------------------------------------------------------------------------------------------------


def _build(surveyed: Survey, tokenizer: TextTokenizer, place: Path, progress: Progress) -> None:
    token_type = "<u2" if tokenizer.vocab_size <= _NARROW else "<u4"
    total, done = surveyed.report.total.num_bytes, 0
    by_source = [0] * len(surveyed.texts.sources)
    with atomic_folder(place, kind=KIND) as scratch:
        with ExitStack() as files:
            writers = [_SideWriter(scratch, name, token_type, tokenizer.end_id, files) for name in SIDES]
            for order, (side, source, document, ids) in enumerate(_encoded(surveyed, tokenizer)):
                writers[side].add(ids, order, continues=document.continues)
                by_source[source] += len(ids)
                done += len(document.text.encode())
                progress(done, total)
            by_side = [writer.finish() for writer in writers]
        report = surveyed.report.with_tokens(by_source, by_side)
        content: Mapping[str, Any] = {
            "tokenizer_sha256": tokenizer.sha256,
            "token_type": token_type,
            "report": report.to_dict(),
        }
        write_json(scratch / "corpus.json", content)
        if _name(surveyed.texts, tokenizer) != place.name:
            raise DataError("the sources changed while they were read; leave them alone meanwhile, and try again")


_Kept = tuple[int, int, Document]  # side, source, document


def _encoded(surveyed: Survey, tokenizer: TextTokenizer) -> Iterator[tuple[int, int, Document, list[int]]]:
    """Every document that is kept, with its token ids; tokenised by the megabyte, which keeps all cores busy."""
    for chunk in _chunks(surveyed.documents()):
        encoded = tokenizer.encode_batch([document.text for _, _, document in chunk])
        for (side, source, document), ids in zip(chunk, encoded, strict=True):
            yield side, source, document, ids


def _chunks(documents: Iterator[_Kept]) -> Iterator[list[_Kept]]:
    chunk: list[_Kept] = []
    characters = 0
    for kept in documents:
        chunk.append(kept)
        characters += len(kept[-1].text)
        if characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


class _SideWriter:
    """Appends documents to a side's files, with an end token between them unless one goes on in the next."""

    def __init__(self, folder: Path, name: str, token_type: str, end_id: int, files: ExitStack) -> None:
        self._type, self._end_id = np.dtype(token_type), end_id
        self._tokens: BinaryIO = files.enter_context((folder / f"{name}.tokens").open("wb"))
        self._offsets: BinaryIO = files.enter_context((folder / f"{name}.offsets").open("wb"))
        self._length, self._last = 0, -2
        self._waiting: list[int] = []  # many small writes would take longer than tokenising does

    def add(self, ids: list[int], order: int, *, continues: bool) -> None:
        """A document. order: its place among all, which says whether the one it continues stands on this side too."""
        if not (continues and order == self._last + 1 and self._length):
            self._append([self._end_id])
        self._offsets.write(self._length.to_bytes(8, "little"))
        self._append(ids)
        self._last = order

    def finish(self) -> int:
        """The last end token; returns how many tokens there are."""
        if self._length:
            self._append([self._end_id])
        self._flush()
        return self._length

    def _append(self, ids: list[int]) -> None:
        self._waiting += ids
        self._length += len(ids)
        if len(self._waiting) >= _TOKENS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        tokens = np.array(self._waiting, dtype=np.int64)
        if len(tokens) and not 0 <= tokens.min() <= tokens.max() <= np.iinfo(self._type).max:
            raise DataError(
                f"token id {tokens.max()} does not fit into {self._type.itemsize} bytes, which the tokenizer's vocabulary "
                "asks for; its ids reach beyond its vocabulary, use another tokenizer"
            )
        self._tokens.write(tokens.astype(self._type).tobytes())
        self._waiting.clear()
