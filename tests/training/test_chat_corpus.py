"""From files of conversations to token ids and masks: exactly the answers with their ends, whole, none of them on two sides."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.experts import chat_templates as shapes

from interconnected_ai.data import ChatExample, PreferencePair
from interconnected_ai.errors import DataError, IntegrityError
from interconnected_ai.experts.chat import ChatTemplate
from interconnected_ai.training.chats import ChatCorpus, PreferenceCorpus, chat_corpus, preference_corpus
from interconnected_ai.training.chats.rendering import TokenizedChat, fitted_chat, fitted_pair
from interconnected_ai.types import ChatMessage

VOCABULARY = shapes.byte_level()
CHATML = ChatTemplate(None, VOCABULARY)
ANY_LENGTH = 10_000


def said(*contents: str, system: str | None = None) -> tuple[ChatMessage, ...]:
    head = () if system is None else (ChatMessage("system", system),)
    roles = ("user", "assistant")
    return (*head, *(ChatMessage(roles[place % 2], content) for place, content in enumerate(contents)))


def decoded(ids: Any) -> str:
    return VOCABULARY.decode(list(ids), skip_special_tokens=False)


def learnt(chat: TokenizedChat) -> str:
    """The runs of tokens that count, a bar between them."""
    begins = np.flatnonzero(np.diff(np.concatenate([[False], chat.counted]).astype(int)) == 1)
    ends = np.flatnonzero(np.diff(np.concatenate([chat.counted, [False]]).astype(int)) == -1) + 1
    return "|".join(decoded(chat.ids[begin:end]) for begin, end in zip(begins, ends, strict=True))


def only(example: ChatExample, max_tokens: int = ANY_LENGTH, template: ChatTemplate = CHATML) -> TokenizedChat:
    chats = fitted_chat(example, template, max_tokens).chats
    assert chats is not None
    return chats[0]


def files(folder: Path, *rows: Any) -> list[str]:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return [str(path)]


def chat_row(*contents: str, system: str | None = None) -> dict[str, Any]:
    return {"messages": [{"role": m.role, "content": m.content} for m in said(*contents, system=system)]}


def test_what_is_learnt_is_each_answer_with_its_end_and_nothing_else() -> None:
    chat = only(ChatExample(said("add a", "add b", "user system", "return a + b", system="You are")))
    assert learnt(chat) == "add b<|im_end|>|return a + b<|im_end|>"
    assert decoded(chat.ids).startswith("<|im_start|>system\nYou are<|im_end|>\n<|im_start|>user\nadd a<|im_end|>")


@pytest.mark.parametrize("name", shapes.WELL_KNOWN)
def test_the_token_that_ends_an_answer_is_learnt_in_well_known_templates(name: str) -> None:
    template = ChatTemplate(shapes.WELL_KNOWN[name], VOCABULARY, names=shapes.NAMES)
    chat = only(ChatExample(said("add a", "add b", "return", "a + b")), template=template)
    last = np.flatnonzero(chat.counted)[-1]
    assert int(chat.ids[last]) in template.end_ids
    assert "add a" not in learnt(chat)


def test_an_answer_of_weight_zero_is_read_and_not_learnt() -> None:
    chat = only(ChatExample(said("add a", "add b", "return", "a + b"), unlearnt=frozenset({1})))
    assert learnt(chat) == "a + b<|im_end|>"
    assert "add b<|im_end|>" in decoded(chat.ids)


def test_a_long_conversation_loses_its_oldest_turns_and_keeps_its_system_prompt() -> None:
    example = ChatExample(said("add a", "add b", "return a", "return b", "user", "system", system="You are"))
    whole = only(example)
    shorter = only(example, len(whole) - 1)
    assert learnt(shorter) == "return b<|im_end|>|system<|im_end|>"
    assert shorter.ids.tolist() == list(
        CHATML.render((example.messages[0], *example.messages[3:]), add_generation_prompt=False)
    )
    assert fitted_chat(example, CHATML, len(whole) - 1).dropped == 1
    assert learnt(only(example, len(shorter) - 1)) == "system<|im_end|>"
    assert fitted_chat(example, CHATML, 10).chats is None


def test_turns_before_unlearnt_answers_go_without_being_counted_as_lost() -> None:
    example = ChatExample(said("add a", "add b", "return", "a + b"), unlearnt=frozenset({1}))
    fitted = fitted_chat(example, CHATML, len(only(example)) - 1)
    assert (fitted.dropped, len(fitted.chats or ())) == (0, 1)


def test_both_answers_of_a_pair_follow_the_same_part_of_the_prompt() -> None:
    pair = PreferencePair(
        said("add a", "add b", "return"),
        said("x", "a + b")[1:],
        (ChatMessage("assistant", "system user assistant model " * 3),),
    )
    whole = fitted_pair(pair, CHATML, ANY_LENGTH).chats
    assert whole is not None
    assert [learnt(chat) for chat in whole] == ["a + b<|im_end|>", "system user assistant model " * 3 + "<|im_end|>"]
    cut = fitted_pair(pair, CHATML, max(map(len, whole)) - 1).chats
    assert cut is not None
    begins = [decoded(chat.ids[: np.flatnonzero(chat.counted)[0]]) for chat in cut]
    assert begins == ["<|im_start|>user\nreturn<|im_end|>\n<|im_start|>assistant\n"] * 2
    assert fitted_pair(pair, CHATML, 12).chats is None


class OneNoToken:
    """A template that marks nothing."""

    end_ids = (0,)

    def render_with_answers(self, messages: Any, *, answers: Any = None) -> tuple[list[int], list[bool]]:
        return [1, 2], [True, False]


def test_a_template_that_marks_no_answer_is_refused_with_the_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl, line 1, row 1: the chat template leaves no token"):
        chat_corpus(files(tmp_path, chat_row("a", "b")), OneNoToken(), max_tokens=99, validation_fraction=0.0)


def test_what_the_template_refuses_is_named_with_its_row(tmp_path: Path) -> None:
    refusing = ChatTemplate("{{ raise_exception('no such thing') }}", VOCABULARY)
    with pytest.raises(DataError, match=r"row 1: .*no such thing"):
        chat_corpus(files(tmp_path, chat_row("a", "b")), refusing, max_tokens=99, validation_fraction=0.0)


ROWS = [chat_row(f"add {number}", f"return {number}") for number in range(60)]


def test_a_corpus_holds_out_by_question_and_comes_back_from_the_disk(tmp_path: Path) -> None:
    corpus = chat_corpus(files(tmp_path, *ROWS), CHATML, max_tokens=64, validation_fraction=0.2, seed=1)
    assert len(corpus.train) + len(corpus.validation) == 60
    assert len(corpus.validation) > 3
    corpus.save(tmp_path / "kept")
    again = ChatCorpus.load(tmp_path / "kept")
    for side, kept in ((corpus.train, again.train), (corpus.validation, again.validation), (corpus.test, again.test)):
        assert [(c.ids.tolist(), c.counted.tolist()) for c in side] == [
            (c.ids.tolist(), c.counted.tolist()) for c in kept
        ]
    assert (again.record, again.remarks, again.facts) == (corpus.record, corpus.remarks, corpus.facts)
    with pytest.raises(IntegrityError, match="of another kind"):
        PreferenceCorpus.load(tmp_path / "kept")


def test_pairs_come_back_from_the_disk(tmp_path: Path) -> None:
    rows = [{"prompt": f"add {n}", "chosen": f"return {n}", "rejected": "a"} for n in range(9)]
    corpus = preference_corpus(files(tmp_path, *rows), CHATML, max_tokens=64)
    corpus.save(tmp_path / "kept")
    again = PreferenceCorpus.load(tmp_path / "kept")
    assert [learnt(pair.chosen) for pair in again.train] == [learnt(pair.chosen) for pair in corpus.train]
    assert [learnt(pair.rejected) for pair in again.train] == ["a<|im_end|>"] * len(corpus.train)


def test_too_long_ones_are_counted_or_refused(tmp_path: Path) -> None:
    long_rows = [chat_row("add a", "add b", "return", "a + b"), chat_row("def " * 40, "b"), *ROWS]
    corpus = chat_corpus(files(tmp_path, *long_rows), CHATML, max_tokens=30, validation_fraction=0.0)
    told = "\n".join(map(str, corpus.remarks))
    assert "of 62 conversations 1 lost their oldest turns, 1 answers with them and 1 were left out" in told
    assert "row 2 with" in told
    assert len(corpus.train) == 61
    assert corpus.share_cut == 2 / 62
    assert max(map(len, corpus.train)) <= 30
    with pytest.raises(DataError, match=r"row 1: the conversation has \d+ tokens, 30 are allowed"):
        chat_corpus(files(tmp_path, *long_rows), CHATML, max_tokens=30, validation_fraction=0.0, too_long="refuse")
    with pytest.raises(DataError, match="not one conversation to learn from fits into 3 tokens"):
        chat_corpus(files(tmp_path, *ROWS), CHATML, max_tokens=3, validation_fraction=0.0)


def test_few_examples_and_answers_without_an_end_are_remarks(tmp_path: Path) -> None:
    endless = ChatTemplate(
        "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %} {% endfor %}",
        VOCABULARY,
    )
    corpus = chat_corpus(files(tmp_path, *ROWS[:9]), endless, max_tokens=64)
    told = "\n".join(map(str, corpus.remarks))
    assert f"examples enough: {len(corpus.train)} examples to learn from" in told
    assert f"answers end: in {len(corpus.train)} of {len(corpus.train)} conversations" in told
    assert chat_corpus(files(tmp_path, *ROWS), CHATML, max_tokens=64, validation_fraction=0.0).remarks == ()


def test_recorded_sides_win_over_another_seed(tmp_path: Path) -> None:
    paths = files(tmp_path, *ROWS)
    first = chat_corpus(paths, CHATML, max_tokens=64, validation_fraction=0.2)
    again = chat_corpus(paths, CHATML, max_tokens=64, validation_fraction=0.2, seed=5, recorded=first.record)
    assert [c.ids.tolist() for c in again.validation] == [c.ids.tolist() for c in first.validation]
