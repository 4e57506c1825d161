"""Byte-level BPE: words to token ids and back, trained on the user's own text. Nothing is ever unknown."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Self

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as FastTokenizer

from interconnected_ai.errors import ConfigError, DataError, PromptError, StorageError, TokenizerError, UnknownNameError
from interconnected_ai.text.byte_level import byte_pieces

END = "<|end|>"  # ends a text; also what pads a batch, since nothing after the end is read
_ROLE = "<|role={}|>"
_ROLE_NAME = re.compile(r"^\w[\w.-]{0,62}$")
_NUM_BYTES = 256
_REPLACEMENT = "\ufffd"


class Tokenizer:
    """A byte-level BPE tokenizer (Radford et al. 2019, section 2.2) on Hugging Face `tokenizers`.

    Text is brought to NFC, so that "й" is one letter however it was typed, and decode(encode(text)) is the text in NFC.
    Pieces are cut as GPT-2 cuts them, which is what transformers, vLLM and llama.cpp know how to repeat; its letter class
    holds Cyrillic as well as Latin.
    The end token and role tokens such as <|role=code|> stand for one id each. Text that spells them is ordinary text and
    never becomes one, unless `special` is asked for: whoever writes a prompt must not be able to end it or to change
    roles. Raises `TokenizerError` for a tokenizer that lacks the end token or any byte.

    Threads: any number of them may read at once, encode and decode; `add_roles` is for one that has the tokenizer alone.
    """

    def __init__(self, fast: FastTokenizer) -> None:
        self._fast = fast
        if END not in self._special():
            raise TokenizerError(
                f"the tokenizer has no special token {END!r}, which ends a text; train one with Tokenizer.train"
            )
        missing = [letter for letter in pre_tokenizers.ByteLevel.alphabet() if fast.token_to_id(letter) is None]
        if missing or not isinstance(fast.model, models.BPE):
            raise TokenizerError(
                f"this is no byte-level BPE tokenizer ({len(missing)} of {_NUM_BYTES} bytes have no token), so some texts "
                "would be unknown to it; train one with Tokenizer.train"
            )
        fast.encode_special_tokens = True  # what the library calls it when text that spells a special token stays text
        self.end_id: int = self._special()[END]
        self._pieces: tuple[bytes, ...] = ()

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 32_000, *, roles: Sequence[str] = ()) -> Self:
        """A tokenizer of at most `vocab_size` tokens, learnt from these texts; a text with few distinct words gives fewer.

        The same texts give the same tokenizer. Raises `ConfigError` for a vocabulary too small for the 256 bytes.
        """
        special = list(dict.fromkeys([END, *(role_token(role) for role in roles)]))
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
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        fast.train_from_iterator(map(whole, texts), trainer)
        return cls(fast)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The tokenizer in a tokenizer.json; raises `TokenizerError` when there is none or it cannot be read."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise TokenizerError(f"no tokenizer at {path} ({reason}); needs the tokenizer.json of an expert") from error
        try:
            fast = FastTokenizer.from_str(text)
        except Exception as error:
            # The library raises plain Exception for a file that is not one of its own.
            raise TokenizerError(f"{path} is not a tokenizer: {error}; restore it from a copy") from error
        return cls(fast)

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json, whole or not at all; raises `StorageError` when that is not possible."""
        path = Path(path)
        scratch = path.with_name(f".{path.name}.writing-{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with scratch.open("w", encoding="utf-8") as file:
                file.write(self._fast.to_str())
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise StorageError(
                f"could not write {path}: {error.strerror or error}; the old file is unchanged"
            ) from error

    @property
    def vocab_size(self) -> int:
        """Tokens, special ones included."""
        return self._fast.get_vocab_size(with_added_tokens=True)

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The end token alone."""
        return (self.end_id,)

    @property
    def start_id(self) -> int:
        """The end token, which stands before every document in training."""
        return self.end_id

    @property
    def lead_ids(self) -> tuple[int, ...]:
        """None: a prompt begins anywhere in a text."""
        return ()

    @property
    def fast(self) -> FastTokenizer:
        """The Hugging Face tokenizer behind it; to be read, never changed."""
        return self._fast

    @property
    def special_tokens(self) -> dict[str, int]:
        """The special tokens and their ids, in the order of the ids."""
        return self._special()

    @property
    def special_names(self) -> dict[str, str]:
        """What they are for, in the words of Hugging Face."""
        return {"bos_token": END, "eos_token": END, "pad_token": END}

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of every token, by id; special tokens stand for none. Made once, and anew when roles were added.

        Threads: any number at once; two that come first may both make the table.
        """
        if len(self._pieces) != self.vocab_size:
            self._pieces = byte_pieces(self._fast)
        return self._pieces

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
        prefix, suffix = _ROLE.split("{}")
        return [text[len(prefix) : -len(suffix)] for text in self._special() if text.startswith(prefix)]

    def role_id(self, role: str) -> int:
        """The id of a role token; raises `UnknownNameError` for a role this tokenizer lacks."""
        if role not in self.roles:
            raise UnknownNameError("role", role, self.roles)
        return self._special()[role_token(role)]

    def add_roles(self, roles: Sequence[str]) -> int:
        """Add role tokens that are not there yet, behind all others; returns how many. A model's vocabulary must follow."""
        added = [AddedToken(role_token(role), special=True, normalized=False) for role in roles]
        return int(self._fast.add_special_tokens(added))

    def encode(self, text: str, *, end: bool = False, special: bool = False) -> list[int]:
        """Token ids of a text. end: add the end token. special: text that spells a special token becomes it.

        Raises `DataError` for a text with half a character (a lone surrogate), which no UTF-8 can hold.
        """
        ids = list(self._parts(text)) if special else self._ordinary(text)
        return [*ids, self.end_id] if end else ids

    def encode_batch(self, texts: Sequence[str], *, end: bool = False) -> list[list[int]]:
        """Token ids of many texts, on all cores unless TOKENIZERS_PARALLELISM=false."""
        encoded = self._fast.encode_batch_fast([whole(text) for text in texts], add_special_tokens=False)
        return [[*one.ids, self.end_id] if end else one.ids for one in encoded]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of token ids. What is no character becomes U+FFFD: one cut in half, as at the end of an unfinished
        answer, and an id that no token has.
        """
        known = range(self.vocab_size)
        runs = groupby(ids, key=lambda token_id: token_id in known)
        return "".join(
            self._fast.decode(list(run), skip_special_tokens=skip_special)
            if is_known
            else _REPLACEMENT * len(list(run))
            for is_known, run in runs
        )

    def token(self, token_id: int) -> str:
        """A token as it stands in the vocabulary (bytes as GPT-2 writes them); raises `PromptError` beyond it."""
        found = self._fast.id_to_token(token_id) if token_id >= 0 else None
        if found is None:
            raise PromptError(f"token id {token_id}: the tokenizer has the ids 0 to {self.vocab_size - 1}")
        return str(found)

    def _special(self) -> dict[str, int]:
        """The special tokens and their ids, in the order of the ids."""
        added = self._fast.get_added_tokens_decoder()
        return {token.content: token_id for token_id, token in sorted(added.items()) if token.special}

    def _ordinary(self, text: str) -> list[int]:
        ids: list[int] = self._fast.encode(whole(text), add_special_tokens=False).ids
        return ids

    def _parts(self, text: str) -> Iterator[int]:
        """Ids of the text between special tokens, and of these."""
        special = self._special()
        for part in re.split(f"({'|'.join(map(re.escape, special))})", text):
            if part in special:
                yield special[part]
            else:
                yield from self._ordinary(part)


def role_token(role: str) -> str:
    """The token of a role: code → <|role=code|>."""
    if not _ROLE_NAME.fullmatch(role):
        raise ConfigError(f"role {role!r}: needs 1 to 63 letters, digits, '_', '-' or '.', such as 'code'")
    return _ROLE.format(role)


def whole(text: str) -> str:
    """The text, if all its characters are whole ones; raises `DataError` for half a character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the text holds half a character, U+{ord(text[error.start]):04X} at position {error.start}; repair it with "
            'text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'
        ) from error
    return text
