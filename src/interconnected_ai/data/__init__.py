"""What is learnt from: labelled rows and their splits, text for language models, and which of it makes up which batch.

Nothing here knows a model. `corpus` takes text from files to blocks of tokens; `chats` reads conversations and preferences;
`harvest` finds real text without a download.
"""

from interconnected_ai.data.batches import BatchPlan, share_of
from interconnected_ai.data.changes import RowChanges
from interconnected_ai.data.chats import (
    ChatExample,
    Chats,
    DealtOut,
    PreferencePair,
    Preferences,
    dealt_out,
    read_chats,
    read_preferences,
)
from interconnected_ai.data.columns import Columns, columns_of
from interconnected_ai.data.corpus import (
    SIDES,
    TEST,
    TRAIN,
    VALIDATION,
    Corpus,
    CorpusPlan,
    CorpusReport,
    Document,
    SideReport,
    SourceReport,
    Survey,
    Texts,
    TokenSide,
    count_tokens,
    survey,
)
from interconnected_ai.data.harvest import (
    LIBRARIES,
    PROGRAMS,
    DocstringRow,
    MessageRow,
    docstring_rows,
    documentation,
    documentation_by_module,
    message_rows,
)
from interconnected_ai.data.inspection import conflict_remarks, remarks_on, unlabelled_remarks
from interconnected_ai.data.labels import label_remarks
from interconnected_ai.data.loading import load_splits, read_rows, read_texts, texts_by_line, write_rows
from interconnected_ai.data.record import RowRecord
from interconnected_ai.data.remarks import Remark
from interconnected_ai.data.rows import LabelColumn, Rows, Splits
from interconnected_ai.data.splitting import split_rows
from interconnected_ai.data.streams import RowPiece, RowStream, RowWriter, open_rows, write_stream
from interconnected_ai.data.summary import BranchReport, report_on
from interconnected_ai.data.table_sets import TableSet, safe_names, table_sets
from interconnected_ai.data.tables import decoded, is_table

__all__ = [
    "LIBRARIES",
    "PROGRAMS",
    "SIDES",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "BatchPlan",
    "BranchReport",
    "ChatExample",
    "Chats",
    "Columns",
    "Corpus",
    "CorpusPlan",
    "CorpusReport",
    "DealtOut",
    "DocstringRow",
    "Document",
    "LabelColumn",
    "MessageRow",
    "PreferencePair",
    "Preferences",
    "Remark",
    "RowChanges",
    "RowPiece",
    "RowRecord",
    "RowStream",
    "RowWriter",
    "Rows",
    "SideReport",
    "SourceReport",
    "Splits",
    "Survey",
    "TableSet",
    "Texts",
    "TokenSide",
    "columns_of",
    "conflict_remarks",
    "count_tokens",
    "dealt_out",
    "decoded",
    "docstring_rows",
    "documentation",
    "documentation_by_module",
    "is_table",
    "label_remarks",
    "load_splits",
    "message_rows",
    "open_rows",
    "read_chats",
    "read_preferences",
    "read_rows",
    "read_texts",
    "remarks_on",
    "report_on",
    "safe_names",
    "share_of",
    "split_rows",
    "survey",
    "table_sets",
    "texts_by_line",
    "unlabelled_remarks",
    "write_rows",
    "write_stream",
]
