"""A memory for those who ask for it in their own way: event loops, LangChain, LlamaIndex, and clients of MCP.

Each file stands on the calls of `ThreeLevelMemory` alone. Adapters are found on first use, since they need packages of their
own; for that they are not in `__all__`, so that `import *` needs none of these.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from interconnected_ai.clients.asynchronous import AsyncThreeLevelMemory
from interconnected_ai.clients.mcp_server import (
    ToolDescription,
    described_tools,
    listening_socket,
    memory_server,
    serve,
)
from interconnected_ai.extras import require

if TYPE_CHECKING:
    from interconnected_ai.clients.langchain import ThreeLevelChatMessageHistory as ThreeLevelChatMessageHistory
    from interconnected_ai.clients.langchain import ThreeLevelRetriever as ThreeLevelRetriever
    from interconnected_ai.clients.llamaindex import ThreeLevelMemoryBlock as ThreeLevelMemoryBlock

__all__ = [
    "AsyncThreeLevelMemory",
    "ToolDescription",
    "described_tools",
    "listening_socket",
    "memory_server",
    "serve",
]

# Adapter → its file, which is its extra's name too, and the package that it needs.
_ADAPTERS = {
    "ThreeLevelChatMessageHistory": ("langchain", "langchain_core"),
    "ThreeLevelRetriever": ("langchain", "langchain_core"),
    "ThreeLevelMemoryBlock": ("llamaindex", "llama_index.core"),
}


def __getattr__(name: str) -> Any:
    """Import an adapter the first time it is asked for. Raises `MissingExtraError` where its package is not installed."""
    if name not in _ADAPTERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    file, package = _ADAPTERS[name]
    require(package, file, name)
    return getattr(import_module(f"{__name__}.{file}"), name)
