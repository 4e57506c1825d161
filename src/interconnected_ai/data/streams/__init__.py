"""Tables of any length, row after row: read with all their columns, and written again with more of them.

`tables` holds a whole file in memory and gives the columns asked for; this is for files larger than memory.
"""

from interconnected_ai.data.streams.opening import open_rows
from interconnected_ai.data.streams.rows import RowPiece, RowStream
from interconnected_ai.data.streams.writing import RowWriter, write_stream

__all__ = ["RowPiece", "RowStream", "RowWriter", "open_rows", "write_stream"]
