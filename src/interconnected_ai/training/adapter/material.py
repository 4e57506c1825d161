"""What an adapter learns from and is measured on, prepared once in its training's folder: a function a kind of data."""

from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.config import AdapterRunConfig
from interconnected_ai.data import Survey, Texts, survey
from interconnected_ai.experts import Base
from interconnected_ai.text import TextTokenizer
from interconnected_ai.training.adapter.examples import DocumentPieces, Examples
from interconnected_ai.training.prepared_text import is_prepared, prepare, prepared, tell_of_changed_text


@dataclass(frozen=True)
class Material:
    """Examples of at most a block's length, by side; None for a side that holds nothing. seq_len: of a block."""

    train: Examples
    validation: Examples | None
    test: Examples | None
    seq_len: int


def prepare_material(
    folder: Path, config: AdapterRunConfig, base: Base, words: TextTokenizer, surveyed: Survey | None, *, resume: bool
) -> None:
    """Read the config's sources into the training's folder, as files. Raises `DataError` for what cannot be learnt from."""
    assert config.text is not None, "one of the two is given"
    if not is_prepared(folder):
        prepare(folder, surveyed or survey(Texts.of_config(config.text)), words)
    elif resume:
        tell_of_changed_text(folder, config.text, words, surveyed)


def open_material(folder: Path, config: AdapterRunConfig, words: TextTokenizer, seq_len: int) -> Material:
    """What was prepared there."""
    return _text(folder, config, words, seq_len)


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
