"""The bytes that tokens stand for: what joins them to text without cutting a character."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from interconnected_ai.errors import TokenizerError

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def byte_pieces(fast: FastTokenizer) -> tuple[bytes, ...]:
    """The bytes of every token, by id, as it continues a text; special tokens stand for none.

    Two families of vocabularies can be read: byte-level ones (GPT-2's table of letters), and SentencePiece's, where "▁" is a
    space and <0x0A> a byte. Raises `TokenizerError` for others, such as WordPiece, and for a token that holds a foreign letter.
    """
    space = _space_of(json.loads(fast.to_str()))
    added = fast.get_added_tokens_decoder()
    special = {token_id for token_id, token in added.items() if token.special}

    def bytes_of(token_id: int) -> bytes:
        token = fast.id_to_token(token_id)
        if token is None or token_id in special:  # a vocabulary may have holes
            return b""
        if token_id in added:  # found in the text as it is, before any vocabulary is asked
            return str(token).encode()
        return _spelled(token) if space is None else _written(token, space)

    return tuple(bytes_of(token_id) for token_id in range(fast.get_vocab_size(with_added_tokens=True)))


def _space_of(content: dict[str, Any]) -> str | None:
    """What a SentencePiece vocabulary writes for a space; None for a byte-level one, whose letters are bytes."""
    steps = [*_parts(content.get("decoder")), *_parts(content.get("pre_tokenizer"))]
    if any(step.get("type") == "ByteLevel" for step in steps):
        return None
    for step in steps:
        if step.get("type") == "Metaspace":
            return str(step.get("replacement", "▁"))
        if step.get("type") == "Replace" and step.get("content") == " ":
            return str(step["pattern"].get("String", "▁"))
    raise TokenizerError(
        f"this {content.get('model', {}).get('type')} tokenizer is neither byte-level nor SentencePiece's, so the bytes of its "
        "tokens cannot be told; needed is the tokenizer of a causal language model"
    )


def _parts(step: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A step of a tokenizer, or the steps of a sequence."""
    if step is None:
        return
    inner = [*step.get("decoders", ()), *step.get("pretokenizers", ())]
    yield step
    for part in inner:
        yield from _parts(part)


def _spelled(token: str) -> bytes:
    try:
        return bytes(byte_letters()[letter] for letter in token)
    except KeyError as error:
        raise TokenizerError(
            f"token {token!r} holds {error.args[0]!r}, which stands for no byte; needs a byte-level tokenizer, as "
            "Tokenizer.train makes them"
        ) from error


def _written(token: str, space: str) -> bytes:
    found = _BYTE.fullmatch(token)
    return bytes([int(found[1], 16)]) if found else token.replace(space, " ").encode()


@cache
def byte_letters() -> dict[str, int]:
    """Which byte each letter of a byte-level vocabulary stands for.

    GPT-2's table (Radford et al. 2019; `tokenizers.pre_tokenizers.ByteLevel`): bytes that print in Latin-1 stand for
    themselves, the others in turn for the code points from 256 on.
    """
    printing = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(printing)]
    return {chr(b): b for b in printing} | {chr(256 + i): b for i, b in enumerate(others)}
