"""Stop strings and bad words: rules on the text of an answer, kept byte by byte, since tokens end anywhere."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.text import TextTokenizer, token_bytes


@dataclass(frozen=True)
class TextRules:
    """Stop strings and bad words as bytes, with the bytes of every token.

    A token completes a bad word in two ways. It holds the whole word: `always`. Or it begins with the word's rest after
    the text has ended in the word's beginning: `completions` has (beginning, tokens that begin with the rest).
    """

    pieces: tuple[bytes, ...]
    stop: tuple[bytes, ...]
    always: tuple[int, ...]
    completions: tuple[tuple[bytes, tuple[int, ...]], ...]

    @classmethod
    def of(cls, config: GenerationConfig, tokenizer: TextTokenizer | None) -> "TextRules | None":
        """The rules that these settings make; None where there are none. Raises `ConfigError` where a tokenizer is missing."""
        if not config.stop and not config.bad_words and config.form is None:
            return None
        if tokenizer is None:
            name = "stop" if config.stop else "bad_words" if config.bad_words else str(config.form)
            raise ConfigError(f"{name}={getattr(config, name)!r} is text, and there is no tokenizer; use an Expert")
        pieces = token_bytes(tokenizer)
        words = _as_bytes(config.bad_words)
        splits = [(word[:cut], word[cut:]) for word in words for cut in range(1, len(word))]
        found = [(beginning, _where(pieces, _begins_with(rest))) for beginning, rest in splits]
        return cls(
            pieces=pieces,
            stop=_as_bytes(config.stop),
            always=_where(pieces, lambda piece: any(word in piece for word in words)),
            completions=tuple((beginning, tokens) for beginning, tokens in found if tokens),
        )

    def piece(self, token_id: int) -> bytes:
        """A token's bytes. A vocabulary padded beyond its tokenizer has ids without text."""
        return self.pieces[token_id] if token_id < len(self.pieces) else b""

    @cached_property
    def reach(self) -> int:
        """How many of the last bytes decide what may come next."""
        beginnings = max((len(beginning) for beginning, _ in self.completions), default=0)
        return max(beginnings, max(map(len, self.stop), default=1) - 1)

    def begin(self, prompt: Sequence[int]) -> "Written":
        """The text of an answer that has not begun: a bad word may not be completed across the prompt's end either."""
        tail = b"".join(self.piece(token) for token in prompt[-self.reach :]) if self.completions else b""
        return Written(self, tail=tail[-self.reach :] if self.reach else b"")


@dataclass(frozen=True, slots=True)
class Written:
    """An answer's bytes so far; `plus` gives the text that is one token longer, and shares all of this one's.

    tail: the last bytes of prompt and answer, as many as the rules look at. num_bytes: of the answer. stop_at: where in the
    answer the first stop string begins, once there is one. before, piece: the text without its last token, and its bytes.
    """

    rules: TextRules
    tail: bytes = b""
    num_bytes: int = 0
    stop_at: int | None = None
    before: "Written | None" = None
    piece: bytes = b""

    def plus(self, token_id: int) -> "Written":
        """With one more token; after a stop string nothing is added."""
        if self.stop_at is not None:
            return self
        piece, rules = self.rules.piece(token_id), self.rules
        recent = self.tail + piece
        num_bytes = self.num_bytes + len(piece)
        ours = recent[-num_bytes:] if num_bytes else b""  # a stop string does not begin in the prompt
        places = [place for stop in rules.stop if (place := ours.find(stop)) >= 0]
        stop_at = num_bytes - len(ours) + min(places) if places else None
        return Written(rules, recent[-rules.reach :] if rules.reach else b"", num_bytes, stop_at, self, piece)

    def banned(self) -> list[int]:
        """Tokens that would complete a bad word."""
        found = list(self.rules.always)
        for beginning, tokens in self.rules.completions:
            if self.tail.endswith(beginning):
                found += tokens
        return found

    def num_kept(self, token_ids: Sequence[int]) -> int:
        """How many of the answer's tokens begin before the stop string."""
        if self.stop_at is None:
            return len(token_ids)
        begins = kept = 0
        for token in token_ids:
            if begins >= self.stop_at:
                break
            kept += 1
            begins += len(self.rules.piece(token))
        return kept

    def text(self) -> str:
        """The answer up to the stop string."""
        return self.encoded().decode("utf-8", errors="replace")

    def encoded(self) -> bytes:
        """Its bytes, which end within a character where the answer does."""
        pieces: list[bytes] = []
        written: Written | None = self
        while written is not None:
            pieces.append(written.piece)
            written = written.before
        return b"".join(reversed(pieces))[: self.stop_at]


def _as_bytes(texts: Sequence[str]) -> tuple[bytes, ...]:
    """In NFC, as the tokenizer writes: a typed "й" of two code points is the one letter that a model says."""
    return tuple(unicodedata.normalize("NFC", text).encode() for text in texts)


def _where(pieces: Sequence[bytes], holds: Callable[[bytes], bool]) -> tuple[int, ...]:
    return tuple(token for token, piece in enumerate(pieces) if holds(piece))


def _begins_with(rest: bytes) -> Callable[[bytes], bool]:
    return lambda piece: piece.startswith(rest)
