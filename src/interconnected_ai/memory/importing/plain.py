"""Rows of role and content and dialogues of them, as most tools write them: plain JSON, OpenAI, ShareGPT, LangChain.

A memory's own export is of this kind, and is read back word for word.
"""

from collections.abc import Iterator
from typing import Any

from interconnected_ai.errors import DataError
from interconnected_ai.memory.importing.contents import calls_in, text_of
from interconnected_ai.memory.importing.records import (
    BadRow,
    FactRow,
    Item,
    Json,
    PinRow,
    Row,
    SessionRow,
    Unread,
    ZoneRow,
)
from interconnected_ai.memory.importing.roles import role_of
from interconnected_ai.memory.importing.times import seconds_of
from interconnected_ai.memory.records import Edit, HandFact
from interconnected_ai.text import is_blank

_ROLE = ("role", "speaker", "sender", "author", "from", "type")
_CONTENT = ("content", "text", "message", "value", "body")
_TIME = ("time", "timestamp", "created_at", "createdAt", "create_time", "datetime", "date", "sent_at", "ts")
_USER = ("user", "user_id", "userId")
_SESSION = ("session", "session_id", "sessionId", "conversation_id", "conversationId", "thread_id", "chat_id")
_ID = ("id", "message_id", "messageId", "uuid", "msg_id")
_DIALOGUE = ("messages", "conversations", "conversation", "dialogue", "turns", "items")
_READ_BESIDE = ("name", "tool_calls", "function_call", "tool_call_id", "lc", "data", "kwargs", "additional_kwargs")
_KNOWN = frozenset(
    {*_ROLE, *_CONTENT, *_TIME, *_USER, *_SESSION, *_ID, *_DIALOGUE, *_READ_BESIDE, "pin", "fact", "edits"}
)
_NOTHING: tuple[Any, ...] = (None, "", [], {})
_OWN = frozenset({"user", "session", "id", "role", "time", "content"})
# Of a memory's own export: a session without anything in it, and where a user's clock hangs.
_EMPTY, _ZONE = frozenset({"user", "session", "num_messages"}), frozenset({"user", "time_zone"})


def recognises(first: Any) -> bool:
    """Whether a first element is a row or a dialogue."""
    if not isinstance(first, dict):
        return False
    row = _unwrapped(first)
    is_row = any(key in row for key in _CONTENT) and any(key in row for key in (*_ROLE, "name"))
    is_own = "pin" in first or _is_fact(first) or first.keys() in (_EMPTY, _ZONE)
    return is_own or is_row or _dialogue_in(first) is not None


def read(where: str, value: Any) -> Iterator[Item]:
    """The messages of one row or dialogue."""
    if isinstance(value, list):
        yield from _dialogue(where, {}, value)
    elif not isinstance(value, dict):
        yield BadRow(where, f"holds a JSON {type(value).__name__}, needed is an object with role and content")
    elif (key := _dialogue_in(value)) is not None:
        rows = value[key]
        if not isinstance(rows, list):
            yield BadRow(where, f"{key} must be a list of objects with role and content")
            return
        yield from _dialogue(where, {k: v for k, v in value.items() if k != key}, rows)
    else:
        yield from _row(where, value, {})


def _unknown(row: Json) -> Iterator[Unread]:
    """Fields that say something and are not read."""
    return (Unread(f"field {key}") for key, value in row.items() if key not in _KNOWN and value not in _NOTHING)


def _dialogue_in(value: Json) -> str | None:
    return next((key for key in _DIALOGUE if key in value and not isinstance(value[key], str)), None)


def _dialogue(where: str, shared: Json, rows: list[Any]) -> Iterator[Item]:
    if isinstance(shared.get("system"), str) and shared["system"].strip():
        rows = [{"role": "system", "content": shared["system"]}, *rows]
    yield from _unknown({key: value for key, value in shared.items() if key != "system"})
    # the dialogue's own id names the dialogue
    named = {**shared, "session": _first(shared, (*_SESSION, "id", "uuid"))}
    for number, row in enumerate(rows, start=1):
        place = f"{where}, message {number}"
        if isinstance(row, dict):
            yield from _row(place, row, named)
        else:
            yield BadRow(place, f"holds a JSON {type(row).__name__}, needed is an object with role and content")


def _row(where: str, row: Json, shared: Json) -> Iterator[Item]:
    row = _unwrapped(row)
    if row.keys() not in (_EMPTY, _ZONE):
        yield from _unknown(row)
    try:
        if "pin" in row:
            yield _pin(where, row, shared)
        elif _is_fact(row):
            yield _fact(where, row, shared)
        elif row.keys() == _EMPTY:
            yield SessionRow(where, _name(row, {}, _SESSION, "session"), _name(row, {}, _USER, "user"))
        elif row.keys() == _ZONE:
            yield _zone(where, row)
        else:
            yield _message(where, row, shared)
    except DataError as error:
        yield BadRow(where, str(error))


def _pin(where: str, row: Json, shared: Json) -> Item:
    if not isinstance(row["pin"], str):
        return BadRow(where, f"pin is {row['pin']!r}, needed is text")
    session, user = _name(row, shared, _SESSION, "session"), _name(row, shared, _USER, "user")
    return PinRow(where, row["pin"], session, user, seconds_of(_first(row, _TIME)))


def _zone(where: str, row: Json) -> Item:
    if not isinstance(row["time_zone"], str):
        return BadRow(where, f"time_zone is {row['time_zone']!r}, needed is the name of a zone")
    return ZoneRow(where, row["time_zone"], _name(row, {}, _USER, "user"))


def _is_fact(row: Json) -> bool:
    return isinstance(row.get("fact"), dict) and "relation" in row["fact"]


def _fact(where: str, row: Json, shared: Json) -> Item:
    """What was set by hand. Raises `DataError` for what is no fact."""
    given = row["fact"]
    texts = {
        "subject": given.get("subject", "user"),
        "relation": given["relation"],
        "value": given.get("value"),
        "kind": given.get("kind", "fact"),
    }
    for key, text in texts.items():
        if not isinstance(text, str) or is_blank(text):
            return BadRow(where, f"the fact's {key} is {text!r}, needed is text")
    time = seconds_of(_first(row, _TIME))
    if time is None:
        return BadRow(where, "the fact has no time, at which it was set")
    fact = HandFact(
        user=_name(row, shared, _USER, "user") or "",
        session=_name(row, shared, _SESSION, "session") or "",
        is_single=bool(given.get("is_single", True)),
        ends=bool(given.get("ends", False)),
        time=time,
        valid_until=seconds_of(given.get("valid_until")),
        **texts,
    )
    return FactRow(where, fact)


def _edits(row: Json) -> tuple[Edit, ...]:
    """What a message of a memory's own export said before."""
    given = row.get("edits") or []
    if not isinstance(given, list) or not all(
        isinstance(one, dict) and isinstance(one.get("role"), str) and isinstance(one.get("content"), str)
        for one in given
    ):
        raise DataError(f"edits is {str(given)[:80]!r}, needed is a list of objects with role, content and time")
    return tuple(Edit(one["role"], one["content"], seconds_of(one.get("time")) or 0.0) for one in given)


def _message(where: str, row: Json, shared: Json) -> Item:
    role = _speaker(row)
    if not any(key in row for key in _CONTENT) and not any(True for _ in calls_in(row)):
        return BadRow(where, "content is missing; needed is text, or a list of parts")
    given = _first(row, _CONTENT)
    if isinstance(given, int | float):
        return BadRow(where, f"content is {given!r}, needed is text, or a list of parts")
    words = text_of(given)
    own = row.keys() >= _OWN
    if not own:
        words = "\n".join(part for part in (words, *calls_in(row)) if part)
        if not words.strip():
            return Unread("message without words")
    time = _first(row, _TIME)
    return Row(
        where,
        role if own else role_of(role),
        words,
        _name(row, shared, _SESSION, "session"),
        _name(row, shared, _USER, "user"),
        seconds_of(time if time is not None else _first(shared, _TIME)),
        _name(row, {}, _ID, "id"),
        _edits(row) if own else (),
    )


def _speaker(row: Json) -> str:
    role = _first(row, (*_ROLE, "name"))
    if isinstance(role, dict):  # an author with a name
        role = _first(role, ("role", "name", "username", "display_name"))
    if not isinstance(role, str):
        raise DataError(f"role is {role!r}, needed is text")
    name = row.get("name")
    if role_of(role) == "user" and isinstance(name, str) and not is_blank(name):
        return name  # OpenAI's way of telling people in one chat apart
    return role


def _name(row: Json, shared: Json, keys: tuple[str, ...], what: str) -> str | None:
    name = _first(row, keys)
    name = _first(shared, keys) if name is None else name
    if name is None or name == "":
        return None
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise DataError(f"{what} is {name!r}, needed is text or a whole number")
    return str(name)


def _first(row: Json, keys: tuple[str, ...]) -> Any:
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _unwrapped(row: Json) -> Json:
    """LangChain's two wrappings taken off: `messages_to_dict` and `dumpd`."""
    if row.get("lc") == 1 and isinstance(row.get("kwargs"), dict):
        kind = str((row.get("id") or ["user"])[-1]).removesuffix("Chunk").removesuffix("Message").lower()
        return {"type": kind, **row["kwargs"]}
    if isinstance(row.get("data"), dict) and isinstance(row.get("type"), str) and "content" in row["data"]:
        return {**row["data"], "type": row["type"]}
    return row
