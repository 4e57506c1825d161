"""What an engine may be asked to continue: prompts as token ids, checked before any of them is read."""

from collections.abc import Sequence

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import PromptError


def checked_prompts(
    prompts: Sequence[Sequence[int]], config: GenerationConfig, *, vocab_size: int, max_seq_len: int
) -> list[list[int]]:
    """The prompts as lists of ints. Raises `PromptError` for one that is empty, too long, or holds an unknown token id."""
    if not prompts:
        raise PromptError("no prompt given; needs one at least")
    checked = [[int(token) for token in prompt] for prompt in prompts]
    for number, prompt in enumerate(checked):
        if not prompt:
            raise PromptError(f"prompt {number} is empty; needs one token at least (the end token, to start a text)")
        require_known(prompt, vocab_size)
    longest = max(len(prompt) for prompt in checked)
    if config.window == "error" and longest + config.max_new_tokens > max_seq_len:
        room = max_seq_len - longest
        remedy = f"max_new_tokens of {room} at most" if room > 0 else "a shorter prompt"
        raise PromptError(
            f"a prompt of {longest} tokens and max_new_tokens={config.max_new_tokens} are more than "
            f'max_seq_len={max_seq_len}; give {remedy}, or window="slide" to forget the oldest tokens'
        )
    return checked


def require_known(token_ids: Sequence[int], vocab_size: int) -> None:
    """Raise `PromptError` for a token id outside the vocabulary."""
    unknown = next((token for token in token_ids if not 0 <= token < vocab_size), None)
    if unknown is not None:
        raise PromptError(
            f"token id {unknown} is outside the vocabulary of {vocab_size} (0 to {vocab_size - 1}); was the text "
            "tokenized by another model's tokenizer?"
        )
