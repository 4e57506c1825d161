"""A row becomes a conversation to learn from: the dialects that people write, told apart by the row's keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interconnected_ai.data.chats.examples import ANSWERER, ChatExample
from interconnected_ai.data.chats.turns import Turns, is_turns, kind_of, text_of_content, turns_of
from interconnected_ai.errors import DataError
from interconnected_ai.types import ChatMessage

TURN_LISTS = ("messages", "conversations", "conversation", "chat", "dialogue", "dialog")
PAIRS = (  # of a question and its answer, the surer names first
    ("instruction", "output"),
    ("instruction", "response"),
    ("instruction", "completion"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("prompt", "output"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("query", "answer"),
    ("input", "output"),
)
BESIDE = ("input", "context")  # what an instruction is about
PREFERRED = ("chosen", "rejected", "preferred_output", "chosen_response")
_OTHER_CONTENT = ("tools", "functions", "images", "image", "audios", "videos")
_KNOWN = (
    'known are {"messages": [{"role": …, "content": …}, …]}, {"conversations": [{"from": …, "value": …}, …]}, '
    '{"instruction": …, "input": …, "output": …}, {"prompt": …, "completion": …}, and a bare list of turns'
)


@dataclass(frozen=True)
class ReadChat:
    """An example, and what of its row is passed over: keys with content, and whether a question at the end was left out."""

    example: ChatExample
    unread: frozenset[str] = frozenset()
    had_open_end: bool = False


def chat_of(row: Any, source: str) -> ReadChat:
    """The conversation of a row. Raises `DataError`, without the place, that names the field and the remedy."""
    turns = _turns(row)
    messages = turns.messages
    check_order(messages, "the conversation")
    last = max((place for place, message in enumerate(messages) if message.role == ANSWERER), default=-1)
    answers = [place for place in range(last + 1) if messages[place].role == ANSWERER and place not in turns.unlearnt]
    if not answers:
        told = "has no answer at all" if last < 0 else "has no answer that is to be learnt: the weight of each is 0"
        raise DataError(f"the conversation {told}; add what the model shall say, or take the row out")
    unread = turns.unread | {key for key in _OTHER_CONTENT if isinstance(row, dict) and row.get(key)}
    example = ChatExample(messages[: last + 1], source, turns.unlearnt)
    return ReadChat(example, frozenset(unread), had_open_end=last + 1 < len(messages))


def check_order(messages: Sequence[ChatMessage], what: str) -> None:
    """Raise `DataError` for a second system prompt, one that is not first, and an answer before any question."""
    system = [place for place, message in enumerate(messages) if message.role == "system"]
    if len(system) > 1:
        raise DataError(
            f"{what} has {len(system)} system prompts (turns {', '.join(str(place + 1) for place in system)}); "
            "make them one, at the beginning"
        )
    if system and system[0] > 0:
        raise DataError(f"{what} has its system prompt at turn {system[0] + 1}; put it first")
    first = next((message for message in messages if message.role != "system"), None)
    if first is not None and first.role == ANSWERER:
        raise DataError(
            f"{what} begins with an answer; put the question before it that it replies to, or make it the system prompt"
        )


def _turns(row: Any) -> Turns:
    if isinstance(row, list):
        return turns_of(row, "turns")
    if not isinstance(row, dict):
        raise DataError(f"the row is {kind_of(row)}; {_KNOWN}")
    for key in TURN_LISTS:
        if row.get(key) is not None:
            return with_system(turns_of(row[key], key), row)
    if any(row.get(key) is not None for key in PREFERRED):
        raise DataError(
            "the row has a better and a worse answer; give the file as preferences (iai expert adapt --preferences FILE)"
        )
    for question, answer in PAIRS:
        if question in row and answer in row:
            return _of_pair(row, question, answer)
    raise DataError(_not_understood(row))


def _not_understood(row: Mapping[str, Any]) -> str:
    keys = ", ".join(map(repr, list(row)[:12])) or "(none)"
    if set(row) <= {"role", "content", "from", "value"}:
        return (
            f"the row is one turn (keys {keys}); put the turns of a conversation into one list, a conversation a line"
        )
    if isinstance(row.get("text"), str):
        return f"the row is plain text (keys {keys}), not a conversation; give the file with --text, or {_KNOWN}"
    return f"the row has the keys {keys}, which make no conversation; {_KNOWN}"


def _of_pair(row: Mapping[str, Any], question: str, answer: str) -> Turns:
    """A question and an answer, each a text or a list of turns."""
    if isinstance(row.get("label"), bool):
        raise DataError(
            "label says whether the answer is a good one (unpaired preferences, KTO), which is not learnt from; take the "
            "bad answers out and then the key 'label' too, or make pairs of a chosen and a rejected answer"
        )
    asked = question_turns(row, question)
    if is_turns(row[answer]):
        told = turns_of(row[answer], answer)
    else:
        content = text_of_content(row[answer], answer)
        if not content.strip():
            raise DataError(f"{answer} is empty, an answer without words; fill it in, or take the row out")
        told = Turns((ChatMessage(ANSWERER, content),))
    joined = Turns(
        asked.messages + told.messages,
        # What stands in the question is read; what is to be learnt is the answer.
        frozenset(place for place, message in enumerate(asked.messages) if message.role == ANSWERER)
        | frozenset(len(asked.messages) + place for place in told.unlearnt),
        asked.unread | told.unread,
    )
    return with_system(joined, row)


def question_turns(row: Mapping[str, Any], key: str) -> Turns:
    """What is asked under a key: turns, or a text with what it is about beside it, after pairs of an earlier history."""
    if is_turns(row[key]):
        return turns_of(row[key], key)
    content = text_of_content(row[key], key)
    beside = next((name for name in BESIDE if name != key and row.get(name)), None) if key == "instruction" else None
    if beside is not None:
        content = "\n\n".join(part for part in (content, text_of_content(row[beside], beside)) if part.strip())
    if not content.strip():
        raise DataError(f"{key} is empty, a question without words; fill it in, or take the row out")
    return Turns((*_history(row), ChatMessage("user", content)))


def _history(row: Mapping[str, Any]) -> list[ChatMessage]:
    """Earlier questions and answers, as LLaMA-Factory has them: a list of pairs of texts."""
    past = row.get("history")
    if past is None:
        return []
    if not isinstance(past, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in past):
        raise DataError('history needs a list of pairs of texts such as [["question", "answer"]]; write it so')
    said: list[ChatMessage] = []
    for place, pair in enumerate(past):
        for number, role in enumerate(("user", ANSWERER)):
            content = text_of_content(pair[number], field := f"history[{place}][{number}]")
            if not content.strip():
                raise DataError(f"{field} is empty; fill it in, or take the pair out")
            said.append(ChatMessage(role, content))
    return said


def with_system(turns: Turns, row: Mapping[str, Any]) -> Turns:
    """The turns behind the system prompt that stands beside them, where one does."""
    found = next((key for key in ("system", "system_prompt") if row.get(key)), None)
    if found is None:
        return turns
    content = text_of_content(row[found], found)
    if not content.strip():
        return turns
    return Turns(
        (ChatMessage("system", content), *turns.messages),
        frozenset(place + 1 for place in turns.unlearnt),
        turns.unread,
    )
