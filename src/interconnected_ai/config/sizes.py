"""Sizes that a model can have. The upper ends lie far beyond any model; a typing error would fill the memory before it was
found."""

from typing import Annotated

from pydantic import Field

MOST_CLASSES = 1_000_000

Width = Annotated[int, Field(ge=1, le=2**24)]
"""Numbers in a vector."""
Depth = Annotated[int, Field(ge=1, le=2**12)]
"""Layers, or heads, one after or beside another."""
Length = Annotated[int, Field(ge=1, le=2**24)]
"""Tokens in a row."""
VocabularySize = Annotated[int, Field(ge=1, le=2**24)]
"""Tokens to choose from."""
