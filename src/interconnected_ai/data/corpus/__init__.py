"""Text for language models: from files, tables and datasets to blocks of tokens.

`Texts` names the sources, `survey` reads them once (what is in them, what stands twice, what is held out), `Corpus` holds
them tokenised on disk, `CorpusPlan` says which block belongs to which batch."""

from interconnected_ai.data.corpus.documents import Document
from interconnected_ai.data.corpus.packing import CorpusPlan
from interconnected_ai.data.corpus.report import CorpusReport, SideReport, SourceReport
from interconnected_ai.data.corpus.store import Corpus, TokenSide, count_tokens
from interconnected_ai.data.corpus.survey import Survey, survey
from interconnected_ai.data.corpus.texts import SIDES, TEST, TRAIN, VALIDATION, Texts

__all__ = [
    "SIDES",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Corpus",
    "CorpusPlan",
    "CorpusReport",
    "Document",
    "SideReport",
    "SourceReport",
    "Survey",
    "Texts",
    "TokenSide",
    "count_tokens",
    "survey",
]
