"""Conversations as people have them: whatever the dialect, the same example; what is none, an error with row and field."""

import gzip
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.data import ChatExample, dealt_out, read_chats
from interconnected_ai.errors import DataError
from interconnected_ai.types import ChatMessage

ASKED, TOLD = "Где моя карта? 🂡", "На почте."
SAID = (ChatMessage("user", ASKED), ChatMessage("assistant", TOLD))
OPENAI: dict[str, Any] = {"messages": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": TOLD}]}
SHAREGPT: dict[str, Any] = {
    "id": "x",
    "conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": TOLD}],
}
DIALECTS: dict[str, Any] = {
    "OpenAI": OPENAI,
    "content parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": ASKED[:4]}, {"type": "text", "text": ASKED[4:]}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": TOLD}]},
        ]
    },
    "ShareGPT": SHAREGPT,
    "OpenAI's words under ShareGPT's key": {"conversations": OPENAI["messages"]},
    "Alpaca": {"instruction": ASKED, "input": "", "output": TOLD, "text": "Below is an instruction …"},
    "prompt and completion": {"prompt": ASKED, "completion": TOLD},
    "TRL's turns": {"prompt": OPENAI["messages"][:1], "completion": OPENAI["messages"][1:]},
    "question and answer": {"question": ASKED, "answer": TOLD},
    "a bare list": OPENAI["messages"],
    "UltraChat": {"prompt": ASKED, "prompt_id": "1", **OPENAI},
}


def written(folder: Path, *rows: Any, name: str = "chat.jsonl") -> str:
    path = folder / name
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return str(path)


def read(folder: Path, *rows: Any) -> tuple[ChatExample, ...]:
    return read_chats([written(folder, *rows)]).examples


def refusal(folder: Path, *rows: Any) -> str:
    with pytest.raises(DataError) as told:
        read(folder, *rows)
    return str(told.value)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_conversation_is_the_same_in_every_dialect(dialect: str, tmp_path: Path) -> None:
    (example,) = read(tmp_path, DIALECTS[dialect])
    assert example.messages == SAID
    assert example.answers == (1,)


def test_dialects_may_stand_side_by_side_in_one_file(tmp_path: Path) -> None:
    other = {"instruction": "Say so", "output": "So."}
    examples = read(tmp_path, OPENAI, other)
    assert [example.messages[-1].content for example in examples] == [TOLD, "So."]


@pytest.mark.parametrize("name", ["chat.json", "chat.jsonl", "chat.txt", "chat", "chat.csv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("form", ["lines", "list", "pretty", "list of lists"])
def test_the_content_says_what_a_file_is_not_its_name(
    name: str, encoding: str, zipped: bool, form: str, tmp_path: Path
) -> None:
    rows = [OPENAI, SHAREGPT | {"system": "Be short."}]
    text = {
        "lines": "\n".join(map(json.dumps, rows)),
        "list": json.dumps(rows, ensure_ascii=False),
        "pretty": json.dumps(rows, indent=1),
        "list of lists": json.dumps(
            [OPENAI["messages"], [{"role": "system", "content": "Be short."}, *OPENAI["messages"]]]
        ),
    }[form]
    data = text.encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data, mtime=0) if zipped else data)
    first, second = read_chats([str(path)]).examples
    assert first.messages == SAID
    assert second.messages == (ChatMessage("system", "Be short."), *SAID)


def test_one_list_of_turns_is_one_conversation(tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(OPENAI["messages"], indent=2), encoding="utf-8")
    assert [example.messages for example in read_chats([str(path)]).examples] == [SAID]


def test_parquet_and_csv_are_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    # Turns of both dialects: every turn has every key there, most of them null.
    parquet.write_table(
        pyarrow.Table.from_pylist([OPENAI, {"messages": [*SHAREGPT["conversations"], *OPENAI["messages"]]}]),
        tmp_path / "chat",
    )
    (tmp_path / "chat.json").write_text('instruction,input,output\n"Sum up, please",a;b,ab\n', encoding="utf-8")
    first, second, third = read_chats([str(tmp_path / "chat"), str(tmp_path / "chat.json")]).examples
    assert first.messages == SAID
    assert second.messages == SAID + SAID
    assert [message.content for message in third.messages] == ["Sum up, please\n\na;b", "ab"]


def test_a_dataset_folder_is_read_with_its_nested_columns(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list([OPENAI]).save_to_disk(tmp_path / "set")
    assert [example.messages for example in read_chats([str(tmp_path / "set")]).examples] == [SAID]


@pytest.mark.parametrize(
    ("told", "role"),
    [("developer", "system"), ("Human", "user"), (" GPT ", "assistant"), ("function", "tool"), ("observation", "tool")],
)
def test_roles_have_many_names(told: str, role: str, tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    place = 0 if role == "system" else 2
    turns.insert(place, {"from": told, "value": "c"})
    if role in ("user", "tool"):
        turns.append({"from": "gpt", "value": "d"})
    (example,) = read(tmp_path, turns)
    assert example.messages[place].role == role


def test_history_system_and_input_stand_around_the_instruction(tmp_path: Path) -> None:
    row = {"system": "S", "history": [["q", "a"]], "instruction": "I", "input": "J", "output": "O"}
    (example,) = read(tmp_path, row)
    assert [message.content for message in example.messages] == ["S", "q", "a", "I\n\nJ", "O"]
    assert example.answers == (4,)  # as LLaMA-Factory's mask_history has it: the history is read


def test_answers_of_weight_zero_are_read_and_not_learnt(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "weight": 0},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d", "weight": 1},
    ]
    (example,) = read(tmp_path, {"messages": turns})
    assert example.answers == (3,)
    (behind,) = read(tmp_path, {"system": "S", "messages": turns})
    assert behind.answers == (4,)


def test_halves_of_characters_become_what_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text('{"prompt": "a\\ud83d", "completion": "b"}', encoding="utf-8")
    (example,) = read_chats([str(path)]).examples
    assert example.messages[0].content == "a\ufffd"


USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
SYSTEM = {"role": "system", "content": "s"}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([USER, {"role": "asistant", "content": "a"}], ["turns[1].role is 'asistant'", "'assistant', "]),
        ([USER, {"role": None, "content": "a"}], ["turns[1].role is null"]),
        ([USER, {"role": "assistant", "content": None}], ["turns[1].content is null"]),
        ([USER, {"role": "assistant", "content": " \n"}], ["turns[1].content is empty"]),
        ([USER, {"role": "assistant"}], ["turns[1] has the keys 'role' and no content"]),
        ([USER, "a"], ["turns[1] is a text"]),
        ([ANSWER, USER, ANSWER], ["begins with an answer"]),
        ([SYSTEM, ANSWER], ["begins with an answer"]),
        ([USER], ["no answer at all"]),
        ([SYSTEM, SYSTEM, USER, ANSWER], ["2 system prompts (turns 1, 2)"]),
        ([USER, SYSTEM, ANSWER], ["system prompt at turn 2"]),
        ([USER, ANSWER | {"weight": 0}], ["the weight of each is 0"]),
        ([USER, ANSWER | {"weight": 0.5}], ["turns[1].weight is 0.5"]),
        (
            [USER, {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look_up"}}]}],
            ["turns[1].tool_calls", "(look_up)"],
        ),
        ([USER | {"content": [{"type": "image_url"}]}, ANSWER], ["turns[0].content[0]", "'image_url'"]),
        ({"messages": []}, ["messages is an empty list"]),
        ({"messages": "hello"}, ["messages is a text"]),
        ({"system": "s", "messages": [SYSTEM, USER, ANSWER]}, ["2 system prompts"]),
        ({"prompt": "q", "completion": ""}, ["completion is empty"]),
        ({"instruction": " ", "input": "", "output": "a"}, ["instruction is empty"]),
        ({"instruction": "q", "output": None}, ["output is null"]),
        ({"prompt": "q", "completion": "a", "label": False}, ["label", "KTO"]),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, ["--preferences"]),
        ({"text": "plain"}, ["plain text", "--text"]),
        ({"role": "user", "content": "q"}, ["is one turn"]),
        ({"a": 1}, ["keys 'a'", "known are"]),
        (7, ["the row is a number"]),
    ],
)  # fmt: skip
def test_what_is_no_conversation_is_named_with_file_row_and_field(row: Any, words: list[str], tmp_path: Path) -> None:
    told = refusal(tmp_path, OPENAI, row)
    assert told.startswith(f"{tmp_path / 'chat.jsonl'}, line 2, row 2: ")
    for word in words:
        assert word in told
    assert ";" in told  # and then the remedy


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps(OPENAI) + '\n{"messages": [', encoding="utf-8")
    with pytest.raises(DataError, match="line 2 of the file is not JSON"):
        read_chats([str(path)])


@pytest.mark.parametrize("content", ["", "\n\n", "[]"])
def test_an_empty_file_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="has no rows"):
        read_chats([str(tmp_path / "chat.jsonl")])


def test_faulty_rows_are_counted_and_can_be_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, OPENAI, [ANSWER], [USER], [{"role": "x", "content": "y"}])
    with pytest.raises(DataError, match=r"2 more rows have faults, the next: .*row 3"):
        read_chats([path])
    chats = read_chats([path], faulty="leave out")
    assert len(chats.examples) == 1
    assert "3 of 4 rows were left out" in chats.remarks[0].evidence
    assert "row 2: the conversation begins with an answer" in chats.remarks[0].evidence
    with pytest.raises(DataError, match="no row is left"):
        read_chats([written(tmp_path, [USER])], faulty="leave out")


def test_what_is_odd_is_a_remark(tmp_path: Path) -> None:
    thinking = {"messages": [{"role": "user", "content": "2 + 2?"}, ANSWER | {"reasoning_content": "…"}], "tools": [{}]}
    open_end = {"messages": [*OPENAI["messages"], USER]}
    chats = read_chats([written(tmp_path, OPENAI, open_end, thinking, [{"role": "user", "content": ASKED}, ANSWER])])
    told = "\n".join(map(str, chats.remarks))
    assert "reasoning_content in 1" in told
    assert "tools in 1" in told
    assert "1 of 4 conversations end on a question" in told
    assert "1 of 4 rows are copies" in told
    assert "row 2 of" in told
    assert "1 of 2 questions have several different answers" in told
    assert len(chats.examples) == 3


def an_example(question: str, answer: str = "a", system: str | None = None) -> ChatExample:
    head = () if system is None else (ChatMessage("system", system),)
    return ChatExample((*head, ChatMessage("user", question), ChatMessage("assistant", answer)))


MANY = [an_example(f"question {number}") for number in range(400)]


def test_the_same_question_is_never_on_two_sides() -> None:
    twins = [an_example(e.question.upper() + " ", "other", "A system prompt.") for e in MANY]
    found = dealt_out([*MANY, *twins], validation_fraction=0.1, test_fraction=0.1)
    asked = [{e.question.casefold().strip() for e in side} for side in (found.train, found.validation, found.test)]
    assert not any(one & other for one, other in combinations(asked, 2))
    assert sum(map(len, (found.train, found.validation, found.test))) == 800
    assert 50 < len(found.validation) < 120
    assert 50 < len(found.test) < 120


def test_an_example_stays_on_its_side_when_others_come_and_a_recorded_side_wins() -> None:
    few, all_of_them = dealt_out(MANY[:200], seed=3), dealt_out(MANY, seed=3)
    assert set(few.validation) <= set(all_of_them.validation)
    other = dealt_out(MANY[:200], seed=4)
    assert set(other.validation) != set(few.validation)
    again = dealt_out(MANY[:200], seed=4, recorded=few.record)
    assert again.validation == few.validation
    assert again.record == few.record


def test_the_record_comes_back_from_the_disk(tmp_path: Path) -> None:
    from interconnected_ai.data import RowRecord

    record = dealt_out(MANY).record
    record.save(tmp_path / "rows")
    assert RowRecord.load(tmp_path / "rows") == record


def test_what_held_out_files_ask_is_not_learnt() -> None:
    found = dealt_out(MANY[:10], validation=[an_example("Question 3", "b")], test_fraction=0.0)
    assert [e.messages[-1].content for e in found.validation] == ["b"]
    assert "question 3" not in {e.question for e in found.train}
    assert len(found.train) == 9


def test_few_examples_still_hold_one_out_and_too_few_are_told() -> None:
    assert len(dealt_out(MANY[:2]).validation) == 1
    with pytest.raises(DataError, match="1 different questions, too few to hold out validation"):
        dealt_out([an_example("q", "a"), an_example("q", "b")])
    with pytest.raises(DataError, match="leave none to learn from"):
        dealt_out([an_example("q")], validation=[an_example("q")])
