"""What a person should know of the rows that were read, in words: one record for every verb that reads rows."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Remark:
    """One thing that is odd and no error. name: of what was looked at; evidence: with numbers; remedy: what to do."""

    name: str
    evidence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}. {self.remedy}"
