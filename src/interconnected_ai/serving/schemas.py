"""The error envelope as the description of the API shows it, and what every request's body is: strict, and nothing unknown."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Body(BaseModel):
    """A request. Unknown fields and wrong types are refused; null is the same as absent."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


class ErrorDetail(BaseModel):
    """What went wrong. type: its kind. code: a word for programs. param: the field that is to blame."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """OpenAI's envelope."""

    error: ErrorDetail
