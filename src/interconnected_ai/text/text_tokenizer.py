"""`TextTokenizer`: what experts need of a tokenizer, whoever trained it."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from tokenizers import Tokenizer as FastTokenizer


@runtime_checkable
class TextTokenizer(Protocol):
    """Text to token ids and back, and the bytes of every token: `Tokenizer` and `PretrainedTokenizer` are such.

    Text that spells a special token is ordinary text, unless `encode` is asked for `special`: whoever writes a prompt must not
    be able to end it or to change roles.

    Threads: any number of them may read at once.
    """

    @property
    def vocab_size(self) -> int:
        """Tokens, special ones included. A model's own vocabulary may be padded beyond it."""

    @property
    def end_id(self) -> int:
        """The token that ends a text; the first of `end_ids`."""

    @property
    def end_ids(self) -> tuple[int, ...]:
        """All tokens at which an answer ends."""

    @property
    def start_id(self) -> int:
        """What a document is read after, and what stands for an empty prompt."""

    @property
    def lead_ids(self) -> tuple[int, ...]:
        """Tokens that the model expects before every text: (the start token,) or none."""

    @property
    def sha256(self) -> str:
        """What tells this tokenizer from every other."""

    @property
    def fast(self) -> FastTokenizer:
        """The Hugging Face tokenizer behind it; to be read, never changed."""

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Special tokens as they are written → their ids, in the order of the ids."""

    @property
    def special_names(self) -> Mapping[str, str]:
        """What the special tokens are for, in the words of Hugging Face: {"bos_token": "<s>", …}; may be empty."""

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of every token as it continues a text, by id; special tokens stand for none."""

    def encode(self, text: str, *, end: bool = False, special: bool = False) -> list[int]:
        """Token ids of a text, without `lead_ids`. end: add the end token. special: special tokens may be spelled."""

    def encode_batch(self, texts: Sequence[str], *, end: bool = False) -> list[list[int]]:
        """Token ids of many texts."""

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of token ids. What is no character becomes U+FFFD."""

    def token(self, token_id: int) -> str:
        """A token as it stands in the vocabulary; raises `PromptError` beyond it."""


def token_bytes(tokenizer: TextTokenizer) -> tuple[bytes, ...]:
    """The bytes of every token, by id; special tokens (the end token, roles) stand for none.

    Joined and read as UTF-8 they are what `decode` gives. Raises `TokenizerError` for a vocabulary whose bytes cannot be told.
    """
    return tokenizer.pieces
