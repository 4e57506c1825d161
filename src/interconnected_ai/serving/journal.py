"""The log: one JSON object a request. What people write stands in it only where the config says so."""

import json
import logging
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

LOGGER = logging.getLogger("interconnected_ai.serving")


@dataclass
class Entry:
    """A request's line.

    route: the path as the server names it, never as it was asked. fault: what the client is not told of an error: where it
    was, and of a fault of the server the traceback. prompt: where prompts are logged.
    """

    id: str
    method: str
    route: str = ""
    status: int = 0
    seconds: float = 0.0
    key: str | None = None
    model: str | None = None
    experts: tuple[str, ...] = ()
    prompt_tokens: int = 0
    answer_tokens: int = 0
    ended: str = "whole"
    fault: str | None = None
    prompt: Any = None

    def blame(self, error: BaseException, *, is_foreseen: bool) -> None:
        """Keep what went wrong for the log."""
        self.fault = str(error) if is_foreseen else "".join(traceback.format_exception(error))

    def write(self) -> None:
        """One line of JSON, faults of the server as errors."""
        is_fault = (self.status >= 500 and self.status != 503) or self.ended == "broken"
        level = logging.ERROR if is_fault else logging.WARNING if self.fault else logging.INFO
        if not LOGGER.isEnabledFor(level):
            return
        told = {name: value for name, value in vars(self).items() if value not in (None, "", 0, ())}
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **told, "seconds": round(self.seconds, 4)}
        LOGGER.log(level, "%s", json.dumps(line))
