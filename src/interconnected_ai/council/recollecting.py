"""Texts whose words have their say in answers: read when the first expert comes into memory, gone after the last."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from interconnected_ai.config import CorpusConfig
from interconnected_ai.data import Texts
from interconnected_ai.errors import DataError, EngineError, InterconnectedAIError
from interconnected_ai.experts import Expert, Recollection, TextExpert
from interconnected_ai.storage import is_complete
from interconnected_ai.text import TextTokenizer

_BYTES_OF_A_TOKEN = 40  # in a recollection
_BYTES_OF_TEXT_A_TOKEN = 3
_NAMED = ("docs:", "hf:")  # sources that are no place on disk


class RecollectedTexts:
    """What a council has read, as the `Recollection` that its experts share.

    places: a folder that `Recollection.save_pretrained` wrote, or texts as `iai expert train --text` reads them: files,
    folders, `docs:LIBRARY`. Raises `DataError` for a place where nothing stands.

    It can be lent as a part of experts: `open` reads, `close` lets everything go. What cannot be read then costs the
    recollection and no answer; `why_not` says so. Threads: everything may be called from any number of them; it is made once
    for all.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self.places = tuple(places)
        self._saved = _saved_in(self.places)
        self._making = threading.Lock()
        self._texts: list[str] | None = None
        self._made: Recollection | None = None
        self._fault: Exception | None = None
        self._deaf: dict[str, str] = {}  # experts that cannot recollect, and why

    @property
    def num_bytes(self) -> int:
        """Of the recollection; until the first expert's tokenizer has read the texts what it is likely to take."""
        if self._made is not None:
            return self._made.num_bytes
        return self._expected_bytes()

    def open(self) -> "RecollectedTexts":
        """Read the texts, for who lends it as a part of others."""
        with self._making:
            self._fault = None
            if self._saved is None:
                try:
                    self._texts = texts_in(self.places)
                except (InterconnectedAIError, OSError) as error:
                    self._fault = error
        return self

    def close(self) -> None:
        """Let texts and recollection go; `open` reads them again."""
        with self._making:
            self._texts = self._made = None

    def of(self, tokenizer: TextTokenizer) -> Recollection:
        """The recollection, in the tokens of the first tokenizer that was asked with. Raises what reading the texts raised."""
        with self._making:
            if self._fault is not None:
                raise self._fault
            if self._made is None:
                self._made = self._read(tokenizer)
                self._texts = None
            return self._made

    def join(self, name: str, expert: TextExpert) -> None:
        """Let this expert recollect; where it cannot, `why_not` says why."""
        self._deaf.pop(name, None)
        try:
            if not isinstance(expert, Expert):
                raise EngineError(f"{name} has no tokens here, so nothing is recollected for it")
            expert.recall(self.of(expert.tokenizer))
        except (InterconnectedAIError, OSError) as error:
            self._deaf[name] = str(error)

    def joined(self, name: str, opening: Callable[[], TextExpert]) -> Callable[[], TextExpert]:
        """What opens an expert, which recollects from then on."""

        def opened() -> TextExpert:
            expert = opening()
            self.join(name, expert)
            return expert

        return opened

    def why_not(self, name: str) -> str | None:
        """Why this expert recollects nothing; None where it does."""
        return self._deaf.get(name)

    def _read(self, tokenizer: TextTokenizer) -> Recollection:
        if self._saved is not None:
            return Recollection.from_pretrained(self._saved)
        return _in_tokens(texts_in(self.places) if self._texts is None else self._texts, tokenizer)

    def _expected_bytes(self) -> int:
        if self._saved is not None:
            return _BYTES_OF_A_TOKEN * ((self._saved / "tokens.npy").stat().st_size // 4)
        if self._texts is not None:
            num_bytes = sum(len(text.encode()) for text in self._texts)
        else:
            num_bytes = sum(_size_of(Path(place)) for place in self.places if not place.startswith(_NAMED))
        return num_bytes * _BYTES_OF_A_TOKEN // _BYTES_OF_TEXT_A_TOKEN


def recollection_of(places: Sequence[str], tokenizer: TextTokenizer) -> Recollection:
    """The recollection of these texts, or the one that was saved in this folder. Raises `DataError` for texts that are none.

    `save_pretrained` of it writes a folder that is there at once when it is asked for the next time.
    """
    saved = _saved_in(places)
    return _in_tokens(texts_in(places), tokenizer) if saved is None else Recollection.from_pretrained(saved)


def texts_in(places: Sequence[str]) -> list[str]:
    """All documents of these texts. Raises `DataError` for a place that cannot be read."""
    texts = Texts.of_config(CorpusConfig(paths=tuple(places)))
    return [document.text for _, document in texts.documents() if document.text]


def _in_tokens(texts: Sequence[str], tokenizer: TextTokenizer) -> Recollection:
    return Recollection.of(
        tokenizer.encode_batch(list(texts)), vocab_size=tokenizer.vocab_size, end_id=tokenizer.end_id,
        tokenizer_sha256=tokenizer.sha256,
    )  # fmt: skip


def _saved_in(places: Sequence[str]) -> Path | None:
    """The folder of a saved recollection, where that is what is named. Raises `DataError` for what is not there at all."""
    for place in places:
        if place.startswith(_NAMED):
            continue
        path = Path(place)
        if not path.exists():
            raise DataError(f"nothing to recollect stands at {place}; name texts, or the folder of a recollection")
        if path.is_dir() and (path / "suffixes.npy").is_file() and is_complete(path):
            if len(places) > 1:
                raise DataError(f"{place} is a recollection of its own; name it alone, or texts")
            return path
    return None


def _size_of(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())
