"""A better and a worse answer as people write them: whatever the dialect, the same pair; what is none, an error with a row."""

import json
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.data import PreferencePair, dealt_out, read_preferences
from interconnected_ai.errors import DataError
from interconnected_ai.types import ChatMessage


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


Q, GOOD, BAD = "What is 2 + 2?", "4", "5"
DIALECTS: dict[str, Any] = {
    "texts": {"prompt": Q, "chosen": GOOD, "rejected": BAD},
    "TRL, explicit prompt": {"prompt": [user(Q)], "chosen": [answer(GOOD)], "rejected": [answer(BAD)]},
    "TRL, implicit prompt": {"chosen": [user(Q), answer(GOOD)], "rejected": [user(Q), answer(BAD)]},
    "UltraFeedback binarized": {
        "prompt": Q, "prompt_id": "1", "chosen": [user(Q), answer(GOOD)], "rejected": [user(Q), answer(BAD)],
        "messages": None, "score_chosen": 9.0, "score_rejected": 2.0,
    },
    "UltraFeedback's completions": {
        "instruction": Q,
        "completions": [{"response": BAD, "overall_score": 1}, {"response": GOOD, "overall_score": 9}],
    },
    "Orca": {"system": "", "question": Q, "chosen": GOOD, "rejected": BAD},
    "LLaMA-Factory": {
        "conversations": [{"from": "human", "value": Q}],
        "chosen": {"from": "gpt", "value": GOOD}, "rejected": {"from": "gpt", "value": BAD},
    },
    "Alpaca": {"instruction": "What is", "input": "2 + 2?", "chosen": GOOD, "rejected": BAD},
    "OpenAI": {
        "input": {"messages": [user(Q)], "tools": []},
        "preferred_output": [answer(GOOD)], "non_preferred_output": [answer(BAD)],
    },
    "HH-RLHF": {
        "chosen": f"\n\nHuman: {Q}\n\nAssistant: {GOOD}",
        "rejected": f"\n\nHuman: {Q}\n\nAssistant: {BAD}",
    },
    "HH-RLHF with its prompt": {"prompt": f"\n\nHuman: {Q}\n\nAssistant:", "chosen": GOOD, "rejected": BAD},
    "responses": {"prompt": Q, "chosen_response": GOOD, "rejected_response": BAD},
}  # fmt: skip


def read(folder: Path, *rows: Any) -> tuple[PreferencePair, ...]:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return read_preferences([str(path)]).examples


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_pair_is_the_same_in_every_dialect(dialect: str, tmp_path: Path) -> None:
    (pair,) = read(tmp_path, DIALECTS[dialect])
    asked = Q if dialect != "Alpaca" else "What is\n\n2 + 2?"
    assert pair.prompt == (ChatMessage("user", asked),)
    assert pair.chosen == (ChatMessage("assistant", GOOD),)
    assert pair.rejected == (ChatMessage("assistant", BAD),)


def test_a_shared_beginning_ends_before_the_answers_that_differ(tmp_path: Path) -> None:
    past = [{"role": "system", "content": "s"}, user("a"), answer("b"), user(Q)]
    (pair,) = read(
        tmp_path, {"chosen": [*past, answer(GOOD)], "rejected": [*past, answer(BAD), user("no"), answer("6")]}
    )
    assert [message.content for message in pair.prompt] == ["s", "a", "b", Q]
    assert [message.content for message in pair.chosen] == [GOOD]
    assert [message.content for message in pair.rejected] == [BAD, "no", "6"]


def test_an_answer_that_goes_on_where_the_other_ends_is_no_part_of_the_prompt(tmp_path: Path) -> None:
    longer = [user(Q), answer(GOOD), user("sure?"), answer("yes")]
    (pair,) = read(tmp_path, {"chosen": longer[:2], "rejected": longer})
    assert [message.content for message in pair.prompt] == [Q]
    assert [message.content for message in pair.chosen] == [GOOD]
    assert [message.content for message in pair.rejected] == [GOOD, "sure?", "yes"]


def test_a_system_prompt_beside_the_pair_comes_first(tmp_path: Path) -> None:
    (pair,) = read(tmp_path, {"system": "Be right.", "question": Q, "chosen": GOOD, "rejected": BAD})
    assert pair.prompt == (ChatMessage("system", "Be right."), ChatMessage("user", Q))


def test_parquet_pairs_with_empty_columns_are_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    rows = [
        DIALECTS["TRL, implicit prompt"] | {"prompt": None},
        DIALECTS["TRL, implicit prompt"] | {"prompt": [user("more")]},
    ]
    rows[1] = rows[1] | {"chosen": [answer(GOOD)], "rejected": [answer(BAD)]}
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    first, second = read_preferences([str(tmp_path / "pairs.parquet")]).examples
    assert first.prompt == (ChatMessage("user", Q),)
    assert second.prompt == (ChatMessage("user", "more"),)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": Q, "chosen": GOOD, "rejected": GOOD}, "chosen and rejected are the same"),
        ({"chosen": [user(Q), answer(GOOD)], "rejected": [user(Q), answer(GOOD)]}, "chosen and rejected are the same"),
        ({"prompt": Q, "chosen": GOOD, "rejected": " "}, "rejected is empty"),
        ({"prompt": Q, "chosen": None, "rejected": BAD}, "chosen is null"),
        ({"prompt": Q, "chosen": GOOD}, "no 'rejected'"),
        ({"prompt": Q, "chosen": [], "rejected": BAD}, "chosen is an empty list"),
        ({"chosen": GOOD, "rejected": BAD}, "share no question"),
        ({"chosen": [user("a"), answer(GOOD)], "rejected": [user("b"), answer(BAD)]}, "share no question"),
        ({"prompt": [user(Q), answer("x")], "chosen": GOOD, "rejected": BAD}, "the prompt ends with an answer"),
        ({"prompt": Q, "chosen": [user("other"), answer(GOOD)], "rejected": BAD}, "chosen is 'user' where the answer"),
        ({"prompt": Q, "chosen": [answer(GOOD), user("and?")], "rejected": BAD}, "chosen is 'user' where the answer"),
        (
            {"prompt": Q, "chosen": [{"role": "asistant", "content": "a"}], "rejected": BAD},
            "chosen[0].role is 'asistant'",
        ),
        ({"prompt": [{"role": "system", "content": "s"}], "chosen": GOOD, "rejected": BAD}, "holds no question"),
        ({"prompt": "", "chosen": GOOD, "rejected": BAD}, "prompt is empty"),
        ({"messages": [user(Q), answer("a")]}, "make no pair"),
        ({"instruction": Q, "completions": [{"response": "a"}]}, "completions[0] has no number"),
        (
            {
                "instruction": Q,
                "completions": [{"response": "a", "overall_score": 1}, {"response": "b", "overall_score": 1}],
            },
            "none is better",
        ),
        (["a"], "the row is a list"),
    ],
)
def test_what_is_no_pair_is_named_with_file_row_and_field(row: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as told:
        read(tmp_path, DIALECTS["texts"], row)
    assert str(told.value).startswith(f"{tmp_path / 'pairs.jsonl'}, line 2, row 2: ")
    assert words in str(told.value)


def test_what_is_odd_about_pairs_is_a_remark(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    turned = {"prompt": Q, "chosen": BAD, "rejected": GOOD, "chosen_score": 2, "rejected_score": 2}
    path.write_text("\n".join(map(json.dumps, [DIALECTS["texts"], DIALECTS["Orca"], turned])), encoding="utf-8")
    told = "\n".join(map(str, read_preferences([str(path)]).remarks))
    assert "in 1 of 3 pairs the rejected answer has the score" in told
    assert "1 of 3 rows are copies" in told
    assert "1 pairs stand both ways round" in told


def test_pairs_are_held_out_by_their_question(tmp_path: Path) -> None:
    pairs = read(tmp_path, *({"prompt": f"q{i // 2}", "chosen": f"a{i}", "rejected": "b"} for i in range(200)))
    found = dealt_out(pairs, validation_fraction=0.2)
    assert not {pair.question for pair in found.train} & {pair.question for pair in found.validation}
    assert len(found.train) + len(found.validation) == 200
