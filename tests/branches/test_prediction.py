"""Answers for many branches read at once: the very numbers that reading them one by one gives."""

import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_system, randomize, spec
from interconnected_ai.branches import BranchCard, BranchPrediction, Prediction, panel, prediction, probabilities
from interconnected_ai.branches.prediction import Answers, AnswerTable
from interconnected_ai.nn import in_evaluation

TEXTS = ["my bank card", "rain and snow today please tell me", "cat", "the lion was on the horse now"]


def one_by_one(card: BranchCard, logits: torch.Tensor, familiarity: torch.Tensor, top_n: int) -> list[BranchPrediction]:
    """One branch, one text after another, as the formula says it."""
    out = []
    for row, near in zip(logits, familiarity.tolist(), strict=True):
        shares = probabilities(row, card)
        values, classes = shares.topk(min(top_n, len(shares)))
        top = tuple((card.spec.labels[c], v) for c, v in zip(classes.tolist(), values.tolist(), strict=True))
        unknown = top[0][1] * near < card.threshold
        out.append(BranchPrediction(card.name, top[0][0], top[0][1], unknown, top, familiarity=near))
    return out


@given(
    sizes=st.lists(st.integers(2, 9), min_size=1, max_size=12),
    top_n=st.integers(1, 12),
    num_texts=st.integers(1, 5),
    most=st.sampled_from([1, 40, 1 << 22]),
    seed=st.integers(0, 1000),
)
def test_many_branches_are_read_to_the_last_bit_like_one(
    sizes: list[int], top_n: int, num_texts: int, most: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    answered = []
    for number, size in enumerate(sizes):
        card = BranchCard(spec=spec(f"branch-{number}", *(f"class-{c}" for c in range(size))))
        card = card.with_changes(temperature=0.5 + number / 3, threshold=number / 12)
        familiarity = torch.rand(num_texts, generator=random)
        answered.append((card, torch.randn(num_texts, size, generator=random) * 3, familiarity))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "_MOST_NUMBERS", most)
        table = AnswerTable.read(answered, top_n)
    assert list(table.cards) == [card.name for card, _, _ in answered]
    for card, logits, near in answered:
        assert [table.answer(card.name, row) for row in range(num_texts)] == one_by_one(card, logits, near, top_n)


def test_a_prediction_is_a_mapping_of_records_that_travels_alone() -> None:
    system = randomize(make_system("one", "two"))
    first, second = system.predict(TEXTS[:2])
    assert isinstance(first.branches, Answers)
    assert list(first.branches) == ["one", "two"]
    assert len(first.branches) == 2
    assert "three" not in first.branches
    assert first.branches["one"] == first.branches["one"]
    assert first == system.predict(TEXTS[:2])[0]
    assert first != second
    assert first != replace(first, branches={"one": first.branches["one"]})
    copied = pickle.loads(pickle.dumps(first))  # noqa: S301  # our own bytes: between processes of one program
    assert copied == first
    assert type(copied.branches) is dict
    assert repr(first) == repr(copied)
    assert first.to_dict()["branches"]["two"]["answer"] == first.branches["two"].answer


def test_who_is_exactly_as_sure_as_the_threshold_answers() -> None:
    system = randomize(make_system("one"))
    confidence = system.predict(["cat"])[0].branches["one"].confidence
    system.cards["one"] = system.cards["one"].with_changes(threshold=confidence)
    assert not system.predict(["cat"])[0].branches["one"].unknown


def test_the_named_branches_are_answered_in_the_order_they_are_named() -> None:
    system = randomize(make_system("one", "two", "three"))
    assert list(system.predict(TEXTS, branches=["three", "one"])[0].branches) == ["three", "one"]
    assert system.predict([], branches=["three"]) == []


def test_a_text_is_encoded_once_whatever_is_asked_of_it() -> None:
    system = randomize(make_system(*(f"branch-{number}" for number in range(20))))
    calls: list[int] = []
    system.encoder.model.register_forward_hook(lambda *_: calls.append(1))

    def count() -> int:
        found = len(calls)
        calls.clear()
        return found

    system.seal_branches({name: {"trained": "joint"} for name in system.branch_names})
    assert count() == 1
    assert all(check.identical for check in system.verify())
    assert count() == 1
    system.predict(TEXTS)
    assert count() == 1
    assert make_system("one").verify() == []


def test_records_of_one_prediction_are_what_the_branch_said() -> None:
    system = randomize(make_system("one", "two"))
    logits = system.logits_of(system.features_of(TEXTS))
    found = system.predict(TEXTS, top_n=2)
    for name, card in system.cards.items():
        assert [p.branches[name] for p in found] == one_by_one(card, logits[name], torch.ones(len(TEXTS)), 2)
    assert [type(p) for p in found] == [Prediction] * len(TEXTS)


@pytest.mark.parametrize("labels", [("spam", "unknown"), ("unknown", "(unknown)"), ("spam", "ham")])
def test_a_class_named_unknown_is_told_apart_from_not_knowing(labels: tuple[str, ...]) -> None:
    card = BranchCard(spec=spec("one", *labels)).with_changes(threshold=0.9)
    logits = torch.tensor([[9.0, 0.0], [0.0, 9.0], [0.1, 0.0], [0.0, 0.1]])
    table = AnswerTable.read([(card, logits, torch.ones(4))], 1)
    sure, also_sure, *unsure = (table.answer("one", row) for row in range(4))
    assert [(a.answer, a.unknown) for a in (sure, also_sure)] == [(label, False) for label in labels]
    for answer, label in zip(unsure, labels, strict=True):
        assert (answer.label, answer.unknown) == (label, True)
        assert answer.answer not in labels
        assert answer.to_dict()["answer"] == answer.answer
    assert unsure[0].answer == ("unknown" if "unknown" not in labels else unsure[0].answer)
    assert unsure[0].answer.strip("()") == "unknown"
    assert spec("one", *labels) == card.spec  # one that has answered is equal to one that has not


def test_a_branch_asked_beside_many_says_the_same_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel, "_MANY", 6)  # branches that know words, looked up together
    names = [f"branch-{number}" for number in range(24)]
    system = randomize(make_system(*names))
    for number, name in enumerate(names):
        if number % 2:
            system.branch(name).take_words([*TEXTS[: number % 4], f"word {number}"])
        if number % 3:
            system.branch(name).directions = torch.randn(3, system.encoder.d_model)
    randomize(system).train()  # their dropout says nothing here
    features = system.features_of(TEXTS)
    first = system.panel().table(features, 2)
    whole = system.panel().table(features, 2)
    assert system._panels._lexicon is not None
    assert [first.answers(row) for row in range(4)] == [whole.answers(row) for row in range(4)]
    assert list(whole.cards) == names
    for name in names:
        branch = system.branch(name)
        alone = system.panel([name]).table(features, 2)
        assert [whole.answer(name, row) for row in range(4)] == [alone.answer(name, row) for row in range(4)]
        logits, near = branch.evaluate(features), branch.familiarity(features)
        assert [alone.answer(name, row) for row in range(4)] == one_by_one(branch.card, logits, near, 2)
        with torch.no_grad():
            torch.testing.assert_close(in_evaluation(branch)(*branch.read(features)), logits)


def test_who_asks_the_same_branches_again_gets_the_same_panel_until_one_of_them_changes() -> None:
    system = make_system("one", "two", "three")
    whole, some = system.panel(), system.panel(["two", 0])
    assert system.panel() is whole
    assert system.panel(["two", "one"]) is some
    assert [card.name for card, _ in some.members] == ["two", "one"]
    system.cards["one"] = system.cards["one"].with_changes(temperature=2.0)
    assert system.panel().members[0][0].temperature == 2.0
    assert whole.members[0][0].temperature == 1.0
    system.remove_branch("two")
    assert [card.name for card, _ in system.panel().members] == ["one", "three"]


def test_panels_of_many_choices_of_branches_are_forgotten_but_the_last() -> None:
    system = make_system(*(f"branch-{number}" for number in range(12)))
    first = system.panel([0])
    for one in range(12):
        for other in range(12):
            assert [card.name for card, _ in system.panel([one, other]).members] == list(
                dict.fromkeys([f"branch-{one}", f"branch-{other}"])
            )
    assert len(system._panels._known) == 64
    assert system.panel([0]) is not first


def test_words_that_a_branch_learns_anew_are_looked_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel, "_MANY", 2)
    system = make_system("one", "two")
    for name in ("one", "two"):
        system.branch(name).take_words(TEXTS)
    features = system.features_of(TEXTS)
    for texts in (TEXTS[:2], TEXTS[2:]):
        randomize(system)
        asked = [system.panel().table(features, 3) for _ in range(2)][-1]
        for name in ("one", "two"):
            branch = system.branch(name)
            wanted = one_by_one(branch.card, branch.evaluate(features), branch.familiarity(features), 3)
            assert [asked.answer(name, row) for row in range(4)] == wanted
        system.branch("one").take_words(texts)
