"""How threads wait for each other: as the person says, else sparingly."""

import pytest

from interconnected_ai.patience import OF_COMMANDS, says_how_threads_wait, with_sleeping_threads


def test_beside_others_threads_sleep() -> None:
    assert with_sleeping_threads({"HOME": "/home"}) == {"HOME": "/home", "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_who_says_how_threads_wait_is_heeded(name: str) -> None:
    said = {"HOME": "/home", name: "20"}
    assert says_how_threads_wait(said)
    assert with_sleeping_threads(said) == said


def test_what_a_command_set_by_itself_says_nothing() -> None:
    assert with_sleeping_threads({"HOME": "/home", **OF_COMMANDS}) == {"HOME": "/home", "OMP_WAIT_POLICY": "PASSIVE"}
