"""Engines as parameters of tests, skipped with the reason where a package is not installed."""

import importlib.util
from typing import Any

import pytest

from interconnected_ai.experts.engines.kinds import engine_kind

_ALSO = {"onnx": ["onnx"], "llamacpp": ["gguf"]}  # what converts an expert for the engine


def parameter(name: str) -> Any:
    """An engine's name."""
    packages = [engine_kind(name).package, *_ALSO.get(name, [])]
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    return pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed"))
