"""Arguments are looked at where they enter: whatever is given, an error of ours says what is needed, or it works."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

import interconnected_ai.branches as branches_room
import interconnected_ai.config as config_room
import interconnected_ai.data as data_room
import interconnected_ai.training as training_room
from conftest import make_rows, make_system, spec
from interconnected_ai.branches import InterconnectedAISystem, class_indices, fit_branch, inference, train_on_pooled
from interconnected_ai.config import GenerationConfig, Record, TrainingConfig
from interconnected_ai.errors import ConfigError, DataError, InterconnectedAIError, UnknownNameError
from properties import examples

FAST = TrainingConfig(epochs=1, batch_size=8, head_start_epochs=0)
TEXTS = ["bank card", "rain and snow", "the cat"]
LABELS = ["money", "weather", "animals"]


@pytest.fixture(scope="module")
def system() -> InterconnectedAISystem:
    return make_system("a", "b")


def each(values: list[str]) -> Iterator[str]:
    yield from values


# Rows


@pytest.mark.parametrize("labels", [LABELS[:2], [*LABELS, "money"], []])
def test_another_number_of_labels_than_texts_is_refused(system: InterconnectedAISystem, labels: list[str]) -> None:
    before = system.cards["a"]
    with pytest.raises(DataError, match=rf"3 texts and {len(labels)} labels of branch 'a': every text needs one label"):
        fit_branch(system, "a", TEXTS, labels, config=FAST)
    with pytest.raises(DataError, match=rf"3 texts and {len(labels)} labels"):
        fit_branch(system, "a", TEXTS, LABELS, validation=(TEXTS, labels), config=FAST)
    assert system.cards["a"] == before


@pytest.mark.parametrize("held", [tuple, np.array, pd.Series, each])
def test_rows_may_come_in_anything_that_has_an_order(held: Callable[[list[str]], Any]) -> None:
    rows = make_rows("a", 12)
    labels = [str(label) for label in rows.labels["a"]]
    usual, other = make_system("a"), make_system("a")
    fit_branch(usual, "a", rows.texts, labels, validation=(rows.texts, labels), outside=TEXTS, config=FAST)
    fit_branch(
        other, "a", held(rows.texts), held(labels), validation=(held(rows.texts), held(labels)), outside=held(TEXTS),
        config=FAST,
    )  # fmt: skip
    assert other.cards["a"] == usual.cards["a"]
    assert [p.to_dict() for p in other.predict(held(TEXTS))] == [p.to_dict() for p in usual.predict(TEXTS)]
    assert torch.equal(other.encode(held(TEXTS)), usual.encode(TEXTS))


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ("one text", "needs a list of texts, got one text"),
        (b"bytes", "needs a list of texts"),
        (None, "got a NoneType"),
        (7, "got a int"),
        ({"a": "b"}, "got a dict"),
        ({"a", "b"}, "got a set"),
        (np.array("one"), "needs a list of texts"),
        (["fine", None], "text 1 is NoneType"),
        (["fine", float("nan")], "text 1 is float"),
        (["fine", b"x"], "text 1 is bytes"),
        (["fine", "  "], "text 1 is empty"),
        (["fine", "half \ud800"], r"text 1 holds half a character, U\+D800"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(system: InterconnectedAISystem, texts: Any, told: str) -> None:
    for call in (
        lambda: system.predict(texts),
        lambda: system.encode(texts),
        lambda: fit_branch(system, "a", TEXTS, LABELS, outside=texts, config=FAST),
    ):
        with pytest.raises(InterconnectedAIError, match=f"{told}|needs a list of"):
            call()


def test_no_texts_have_no_answers_and_teach_nothing(system: InterconnectedAISystem) -> None:
    assert system.predict([]) == []
    assert system.encode([]).shape == (0, 32)
    with pytest.raises(DataError, match="zero rows"):
        fit_branch(system, "a", [], [], config=FAST)


def test_numbers_stand_for_labels_that_are_written_like_them() -> None:
    numbered = InterconnectedAISystem(
        branches=[spec("n", "0", "1", "2")], encoder=make_system("a").encoder, num_experts=2, d_ff=16
    )
    card = numbered.cards["n"]
    assert class_indices(card, [2, 0, "1", np.int64(2)]).tolist() == [2, 0, 1, 2]  # type: ignore[list-item]
    for label in (3, True, 1.0, None, [1], "one"):
        with pytest.raises(UnknownNameError, match="label of branch 'n'"):
            class_indices(card, [label])  # type: ignore[list-item]


# Numbers and names


@pytest.mark.parametrize("number", [0, -1, True, 2.0, "3", None])
def test_how_many_answers_and_texts_at_once_are_whole_numbers(system: InterconnectedAISystem, number: Any) -> None:
    with pytest.raises(ConfigError, match=r"top_n=.*needs a whole number of 1 or more"):
        system.predict(TEXTS, top_n=number)
    with pytest.raises(ConfigError, match=r"batch_size=.*needs a whole number of 1 or more"):
        system.predict(TEXTS, batch_size=number)


def test_more_answers_than_classes_are_all_classes(system: InterconnectedAISystem) -> None:
    assert len(system.predict(TEXTS, top_n=np.int64(99))[0].branches["a"].top) == 3  # type: ignore[arg-type]


def test_one_name_of_a_branch_is_no_list_of_its_letters(system: InterconnectedAISystem) -> None:
    for call in (lambda: system.predict(TEXTS, branches="a"), lambda: system(torch.tensor([[2, 7]]), branches="ab")):
        with pytest.raises((DataError, ConfigError), match=r"needs a list of (branch names|int or str)"):
            call()
    for unknown in ("c", 2, -1, True, 1.0, None):
        with pytest.raises(UnknownNameError, match="unknown branch"):
            system.predict(TEXTS, branches=[unknown])  # type: ignore[list-item]
    assert list(system.predict(TEXTS, branches=("b", 0))[0].branches) == ["b", "a"]  # type: ignore[arg-type]


# Precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_system_of_another_precision_answers_and_says_that_it_cannot_learn(dtype: torch.dtype) -> None:
    system = make_system("a")
    wanted = system.predict(TEXTS)
    system.to(dtype)
    for prediction, usual in zip(system.predict(TEXTS), wanted, strict=True):
        assert prediction.branches["a"].confidence == pytest.approx(usual.branches["a"].confidence, abs=0.02)
    with pytest.raises(ConfigError, match=r"call system.float\(\) first"):
        fit_branch(system, "a", TEXTS, LABELS, config=FAST)


@pytest.mark.parametrize(
    ("pooled", "targets"),
    [
        (torch.zeros(2, 31), torch.zeros(2, dtype=torch.long)),
        (torch.zeros(32), torch.zeros(32, dtype=torch.long)),
        (torch.zeros(2, 32), torch.zeros(3, dtype=torch.long)),
        (torch.zeros(2, 32), torch.tensor([0, 3])),
        (torch.zeros(2, 32), torch.tensor([0, -1])),
        (torch.zeros(2, 32), torch.zeros(2)),
    ],
)
def test_vectors_and_class_numbers_that_do_not_fit_a_branch_are_refused(
    system: InterconnectedAISystem, pooled: torch.Tensor, targets: torch.Tensor
) -> None:
    with pytest.raises(DataError, match="class numbers"):
        train_on_pooled(system.branch("a"), pooled, targets, None, FAST)


@pytest.mark.parametrize("ids", [torch.zeros(2, 2, 2).long(), torch.zeros(0).long(), torch.rand(2, 3)])
def test_ids_that_are_none_are_refused(system: InterconnectedAISystem, ids: torch.Tensor) -> None:
    with pytest.raises(DataError, match=r"needs token ids, \(seq,\) or \(batch, seq\)"):
        inference(system, ids)


# Every record


def records() -> list[type[Record]]:
    found = [getattr(config_room, name) for name in config_room.__all__]
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record]


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.just(object()), st.just(torch.zeros(2)), st.just(np.zeros(2)),
)  # fmt: skip


@pytest.mark.parametrize("record", records())
@examples(25)
@given(data=st.data())
def test_whatever_a_record_is_made_from_an_error_is_ours(record: type[Record], data: st.DataObject) -> None:
    names = st.sampled_from([*record.model_fields, "no_such_key"])
    settings = data.draw(st.dictionaries(names, ANYTHING, max_size=3))
    try:
        record(**settings)
    except ConfigError as error:
        assert record.__name__ in str(error)  # noqa: PT017


def test_a_records_class_says_what_is_wrong_as_its_mapping_does() -> None:
    with pytest.raises(ConfigError, match="GenerationConfig: top_p = 3: Input should be less than or equal to 1"):
        GenerationConfig(top_p=3)
    with pytest.raises(ConfigError, match="GenerationConfig: unknown key 'top_q'; known, nearest first: top_"):
        GenerationConfig(top_q=1)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="GenerationConfig: needs settings by name, got 3"):
        GenerationConfig(3)  # type: ignore[misc]


# Every public call


def public_calls() -> list[tuple[str, Callable[..., Any]]]:
    """Functions of the rooms' doors, constructors of their classes that compute, and what a system can do."""
    calls = []
    for room in (branches_room, data_room, training_room):
        for name in room.__all__:
            thing = getattr(room, name)
            if inspect.isfunction(thing):
                calls.append((name, thing))
    made = make_system("a")
    for name in (
        "predict", "encode", "forward", "encode_tokens", "branch_logits", "logits_of", "add_branch", "take_branch",
        "remove_branch", "replace_branch", "seal_branch", "seal_branches", "save_pretrained", "from_pretrained", "branch",
        "branch_name", "get_trainable_params", "features_of", "words_of",
    ):  # fmt: skip
        calls.append((f"system.{name}", getattr(made, name)))
    calls += [("InterconnectedAISystem", InterconnectedAISystem), ("Encoder.load", branches_room.Encoder.load)]
    calls += [("Encoder", branches_room.Encoder), ("FeatureCache", training_room.FeatureCache)]
    calls += [("Rows", data_room.Rows), ("Rows.of_branch", data_room.Rows.of_branch)]
    return calls


WRONG = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 0), st.floats(), st.binary(max_size=3), st.just({1: object()}),
    st.lists(st.integers(), max_size=2), st.just(object()), st.just({1, 2}), st.just([None]), st.just([["x"]]),
)  # fmt: skip
# What any value would be looked for on this machine.
_MEANS_SOMETHING = {"library": "no such library"}


@pytest.mark.parametrize(("name", "call"), public_calls(), ids=[name for name, _ in public_calls()])
@examples(20, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_a_public_call_is_given_an_error_is_ours(
    name: str, call: Callable[..., Any], data: st.DataObject
) -> None:
    signature = inspect.signature(call)
    given_arguments = {}
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.name in _MEANS_SOMETHING:
            given_arguments[parameter.name] = _MEANS_SOMETHING[parameter.name]
            continue
        if parameter.default is parameter.empty or data.draw(st.booleans()):
            given_arguments[parameter.name] = data.draw(WRONG, label=parameter.name)
    try:
        call(**given_arguments)
    except InterconnectedAIError as error:
        assert len(str(error)) > 10  # noqa: PT017
