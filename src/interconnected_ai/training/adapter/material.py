"""What an adapter learns from and is measured on, prepared once in its training's folder: a function a kind of data."""

import logging
from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.config import AdapterRunConfig, ChatsConfig
from interconnected_ai.data import Survey, Texts, survey
from interconnected_ai.errors import DataError
from interconnected_ai.experts import Base
from interconnected_ai.text import PretrainedTokenizer, TextTokenizer, token_bytes
from interconnected_ai.training.adapter.examples import Conversations, DocumentPieces, Example, Examples
from interconnected_ai.training.adapter.opening import open_template, window_of
from interconnected_ai.training.adapter.record import CHATS
from interconnected_ai.training.chats import (
    ChatCorpus,
    PreferenceCorpus,
    TokenizedChat,
    chat_corpus,
    preference_corpus,
)
from interconnected_ai.training.portrait import Portrait
from interconnected_ai.training.prepared_text import is_prepared, portrait, prepare, prepared, tell_of_changed_text

_log = logging.getLogger(__name__)
_BLOCK = 512


@dataclass(frozen=True)
class Material:
    """Examples of at most a block's length, by side; None for a side that holds nothing. seq_len: of a block."""

    train: Examples
    validation: Examples | None
    test: Examples | None
    seq_len: int


def block_of(config: AdapterRunConfig, window: int) -> int:
    """Tokens of a block. window: what the base reads at once."""
    return min(config.training.seq_len or _BLOCK, window)


def prepare_material(
    folder: Path,
    config: AdapterRunConfig,
    base: Base,
    words: PretrainedTokenizer,
    surveyed: Survey | None,
    *,
    resume: bool,
) -> None:
    """Read the config's sources into the training's folder, as files. Raises `DataError` for what cannot be learnt from."""
    if config.text is None:
        if not (folder / CHATS).is_dir():
            _prepare_chats(folder, config, base, words)
    elif not is_prepared(folder):
        prepare(folder, surveyed or survey(Texts.of_config(config.text)), words)
    elif resume:
        tell_of_changed_text(folder, config.text, words, surveyed)


def open_material(folder: Path, config: AdapterRunConfig, words: TextTokenizer, seq_len: int) -> Material:
    """What was prepared there: documents or conversations."""
    return _text(folder, config, words, seq_len) if config.text is not None else _chats(folder, words, seq_len)


def open_pairs(folder: Path) -> PreferenceCorpus:
    """The preferences that were prepared there."""
    return PreferenceCorpus.load(folder / CHATS)


def portrait_of(folder: Path, config: AdapterRunConfig, words: TextTokenizer) -> Portrait:
    """What was prepared there to learn from, as a card shows it."""
    if config.text is None:
        read = ChatCorpus if config.preferences is None else PreferenceCorpus
        return read.load(folder / CHATS).portrait
    corpus = prepared(folder)
    assert corpus is not None, "the text was prepared"
    return portrait(corpus, words)


def _prepare_chats(folder: Path, config: AdapterRunConfig, base: Base, words: PretrainedTokenizer) -> None:
    """Conversations or preferences as token ids in the training's folder, so that a resumed run reads the very same ones."""
    corpus = read_chats(config, base, words)
    for remark in corpus.remarks:
        _log.warning("%s", remark)
    corpus.save(folder / CHATS)


def read_chats(config: AdapterRunConfig, base: Base, words: PretrainedTokenizer) -> ChatCorpus | PreferenceCorpus:
    """The config's conversations or preferences, written as the base's template has them. Raises as `chat_corpus` does."""
    asked: ChatsConfig | None = config.chats or config.preferences
    assert asked is not None, "one of the three is given"
    read = chat_corpus if config.preferences is None else preference_corpus
    corpus: ChatCorpus | PreferenceCorpus = read(
        asked.paths,
        open_template(base, words),
        max_tokens=block_of(config, window_of(base)) + 1,  # its last token is a target only
        validation=asked.validation,
        validation_fraction=asked.validation_fraction,
        seed=config.training.seed,
        too_long=asked.too_long,
    )
    return corpus


def _chats(folder: Path, words: TextTokenizer, seq_len: int) -> Material:
    corpus, pieces = ChatCorpus.load(folder / CHATS), token_bytes(words)

    def side(chats: tuple[TokenizedChat, ...]) -> Conversations | None:
        return Conversations([Example(chat.ids, chat.counted) for chat in chats], pieces) if chats else None

    train = side(corpus.train)
    if train is None:
        raise DataError(f"{folder / CHATS} holds no conversation to learn from; train anew with --overwrite")
    return Material(train, side(corpus.validation), side(corpus.test), seq_len)


def _text(folder: Path, config: AdapterRunConfig, words: TextTokenizer, seq_len: int) -> Material:
    """Documents, each read after the start token."""
    corpus, training = prepared(folder), config.training
    assert corpus is not None, "the text was prepared"

    def held(side: str, most_tokens: int) -> DocumentPieces | None:
        tokens = getattr(corpus, side)
        if not tokens.num_documents:
            return None
        return DocumentPieces(tokens, seq_len, words.start_id, ends=False, most_tokens=most_tokens)

    return Material(
        DocumentPieces(corpus.train, seq_len, words.start_id, ends=True),
        held("validation", training.evaluation_tokens),
        held("test", training.test_tokens),
        seq_len,
    )
