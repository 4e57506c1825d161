"""ChatGPT's `conversations.json`: each conversation a tree of messages, of which the branch last seen is read."""

from collections.abc import Iterator
from typing import Any

from interconnected_ai.errors import DataError
from interconnected_ai.memory.importing.contents import placeholder, text_of
from interconnected_ai.memory.importing.records import BadRow, Item, Json, Row, Unread
from interconnected_ai.memory.importing.times import seconds_of

# What the model thinks and looks up by itself; it is shown to nobody and is listed instead.
_BEHIND_THE_SCENES = ("thoughts", "reasoning_recap", "model_editable_context", "user_editable_context")


def recognises(first: Any) -> bool:
    """Whether a first element is a conversation of ChatGPT."""
    return isinstance(first, dict) and isinstance(first.get("mapping"), dict)


def read(where: str, conversation: Any) -> Iterator[Item]:
    """The messages of one conversation's current branch, in order."""
    if not recognises(conversation):
        yield BadRow(where, "has no mapping of messages, which every conversation of ChatGPT has")
        return
    name = conversation.get("conversation_id") or conversation.get("id")
    session = f"chatgpt:{name}" if name else None
    for key, node in _branch(conversation):
        message = node.get("message")
        if not isinstance(message, dict):
            continue
        try:
            yield from _message(where, key, message, session)
        except DataError as error:
            yield BadRow(f"{where}, message {key}", str(error))


def _branch(conversation: Json) -> list[tuple[str, Json]]:
    """Nodes from the root to the one that was on the screen; where that is not said, to the newest leaf."""
    nodes = {key: node for key, node in conversation["mapping"].items() if isinstance(node, dict)}
    at = conversation.get("current_node")
    if at not in nodes:
        leaves = [key for key, node in nodes.items() if not node.get("children")]
        at = max(leaves, key=lambda key: _time_of(nodes[key]), default=None)
    branch: dict[str, Json] = {}
    while isinstance(at, str) and at in nodes and at not in branch:  # a circle of parents ends
        branch[at] = nodes[at]
        at = nodes[at].get("parent")
    return list(reversed(branch.items()))


def _time_of(node: Json) -> float:
    message = node.get("message")
    time = message.get("create_time") if isinstance(message, dict) else None
    return time if isinstance(time, int | float) else 0.0


def _message(where: str, key: str, message: Json, session: str | None) -> Iterator[Item]:
    author, content = message.get("author") or {}, message.get("content") or {}
    metadata = message.get("metadata") or {}
    kind = content.get("content_type", "text") if isinstance(content, dict) else "text"
    if kind in _BEHIND_THE_SCENES:
        yield Unread(f"ChatGPT content of type {kind}")
        return
    if metadata.get("is_visually_hidden_from_conversation"):
        yield Unread("ChatGPT message that is hidden in the conversation")
        return
    words = "\n".join(part for part in (_text(kind, content), *_attachments(metadata)) if part)
    if not words.strip():
        yield Unread("message without words")
        return
    role = author.get("role")
    if not isinstance(role, str):
        yield BadRow(f"{where}, message {key}", f"author.role is {role!r}, needed is text")
        return
    if role == "tool" and author.get("name"):
        words = f"[{author['name']}] {words}"
    yield Row(where, role, words, session, None, seconds_of(message.get("create_time")), str(message.get("id") or key))


def _text(kind: str, content: Any) -> str:
    if not isinstance(content, dict):
        return text_of(content)
    if "parts" in content:
        return text_of(content["parts"])
    if kind == "tether_browsing_display":
        return str(content.get("result") or content.get("summary") or "")
    return str(content.get("text") or content.get("result") or "")


def _attachments(metadata: Json) -> Iterator[str]:
    for one in metadata.get("attachments") or ():
        if isinstance(one, dict):
            yield placeholder("file", one.get("name") or one.get("id"))
