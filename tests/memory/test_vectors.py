"""Vectors join the search, and a failing model costs nothing else."""

from collections.abc import Sequence
from typing import Any

import pytest

from interconnected_ai.errors import ConfigError
from interconnected_ai.memory import VectorModel
from memory_stores import MakeMemory, hashed


def test_vectors_join_the_search_users_first_and_survive_reopening(make: MakeMemory) -> None:
    memory = make(encode=hashed())
    memory.add("assistant", "red apples", id="a")
    memory.add("user", "green pears", id="b")
    assert memory.search("green pears")[0].legs == ("speech",)  # found before any vector exists
    memory.catch_up()
    assert memory.stats().num_vectors == 2
    assert memory.search("green pears")[0].legs == ("speech", "vectors")
    again = make(encode=hashed())
    again.add("user", "blue plums", id="c")
    again.catch_up()
    assert again.search("blue plums")[0].message.id == "c"
    assert again.search("red apples")[0].legs == ("replies", "vectors")
    memory.forget("b")
    assert "b" not in [f.message.id for f in again.search("green pears")]


def test_vectors_of_two_models_are_never_mixed(make: MakeMemory) -> None:
    memory = make(encode=hashed())
    memory.add("user", "green pears")
    memory.catch_up()
    with pytest.raises(ConfigError, match="'hashed', encode is 'other'"):
        make(encode=hashed(name="other"))
    plain = make()
    plain.rebuild()
    assert plain.stats().num_vectors == 0
    other = make(encode=hashed(8, "other"))
    other.catch_up()
    assert other.stats().num_vectors == 1
    with pytest.raises(ConfigError, match="encode is a lambda"):
        make(encode=lambda texts: texts)


@pytest.mark.parametrize("fault", ["raises", "shape", "strings", "nan", "ragged"])
def test_an_encode_that_fails_costs_the_vectors_and_nothing_else(
    make: MakeMemory, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    import numpy as np

    answers = {
        "raises": lambda n: 1 / 0,
        "shape": lambda n: np.zeros((n + 1, 4)),
        "strings": lambda n: ["x"] * n,
        "nan": lambda n: np.full((n, 4), np.nan),
        "ragged": lambda n: [[1.0], [1.0, 2.0]],
    }

    def encode(texts: Sequence[str]) -> Any:
        return answers[fault](len(texts))

    memory = make(encode=VectorModel("faulty", encode, encode))
    memory.add("user", "green pears", id="a")
    memory.add("user", "red apples", id="b")
    assert memory.catch_up() == 1
    assert "embed failed" in caplog.text
    assert memory.search("pears")[0].message.id == "a"
    assert memory.context("pears").source_ids == ("a", "b")


def test_a_model_that_fails_on_questions_alone_leaves_the_words(
    make: MakeMemory, caplog: pytest.LogCaptureFixture
) -> None:
    good = hashed()
    memory = make(encode=VectorModel("hashed", good.passages, lambda texts: [[1.0, 2.0]]))
    memory.add("user", "green pears", id="a")
    memory.catch_up()
    assert memory.search("pears")[0].legs == ("speech",)
    assert "the search goes on without vectors" in caplog.text
