"""Measuring a finished expert on documents, by its folder."""

from collections.abc import Sequence
from pathlib import Path

from interconnected_ai.arguments import checked
from interconnected_ai.config import CorpusConfig
from interconnected_ai.data import Texts
from interconnected_ai.errors import DataError, EngineError
from interconnected_ai.experts import Expert, kind_of
from interconnected_ai.text import TextTokenizer
from interconnected_ai.training.expert.perplexity import HeldOut, Perplexity, held_out, measure
from interconnected_ai.training.expert.run import kept_corpus

_WINDOW = (
    1_024  # tokens, of a model that was trained elsewhere: most documents fit, and a longer window costs its square
)


@checked
def evaluate_expert(
    expert: str | Path,
    paths: Sequence[str] = (),
    *,
    column: str = "text",
    seq_len: int | None = None,
    stride: int | None = None,
    documents_of: str | Path | None = None,
) -> Perplexity:
    """Perplexity and bits per byte of an expert on the documents of `paths`; without any, on its own test documents.

    paths: as `CorpusConfig` has them. column: of the text in tables. seq_len, stride: as `measure` has them, but None for
    the former is the window of the training, or 1,024 tokens of a model that was trained elsewhere. documents_of: another
    expert whose own test documents are read, such as the one that this was quantised from.
    Raises `DataError` when there are no documents, `EngineError` for an expert that is computed elsewhere.
    """
    kind, place = kind_of(expert)
    if kind.why_not_evaluate:
        raise EngineError(f"{expert} is {kind.title}: {kind.why_not_evaluate}")
    with Expert.from_pretrained(place, engine="torch") as opened:
        model = opened.model
        held = _documents(paths, column, opened.tokenizer) if paths else _own(Path(documents_of or expert))
        window = seq_len or opened.card.seq_len or min(_WINDOW, model.config.max_seq_len)
        return measure(model, held, seq_len=window, stride=stride)


def _documents(paths: Sequence[str], column: str, tokenizer: TextTokenizer) -> HeldOut:
    config = CorpusConfig(paths=tuple(paths), text=column, validation_fraction=0.0, test_fraction=0.0)
    return HeldOut.of((document.text for _, document in Texts.of_config(config).documents()), tokenizer)


def _own(expert: Path) -> HeldOut:
    corpus = kept_corpus(expert)
    held = held_out(corpus.test) if corpus else None
    if held is None:
        raise DataError(f"{expert} has no test documents of its own beside it; give some with --text FILES")
    return held
