"""Words: tokenizers.

Public names are found on first use (PEP 562): a room that needs one of them does not load what the others need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interconnected_ai.text.byte_level import token_bytes
    from interconnected_ai.text.tokenizer import END, Tokenizer, role_token

_FILES = {
    "END": "tokenizer",
    "Tokenizer": "tokenizer",
    "role_token": "tokenizer",
    "token_bytes": "byte_level",
}

__all__ = ["END", "Tokenizer", "role_token", "token_bytes"]


def __getattr__(name: str) -> Any:
    """Import the file that holds `name` the first time somebody asks for it."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
