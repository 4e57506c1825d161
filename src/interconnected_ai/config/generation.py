"""How a language model continues a prompt."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from interconnected_ai.config.record import Record

FORMS = ("json_schema", "regex", "choices")  # what an answer's text may be held to, one of them at a time
_MOST_FORM_BYTES = 256 * 1024  # a form is compiled before every answer
_MOST_DEPTH = 64
_MOST_CHOICES = 10_000


TokenId = Annotated[int, Field(ge=0)]
Bias = Annotated[float, Field(ge=-100.0, le=100.0, strict=False)]


class GenerationConfig(Record):
    """How a language model continues a prompt. The default samples from the model's own distribution.

    temperature: logits are divided by it; 0 is greedy (the likeliest token). top_k, top_p (nucleus, Holtzman et al. 2020),
    min_p (a token needs this share of the likeliest one's probability, Nguyen et al. 2024): what may be sampled; together
    they narrow one another, in this order. num_beams: beam search (greedy beams; sampling settings exclude it);
    length_penalty: scores of beams are divided by length ** length_penalty.
    repetition_penalty: logits of tokens seen in prompt or answer are divided by it where positive, multiplied where negative
    (Keskar et al. 2019). presence_penalty, frequency_penalty: taken from the logits of tokens in the answer, once, and for
    each time they stand there. stop: the answer ends before any of these strings. bad_words: strings that may not appear.
    logit_bias: token id → what is added to its logit, -100 to 100, which all but forbids or demands it; kept as pairs.
    logprobs: how many of the likeliest tokens' log probabilities to note at every step; 0 notes the chosen one's alone,
    None nothing. window: what happens beyond max_seq_len, "error" or "slide" (the oldest tokens are forgotten).

    json_schema, regex, choices: the answer's text is held to one of these, token by token. json_schema: a JSON schema, as a
    mapping or as JSON text, and kept as text; the answer is JSON on one line, its properties in the schema's order. regex: the
    whole answer matches it. choices: the answer is one of these texts. An answer that max_new_tokens or a stop string cuts
    short does not keep to it; `Generation.satisfied` tells.

    lookup_tokens: speculative decoding by prompt look-up, up to so many tokens ahead (8 is a good number); 0 reads nothing
    ahead. The tokens are those of an answer without it, rounding aside. It pays where the answer repeats parts of the prompt
    or of itself; engines that cannot read ahead, and several prompts at once, take single steps.
    """

    max_new_tokens: Annotated[int, Field(ge=1)] = 128
    temperature: Annotated[float, Field(ge=0.0, le=1000.0, strict=False)] = 1.0
    top_k: Annotated[int, Field(ge=1)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0, strict=False)] | None = None
    min_p: Annotated[float, Field(ge=0.0, le=1.0, strict=False)] | None = None
    num_beams: Annotated[int, Field(ge=1, le=1000)] = 1
    length_penalty: Annotated[float, Field(ge=-10.0, le=10.0, strict=False)] = 1.0
    repetition_penalty: Annotated[float, Field(ge=0.001, le=1000.0, strict=False)] = 1.0
    presence_penalty: Annotated[float, Field(ge=-2.0, le=2.0, strict=False)] = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2.0, le=2.0, strict=False)] = 0.0
    stop: Annotated[tuple[str, ...], Field(strict=False)] = ()
    bad_words: Annotated[tuple[str, ...], Field(strict=False)] = ()
    logit_bias: tuple[tuple[TokenId, Bias], ...] = ()
    logprobs: Annotated[int, Field(ge=0, le=100)] | None = None
    window: Literal["error", "slide"] = "error"
    json_schema: str | None = None
    regex: str | None = None
    choices: Annotated[tuple[str, ...], Field(strict=False)] = ()
    lookup_tokens: Annotated[int, Field(ge=0, le=64)] = 0

    @property
    def form(self) -> str | None:
        """Which of "json_schema", "regex" and "choices" the answer is held to."""
        return next((name for name in FORMS if getattr(self, name)), None)

    @model_validator(mode="after")
    def _ways_agree(self) -> Self:
        if self.num_beams > 1:
            if self.temperature not in (0.0, 1.0):
                raise ValueError(
                    f"num_beams={self.num_beams} searches, temperature={self.temperature} samples; give one of them"
                )
            narrowing = [n for n in ("top_k", "top_p", "min_p") if getattr(self, n) is not None]
            if narrowing:
                raise ValueError(
                    f"num_beams={self.num_beams} searches, {narrowing[0]}={getattr(self, narrowing[0])} samples; give one"
                )
        forms = [name for name in FORMS if getattr(self, name)]
        if len(forms) > 1:
            raise ValueError(f"{' and '.join(forms)} each say what an answer may be; give one of them")
        if any(not text for text in (*self.stop, *self.bad_words)):
            raise ValueError("stop and bad_words hold an empty string, which stands everywhere; leave it out")
        return self

    @field_validator("json_schema", mode="before")
    @classmethod
    def _schema_as_text(cls, given: Any) -> Any:
        if given is None:
            return None
        schema = _parsed(given) if isinstance(given, str) else given
        if not isinstance(schema, dict | bool):
            raise ValueError(f"a JSON schema is an object, true or false, got {type(schema).__name__}")
        _require_shallow(schema)
        try:
            return json.dumps(schema, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the schema is not JSON: {error}") from error

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _as_pairs(cls, given: Any) -> Any:
        """A mapping, whose keys are text in JSON, or pairs, in the order of the tokens."""
        pairs = list(given.items()) if isinstance(given, Mapping) else given
        if not isinstance(pairs, list | tuple):
            return given
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
            raise ValueError('needed is a mapping of token ids to numbers, such as {"42": -100}')
        read = [(_token_of(token), bias) for token, bias in pairs]
        if len({token for token, _ in read}) < len(read):
            raise ValueError("it names a token twice; give it once")
        return tuple(sorted(read, key=lambda pair: str(pair[0])))

    @field_validator("stop", "bad_words", "choices")
    @classmethod
    def _whole_characters(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            _require_whole(text)
        return texts

    @field_validator("json_schema", "regex")
    @classmethod
    def _of_a_size(cls, text: str | None) -> str | None:
        if text is None:
            return None
        _require_whole(text)
        if not text:
            raise ValueError("it is empty, so that no answer is left; leave it out")
        if (size := len(text.encode())) > _MOST_FORM_BYTES:
            raise ValueError(
                f"it has {size:,} bytes; {_MOST_FORM_BYTES:,} at most, since it is compiled for every answer"
            )
        return text

    @field_validator("choices")
    @classmethod
    def _few_and_different(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        if any(not choice for choice in choices):
            raise ValueError("choices hold an empty string, which is no answer; leave it out")
        if len(choices) > _MOST_CHOICES or sum(map(len, choices)) > _MOST_FORM_BYTES:
            raise ValueError(
                f"{len(choices):,} choices of {sum(map(len, choices)):,} characters; at most {_MOST_CHOICES:,} "
                f"of {_MOST_FORM_BYTES:,} together"
            )
        if twice := next((choice for choice, times in Counter(choices).items() if times > 1), None):
            raise ValueError(f"choices hold {twice!r} twice; give it once")
        return choices


def _token_of(token: object) -> object:
    return int(token) if isinstance(token, str) and token.isascii() and token.isdecimal() and len(token) < 20 else token


def _require_whole(text: str) -> None:
    if half := next((letter for letter in text if "\ud800" <= letter <= "\udfff"), None):
        raise ValueError(
            f"{text!r} holds half a character, U+{ord(half):04X}, as bytes that are not UTF-8 become; give whole ones"
        )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(f"the schema is nested too deep; {_MOST_DEPTH} levels at most") from None
    except ValueError as error:
        raise ValueError(f"the schema is not JSON: {error}") from error


def _require_shallow(schema: object, depth: int = 0) -> None:
    if depth > _MOST_DEPTH:
        raise ValueError(f"the schema is nested too deep; {_MOST_DEPTH} levels at most")
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list | tuple) else ()
    for part in parts:
        _require_shallow(part, depth + 1)
