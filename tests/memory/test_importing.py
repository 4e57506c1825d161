"""Chats of other programs come in whole, once, and what is not understood is said."""

import json
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.errors import DataError
from interconnected_ai.memory import ThreeLevelMemory


@pytest.fixture
def memory(tmp_path: Path) -> Any:
    with ThreeLevelMemory(tmp_path / "memory.db", background=False) as made:
        yield made


def written(folder: Path, value: object, name: str = "conversations.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    return file


def said(memory: ThreeLevelMemory, session: str) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in memory.messages(session=session)]


def node(key: str, parent: str | None, children: list[str], role: str = "", text: Any = None, **more: Any) -> Any:
    if text is None:
        return {"id": key, "message": None, "parent": parent, "children": children}
    content = text if isinstance(text, dict) else {"content_type": "text", "parts": [text]}
    message = {
        "id": key, "author": {"role": role, "name": None, "metadata": {}}, "create_time": 1700000000.5, "update_time": None,
        "content": content, "status": "finished_successfully", "end_turn": True, "weight": 1.0, "recipient": "all",
        "metadata": {}, **more,
    }  # fmt: skip
    return {"id": key, "message": message, "parent": parent, "children": children}


def chatgpt_export() -> list[Any]:
    picture = {
        "content_type": "multimodal_text",
        "parts": [
            {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-1", "width": 1, "height": 1},
            "What is on it?",
        ],
    }
    nodes = [
        node("root", None, ["sys"]),
        node("sys", "root", ["ask-old", "ask"], "system", ""),
        node("ask-old", "sys", ["answer-old"], "user", "Where is Riga?"),
        node("answer-old", "ask-old", [], "assistant", "In Estonia."),
        node("ask", "sys", ["answer"], "user", "Where is Riga, really?"),
        node("answer", "ask", ["think"], "assistant", "In Latvia."),
        node("think", "answer", ["see"], "assistant", {"content_type": "thoughts", "thoughts": [{"content": "hm"}]}),
        node("see", "think", [], "user", picture),
    ]
    mapping = {one["id"]: one for one in nodes}
    return [
        {
            "title": "Riga",
            "create_time": 1700000000.1,
            "mapping": mapping,
            "current_node": "see",
            "conversation_id": "c1",
        }
    ]


def test_of_a_chatgpt_tree_the_branch_that_was_on_the_screen_is_read(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    done = memory.import_file(written(tmp_path, chatgpt_export()))
    assert said(memory, "chatgpt:c1") == [
        ("user", "Where is Riga, really?"),
        ("assistant", "In Latvia."),
        ("user", "[image]\nWhat is on it?"),
    ]
    assert {message.time for message in memory.messages(session="chatgpt:c1")} == {1700000000.5}
    assert done.not_understood == {"message without words": 1, "ChatGPT content of type thoughts": 1}


def test_a_longer_export_of_the_same_chats_adds_only_what_is_new(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    export = chatgpt_export()
    memory.import_file(written(tmp_path, export))
    export[0]["mapping"]["more"] = node("more", "see", [], "assistant", "A cat.")
    export[0]["current_node"] = "more"
    other = {
        "conversation_id": "c0",
        "title": "",
        "mapping": {"a": node("a", None, [], "user", "New.")},
        "current_node": "a",
    }
    done = memory.import_file(written(tmp_path, [other, *export], "later.json"))
    assert (done.num_messages, done.num_present) == (2, 3)


def test_claude_s_parts_files_and_senders_are_read(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    export = [
        {
            "uuid": "u1", "name": "Plans", "summary": "", "created_at": "2026-01-05T10:00:00.000000Z",
            "updated_at": "2026-01-05T10:01:00.000000Z", "account": {"uuid": "me"},
            "chat_messages": [
                {
                    "uuid": "m1", "text": "Read this", "sender": "human", "created_at": "2026-01-05T10:00:00.500000Z",
                    "updated_at": "2026-01-05T10:00:00.500000Z", "files": [{"file_name": "cat.png"}],
                    "content": [{"type": "text", "text": "Read this", "citations": []}],
                    "attachments": [
                        {"file_name": "plan.txt", "file_size": 9, "file_type": "txt", "extracted_content": "Go north"}
                    ],
                },
                {
                    "uuid": "m2", "text": "", "sender": "assistant", "created_at": "2026-01-05T10:00:02Z",
                    "content": [
                        {"type": "thinking", "thinking": "where is north"},
                        {"type": "tool_use", "name": "compass", "input": {"precise": True}},
                        {"type": "tool_result", "name": "compass", "content": [{"type": "text", "text": "N"}]},
                        {"type": "text", "text": "North it is."},
                    ],
                    "attachments": [], "files": [],
                },
            ],
        }
    ]  # fmt: skip
    memory.import_file(written(tmp_path, export))
    assert said(memory, "claude:u1") == [
        ("user", "Read this\n[file: plan.txt]\nGo north\n[file: cat.png]"),
        ("assistant", '[call of compass] {"precise": true}\n[result of compass] N\nNorth it is.'),
    ]
    assert [message.id for message in memory.messages(session="claude:u1")] == ["m1", "m2"]


TOOLS = [{"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Riga"}'}}]
PICTURE_ASKED = {"type": "text", "text": "Rain?"}
DIALOGUES: dict[str, tuple[object, list[tuple[str, str]]]] = {
    "openai": (
        {
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": [PICTURE_ASKED, {"type": "image_url", "image_url": {"url": "x"}}]},
                {"role": "assistant", "content": None, "tool_calls": TOOLS},
                {"role": "tool", "tool_call_id": "1", "content": "sun"},
                {"role": "user", "name": "Bob", "content": "Good"},
            ]
        },
        [
            ("system", "Be kind."),
            ("user", "Rain?\n[image]"),
            ("assistant", '[call of weather] {"city": "Riga"}'),
            ("tool", "sun"),
            ("Bob", "Good"),
        ],
    ),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}], "system": "Short."},
        [("system", "Short."), ("user", "Hi"), ("assistant", "Hello")],
    ),
    "langchain": (
        {
            "messages": [
                {"type": "human", "data": {"content": "Hi", "additional_kwargs": {}, "type": "human"}},
                {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"],
                 "kwargs": {"content": "Hello", "tool_calls": []}},
            ]
        },
        [("user", "Hi"), ("assistant", "Hello")],
    ),
    "rows": (
        [
            {"sender": "human", "text": "Hi", "timestamp": 1700000000000},
            {"speaker": "bot", "message": "Hello", "created_at": "2023-11-14T22:13:21Z"},
        ],
        [("user", "Hi"), ("assistant", "Hello")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALOGUES)
@pytest.mark.parametrize("as_lines", [False, True])
def test_dialogues_of_every_dialect_are_read(
    memory: ThreeLevelMemory, tmp_path: Path, name: str, as_lines: bool
) -> None:
    value, expected = DIALOGUES[name]
    rows = value if isinstance(value, list) else [value]
    file = written(tmp_path, rows)
    if as_lines:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for num_new in (len(expected), 0):
        assert memory.import_file(file).num_messages == num_new
    assert said(memory, "default") == expected


def test_fields_of_other_tools_are_understood_and_others_are_listed(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    row = {
        "user_id": 7, "conversation_id": "trip", "message_id": 12, "role": "user", "content": "Hi",
        "timestamp": "2026-01-05T12:00:00+02:00", "likes": 3,
    }  # fmt: skip
    done = memory.import_file(written(tmp_path, [row]))
    assert done.not_understood == {"field likes": 1}
    (message,) = memory.messages(session="trip", user="7")
    assert (message.id, message.time) == ("12", 1767607200.0)


def test_equal_words_are_one_message_at_one_time_and_two_at_two(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    rows = [{"role": "user", "content": "yes", "time": time} for time in (100, 200, 200)]
    assert memory.import_file(written(tmp_path, rows)).num_messages == 3
    rows.insert(0, {"role": "user", "content": "before", "time": 50})
    done = memory.import_file(written(tmp_path, rows))
    assert (done.num_messages, done.num_present) == (1, 3)


def test_a_bad_row_of_a_long_array_is_named_by_its_line(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    rows: list[Any] = [{"role": "user", "content": f"message {number} {'x' * 900}"} for number in range(2_000)]
    rows.insert(1_500, {"role": "user", "content": "x", "time": "lately"})
    file = tmp_path / "long.json"
    file.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]")
    with pytest.raises(DataError, match=r"line 1502: time is 'lately'"):
        memory.import_file(file)
    assert not memory.sessions()
    done = memory.import_file(file, skip_bad=True)
    assert (done.num_messages, done.num_bad) == (2_000, 1)


def test_an_array_that_was_cut_is_refused_before_anything_is_written(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    file = written(tmp_path, [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}])
    whole = file.read_text()
    for end in (len(whole) - 1, len(whole) - 9, len(whole) // 2 + 6):
        file.write_text(whole[:end])
        with pytest.raises(DataError, match="not JSON"):
            memory.import_file(file)
    assert not memory.sessions()


def test_messages_without_a_time_stand_with_the_first_that_has_one(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    rows = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi", "time": 1700000000}]
    memory.import_file(written(tmp_path, rows))
    assert [message.time for message in memory.messages()] == [1700000000.0, 1700000000.0]
