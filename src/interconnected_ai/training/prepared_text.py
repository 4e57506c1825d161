"""The text of a training in its folder: tokenised once into mapped files; the report comes last and says it is whole."""

import logging
from itertools import pairwise
from pathlib import Path

from interconnected_ai.config import CorpusConfig
from interconnected_ai.data import Corpus, Survey, Texts
from interconnected_ai.errors import DataError
from interconnected_ai.progress import Progress
from interconnected_ai.text import TextTokenizer
from interconnected_ai.training.portrait import Portrait, spread
from interconnected_ai.training.run_folder import drop_folder, write_json_safely

_CORPORA, _REPORT = "corpus", "text_report.json"
_SHOWN_TOKENS = 400  # of a document: its first sentence, and enough to tell the language
_log = logging.getLogger(__name__)


def is_prepared(folder: Path) -> bool:
    """Whether the text stands there as a whole."""
    return (folder / _REPORT).is_file()


def prepare(folder: Path, found: Survey, words: TextTokenizer) -> None:
    """Tokenise the text into the training's folder."""
    drop_folder(folder / _CORPORA)  # of an attempt that did not come to its end
    with Progress(found.report.total.num_bytes, 0, "tokenizing") as progress:
        corpus = Corpus.prepare(
            found.texts, words, folder / _CORPORA, surveyed=found, progress=lambda done, _: progress.advance(done)
        )
    write_json_safely(folder / _REPORT, corpus.report.to_dict())


def prepared(folder: Path) -> Corpus | None:
    """The tokenised text of a training, if it is there."""
    found = sorted((folder / _CORPORA).glob("corpus-*"))
    return Corpus.open(found[0]) if found else None


def tell_of_changed_text(folder: Path, config: CorpusConfig, words: TextTokenizer, surveyed: Survey | None) -> None:
    """A word where the sources are no longer what this training has read of them."""
    corpus = prepared(folder)
    assert corpus is not None, "the text was prepared"
    try:
        texts = surveyed.texts if surveyed is not None else Texts.of_config(config)
        same = corpus.is_of(texts, words)
    except DataError as error:
        _log.warning(
            "the text that this training was begun with is gone (%s); it goes on with what it read then", error
        )
        return
    if not same:
        _log.warning(
            "the text in %s's sources has changed since; this training goes on with what it read then, --overwrite trains on "
            "the text as it is now",
            folder,
        )


def portrait(corpus: Corpus, words: TextTokenizer) -> Portrait:
    """The documents to learn from, as a card shows them."""
    side = corpus.train
    places = spread(list(pairwise([*side.offsets.tolist(), len(side.tokens)])))
    # an end token stands between two documents
    shown = [side.tokens[first : min(after - 1, first + _SHOWN_TOKENS)].tolist() for first, after in places]
    return Portrait.of_documents(words.decode(token_ids) for token_ids in shown)
