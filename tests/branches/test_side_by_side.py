"""Many branches asked at once: each says what it says alone, to the last bit, and what its modules say, up to rounding."""

import pytest
import torch

from conftest import make_system, randomize, spec
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.branches import TextFeatures, side_by_side, vocabulary
from interconnected_ai.branches.side_by_side import logits_of
from interconnected_ai.nn import in_evaluation
from interconnected_ai.text import count_ngrams

TEXTS = [
    "my bank card",
    "rain and snow today",
    "cat",
    "the lion was on the horse now",
    "Сколько денег?",
    "?!",
    "money money",
]


def of_all_kinds() -> InterconnectedAISystem:
    """Branches of two and of three classes, with words and without, some of which know none of the texts' words."""
    system = make_system()
    for number in range(12):
        labels = ["one", "two", "three"][: 2 + number % 2]
        system.add_branch(spec(f"branch-{number}", *labels))
        if number % 3:
            system.branch(f"branch-{number}").take_words(
                [*TEXTS[: number % 6], f"another {number}"], scale=1.0 + number
            )
    return randomize(system)


def texts_of(system: InterconnectedAISystem, number: int, *, in_a_table: bool) -> TextFeatures:
    features = system.features_of([TEXTS[row % len(TEXTS)] for row in range(number)])
    if not in_a_table:
        features.__dict__["table"] = None
    return features


@pytest.mark.parametrize("in_a_table", [True, False])
@pytest.mark.parametrize("number", [1, 2, 7, 40])
def test_a_branch_says_among_others_what_it_says_alone_to_the_last_bit(
    number: int, in_a_table: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = of_all_kinds()
    features = texts_of(system, number, in_a_table=in_a_table)
    branches = [system.branch(name) for name in system.branch_names]
    with torch.inference_mode():
        whole = logits_of(branches, features)
        alone = [logits_of([branch], features)[0] for branch in branches]
        monkeypatch.setattr(side_by_side, "_MOST_NUMBERS", 1)
        apart = logits_of(branches[::-1], features)[::-1]
        for found, *others, branch in zip(whole, alone, apart, branches, strict=True):
            assert all(torch.equal(found, other) for other in others)
            torch.testing.assert_close(found, in_evaluation(branch)(*branch.read(features)), atol=1e-5, rtol=1e-5)


def test_where_threads_share_a_product_each_branch_has_one_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    system = of_all_kinds()
    features = texts_of(system, 40, in_a_table=True)
    branches = [system.branch(name) for name in system.branch_names]
    numbers: list[int] = []
    multiplied = torch.bmm
    monkeypatch.setattr(torch, "bmm", lambda a, b: numbers.append(len(a)) or multiplied(a, b))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with torch.inference_mode():
            whole = logits_of(branches, features)
            alone = [logits_of([branch], features)[0] for branch in branches]
    finally:
        torch.set_num_threads(threads)
    assert set(numbers) == {1}
    assert all(torch.equal(one, other) for one, other in zip(whole, alone, strict=True))


def test_texts_whose_terms_are_in_a_table_are_answered_as_those_whose_terms_are_in_bags() -> None:
    system = of_all_kinds()
    tables, bags = (texts_of(system, 20, in_a_table=each) for each in (True, False))
    assert tables.table is not None
    for name in system.branch_names:
        branch = system.branch(name)
        torch.testing.assert_close(branch.evaluate(tables), branch.evaluate(bags), atol=1e-5, rtol=1e-5)


def test_terms_are_put_into_a_table_where_it_is_not_nearly_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    (counted,) = count_ngrams(TEXTS)
    table = vocabulary.TermTable.of([counted])
    assert table is not None
    assert table.frequencies.shape == (2 * len(TEXTS), len(counted.terms))
    for row in range(len(TEXTS)):
        for kind in (0, 1):  # characters, words
            begin, end = counted.ends[2 * row + kind : 2 * row + kind + 2]
            wanted = torch.zeros(len(counted.terms))
            wanted[torch.from_numpy(counted.columns[begin:end]).long()] = torch.from_numpy(
                counted.frequencies[begin:end]
            )
            assert torch.equal(table.frequencies[row + kind * len(TEXTS)], wanted)
    assert torch.equal(table.squares, table.frequencies.square())
    apart = [f"{chr(97 + number % 26) * 3}{number} {number * 7919}" for number in range(400)]
    assert vocabulary.TermTable.of(list(count_ngrams(apart))) is None
    assert vocabulary.TermTable.of([]) is None
    assert vocabulary.TermTable.of([counted, counted]) is None
    monkeypatch.setattr(vocabulary, "_MOST_CELLS", table.frequencies.numel() - 1)
    assert vocabulary.TermTable.of([counted]) is None
