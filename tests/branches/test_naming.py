"""The names of classes: what of them is a text, and that one which fits the rows is learnt like a row."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import FILLERS, make_encoder, make_rows, make_system, spec
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.branches import (
    ClassNames,
    TextFeatures,
    class_indices,
    fit_branch,
    readable_names,
    solve_on_pooled,
)
from interconnected_ai.branches.vocabulary import bags_of
from interconnected_ai.config import TrainingConfig
from interconnected_ai.data import Rows
from interconnected_ai.training import fit

LABELS = ("bank", "rain", "dog")
QUICK = TrainingConfig(epochs=1, batch_size=16, precision="float32", device="cpu", monitors=(), warmup_steps=0)


def system_of_names() -> InterconnectedAISystem:
    return InterconnectedAISystem(
        num_experts=4, branches=[spec("a", *LABELS)], encoder=make_encoder(), max_seq_len=32, d_ff=48
    )


def rows_of_names(count: int, start: int = 0) -> tuple[list[str], list[str]]:
    """Texts and labels: each text says the name of its class, among other words."""
    labels = [LABELS[number % 3] for number in range(start, start + count)]
    texts = [
        f"{label} {FILLERS[number % 7]} {label} {FILLERS[number % 11]} {label}" for number, label in enumerate(labels)
    ]
    return texts, labels


def names_of(system: InterconnectedAISystem) -> ClassNames:
    found = ClassNames.of(LABELS, system.encode)
    assert found is not None
    return found


def test_a_name_is_read_as_words_and_a_code_is_none() -> None:
    labels = ("card_arrival", "qa__stock", "M17", "-1", "погода.завтра", "D23_x", "2", "__")
    assert readable_names(labels) == {0: "card arrival", 1: "qa stock", 4: "погода завтра"}


def test_labels_that_are_all_codes_have_no_names() -> None:
    assert ClassNames.of(("M17", "D23"), lambda texts: pytest.fail(f"encoded {texts}")) is None


def test_names_are_learnt_where_they_fit_the_rows_and_not_where_they_mislead() -> None:
    system = system_of_names()
    texts, labels = rows_of_names(30)
    fitting = class_indices(system.cards["a"], labels)
    for features in (system.features_of(texts), system.encode(texts)):
        joined, targets = names_of(system).beside(features, fitting)
        assert len(joined) == len(targets) == 33
        kept, same = names_of(system).beside(features, (fitting + 1) % 3)
        assert kept is features
        assert len(same) == 30


def test_two_rows_are_no_proof_that_names_fit() -> None:
    system = system_of_names()
    texts, labels = rows_of_names(2)
    assert not names_of(system).fit(system.encode(texts), class_indices(system.cards["a"], labels))


def test_a_name_is_learnt_as_a_row_of_its_class_is() -> None:
    system = system_of_names()
    by_names, by_rows = (system_of_names().branch("a") for _ in range(2))
    texts, labels = rows_of_names(30)
    for branch in (by_names, by_rows):
        branch.take_words(texts)
    targets = class_indices(by_names.card, labels)
    solve_on_pooled(by_names, system.features_of(texts), targets, QUICK, names=names_of(system))
    solve_on_pooled(by_rows, system.features_of([*texts, *LABELS]), torch.cat([targets, torch.arange(3)]), QUICK)
    asked = system.features_of(make_rows("a", 20).texts)
    torch.testing.assert_close(by_names.evaluate(asked), by_rows.evaluate(asked), atol=2e-3, rtol=1e-3)


def test_an_added_branch_knows_the_name_of_a_class_that_has_no_rows() -> None:
    answered = {}
    rows = [(text, label) for text, label in zip(*rows_of_names(60), strict=True) if label != "dog"]
    for learnt in (True, False):
        system = system_of_names()
        fit_branch(system, "a", *zip(*rows, strict=True), config=QUICK.with_changes(class_names=learnt))
        answered[learnt] = system.predict(["dog"])[0].branches["a"].top[0][0]
    assert answered[True] == "dog"
    assert answered[False] != "dog"


@pytest.mark.parametrize("cached", [True, False])
def test_a_joint_training_learns_the_names_and_seals_what_it_learnt(tmp_path: Path, cached: bool) -> None:
    rows, held_out = Rows.of_branch("a", *rows_of_names(24)), Rows.of_branch("a", *rows_of_names(9, 24))
    answers = {}
    for learnt in (True, False):
        system = system_of_names()
        config = QUICK.with_changes(class_names=learnt, cache_features=cached)
        fit(system, rows, held_out, config, tmp_path / str(learnt))
        answers[learnt] = system.branch("a").evaluate(system.features_of(LABELS)).softmax(dim=-1).diagonal()
        assert all(check.identical for check in system.verify())
        known = system.branch("a").learnt
        assert known is not None
        assert not known.holds(LABELS).any()  # they are no rows that a test must leave out
    assert (answers[True] > answers[False]).all()


def test_a_resumed_training_learns_the_names_again_to_the_same_bits(tmp_path: Path) -> None:
    rows, held_out = Rows.of_branch("a", *rows_of_names(24)), Rows.of_branch("a", *rows_of_names(9, 24))
    ruinous = {
        "lr_moe": 1.0,
        "lr_head": 1.0,
        "lr_adapter": 1.0,
        "lr_wide": 1.0,
    }  # so that the regression is what is kept
    config = QUICK.with_changes(**ruinous, epochs=2, checkpoint_every_steps=1, keep_checkpoints=9)
    whole, resumed = system_of_names(), system_of_names()
    fit(whole, rows, held_out, config, tmp_path)
    for later in sorted((tmp_path / "checkpoints").glob("step-*"))[1:]:
        shutil.rmtree(later)
    fit(resumed, rows, held_out, config, tmp_path, resume=True)
    assert whole.cards["a"].fingerprint == resumed.cards["a"].fingerprint
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_terms_that_were_counted_are_kept_when_features_are_joined() -> None:
    texts = make_rows("a", 12).texts
    first, second = TextFeatures(torch.zeros(8, 4), texts[:8]), TextFeatures(torch.zeros(4, 4), texts[8:])
    branch = make_system("a").branch("a")
    branch.take_words(texts)
    assert branch.wide is not None
    anew = bags_of(branch.wide.vocabulary, TextFeatures(torch.zeros(12, 4), texts).ngrams)
    assert len(first.ngrams) == 1  # counted before the two are joined
    assert first.joined(second).ngrams[0] is first.ngrams[0]
    kept = bags_of(branch.wide.vocabulary, first.joined(second).ngrams)
    for mine, wanted in zip(kept, anew, strict=True):
        np.testing.assert_array_equal(mine, wanted)
