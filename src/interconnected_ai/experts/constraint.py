"""Which of a model's tokens may come next in an answer that is held to a form, row by row, on the library llguidance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import Blame, ConfigError, EngineError
from interconnected_ai.experts.forms import Form, library_tokens, reason_of
from interconnected_ai.text import TextTokenizer, token_bytes


class Vocabulary:
    """The tokens of a model as the library wants them: the bytes of each, none for those that write nothing.

    end_ids: the tokens that end an answer.
    """

    def __init__(self, tokenizer: TextTokenizer, vocab_size: int, end_ids: Sequence[int]) -> None:
        pieces = list(token_bytes(tokenizer))[:vocab_size]
        pieces += [b""] * (vocab_size - len(pieces))
        for end_id in end_ids:
            pieces[end_id] = b""
        # SentencePiece has tokens for bytes before those for letters: of two with the same bytes the last is the usual one.
        last = {piece: token_id for token_id, piece in enumerate(pieces)}
        pieces = [piece if last[piece] == token_id else b"" for token_id, piece in enumerate(pieces)]
        # The library needs an end token; without one of ours it is a token beyond the vocabulary.
        ends = end_ids or (vocab_size,)
        self.tokens = library_tokens(pieces if end_ids else [*pieces, b""], ends, _encoding(tokenizer))

    @classmethod
    def of(cls, tokenizer: TextTokenizer, vocab_size: int, end_ids: Sequence[int]) -> "Vocabulary":
        """The vocabulary, made once for a tokenizer and kept with it: 0.1 s for 50,000 tokens.

        Threads: any number at once; two that come first may both make it.
        """
        key = (vocab_size, tokenizer.vocab_size, tuple(end_ids))
        known = _VOCABULARIES.setdefault(tokenizer, {})
        if key not in known:
            known[key] = cls(tokenizer, vocab_size, end_ids)
        return known[key]


_VOCABULARIES: WeakKeyDictionary[TextTokenizer, dict[tuple[Any, ...], Vocabulary]] = WeakKeyDictionary()
_NO_LETTERS = "NoExtensionBias"  # the library, where the vocabulary cannot write what has to come


def _encoding(tokenizer: TextTokenizer) -> Callable[[str], list[int]]:
    """Its `encode`, without keeping it alive: it goes with the table that is kept under its name."""
    held = ref(tokenizer)

    def encode(text: str) -> list[int]:
        own = held()
        return [] if own is None else own.encode(text)

    return encode


@dataclass(frozen=True)
class Constraint:
    """A form over the tokens of one model. Any number of threads may use one at once; a `Progress` is one row's."""

    form: Form
    tokenizer: TextTokenizer
    vocab_size: int
    end_ids: tuple[int, ...]

    @classmethod
    def of(
        cls, config: GenerationConfig, tokenizer: TextTokenizer | None, vocab_size: int, end_ids: Sequence[int]
    ) -> "Constraint | None":
        """What these settings hold an answer to; None where to nothing.

        Raises as `Form.of`, and `ConfigError` without a tokenizer.
        """
        if (form := Form.of(config)) is None:
            return None
        if tokenizer is None:
            raise ConfigError(f"{form.setting} is about text, and there is no tokenizer; use an Expert")
        return cls(form, tokenizer, vocab_size, tuple(end_id for end_id in end_ids if end_id < vocab_size))

    def begin(self) -> "Progress":
        """The state of an answer that has not begun."""
        vocabulary = Vocabulary.of(self.tokenizer, self.vocab_size, self.end_ids)
        return Progress(self, self.form.matcher(vocabulary.tokens))


class Progress:
    """How far an answer has come in its form. `plus` gives the state after one more token and leaves this one as it is."""

    __slots__ = ("_constraint", "_matcher", "is_over")

    def __init__(self, constraint: Constraint, matcher: Any) -> None:
        self._constraint, self._matcher = constraint, matcher
        self.is_over: bool = matcher.is_stopped()
        """Whether the answer is whole and nothing may follow."""

    def allowed(self) -> Tensor:
        """(vocab,) bool: the tokens that may come next; an end token only where the answer is whole."""
        biases = bytearray(self._matcher.compute_logit_bias())  # 0 where a token may not come
        if self._matcher.is_error():
            reason = reason_of(self._matcher)
            if not reason.startswith(_NO_LETTERS):
                raise self._too_much(reason)
            biases = bytearray(len(biases))
        allowed = torch.frombuffer(biases, dtype=torch.uint8)[: self._constraint.vocab_size] != 0
        if not self._matcher.is_accepting():  # where nothing else is left the library offers the end
            allowed[list(self._constraint.end_ids)] = False
        return allowed

    def plus(self, token_id: int) -> "Progress":
        """After one more allowed token, not an end token."""
        matcher = self._matcher.deep_copy()
        if not matcher.consume_token(token_id):
            raise self._too_much(reason_of(matcher))
        return Progress(self._constraint, matcher)

    def _too_much(self, reason: str) -> EngineError:
        setting, said = self._constraint.form.setting, f"{reason}; simplify it"
        return EngineError(f"{setting}: {said}").blaming(Blame(setting, said))


def restrict(logits: Tensor, rows: Sequence[Progress | None]) -> Tensor:
    """(rows, vocab) logits with -inf at each row's tokens that its form does not allow."""
    if all(row is None for row in rows):
        return logits
    everything = torch.ones(logits.shape[-1], dtype=torch.bool)
    masks = torch.stack([everything if row is None else row.allowed() for row in rows])
    return logits.masked_fill(~masks.to(logits.device), -torch.inf)
