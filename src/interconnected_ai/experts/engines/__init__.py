"""Engines: what computes an expert's answers, by name."""

from interconnected_ai.experts.engines.choice import EngineChoice, choose_engine
from interconnected_ai.experts.engines.kinds import ENGINES, runnable_engines
from interconnected_ai.experts.engines.opening import open_engine, open_files

__all__ = ["ENGINES", "EngineChoice", "choose_engine", "open_engine", "open_files", "runnable_engines"]
