"""A memory for those who ask for it in their own way: event loops, LangChain, LlamaIndex, and clients of MCP.

Each file stands on the calls of `ThreeLevelMemory` alone. `langchain` and `llamaindex` are imported from their files, since
they need packages of their own.
"""

from interconnected_ai.clients.asynchronous import AsyncThreeLevelMemory

__all__ = ["AsyncThreeLevelMemory"]
