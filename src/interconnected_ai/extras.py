"""Optional packages: the module when it is installed, one friendly line with the pip command when it is not."""

from importlib import import_module
from typing import Any

from interconnected_ai.errors import MissingExtraError


def require(module: str, extra: str, purpose: str) -> Any:
    """The imported `module`; raises `MissingExtraError` naming the extra that brings it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise  # the package is there and something else of its own is missing: that is not ours to translate
        raise MissingExtraError(
            f"{purpose} needs the package {module.split('.')[0]!r}, which is not installed; "
            f'get it with: pip install "interconnected-ai[{extra}]"'
        ) from error
