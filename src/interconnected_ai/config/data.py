"""What is learnt from: rows for a system's branches, text for an expert, and how much of them is held out."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from interconnected_ai.config.record import Record


class CorpusConfig(Record):
    """The text that a language model learns from, and how much of it is held out.

    paths: text files, tables (.jsonl, .csv, .tsv, .parquet), folders of these, datasets on the hub as
    `hf:NAME[:CONFIG][#SPLIT]`, or `docs:LIBRARY`, the docstrings of an installed library. validation, test: sources of
    their own; without them whole documents are held out of `paths`. text: column or key of the text in tables.
    unit: what one document of a text file is.
    """

    paths: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    validation: Annotated[tuple[str, ...], Field(strict=False)] = ()
    test: Annotated[tuple[str, ...], Field(strict=False)] = ()
    text: str = "text"
    unit: Literal["file", "paragraph", "line"] = "file"
    validation_fraction: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.05
    test_fraction: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.05
    split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0


class BranchData(Record):
    """One branch's rows: a file of its own (or a Hugging Face dataset), with a text and a label column.

    path: .csv, .tsv, .jsonl, .json, .parquet, a folder written by `datasets.save_to_disk`, or a dataset on the hub as
    `hf:NAME[:CONFIG][#SPLIT]` (its split `train` unless another is named). validation, test: sources of the same form;
    without them rows are held out of `path`.
    """

    name: str
    path: str
    text: str = "text"
    label: str = "label"
    validation: str | None = None
    test: str | None = None


class TableData(Record):
    """One table for all branches: a text column, and for each branch a column of labels (empty = no label there)."""

    path: str
    text: str = "text"
    labels: Annotated[dict[str, str], Field(min_length=1)]
    validation: str | None = None
    test: str | None = None


class DataConfig(Record):
    """Where the rows come from (one file per branch, or one table) and how many are held out, stratified by class."""

    branches: Annotated[tuple[BranchData, ...], Field(strict=False)] = ()
    table: TableData | None = None
    validation_fraction: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.1
    test_fraction: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.1
    split_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _says_one_source(self) -> Self:
        if bool(self.branches) == (self.table is not None):
            raise ValueError("give either data.branches (one file per branch) or data.table (a column per branch)")
        names = [source.name.casefold() for source in self.branches]
        if len(set(names)) != len(names):
            twice = next(s.name for s in self.branches if names.count(s.name.casefold()) > 1)
            raise ValueError(f"data names branch {twice!r} twice; put its rows into one file, or name another branch")
        return self
