"""`BatchLimits`: what answers that are made together may take. No torch."""

from dataclasses import dataclass, fields

from interconnected_ai.arguments import shown
from interconnected_ai.errors import ConfigError


@dataclass(frozen=True)
class BatchLimits:
    """Bounds of what one model's answers take at a time; what is beyond waits.

    num_rows: answers that are made at a time. cache_bytes: of their keys and values, each row's for its prompt and all that it
    may say. num_waiting: answers that may wait, all calls together; more are refused. prompt_tokens: of prompts, read between
    two steps at most: what new prompts delay those who are being answered. num_unread: tokens that an answer may be ahead of
    who reads it; it rests then. Raises `ConfigError` for a number below 1.
    """

    num_rows: int = 32
    cache_bytes: int = 1 << 30
    num_waiting: int = 1024
    prompt_tokens: int = 64
    num_unread: int = 256

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{field.name}={shown(value)}: needed is a whole number from 1")
