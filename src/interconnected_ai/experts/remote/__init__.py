"""Experts that somebody else's server computes, behind the OpenAI-compatible HTTP interface."""

from interconnected_ai.experts.remote.description import RemoteServer
from interconnected_ai.experts.remote.expert import RemoteExpert

__all__ = ["RemoteExpert", "RemoteServer"]
