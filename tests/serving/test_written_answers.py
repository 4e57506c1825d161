"""Answers as JSON straight from the table: what the records of the same table say, to the last bit."""

import json
from typing import Any

import pytest

pytest.importorskip("orjson", reason='needs the extra "serving"')

import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_system, randomize, spec
from interconnected_ai.branches import AnswerTable, BranchCard, BranchPrediction
from interconnected_ai.serving.own import classification
from interconnected_ai.serving.own.classification import AnswerWriter
from properties import examples

LABELS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(lambda text: text.strip() == text)


def told(answer: BranchPrediction) -> dict[str, Any]:
    return {
        "label": answer.label,
        "answer": answer.answer,
        "confidence": answer.confidence,
        "unknown": answer.unknown,
        "familiarity": answer.familiarity,
        "top": [{"label": label, "probability": share} for label, share in answer.top],
    }


@examples(60)
@given(
    labels=st.lists(st.lists(LABELS, min_size=2, max_size=5, unique_by=str.casefold), min_size=1, max_size=6),
    top_n=st.integers(1, 6),
    num_texts=st.integers(1, 5),
    rows=st.sampled_from([1, 2, 64]),
    seed=st.integers(0, 1000),
)
def test_what_is_written_is_what_the_records_say(
    labels: list[list[str]], top_n: int, num_texts: int, rows: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    answered = []
    for number, own in enumerate(labels):
        card = BranchCard(spec=spec(f"branch-{number}", *own)).with_changes(threshold=number / 6)
        logits = torch.randn(num_texts, len(own), generator=random) * 20  # some shares are next to nothing
        answered.append((card, logits, torch.rand(num_texts, generator=random)))
    table = AnswerTable.read(answered, top_n)
    writer = AnswerWriter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification, "_ROWS", rows)
        written = [json.loads(text) for text in writer(table, ["text"] * num_texts)]
    for row, found in enumerate(written):
        assert list(found) == [f"branch-{number}" for number in range(len(labels))]
        assert found == {name: told(answer) for name, answer in table.answers(row).items()}
    assert writer(table, ["text"] * num_texts) == writer(table, ["text"] * num_texts)


def test_what_is_no_number_is_null() -> None:
    card = BranchCard(spec=spec("one", "cat", "dog"))
    table = AnswerTable.read([(card, torch.tensor([[float("nan"), 0.0]]), torch.ones(1))], 2)
    (found,) = AnswerWriter()(table, ["text"])
    assert json.loads(found)["one"]["confidence"] is None


def test_a_card_that_is_exchanged_is_written_with_its_own_labels_and_few_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classification, "_MOST_CARDS", 3)
    writer = AnswerWriter()
    for number in range(20):
        card = BranchCard(spec=spec("one", f"cat {number}", f"dog {number}"))
        (found,) = writer(AnswerTable.read([(card, torch.tensor([[1.0, 0.0]]), torch.ones(1))], 2), ["text"])
        assert json.loads(found)["one"]["label"] == f"cat {number}"
    assert len(writer._known) <= 3


def test_a_system_is_written_as_it_predicts() -> None:
    system = randomize(make_system("one", "two"))
    texts = ["my bank card", "rain and snow"]
    written = AnswerWriter()(system.panel().table(system.features_of(texts), 3), texts)
    for found, prediction in zip(written, system.predict(texts), strict=True):
        assert json.loads(found) == {name: told(answer) for name, answer in prediction.branches.items()}
