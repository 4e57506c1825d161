"""How a language model continues a prompt."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from interconnected_ai.config.record import Record


class GenerationConfig(Record):
    """How a language model continues a prompt. The default samples from the model's own distribution.

    temperature: logits are divided by it; 0 is greedy (the likeliest token). top_k, top_p (nucleus, Holtzman et al. 2020),
    min_p (a token needs this share of the likeliest one's probability, Nguyen et al. 2024): what may be sampled; together
    they narrow one another, in this order. num_beams: beam search (greedy beams; sampling settings exclude it);
    length_penalty: scores of beams are divided by length ** length_penalty.
    repetition_penalty: logits of tokens seen in prompt or answer are divided by it where positive, multiplied where negative
    (Keskar et al. 2019). presence_penalty, frequency_penalty: taken from the logits of tokens in the answer, once, and for
    each time they stand there. stop: the answer ends before any of these strings. bad_words: strings that may not appear.
    logprobs: how many of the likeliest tokens' log probabilities to note at every step; 0 notes the chosen one's alone,
    None nothing. window: what happens beyond max_seq_len, "error" or "slide" (the oldest tokens are forgotten).
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
    logprobs: Annotated[int, Field(ge=0, le=100)] | None = None
    window: Literal["error", "slide"] = "error"

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
        if any(not text for text in (*self.stop, *self.bad_words)):
            raise ValueError("stop and bad_words hold an empty string, which stands everywhere; leave it out")
        return self

    @field_validator("stop", "bad_words")
    @classmethod
    def _whole_characters(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            if half := next((letter for letter in text if "\ud800" <= letter <= "\udfff"), None):
                raise ValueError(
                    f"{text!r} holds half a character, U+{ord(half):04X}, as bytes that are not UTF-8 become; give whole ones"
                )
        return texts
