"""Serving: everything behind HTTP, in the dialects that clients speak.

Public names are found on first use (PEP 562), since FastAPI and uvicorn are an extra; what only keeps keys needs neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from interconnected_ai.extras import require

if TYPE_CHECKING:
    from interconnected_ai.serving.app import create_app
    from interconnected_ai.serving.ending import EndedError, Ending
    from interconnected_ai.serving.hall import Hall, stands_at
    from interconnected_ai.serving.keys import SCOPES, ApiKey, KeyFile
    from interconnected_ai.serving.server import ServerThread, address_of, listening_socket, serve, state_held

_FILES = {
    "create_app": "app",
    "EndedError": "ending",
    "Ending": "ending",
    "Hall": "hall",
    "SCOPES": "keys",
    "ApiKey": "keys",
    "KeyFile": "keys",
    "ServerThread": "server",
    "address_of": "server",
    "listening_socket": "server",
    "serve": "server",
    "stands_at": "hall",
    "state_held": "server",
}
_WITHOUT_EXTRA = {"keys"}

__all__ = [
    "SCOPES",
    "ApiKey",
    "EndedError",
    "Ending",
    "Hall",
    "KeyFile",
    "ServerThread",
    "address_of",
    "create_app",
    "listening_socket",
    "serve",
    "stands_at",
    "state_held",
]


def __getattr__(name: str) -> Any:
    """Import the file that holds `name` the first time somebody asks for it."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _FILES[name] not in _WITHOUT_EXTRA:
        for module in ("fastapi", "uvicorn", "prometheus_client"):
            require(module, "serving", "the server")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
