"""Measuring a finished expert on documents, by its folder."""

from collections.abc import Sequence
from pathlib import Path

from interconnected_ai.errors import DataError
from interconnected_ai.experts import load_card, load_model, load_tokenizer
from interconnected_ai.training.expert.perplexity import HeldOut, Perplexity, measure
from interconnected_ai.training.expert.run import held_out_texts
from interconnected_ai.training.expert.texts import read_texts


def evaluate_expert(expert: str | Path, paths: Sequence[str | Path] = (), *, seq_len: int | None = None) -> Perplexity:
    """Perplexity and bits per byte of an expert on the documents of files; without any, on its own test documents.

    seq_len: tokens of a window; None is that of its training. Raises `DataError` when there are no documents.
    """
    texts = read_texts([str(path) for path in paths]) if paths else held_out_texts(Path(expert), "test")
    if not texts:
        raise DataError(f"{expert} comes with no test documents of its own; give some with --text FILES")
    model, card = load_model(expert), load_card(expert)
    found = HeldOut.of(texts, load_tokenizer(expert))
    return measure(model, found, seq_len=seq_len or card.training.get("seq_len"))
