"""What a report cannot show, and why: a key of `wording` each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Missing:
    """Something that a run's report cannot show. kind: a key of `wording`; detail: names or an error's message."""

    kind: str
    detail: str = ""
