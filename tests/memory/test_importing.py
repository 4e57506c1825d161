"""Chats of other programs come in whole, once, and what is not understood is said."""

import json
import os
import tempfile
import threading
import tracemalloc
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.errors import DataError
from interconnected_ai.memory import ThreeLevelMemory
from interconnected_ai.memory.importing import Row, Watch, items_of
from interconnected_ai.memory.importing.formats import is_known
from memory_stores import MakeMemory
from properties import examples


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


def test_what_is_no_chat_is_refused_with_the_kinds_that_are_read(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear Anna,\nhow are you?\n")
    with pytest.raises(DataError, match=r"line 1: not JSON.*no chat of a known kind.*ChatGPT.*WhatsApp"):
        memory.import_file(file, skip_bad=True)


def test_lists_a_line_are_dialogues_and_nothing_behind_an_array_is_lost(
    memory: ThreeLevelMemory, tmp_path: Path
) -> None:
    one = json.dumps([{"role": "user", "content": "one"}])
    file = tmp_path / "lists.jsonl"
    file.write_text(f"{one}\n{one.replace('one', 'two')}\n")
    memory.import_file(file)
    assert said(memory, "default") == [("user", "one"), ("user", "two")]
    file.write_text(f"[\n{one[1:-1]}\n]\n{one}\n")
    with pytest.raises(DataError, match="line 4 is not JSON: something stands behind"):
        memory.import_file(file)


def test_messages_without_a_time_stand_with_the_first_that_has_one(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    rows = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi", "time": 1700000000}]
    memory.import_file(written(tmp_path, rows))
    assert [message.time for message in memory.messages()] == [1700000000.0, 1700000000.0]


# Other programs


def test_telegram_chats_keep_replies_files_and_whose_account_it_is(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    anna = {"type": "message", "from": "Anna", "from_id": "user2"}
    me = {"type": "message", "from": "Ivan", "from_id": "user1"}
    chat = {
        "name": "Anna", "type": "personal_chat", "id": 4321,
        "messages": [
            {"id": 1, "type": "service", "date": "2026-01-05T10:00:00", "date_unixtime": "1767607200", "actor": "Anna",
             "action": "joined_telegram", "text": ""},
            {"id": 2, **me, "date": "2026-01-05T10:00:00", "date_unixtime": "1767607200",
             "text": ["Look: ", {"type": "link", "text": "https://example.org"}, "!"]},
            {"id": 3, **anna, "date": "2026-01-05T10:01:00", "date_unixtime": "1767607260", "reply_to_message_id": 2,
             "edited": "2026-01-05T10:02:00", "edited_unixtime": "1767607320", "text": "Nice"},
            {"id": 4, **anna, "date": "2026-01-05T10:03:00", "date_unixtime": "1767607380", "text": "", "photo":
             "(File not included. Change data exporting settings to download.)", "width": 1, "height": 1},
            {"id": 5, **anna, "date": "2026-01-05T10:04:00", "date_unixtime": "1767607440", "text": "I sold it.",
             "forwarded_from": "Petr"},
            {"id": 6, **anna, "date": "2026-01-05T10:05:00", "date_unixtime": "1767607500", "text": "I moved.",
             "forwarded_from": None},
        ],
    }  # fmt: skip
    expected = [
        ("Ivan", "Look: https://example.org!"),
        ("Anna", "> Ivan: Look: https://example.org!\nNice"),
        ("Anna", "[photo]"),
        ("Anna", "[forwarded from Petr]\n> I sold it."),
        ("Anna", "[forwarded from a deleted account]\n> I moved."),
    ]
    done = memory.import_file(written(tmp_path, chat, "result.json"))
    assert said(memory, "telegram:4321") == expected
    assert done.not_understood == {"Telegram service joined_telegram": 1}
    account = {"personal_information": {"user_id": 1}, "contacts": {"list": []}, "chats": {"list": [chat]}}
    moved = memory.import_file(written(tmp_path, account, "all.json"), user="other")
    assert moved.num_messages == 5
    roles = [message.role for message in memory.messages(session="telegram:4321", user="other")]
    assert roles == ["user", "Anna", "Anna", "Anna", "Anna"]


def test_discord_channels_keep_nicknames_replies_and_attachments(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    def message(id: str, name: str, content: str, **more: object) -> dict[str, object]:
        author = {"id": "9", "name": name.lower(), "nickname": name, "isBot": name == "Helper"}
        return {"id": id, "type": "Default", "timestamp": "2026-01-05T10:00:00+00:00", "timestampEdited": None,
                "content": content, "author": author, "attachments": [], "embeds": [], **more}  # fmt: skip

    channel = {
        "guild": {"id": "1", "name": "Club"}, "channel": {"id": "77", "type": "GuildTextChat", "name": "general"},
        "dateRange": {"after": None, "before": None}, "exportedAt": "2026-01-06T00:00:00+00:00",
        "messages": [
            message("1", "Anna", "Who comes?", attachments=[{"id": "5", "fileName": "map.png", "url": "https://x"}]),
            message("2", "Bob", "Me", type="Reply", reference={"messageId": "1", "channelId": "77", "guildId": "1"}),
            message("3", "Helper", "Noted", embeds=[{"title": "Rules", "description": "Be kind."}]),
            message("4", "Eve", "", type="GuildMemberJoin"),
        ],
        "messageCount": 4,
    }  # fmt: skip
    done = memory.import_file(written(tmp_path, channel, "general.json"))
    assert said(memory, "discord:77") == [
        ("Anna", "Who comes?\n[file: map.png]"),
        ("Bob", "> Anna: Who comes? [file: map.png]\nMe"),
        ("tool", "[Helper] Noted\n[embed: Rules]\nBe kind."),
    ]
    assert done.not_understood == {"Discord message of type GuildMemberJoin": 1}


def test_slack_folders_give_names_threads_and_readable_links(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    export = tmp_path / "export"
    (export / "general").mkdir(parents=True)
    people = [{"id": "U1", "name": "anna", "profile": {"display_name": "Anna"}}, {"id": "U2", "name": "bob"}]
    written(export, people, "users.json")
    written(export, [{"id": "C1", "name": "general"}], "channels.json")
    said_by = {"type": "message", "client_msg_id": "x"}
    days = {
        "2026-01-05.json": [
            {**said_by, "user": "U1", "ts": "1767607200.000100", "thread_ts": "1767607200.000100",
             "text": "Hi <@U2>, see <https://example.org|the page> &amp; <#C1|general>"},
            {"type": "message", "subtype": "channel_join", "user": "U2", "ts": "1767607201.000000", "text": "joined"},
        ],
        "2026-01-06.json": [
            {**said_by, "user": "U2", "ts": "1767693600.000200", "thread_ts": "1767607200.000100", "text": "Seen",
             "files": [{"id": "F1", "name": "a.pdf"}]},
        ],
    }  # fmt: skip
    for name, messages in days.items():
        written(export / "general", messages, name)
    done = memory.import_file(export)
    greeting = "Hi @bob, see the page (https://example.org) & #general"
    assert said(memory, "slack:general") == [("Anna", greeting), ("bob", f"> Anna: {greeting}\nSeen\n[file: a.pdf]")]
    assert done.not_understood == {"Slack message of subtype channel_join": 1}
    assert memory.import_file(export / "general").num_messages == 0
    with pytest.raises(DataError, match="a message of Slack; import the folder of its channel"):
        memory.import_file(export / "general" / "2026-01-05.json")


def test_gemini_s_activity_is_read_from_its_end(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    def activity(title: str, time: str, html: str) -> dict[str, object]:
        return {"header": "Gemini Apps", "title": title, "time": time, "products": ["Gemini Apps"],
                "activityControls": ["Gemini Apps Activity"], "safeHtmlItem": [{"html": html}]}  # fmt: skip

    later = activity("Prompted And cats?", "2026-01-05T11:00:00.000Z", "<p>Cats &amp; more.</p><ul><li>one</li></ul>")
    first = activity("Prompted What are dogs?", "2026-01-05T10:00:00.000Z", "<p>Animals.</p>")
    memory.import_file(written(tmp_path, [later, first], "MyActivity.json"))
    assert said(memory, "gemini") == [
        ("user", "What are dogs?"), ("assistant", "Animals."), ("user", "And cats?"), ("assistant", "Cats & more.\n\n- one"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("head", "moment"),
    [
        ("14/03/2026, 21:05 - ", "2026-03-14 21:05:00"),
        ("14.03.26, 21:05 - ", "2026-03-14 21:05:00"),
        ("3/14/26, 9:05\u202fPM - ", "2026-03-14 21:05:00"),
        ("3/14/26, 12:05 AM - ", "2026-03-14 00:05:00"),
        ("2026-03-14, 21:05 - ", "2026-03-14 21:05:00"),
        ("\u200e[14/03/2026, 21:05:07] ", "2026-03-14 21:05:07"),
        ("[3/14/26, 9:05:07\u202fPM] ", "2026-03-14 21:05:07"),
        ("[14.03.26, 21:05:07] ", "2026-03-14 21:05:07"),
        ("[14.3.2026 klo 21.05.07] ", "2026-03-14 21:05:07"),
        ("14/3/26, 9:05 p. m. - ", "2026-03-14 21:05:00"),
        ("14/03/2026 à 21:05 - ", "2026-03-14 21:05:00"),
        ("2026/3/14 下午9:05 - ", "2026-03-14 21:05:00"),
        ("[2026/3/14 上午12:05:07] ", "2026-03-14 00:05:07"),
        ("2026. 3. 14. 오후 9:05 - ", "2026-03-14 21:05:00"),
    ],
)  # fmt: skip
def test_whatsapp_s_date_dialects_are_read(memory: ThreeLevelMemory, tmp_path: Path, head: str, moment: str) -> None:
    file = tmp_path / "WhatsApp Chat with Anna (2).txt"
    file.write_text(
        f"{head}Messages and calls are end-to-end encrypted.\n{head}Anna: Hello: you\nsecond line\n\n"
        f"{head}Иван: <Media omitted>\n",
        encoding="utf-8",
    )
    done = memory.import_file(file, me=["Иван"], time_zone="Europe/Riga")
    assert said(memory, "whatsapp:Anna") == [("Anna", "Hello: you\nsecond line"), ("user", "[media]")]
    wall = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("Europe/Riga"))
    assert {message.time for message in memory.messages(session="whatsapp:Anna")} == {wall.timestamp()}
    assert done.not_understood == {"WhatsApp notice": 1}
    assert memory.import_file(file, time_zone="UTC").num_messages == 0


def test_where_no_day_is_above_twelve_a_whatsapp_chat_goes_forward_in_time(
    memory: ThreeLevelMemory, tmp_path: Path
) -> None:
    file = tmp_path / "_chat.txt"
    file.write_text("".join(f"{date}, 10:00 - Anna: on {date}\n" for date in ("5/2/2026", "6/2/2026", "5/3/2026")))
    memory.import_file(file, time_zone="UTC")
    times = [message.time for message in memory.messages(session=f"whatsapp:{tmp_path.name}")]
    days = [datetime.fromtimestamp(time, UTC).date().isoformat() for time in times]
    assert days == ["2026-02-05", "2026-02-06", "2026-03-05"]


# Later words, and the way out


def test_later_words_take_the_old_ones_place_and_leave_a_history(make: MakeMemory, tmp_path: Path) -> None:
    memory = make()
    rows = [
        {"role": "user", "content": "I live in Riga.", "id": "a", "time": 100},
        {"role": "user", "content": "The weather is fine.", "id": "b", "time": 200},
    ]
    before = written(tmp_path, rows, "before.json")
    rows[0] = {**rows[0], "content": "I live in Oslo."}
    after = written(tmp_path, rows, "after.json")
    memory.import_file(before)
    memory.catch_up()
    done = memory.import_file(after)
    assert (done.num_messages, done.num_present, done.num_edited) == (0, 2, 1)
    memory.catch_up()
    assert [message.content[-5:] for message in memory.messages()] == ["Oslo.", "fine."]
    assert [edit.content for edit in memory.history("a")] == ["I live in Riga."]
    assert not memory.search("Riga")
    assert [found.message.id for found in memory.search("Oslo")] == ["a"]
    assert not any("Riga" in fact.value for fact in memory.facts(superseded=True))
    assert any("Oslo" in fact.value for fact in memory.facts())
    facts = [(fact.relation, fact.value) for fact in memory.facts()]
    memory.rebuild()
    memory.catch_up()
    assert [(fact.relation, fact.value) for fact in memory.facts()] == facts
    assert memory.import_file(before).num_edited == 0, "an older export that comes later brings no old words back"
    assert memory.forget(containing="Riga").num_messages == 1
    with memory.store.read() as rows_left:
        assert rows_left.all("SELECT * FROM edits") == []


def test_a_store_from_before_edits_opens_and_can_be_edited(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with ThreeLevelMemory(file, background=False) as memory, memory.store.write() as rows:
        rows.run("DROP TABLE edits")
    with ThreeLevelMemory(file, background=False) as memory:
        memory.add("user", "one", id="a")
        memory.import_file(written(tmp_path, [{"role": "user", "content": "two", "id": "a"}]))
        assert [edit.content for edit in memory.history("a")] == ["one"]


def test_markdown_is_for_people_and_no_words_pass_for_a_heading(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    memory.add("Bob\n# Owner", "# Not a heading\nhello", session="trip", time=1767607200)
    memory.add("assistant", "Hi", session="trip", time=1767693600)
    memory.pin("be kind")
    done = memory.export_markdown(tmp_path / "out.md")
    assert (done.num_messages, done.num_pins) == (2, 1)
    text = (tmp_path / "out.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == ["# trip", "## 2026-01-05", "## 2026-01-06", "# Pinned"]
    assert "**Bob \\# Owner**, 10:00\n\n> # Not a heading\n> hello\n" in text
    assert "> be kind" in text


def test_what_comes_through_a_pipe_is_read_once_and_imported(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    pipe = tmp_path / "chat.jsonl"
    os.mkfifo(pipe)
    words = '{"role": "user", "content": "through a pipe"}\n'
    writer = threading.Thread(target=lambda: pipe.write_text(words))
    writer.start()
    assert memory.import_file(pipe).num_messages == 1
    writer.join()


def test_a_watch_sees_what_came_and_what_grew(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    assert watch.changed() == []
    chat, picture = tmp_path / "chat.jsonl", tmp_path / "cat.png"
    chat.write_text('{"role": "user", "content": "one"}\n')
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    assert watch.changed() == [chat]
    assert watch.changed() == []
    chat.write_text(chat.read_text() + '{"role": "user", "content": "two"}\n')
    assert watch.changed() == [chat]
    with pytest.raises(DataError, match="is no folder"):
        Watch(chat)


def test_a_watch_passes_over_what_goes_away_between_two_glances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interconnected_ai.memory.importing import watching

    chat = written(tmp_path, [{"role": "user", "content": "Hi"}], "chat.json")
    looks = Watch(tmp_path)
    monkeypatch.setattr(watching, "files_in", lambda folder: [chat, folder / "Unconfirmed 1.crdownload"])
    assert looks.changed() == [chat]
    assert looks.changed() == []


def test_a_watch_hands_on_what_cannot_be_read_so_that_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interconnected_ai.memory.importing import watching

    def refuse(file: Path) -> bool:  # the tests may run as root, who reads everything
        raise PermissionError(13, "Permission denied", str(file))

    chat = written(tmp_path, [{"role": "user", "content": "Hi"}], "chat.json")
    monkeypatch.setattr(watching, "is_known", refuse)
    assert Watch(tmp_path).changed() == [chat]


def test_a_watch_gives_again_what_could_not_be_kept(tmp_path: Path) -> None:
    chat = written(tmp_path, [{"role": "user", "content": "Hi"}], "chat.json")
    looks = Watch(tmp_path)
    assert looks.changed() == [chat]
    looks.again(chat)
    assert looks.changed() == [chat]
    assert looks.changed() == []


def test_a_folder_s_exports_are_read_and_other_files_are_listed(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    written(tmp_path, chatgpt_export())
    written(tmp_path, {"email": "a@example.org"}, "user.json")
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    done = memory.import_file(tmp_path)
    assert done.num_messages == 3
    assert {"file cat.png", "file user.json"} <= set(done.not_understood)


# Messages of a chat API


def test_messages_of_a_chat_api_are_remembered_all_or_none(memory: ThreeLevelMemory) -> None:
    asked = {"role": "user", "content": [{"type": "text", "text": "Rain?"}]}
    ids = memory.add_messages([asked, {"role": "assistant", "content": None, "tool_calls": TOOLS}], session="s")
    assert said(memory, "s") == [("user", "Rain?"), ("assistant", '[call of weather] {"city": "Riga"}')]
    assert ids == [message.id for message in memory.messages(session="s")]
    memory.add_messages([asked], session="s")
    assert len(said(memory, "s")) == 3, "what is said again is said again"
    with pytest.raises(DataError, match="message 2: role is None"):
        memory.add_messages([{"role": "user", "content": "fine"}, {"content": "whose?"}], session="s")
    assert len(said(memory, "s")) == 3


def test_what_was_said_aloud_to_chatgpt_is_read_as_words(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    spoken = {
        "content_type": "multimodal_text",
        "parts": [
            {"content_type": "audio_transcription", "text": "Where is Riga?", "direction": "in", "decoding_id": None},
            {"content_type": "real_time_user_audio_video_asset_pointer", "audio_asset_pointer": {"size_bytes": 1}},
        ],
    }
    talk = {"conversation_id": "c", "mapping": {"a": node("a", None, [], "user", spoken)}, "current_node": "a"}
    memory.import_file(written(tmp_path, [talk]))
    assert said(memory, "chatgpt:c") == [("user", "Where is Riga?\n[real_time_user_audio_video]")]


def test_a_chatgpt_conversation_without_times_titles_metadata_and_children_is_read(
    memory: ThreeLevelMemory, tmp_path: Path
) -> None:
    talk = {
        "title": None, "conversation_id": "c", "current_node": "b",
        "mapping": {
            "root": {"message": None},
            "a": {"message": {"author": {"role": "user"}, "content": {"parts": ["Hi"]}}, "parent": "root"},
            "b": {"message": {"author": {"role": "assistant"}, "create_time": None, "content": {"parts": ["Hello", None]}},
                  "parent": "a"},
        },
    }  # fmt: skip
    memory.import_file(written(tmp_path, [talk]))
    assert said(memory, "chatgpt:c") == [("user", "Hi"), ("assistant", "Hello")]


def test_the_folder_of_a_whole_chatgpt_export_is_read(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    """It holds several files of conversations, and others whose rows have a `content` that nobody said."""
    written(tmp_path, chatgpt_export(), "conversations-000.json")
    written(
        tmp_path,
        [{"id": "f", "rating": "thumbs_up", "create_time": "2026-01-05", "content": "{}"}],
        "message_feedback.json",
    )
    written(
        tmp_path,
        [{"id": "s", "conversation_id": "c", "title": "Riga", "is_anonymous": True}],
        "shared_conversations.json",
    )
    done = memory.import_file(tmp_path)
    assert done.num_messages == 3
    assert {"file message_feedback.json", "file shared_conversations.json"} <= set(done.not_understood)


def test_claude_s_null_texts_and_messages_of_a_file_alone_are_read(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    parts = [{"type": "text", "text": None}, {"type": "text", "text": "Seen."}]
    talk = {
        "uuid": "c", "name": "",
        "chat_messages": [
            {"uuid": "1", "sender": "human", "text": "", "content": [],
             "attachments": [{"file_name": "a.txt", "extracted_content": "The code is 7."}], "files": []},
            {"uuid": "2", "sender": "assistant", "text": "", "content": parts, "attachments": [], "files": []},
        ],
    }  # fmt: skip
    memory.import_file(written(tmp_path, [talk]))
    assert said(memory, "claude:c") == [("user", "[file: a.txt]\nThe code is 7."), ("assistant", "Seen.")]


def test_what_programs_say_in_slack_s_attachments_and_blocks_is_read(memory: ThreeLevelMemory, tmp_path: Path) -> None:
    (tmp_path / "builds").mkdir()
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "Build *7* passed"}}
    line = [{"type": "text", "text": "see "}, {"type": "link", "url": "https://example.org", "text": "it"}]
    rich = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": line}]}
    bot = {"type": "message", "subtype": "bot_message", "bot_id": "B1", "username": "CI"}
    messages = [
        {**bot, "ts": "1767607200.000100", "text": "", "blocks": [section, rich]},
        {**bot, "ts": "1767607201.000100", "text": "Report",
         "attachments": [{"title": "Tests", "text": "12 failed", "fallback": "x"}]},
        {**bot, "ts": "1767607202.000100", "text": "", "attachments": [{"fallback": "only this"}]},
        {"type": "message", "user": "U9", "ts": "1767607203.000100", "text": "ok", "blocks": [section],
         "attachments": [{"from_url": "https://example.org", "title": "A page", "text": "I live in Oslo."}]},
        {"type": "message", "user": "U9", "ts": "1767607204.000100", "text": "",
         "attachments": [{"is_share": True, "text": "I live in Oslo."}]},
    ]  # fmt: skip
    written(tmp_path / "builds", messages, "2026-01-05.json")
    memory.import_file(tmp_path)
    assert said(memory, "slack:builds") == [
        ("tool", "[CI] Build *7* passed\nsee it"),
        ("tool", "[CI] Report\nTests\n12 failed"),
        ("tool", "[CI] only this"),
        ("U9", "ok"),
        ("U9", "> I live in Oslo."),
    ]


def test_turns_alternate_and_the_user_begins(memory: ThreeLevelMemory) -> None:
    for role, words in (("assistant", "Welcome"), ("user", "Hi"), ("Bob", "Hello"), ("assistant", "Yes?")):
        memory.add(role, words)
    context = memory.context("Welcome")
    for question in ("", "What now?"):
        turns = context.turns(question)
        assert turns[0]["role"] == "user"
        assert all(one["role"] != after["role"] for one, after in pairwise(turns))
        words = "\n".join(turn["content"] for turn in turns)
        assert all(part in words for part in ("Welcome", "Hi", "Hello", "Yes?", question))
    assert memory.context("x", session="none").turns("Hi") == ({"role": "user", "content": "Hi"},)


def test_an_export_of_any_size_on_one_line_is_read_a_piece_at_a_time(tmp_path: Path) -> None:
    conversation = {
        "conversation_id": "c",
        "current_node": "1",
        "mapping": {
            "0": {"message": None, "parent": None, "children": ["1"]},
            "1": {
                "message": {"id": "m", "author": {"role": "user"}, "content": {"parts": ["x" * 100_000]}},
                "parent": "0",
            },
        },
    }
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps([conversation] * 200), encoding="utf-8")
    size = file.stat().st_size
    tracemalloc.start()
    try:
        assert is_known(file)
        assert sum(isinstance(item, Row) for item in items_of(file)) == 200
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 20e6
    assert peak < size / 2


@pytest.mark.parametrize(
    ("lines", "num_rows"),
    [
        (['[{"role": "user", "content": "LONG"}]', '[{"role": "user", "content": "b"}]'], 2),
        (['[{"role": "user", "content": "LONG"},', '{"role": "user", "content": "b"}]'], 2),
        (['{"role": "user", "content": "LONG"}', '{"role": "user", "content": "b"}'], 2),
        (["", '{"role": "user", "content": "LONG"}', ""], 1),
        (['[{"role": "user", "content": "LONG"}]', "", " "], 1),
    ],
)
def test_lines_longer_than_a_megabyte_are_told_apart_as_short_ones_are(
    tmp_path: Path, lines: list[str], num_rows: int
) -> None:
    file = tmp_path / "chat"
    for length in (5, 3_000_000):
        for ending in ("\n", ""):
            file.write_text("\n".join(lines).replace("LONG", "я" * length) + ending, encoding="utf-8")
            assert sum(isinstance(item, Row) for item in items_of(file)) == num_rows


@examples(40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["user", "assistant", "system", "tool", "Bob", "model", "developer"]),
            st.sampled_from(["", " ", "words", "two\nlines", "tool_calls"]),
        ),
        max_size=8,
    ),
    st.sampled_from(["", "  ", "What now?"]),
)
def test_turns_of_any_talk_begin_with_the_user_alternate_and_have_words(
    talk: list[tuple[str, str]], question: str
) -> None:
    with tempfile.TemporaryDirectory() as folder, ThreeLevelMemory(f"{folder}/m.db", background=False) as memory:
        for role, words in talk:
            if words == "tool_calls":
                memory.add_messages([{"role": role, "content": None, "tool_calls": TOOLS}])
            else:
                memory.add(role, words)
        turns = memory.context("words").turns(question)
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2) + ["user"] * (len(turns) % 2)
    assert all(turn["content"].strip() for turn in turns)
    if question.strip():
        assert turns[-1]["role"] == "user"
        assert turns[-1]["content"].endswith(question)
