"""An expert's folder, or a part of it, as objects: the model, the tokenizer, the card.

Threads: any number of them may load at once, and beside a writer each has all of one version.
"""

from pathlib import Path

from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.folder import read_files
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.text import Tokenizer


def load_model(folder_or_hub_id: str | Path) -> ExpertModel:
    """The model of an expert's folder, in evaluation mode; checksums, shapes and version are checked.

    Weights are mapped from the file and read when they are first used.
    """
    return ExpertModel.from_pretrained(folder_or_hub_id)


def load_card(folder_or_hub_id: str | Path) -> ExpertCard:
    """What an expert's folder says of itself."""
    return read_files(folder_or_hub_id, weights=False, tokenizer=False).card


def load_tokenizer(folder_or_hub_id: str | Path) -> Tokenizer:
    """The tokenizer in an expert's folder; raises `TokenizerError` when there is none, or it is not the model's own."""
    return read_files(folder_or_hub_id, weights=False).own_tokenizer()


def load_expert(folder_or_hub_id: str | Path) -> tuple[ExpertModel, Tokenizer, ExpertCard]:
    """Model, tokenizer and card of an expert's folder, which is checked once."""
    files = read_files(folder_or_hub_id)
    return files.network(ExpertModel), files.own_tokenizer(), files.card


def expert_key(folder_or_hub_id: str | Path) -> str:
    """What tells an expert's weights and tokenizer from all others, from the checksums of its files."""
    return read_files(folder_or_hub_id, weights=False, tokenizer=False).key
