"""What an answer's text has to be: a JSON schema, a regular expression or one of a few choices, as grammars of llguidance.

Apart from any model: which of a model's tokens may come next is `constraint`'s affair.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from unicodedata import normalize

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import Blame, ConfigError
from interconnected_ai.experts.schemas import can_be_met
from interconnected_ai.extras import require

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
            raise _wrong(form.setting, reason_of(start))
        if not start.is_accepting() and not _going_on(start):
            raise _wrong(form.setting, f"no text meets {getattr(config, form.setting)!r}; loosen it")
        return form

    def is_met_by(self, text: bytes) -> bool:
        """Whether this text, whole, has the form; JSON may stand on several lines, with space around it."""
        matcher = _matcher(_letters(), self.accepts)
        letters = text.strip(_SPACE) if self.setting == "json_schema" else text
        return bool(matcher.consume_tokens(list(letters))) and bool(matcher.is_accepting())

    def matcher(self, tokens: Any) -> Any:
        """The library's state of an answer that has not begun, over tokens as the library wants them."""
        return _matcher(tokens, self.grammar)


def _matcher(tokens: Any, grammar: str) -> Any:
    library = _library()
    limits = library.LLParserLimits(verbose_errors=False)  # the library's own bounds of time and memory
    return library.LLMatcher(tokens, grammar, log_level=0, limits=limits)


def _grammar(config: GenerationConfig, layout: dict[str, Any]) -> str:
    library = _library()
    if config.json_schema is not None:
        schema = json.loads(config.json_schema)
        if not can_be_met(schema):
            raise _wrong("json_schema", "no JSON meets it; it refers to itself without an end, or forbids everything")
        return str(library.LLMatcher.grammar_from_json_schema({} if schema is True else schema, overrides=layout))
    if config.regex is not None:
        return str(library.LLMatcher.grammar_from_regex(config.regex))
    choices = [json.dumps(normalize("NFC", choice), ensure_ascii=False) for choice in config.choices]
    return str(library.LLMatcher.grammar_from_lark(f"start: {' | '.join(choices)}"))


def _wrong(setting: str, said: str) -> ConfigError:
    return ConfigError(f"{setting}: {said}").blaming(Blame(setting, said))


def _going_on(matcher: Any) -> bool:
    return any(matcher.compute_logit_bias()[:_NUM_BYTES])


def reason_of(matcher: Any) -> str:
    """Why the library goes no further, in one line and without its drawing of the place."""
    lines = [line.strip() for line in str(matcher.get_error()).splitlines()]
    return "; ".join(line for line in lines if line and set(line) - set("^ |"))[:300]


class _Tokens:
    """What llguidance asks of a tokenizer. Forced text is written in the tokens that the tokenizer itself would take."""

    is_tokenizer_wrapper = True
    bos_token_id = None
    special_token_ids: Sequence[int] = ()

    def __init__(self, pieces: Sequence[bytes], end_id: int, encode: Callable[[str], list[int]] | None) -> None:
        self.tokens, self.eos_token_id, self._encode = pieces, end_id, encode
        self.greedy: Any = None

    def __call__(self, text: str | bytes) -> list[int]:
        whole = text if isinstance(text, str) else text.decode()
        if self._encode is not None:
            token_ids = self._encode(whole)
            if b"".join(self.tokens[token] for token in token_ids if token < len(self.tokens)) == whole.encode():
                return token_ids  # else it adds a space, or another form of a letter
        return [] if self.greedy is None else list(self.greedy(whole))


def library_tokens(pieces: Sequence[bytes], end_ids: Sequence[int], encode: Callable[[str], list[int]] | None) -> Any:
    """A vocabulary as the library wants it: the bytes of each token, none for those that write nothing.

    encode: a text's tokens as the tokenizer writes them; None takes the longest that fit.
    """
    ours = _Tokens(pieces, end_ids[0], encode)
    made = _library().LLTokenizer(ours, eos_token=list(end_ids))
    ours.greedy = made.greedy_tokenize
    return made


_NUM_BYTES = 256


@cache
def _letters() -> Any:
    """A vocabulary of the 256 bytes, in which texts are looked at without a model."""
    return library_tokens([*(bytes([byte]) for byte in range(_NUM_BYTES)), b""], [_NUM_BYTES], None)


def _library() -> Any:
    return require("llguidance", "constrained", "an answer held to a json_schema, a regex or choices")
