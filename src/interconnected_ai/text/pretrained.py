"""`PretrainedTokenizer`: the tokenizer that came with a pretrained language model, from its folder or its GGUF file."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from tokenizers import Tokenizer as FastTokenizer

from interconnected_ai.errors import PromptError, StorageError, TokenizerError
from interconnected_ai.storage import read_gguf
from interconnected_ai.text.byte_level import byte_pieces
from interconnected_ai.text.gguf import GgufVocabulary
from interconnected_ai.text.tokenizer import whole

_FILE, _CONFIG, _SPECIAL, _GENERATION = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
)
_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
_SEPARATORS = ("<|endoftext|>", "<|end_of_text|>")  # what stood between documents where no start token was used


class PretrainedTokenizer:
    """A `TextTokenizer` on a Hugging Face fast tokenizer: byte-level (GPT-2, Llama 3) or SentencePiece's (Llama 2, Gemma).

    names: what special tokens are for, {"bos_token": "<s>", …}. end_ids: all tokens that end an answer, the main one first;
    None is the eos token. leads: whether the model expects the start token before every text; None asks the tokenizer itself.
    pieces: the bytes of every token where they are known already.
    Raises `TokenizerError` for one without an end token; its bytes are told when they are first asked for.

    Threads: any number of them may read at once.
    """

    def __init__(
        self,
        fast: FastTokenizer,
        *,
        names: Mapping[str, str] | None = None,
        end_ids: Sequence[int] | None = None,
        leads: bool | None = None,
        pieces: Sequence[bytes] | None = None,
    ) -> None:
        self._fast = FastTokenizer.from_str(fast.to_str())  # a copy, since its flags are set
        self._fast.no_truncation()
        self._fast.no_padding()
        self._names = {kind: text for kind, text in (names or {}).items() if self._fast.token_to_id(text) is not None}
        first = [] if (known := self._id_of("eos_token")) is None else [known]
        self.end_ids: tuple[int, ...] = tuple(dict.fromkeys(first if end_ids is None else end_ids))
        if not self.end_ids:
            raise TokenizerError(
                "this tokenizer names no token that ends a text; give end_ids=, or name eos_token in its tokenizer_config.json"
            )
        if outside := [token for token in self.end_ids if not 0 <= token < self.vocab_size]:
            raise TokenizerError(f"end_ids={outside}: the tokenizer has the ids 0 to {self.vocab_size - 1}")
        start = self._id_of("bos_token")
        leads = start is not None and _adds(self._fast, start) if leads is None else leads
        self.lead_ids: tuple[int, ...] = () if start is None or not leads else (start,)
        self._given = None if pieces is None else tuple(pieces)
        self._fast.encode_special_tokens = (
            True  # what the library calls it when text that spells a special token stays text
        )

    @classmethod
    def from_place(cls, place: str | Path) -> Self:
        """The tokenizer of a GGUF file or of a model's folder; raises as `from_gguf` and `from_folder` do."""
        return cls.from_gguf(place) if Path(place).is_file() else cls.from_folder(place)

    @classmethod
    def from_folder(cls, folder: str | Path) -> Self:
        """The tokenizer of a Hugging Face model's folder: tokenizer.json, and what the files beside it say of special tokens.

        Raises `TokenizerError` where there is no tokenizer.json, or it cannot be read.
        """
        place = Path(folder)
        fast = _read(place / _FILE)
        content = _json(place / _CONFIG)
        leads = content.get("add_bos_token")
        return cls(
            fast,
            names=_names(content) | _names(_json(place / _SPECIAL)),
            end_ids=_end_ids(fast, place, content),
            leads=leads if isinstance(leads, bool) else None,
        )

    @classmethod
    def from_gguf(cls, path: str | Path) -> Self:
        """The tokenizer in a GGUF file: token ids, bytes and ends are those of llama.cpp.

        Raises `StorageError` for what is no whole GGUF file, `TokenizerError` for a vocabulary that is not known here.
        """
        metadata = read_gguf(path).metadata
        vocabulary = GgufVocabulary.of(metadata)
        return cls(
            vocabulary.tokenizer(),
            names=_gguf_names(vocabulary, metadata),
            end_ids=vocabulary.end_ids,
            leads=vocabulary.begin_id is not None,
            pieces=vocabulary.pieces,
        )

    def save(self, folder: str | Path) -> None:
        """Write tokenizer.json and tokenizer_config.json into a folder that is being written."""
        place = Path(folder)
        plain = FastTokenizer.from_str(self._fast.to_str())
        content = {
            **self._names,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": bool(self.lead_ids),
            "clean_up_tokenization_spaces": False,
        }
        try:
            (place / _FILE).write_text(plain.to_str(), encoding="utf-8")
            (place / _CONFIG).write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"could not write {place / _FILE}: {error.strerror or error}") from error

    # What it is

    @property
    def vocab_size(self) -> int:
        """Tokens, special ones included."""
        return self._fast.get_vocab_size(with_added_tokens=True)

    @property
    def end_id(self) -> int:
        """The token that ends a text."""
        return self.end_ids[0]

    @property
    def start_id(self) -> int:
        """What a document is read after: the start token where texts have one, else what stood between documents."""
        if self.lead_ids:
            return self.lead_ids[0]
        separators = [self.special_tokens[text] for text in _SEPARATORS if text in self.special_tokens]
        start = self._id_of("bos_token")
        return separators[0] if separators else self.end_id if start is None else start

    @cached_property
    def sha256(self) -> str:
        """What tells this tokenizer from every other: SHA-256 of its content and its end tokens."""
        content = f"{self._fast.to_str()}\n{self.end_ids}\n{self.lead_ids}"
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def fast(self) -> FastTokenizer:
        """The Hugging Face tokenizer behind it; to be read, never changed."""
        return self._fast

    @cached_property
    def special_tokens(self) -> Mapping[str, int]:
        """Special tokens as they are written → their ids, in the order of the ids."""
        added = sorted(self._fast.get_added_tokens_decoder().items())
        return MappingProxyType({token.content: token_id for token_id, token in added if token.special})

    @property
    def special_names(self) -> Mapping[str, str]:
        """What the special tokens are for: {"bos_token": "<s>", …}."""
        return MappingProxyType(self._names)

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of every token as it continues a text, by id; raises `TokenizerError` where they cannot be told."""
        return byte_pieces(self._fast) if self._given is None else self._given

    # Text and tokens

    def encode(self, text: str, *, end: bool = False, special: bool = False) -> list[int]:
        """Token ids of a text, without `lead_ids`. end: add the end token. special: special tokens may be spelled.

        Raises `DataError` for a text with half a character (a lone surrogate), which no UTF-8 can hold.
        """
        ids = self._with_special(text) if special else self._ordinary(text)
        return [*ids, self.end_id] if end else ids

    def encode_batch(self, texts: Sequence[str], *, end: bool = False) -> list[list[int]]:
        """Token ids of many texts, on all cores unless TOKENIZERS_PARALLELISM=false."""
        encoded = self._fast.encode_batch_fast([whole(text) for text in texts], add_special_tokens=False)
        return [[*one.ids, self.end_id] if end else one.ids for one in encoded]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """The text of token ids as they continue another text: a space that stands before a word stays.

        What is no character becomes U+FFFD, and so does an id that no token has.
        """
        spelled = {} if skip_special else {token: text.encode() for text, token in self.special_tokens.items()}
        pieces, unknown = self.pieces, "\ufffd".encode()
        joined = b"".join(spelled.get(token, pieces[token]) if 0 <= token < len(pieces) else unknown for token in ids)
        return joined.decode("utf-8", errors="replace")

    def token(self, token_id: int) -> str:
        """A token as it stands in the vocabulary; raises `PromptError` beyond it."""
        found = self._fast.id_to_token(token_id) if token_id >= 0 else None
        if found is None:
            raise PromptError(f"token id {token_id}: the tokenizer has the ids 0 to {self.vocab_size - 1}")
        return str(found)

    def _id_of(self, name: str) -> int | None:
        text = self._names.get(name)
        return None if text is None else self._fast.token_to_id(text)

    def _ordinary(self, text: str) -> list[int]:
        ids: list[int] = self._fast.encode(whole(text), add_special_tokens=False).ids
        return ids

    def _with_special(self, text: str) -> list[int]:
        """Ids of the text between special tokens, and of these."""
        special = self.special_tokens
        if not special:
            return self._ordinary(text)
        longest_first = sorted(special, key=len, reverse=True)
        ids: list[int] = []
        for part in re.split(f"({'|'.join(map(re.escape, longest_first))})", text):
            if part in special:
                ids.append(special[part])
            elif part:
                ids += self._ordinary(part)
        return ids


def _read(path: Path) -> FastTokenizer:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise TokenizerError(
            f"no tokenizer at {path} ({reason}); needed is a tokenizer.json. Older models hold a tokenizer.model alone: "
            "load it with transformers' AutoTokenizer and call save_pretrained, which writes tokenizer.json"
        ) from error
    try:
        return FastTokenizer.from_str(text)
    except Exception as error:
        # The library raises plain Exception for a file that is not one of its own.
        raise TokenizerError(f"{path} is not a tokenizer: {error}; restore it from a copy") from error


def _json(path: Path) -> dict[str, Any]:
    """What stands in a file beside the tokenizer; nothing where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} is not JSON ({error}); restore it from a copy") from error
    return content if isinstance(content, dict) else {}


def _names(content: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens that a file names: each a text, or a record with its text as `content`."""
    found = {name: content.get(name) for name in _NAMES}
    texts = {name: one.get("content") if isinstance(one, dict) else one for name, one in found.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _gguf_names(vocabulary: GgufVocabulary, metadata: Mapping[str, Any]) -> dict[str, str]:
    numbers = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    ids = {name: metadata.get(f"tokenizer.ggml.{word}_token_id") for name, word in numbers.items()}
    known = range(vocabulary.vocab_size)
    return {name: vocabulary.tokens[number] for name, number in ids.items() if number is not None and number in known}


def _end_ids(fast: FastTokenizer, folder: Path, content: Mapping[str, Any]) -> list[int] | None:
    """Where an answer ends: what generation_config.json says, and the eos token. None where neither says anything."""
    text = (_names(content) | _names(_json(folder / _SPECIAL))).get("eos_token")
    own = None if text is None else fast.token_to_id(text)
    found = [_json(folder / name).get("eos_token_id") for name in (_GENERATION, "config.json")]
    listed: int | list[int] = next((one for one in found if one is not None), [])
    ids = [own] if own is not None else []
    ids += [listed] if isinstance(listed, int) else list(listed)
    known = range(fast.get_vocab_size(with_added_tokens=True))
    return [token for token in dict.fromkeys(ids) if token in known] or None


def _adds(fast: FastTokenizer, start_id: int) -> bool:
    """Whether the tokenizer itself puts the start token before a text."""
    return bool(fast.encode("a", add_special_tokens=True).ids[:1] == [start_id])
