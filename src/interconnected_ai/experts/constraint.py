"""Answers held to a JSON schema, a regular expression or a few choices: which tokens may come next, on the library llguidance.

Whether a schema can be met at all is `schemas`' affair where the library does not see it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from unicodedata import normalize
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ConfigError, EngineError
from interconnected_ai.experts.schemas import can_be_met
from interconnected_ai.extras import require
from interconnected_ai.text import Tokenizer, token_bytes

# One line, as json.dumps writes: with free whitespace a model may spend the whole answer on it.
_LAYOUT: dict[str, Any] = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_SPACE = b" \t\r\n"  # JSON's


@dataclass(frozen=True)
class Form:
    """What an answer's text has to be, apart from any vocabulary. Any number of threads may use one at once.

    setting: its name in `GenerationConfig`. grammar: in llguidance's words, what a model is held to. accepts: what has the form
    all the same, such as JSON on several lines.
    """

    setting: str
    grammar: str
    accepts: str

    @classmethod
    def of(cls, config: GenerationConfig) -> "Form | None":
        """The form that these settings ask for, compiled once to see that it can be; None where they ask for none.

        Raises `ConfigError` for one that is malformed, beyond what the library has, too large, or met by no text;
        `MissingExtraError` without llguidance.
        """
        if config.form is None:
            return None
        form = cls(config.form, _grammar(config, _LAYOUT), _grammar(config, {}))
        start = form.matcher(_letters())
        if start.is_error():
            raise ConfigError(f"{form.setting}: {_reason(start)}")
        if not start.is_accepting() and not _going_on(start):
            raise ConfigError(f"{form.setting}={getattr(config, form.setting)!r}: no text meets it; loosen it")
        return form

    def is_met_by(self, text: bytes) -> bool:
        """Whether this text, whole, has the form; JSON may stand on several lines, with space around it."""
        matcher = _matcher(_letters(), self.accepts)
        letters = text.strip(_SPACE) if self.setting == "json_schema" else text
        return bool(matcher.consume_tokens(list(letters))) and bool(matcher.is_accepting())

    def matcher(self, tokens: Any) -> Any:
        """The library's state of an answer that has not begun, over tokens as the library wants them."""
        return _matcher(tokens, self.grammar)


class Vocabulary:
    """The tokens of a model as the library wants them: the bytes of each, none for those that write nothing.

    end_ids: the tokens that end an answer.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, end_ids: Sequence[int]) -> None:
        pieces = list(token_bytes(tokenizer))[:vocab_size]
        pieces += [b""] * (vocab_size - len(pieces))
        for end_id in end_ids:
            pieces[end_id] = b""
        # The library needs an end token; without one of ours it is a token beyond the vocabulary.
        ends = end_ids or (vocab_size,)
        self.tokens = _tokens(pieces if end_ids else [*pieces, b""], ends, tokenizer.encode)

    @classmethod
    def of(cls, tokenizer: Tokenizer, vocab_size: int, end_ids: Sequence[int]) -> "Vocabulary":
        """The vocabulary, made once for a tokenizer and kept with it: 0.1 s for 50,000 tokens.

        Threads: any number at once; two that come first may both make it.
        """
        key = (vocab_size, tokenizer.vocab_size, tuple(end_ids))
        known = _VOCABULARIES.setdefault(tokenizer, {})
        if key not in known:
            known[key] = cls(tokenizer, vocab_size, end_ids)
        return known[key]


_VOCABULARIES: WeakKeyDictionary[Tokenizer, dict[tuple[Any, ...], Vocabulary]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Constraint:
    """A form over the tokens of one model. Any number of threads may use one at once; a `Progress` is one row's."""

    form: Form
    tokenizer: Tokenizer
    vocab_size: int
    end_ids: tuple[int, ...]

    @classmethod
    def of(
        cls, config: GenerationConfig, tokenizer: Tokenizer | None, vocab_size: int, end_ids: Sequence[int]
    ) -> "Constraint | None":
        """What these settings hold an answer to; None where to nothing.

        Raises as `Form.of`, and `ConfigError` without a tokenizer.
        """
        if (form := Form.of(config)) is None:
            return None
        if tokenizer is None:
            raise ConfigError(f"{form.setting} is about text, and there is no tokenizer; use an Expert")
        return cls(form, tokenizer, vocab_size, tuple(end_ids))

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
        mask = bytearray(self._matcher.compute_logit_bias())
        if self._matcher.is_error():
            if _reason(self._matcher).startswith(
                "NoExtensionBias"
            ):  # a vocabulary without the letters that have to come
                return torch.zeros(self._constraint.vocab_size, dtype=torch.bool)
            raise EngineError(f"{self._constraint.form.setting}: {_reason(self._matcher)}; simplify it")
        allowed = torch.frombuffer(mask, dtype=torch.bool)[: self._constraint.vocab_size]
        if not self._matcher.is_accepting():  # where nothing else is left the library offers the end
            allowed[list(self._constraint.end_ids)] = False
        return allowed

    def plus(self, token_id: int) -> "Progress":
        """After one more allowed token, not an end token."""
        matcher = self._matcher.deep_copy()
        if not matcher.consume_token(token_id):
            raise EngineError(f"{self._constraint.form.setting}: {_reason(matcher)}; simplify it")
        return Progress(self._constraint, matcher)


def restrict(logits: Tensor, rows: Sequence[Progress | None]) -> Tensor:
    """(rows, vocab) logits with -inf at each row's tokens that its form does not allow."""
    if all(row is None for row in rows):
        return logits
    everything = torch.ones(logits.shape[-1], dtype=torch.bool)
    masks = torch.stack([everything if row is None else row.allowed() for row in rows])
    return logits.masked_fill(~masks.to(logits.device), -torch.inf)


def _matcher(tokens: Any, grammar: str) -> Any:
    library = _library()
    limits = library.LLParserLimits(verbose_errors=False)  # the library's own bounds of time and memory
    return library.LLMatcher(tokens, grammar, log_level=0, limits=limits)


def _grammar(config: GenerationConfig, layout: dict[str, Any]) -> str:
    library = _library()
    if config.json_schema is not None:
        schema = json.loads(config.json_schema)
        if not can_be_met(schema):
            raise ConfigError(
                "json_schema: no JSON meets it; it refers to itself without an end, or forbids everything"
            )
        return str(library.LLMatcher.grammar_from_json_schema({} if schema is True else schema, overrides=layout))
    if config.regex is not None:
        return str(library.LLMatcher.grammar_from_regex(config.regex))
    choices = [json.dumps(normalize("NFC", choice), ensure_ascii=False) for choice in config.choices]
    return str(library.LLMatcher.grammar_from_lark(f"start: {' | '.join(choices)}"))


def _going_on(matcher: Any) -> bool:
    return any(matcher.compute_logit_bias()[:_NUM_BYTES])


def _reason(matcher: Any) -> str:
    """What the library says, in one line and without its drawing of the place."""
    lines = [line.strip() for line in str(matcher.get_error()).splitlines()]
    return "; ".join(line for line in lines if line and set(line) - set("^ |"))[:300]


class _Tokens:
    """What llguidance asks of a tokenizer. Forced text is written in the tokens that the tokenizer itself would take."""

    is_tokenizer_wrapper = True
    bos_token_id = None
    special_token_ids: Sequence[int] = ()

    def __init__(self, pieces: Sequence[bytes], end_id: int, encode: Any) -> None:
        self.tokens, self.eos_token_id, self._encode = pieces, end_id, encode
        self.greedy: Any = None

    def __call__(self, text: str | bytes) -> list[int]:
        whole = text if isinstance(text, str) else text.decode()
        if self._encode is not None:
            token_ids: list[int] = self._encode(whole)
            if b"".join(self.tokens[token] for token in token_ids if token < len(self.tokens)) == whole.encode():
                return token_ids  # else it adds a space, or another form of a letter
        return [] if self.greedy is None else list(self.greedy(whole))


def _tokens(pieces: Sequence[bytes], end_ids: Sequence[int], encode: Any) -> Any:
    ours = _Tokens(pieces, end_ids[0], encode)
    made = _library().LLTokenizer(ours, eos_token=list(end_ids))
    ours.greedy = made.greedy_tokenize
    return made


_NUM_BYTES = 256


@cache
def _letters() -> Any:
    """A vocabulary of the 256 bytes, in which texts are looked at without a model."""
    return _tokens([*(bytes([byte]) for byte in range(_NUM_BYTES)), b""], [_NUM_BYTES], None)


def _library() -> Any:
    return require("llguidance", "constrained", "an answer held to a json_schema, a regex or choices")
