"""Byte-level BPE: words to token ids and back, trained on the user's own text. Nothing is ever unknown."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from tokenizers import AddedToken, Tokenizer as FastTokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from interconnected_ai.errors import ConfigError, TokenizerError, UnknownNameError

END = "<|end|>"  # ends a text; also what pads a batch, since nothing after the end is read
_ROLE = "<|role={}|>"
_ROLE_NAME = re.compile(r"^\w[\w.-]{0,62}$")
_NUM_BYTES = 256


class Tokenizer:
    """A byte-level BPE tokenizer (Radford et al. 2019, section 2.2) on Hugging Face `tokenizers`.

    Text is brought to NFC, so that "й" is one letter however it was typed. Pieces are cut as GPT-2 cuts them, which is what
    transformers, vLLM and llama.cpp know how to repeat; its letter class holds Cyrillic as well as Latin.
    Role tokens such as <|role=code|> stand for one id each and are never the result of ordinary text.
    """

    def __init__(self, fast: FastTokenizer) -> None:
        if fast.token_to_id(END) is None:
            raise TokenizerError(f"the tokenizer has no token {END!r}, which ends a text; train one with Tokenizer.train")
        self._fast = fast
        self.end_id: int = fast.token_to_id(END)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 32_000, *, roles: Sequence[str] = ()) -> Self:
        """A tokenizer of at most `vocab_size` tokens, learnt from these texts; a text with few distinct words gives fewer."""
        special = [END, *(role_token(role) for role in roles)]
        if vocab_size < _NUM_BYTES + len(special):
            raise ConfigError(
                f"vocab_size={vocab_size}: the {_NUM_BYTES} bytes and {len(special)} special tokens need "
                f"{_NUM_BYTES + len(special)} at least"
            )
        fast = FastTokenizer(models.BPE())
        fast.normalizer = normalizers.NFC()
        fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        fast.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        fast.train_from_iterator(texts, trainer)
        return cls(fast)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The tokenizer in a tokenizer.json; raises `TokenizerError` when there is none or it cannot be read."""
        try:
            return cls(FastTokenizer.from_str(Path(path).read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise TokenizerError(f"no tokenizer at {path}; needs the tokenizer.json of an expert") from error
        except Exception as error:  # noqa: BLE001 - tokenizers raises plain Exception for a file that is not one of its own
            if isinstance(error, TokenizerError):
                raise
            raise TokenizerError(f"{path} is not a tokenizer: {error}; restore it from a copy") from error

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json, whole or not at all."""
        path = Path(path)
        scratch = path.with_name(f".{path.name}.writing-{os.getpid()}")
        scratch.write_text(self._fast.to_str(), encoding="utf-8")
        os.replace(scratch, path)

    @property
    def vocab_size(self) -> int:
        """Tokens, special ones included."""
        return self._fast.get_vocab_size(with_added_tokens=True)

    @property
    def sha256(self) -> str:
        """What tells this tokenizer from every other: SHA-256 of its content."""
        return hashlib.sha256(self._fast.to_str().encode()).hexdigest()

    @property
    def merges(self) -> list[str]:
        """Which tokens were joined to make others, in the order learnt: "a b" for ab."""
        found = json.loads(self._fast.to_str())["model"]["merges"]
        return [pair if isinstance(pair, str) else " ".join(pair) for pair in found]

    @property
    def roles(self) -> list[str]:
        """Names of the role tokens, in the order of their ids."""
        tokens = sorted(self._fast.get_added_tokens_decoder().items())
        prefix, suffix = _ROLE.split("{}")
        return [t.content[len(prefix) : -len(suffix)] for _, t in tokens if t.content.startswith(prefix)]

    def role_id(self, role: str) -> int:
        """The id of a role token; raises `UnknownNameError` for a role this tokenizer lacks."""
        found = self._fast.token_to_id(role_token(role))
        if found is None:
            raise UnknownNameError("role", role, self.roles)
        return int(found)

    def add_roles(self, roles: Sequence[str]) -> int:
        """Add role tokens that are not there yet, behind all others; returns how many. A model's vocabulary must follow."""
        added = [AddedToken(role_token(role), special=True, normalized=False) for role in roles]
        return int(self._fast.add_special_tokens(added))

    def encode(self, text: str, *, end: bool = False) -> list[int]:
        """Token ids of a text; `end` adds the end token."""
        ids: list[int] = self._fast.encode(text).ids
        return [*ids, self.end_id] if end else ids

    def encode_batch(self, texts: Sequence[str], *, end: bool = False) -> list[list[int]]:
        """Token ids of many texts, on all cores unless TOKENIZERS_PARALLELISM=false."""
        encoded = self._fast.encode_batch_fast(list(texts))
        return [[*one.ids, self.end_id] if end else one.ids for one in encoded]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of token ids. A character cut in half, as at the end of an unfinished answer, becomes U+FFFD."""
        text: str = self._fast.decode(list(ids), skip_special_tokens=skip_special)
        return text

    def token(self, token_id: int) -> str:
        """A token as it stands in the vocabulary (bytes as GPT-2 writes them); raises `UnknownNameError` beyond it."""
        found = self._fast.id_to_token(token_id)
        if found is None:
            raise UnknownNameError("token id", token_id, range(min(self.vocab_size, 3)))
        return str(found)


def role_token(role: str) -> str:
    """The token of a role: code → <|role=code|>."""
    if not _ROLE_NAME.fullmatch(role):
        raise ConfigError(f"role {role!r}: needs 1 to 63 letters, digits, '_', '-' or '.', such as 'code'")
    return _ROLE.format(role)
