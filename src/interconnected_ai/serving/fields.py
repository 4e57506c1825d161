"""What a request calls the settings of Python's calls: mistakes that rooms below find are told with its client's words."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from interconnected_ai.errors import FullWindowError, InterconnectedAIError
from interconnected_ai.serving.faults import Refusal, blamed

_REFORMED = ("logit_bias",)  # kept in another form than it is sent, so that places within it are nobody's
PROMPT, TOO_LONG = "prompt", "too_long"  # beside settings: what is read, and how the oldest of it may go


@contextmanager
def in_fields(fields: Mapping[str, str]) -> Iterator[None]:
    """What is raised in this block for a request's own mistake becomes a `Refusal` that names the request's field.

    fields: setting → the request's field, where it is called something else. What the request is not to blame for passes.
    """
    try:
        yield
    except FullWindowError as error:
        raise Refusal(
            400, _too_long(error, fields), code="context_length_exceeded", param=fields.get(PROMPT, PROMPT)
        ) from error
    except InterconnectedAIError as error:
        if not error.blames:
            raise
        raise blamed(error, lambda setting: _field(setting, fields)) from error


def _field(setting: str, fields: Mapping[str, str]) -> str:
    """The field of a setting, or of a place in one, such as "logit_bias.0"."""
    name, dot, within = setting.partition(".")
    field = fields.get(name, name)
    return field if name in _REFORMED else field + dot + within


def _too_long(error: FullWindowError, fields: Mapping[str, str]) -> str:
    remedies = ["send less"]
    if error.room > 0:
        remedies.append(f"ask for a {_field('max_new_tokens', fields)} of {error.room:,} at most")
    if error.can_drop and TOO_LONG in fields:
        remedies.append(f"let the oldest turns go ({fields[TOO_LONG]})")
    return f"{error.told}; {', or '.join(remedies)}"
