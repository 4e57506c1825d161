"""How long a text is for an encoder whose tokenizer is not at hand."""

_CHARACTERS_PER_TOKEN = 4.0
_SPECIAL_TOKENS = 2


def expected_tokens(num_characters: float) -> float:
    """Tokens of a text of so many characters, special ones included: the embedded encoders make a quarter of a token of a
    character in English and up to a third in Russian.
    """
    return num_characters / _CHARACTERS_PER_TOKEN + _SPECIAL_TOKENS
