"""The growth bench: exponents from counted work, and every verb runs at a small size."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from interconnected_ai.bench.growth import LIMIT, ROOMS, Verb, all_verbs, bench_growth, exponent, grow
from interconnected_ai.cli import iai


def counted(call: Callable[[], object]) -> float:
    """What the call itself says that it did."""
    return float(call())  # type: ignore[arg-type]


def verb(work: Callable[[int], float], **settings: Any) -> Verb:
    return Verb("data", "work", "things", 10, lambda n, to: lambda: work(n), **settings)


@pytest.mark.parametrize("power", [0.5, 1.0, 1.2, 2.0, 3.0])
@pytest.mark.parametrize("fixed", [0.0, 5.0, 1000.0])
def test_the_exponent_is_that_of_what_grows_not_of_the_fixed_costs(power: float, fixed: float) -> None:
    seconds = [fixed + 100.0 * n**power for n in (1, 2, 4)]
    assert exponent(seconds) == pytest.approx(power)


def test_what_does_not_grow_has_no_exponent() -> None:
    assert exponent((1.0, 1.01, 1.02)) == 0.0
    assert exponent((1.0, 1.5, 0.9)) == 0.0


def test_growth_that_begins_late_is_not_taken_for_noise_of_the_fixed_costs() -> None:
    assert exponent((1.0, 1.0, 16.0)) == pytest.approx(2.0)


@pytest.mark.parametrize(("power", "over"), [(1, False), (2, True)])
def test_a_verb_that_grows_faster_than_its_input_is_found(tmp_path: Path, power: int, over: bool) -> None:
    found = grow(verb(lambda n: 7.0 + n**power), tmp_path, measure=counted)
    assert found.sizes == (10, 20, 40)
    assert found.exponent == pytest.approx(power)
    assert (found.exponent > LIMIT) == over


def test_the_least_of_the_repeats_counts_and_a_bad_exponent_is_looked_at_again(tmp_path: Path) -> None:
    calls: list[float] = []

    def measure(call: Callable[[], object]) -> float:
        calls.append(counted(call))
        first_round = len(calls) <= 4  # one call to warm up, then one of each size
        return calls[-1] * (3.0 if first_round and calls[-1] == 40.0 else 1.0)

    found = grow(verb(float), tmp_path, repeats=1, measure=measure)
    assert found.exponent == pytest.approx(1.0)
    assert calls == [10.0] + [10.0, 20.0, 40.0] * 2


def test_what_changes_its_input_is_prepared_anew_for_each_call(tmp_path: Path) -> None:
    prepared: list[Path] = []

    def prepare(n: int, folder: Path) -> Callable[[], object]:
        assert list(folder.iterdir()) == []
        (folder / "left").touch()
        prepared.append(folder)
        return lambda: n

    grow(Verb("data", "once", "things", 1, prepare, once=True), tmp_path, repeats=2, measure=counted)
    assert len(prepared) == 1 + 2 * 3
    prepared.clear()
    grow(Verb("data", "often", "things", 1, prepare), tmp_path, repeats=2, measure=counted)
    assert len(prepared) == 3


def test_every_room_has_verbs_and_no_two_have_one_name() -> None:
    verbs = all_verbs()
    assert {verb.room for verb in verbs} == set(ROOMS)
    assert len({(verb.room, verb.label) for verb in verbs}) == len(verbs)
    assert {verb.room for verb in all_verbs(["text"])} == {"text"}


def test_without_time_every_verb_is_named_as_not_reached() -> None:
    found = bench_growth(minutes=0.0)
    assert (found["num_verbs"], len(found["not_reached"])) == (0, len(all_verbs()))


def test_the_command_shows_a_table_and_gives_the_same_as_json() -> None:
    done = CliRunner().invoke(iai, ["bench", "growth", "--room", "planner", "--repeats", "1", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert {each["room"] for each in found["verbs"]} == {"planner"}
    assert all(len(each["cpu_seconds"]) == len(each["sizes"]) == 3 for each in found["verbs"])
    assert "planner" in done.stderr


def test_an_unknown_room_is_named_with_the_known_ones() -> None:
    done = CliRunner().invoke(iai, ["bench", "growth", "--room", "datta"])
    assert "'data'" in str(done.exception)


@pytest.mark.slow
@pytest.mark.parametrize("verb", all_verbs(), ids=lambda verb: f"{verb.room}: {verb.label}")
def test_every_verb_runs_on_a_small_input(verb: Verb, tmp_path: Path) -> None:
    verb.prepare(max(4, verb.size // 20), tmp_path)()
