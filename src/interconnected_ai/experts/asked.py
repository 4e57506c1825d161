"""What an engine is asked: prompts as token ids, settings and a seed, checked before anything is read."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import Blame, ConfigError, FullWindowError, PromptError
from interconnected_ai.experts.constraint import Constraint
from interconnected_ai.experts.forms import Form
from interconnected_ai.experts.text_rules import TextRules
from interconnected_ai.experts.turn import NO_TURN, Turn
from interconnected_ai.text import TextTokenizer

EndIds = int | Sequence[int] | None


@dataclass(frozen=True)
class Asked:
    """One call of an engine. rules: stop strings and bad words; constraint: a form of the answer; None where there are none.
    end_ids: where it ends. turn: what a conversation brings beside its prompt.
    """

    prompts: list[list[int]]
    config: GenerationConfig
    seed: int | None
    rules: TextRules | None
    tokenizer: TextTokenizer | None
    end_ids: tuple[int, ...]
    constraint: Constraint | None = None
    turn: Turn = NO_TURN

    @property
    def form(self) -> Form | None:
        """What the answer's text is held to."""
        return None if self.constraint is None else self.constraint.form

    @classmethod
    def of(
        cls,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        seed: int | None,
        *,
        vocab_size: int,
        max_seq_len: int,
        tokenizer: TextTokenizer | None,
        end_ids: tuple[int, ...],
        turn: Turn = NO_TURN,
    ) -> "Asked":
        """What was asked, checked. Raises `PromptError` for prompts, `ConfigError` for settings or a seed that cannot be."""
        if not isinstance(config, GenerationConfig):
            raise ConfigError(f"the settings are a GenerationConfig, got {type(config).__name__}")
        seed, rules = checked_seed(seed), TextRules.of(config, tokenizer)
        require_known([token for token, _ in config.logit_bias], vocab_size, setting="logit_bias")
        read = checked_prompts(prompts, config, vocab_size=vocab_size, max_seq_len=max_seq_len)
        end_ids = tuple(dict.fromkeys((*end_ids, *turn.end_ids)))
        constraint = Constraint.of(config, tokenizer, vocab_size, end_ids)
        return cls(read, config, seed, rules, tokenizer, end_ids, constraint, turn)


def as_end_ids(end_ids: EndIds, tokenizer: TextTokenizer | None) -> tuple[int, ...]:
    """The tokens that end an answer, as a caller names them: one, several, or None for the tokenizer's.

    Raises `ConfigError` for what is no whole number, or a list of them.
    """
    if end_ids is None:
        return () if tokenizer is None else tokenizer.end_ids
    try:
        listed = [end_ids] if isinstance(end_ids, int) else [operator.index(token) for token in end_ids]
    except TypeError as error:
        raise ConfigError(f"end_ids={end_ids!r}: needed is a token id, or a list of several") from error
    return tuple(dict.fromkeys(listed))


def checked_prompts(
    prompts: Sequence[Sequence[int]], config: GenerationConfig, *, vocab_size: int, max_seq_len: int
) -> list[list[int]]:
    """The prompts as lists of ints. Raises `PromptError` for one that is empty, too long, or holds an unknown token id."""
    checked = [_token_ids(number, prompt) for number, prompt in enumerate(_prompts(prompts))]
    for number, prompt in enumerate(checked):
        if not prompt:
            raise PromptError(f"prompt {number} is empty; needs one token at least (the end token, to start a text)")
        require_known(prompt, vocab_size)
    longest = max(len(prompt) for prompt in checked)
    if config.window == "error" and longest + config.max_new_tokens > max_seq_len:
        room = max_seq_len - longest
        remedy = f"max_new_tokens of {room} at most" if room > 0 else "a shorter prompt"
        raise FullWindowError(
            f"a prompt of {longest} tokens and an answer of {config.max_new_tokens} are more than the window of {max_seq_len}",
            f'give {remedy}, or window="slide" to forget the oldest tokens',
            room=room,
        )
    return checked


def checked_seed(seed: int | None) -> int | None:
    """The seed, if it is a whole number or None; else raises `ConfigError`."""
    if seed is None:
        return None
    try:
        return operator.index(seed)
    except TypeError as error:
        raise ConfigError(f"seed={seed!r}: needed is a whole number, or None to draw one") from error


def require_known(token_ids: Sequence[int], vocab_size: int, *, setting: str | None = None) -> None:
    """Raise `PromptError` for a token id outside the vocabulary. setting: where they stand, if it is not the prompt."""
    unknown = next((token for token in token_ids if not 0 <= token < vocab_size), None)
    if unknown is not None:
        told = f"token id {unknown} is outside the vocabulary of {vocab_size} (0 to {vocab_size - 1})"
        error = PromptError(f"{told}; was the text tokenized by another model's tokenizer?")
        raise error if setting is None else error.blaming(Blame(setting, f"{told}; name tokens of this model"))


def _prompts(prompts: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    try:
        listed = list(prompts)
    except TypeError as error:
        raise PromptError(f"prompts are a list of lists of token ids, got {type(prompts).__name__}") from error
    if not listed:
        raise PromptError("no prompt given; needs one at least")
    return listed


def _token_ids(number: int, prompt: Sequence[int]) -> list[int]:
    try:
        return [operator.index(token) for token in prompt]
    except TypeError as error:
        raise PromptError(
            f"prompt {number} is {_shown(prompt)}; needed is a list of token ids, which are whole numbers"
        ) from error


def _shown(prompt: object) -> str:
    shown = repr(prompt)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
