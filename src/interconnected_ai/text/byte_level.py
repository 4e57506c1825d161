"""The bytes that each token of a byte-level vocabulary stands for: what joins tokens to text without cutting a character."""

from functools import cache
from weakref import WeakKeyDictionary

from interconnected_ai.errors import TokenizerError
from interconnected_ai.text.tokenizer import Tokenizer


def token_bytes(tokenizer: Tokenizer) -> tuple[bytes, ...]:
    """The bytes of every token, by id; special tokens (the end token, roles) stand for none.

    Joined and read as UTF-8 they are what `Tokenizer.decode` gives. The table is made once for a tokenizer, anew when roles
    were added to it, and goes with it. Raises `TokenizerError` for a vocabulary that is not byte-level.

    Threads: any number at once; two that come first may both make the table.
    """
    known = _TABLES.get(tokenizer)
    if known is None or len(known) != tokenizer.vocab_size:
        known = _TABLES[tokenizer] = _table(tokenizer)
    return known


# As many as there are tokenizers: a pool of experts has one for each, and a bounded cache would make tables again and again.
_TABLES: WeakKeyDictionary[Tokenizer, tuple[bytes, ...]] = WeakKeyDictionary()


def _table(tokenizer: Tokenizer) -> tuple[bytes, ...]:
    special = set(tokenizer._special().values())
    return tuple(b"" if i in special else _bytes_of(tokenizer.token(i)) for i in range(tokenizer.vocab_size))


def _bytes_of(token: str) -> bytes:
    try:
        return bytes(byte_letters()[letter] for letter in token)
    except KeyError as error:
        raise TokenizerError(
            f"token {token!r} holds {error.args[0]!r}, which stands for no byte; needs a byte-level tokenizer, as "
            "Tokenizer.train makes them"
        ) from error


@cache
def byte_letters() -> dict[str, int]:
    """Which byte each letter of a byte-level vocabulary stands for.

    GPT-2's table (Radford et al. 2019; `tokenizers.pre_tokenizers.ByteLevel`): bytes that print in Latin-1 stand for
    themselves, the others in turn for the code points from 256 on.
    """
    printing = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(printing)]
    return {chr(b): b for b in printing} | {chr(256 + i): b for i, b in enumerate(others)}
