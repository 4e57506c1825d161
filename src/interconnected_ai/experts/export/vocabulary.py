"""Names for the rows of an embedding, in formats that want one for each."""

from interconnected_ai.text import Tokenizer


def vocabulary(tokenizer: Tokenizer | None, vocab_size: int) -> list[str]:
    """One name for every row of the embedding: the tokens, then names for rows that no token uses."""
    known = 0 if tokenizer is None else tokenizer.vocab_size
    named = [] if tokenizer is None else [tokenizer.token(number) for number in range(known)]
    return [*named, *(f"<|row={number}|>" for number in range(known, vocab_size))]
