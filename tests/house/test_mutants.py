"""Mutation testing: the faults that are put in, what is left alone, and that a campaign counts what tests notice."""

import json
import time
from pathlib import Path

import pytest

pytest.importorskip("mutmut")

from tools.mutants.campaign import Budget, Found, Reach, Sample, try_room
from tools.mutants.copies import copy_of
from tools.mutants.equivalent import Equivalent, read_equivalents
from tools.mutants.nurseries import NurseryError
from tools.mutants.operators import MutableFile, Mutant
from tools.mutants.records import Record, Records
from tools.mutants.report import figures, markdown, wilson
from tools.mutants.rooms import PACKAGE, ROOMS, Room

ROOT = Path(__file__).resolve().parents[2]
SOURCE = '''\
"""Sums."""

from math import floor


def total(numbers: list[int] | None, start: int = 0) -> int:
    """The sum."""
    if not numbers:
        raise ValueError("no numbers to add" + "!")
    for number in numbers:
        start += number
    return start


def floor_of(number: float) -> int:
    return floor(number)


def unseen() -> int:
    return 1 + 1
'''
TESTS = """\
import pytest

from interconnected_ai.sums.sums import floor_of, total


def test_a_sum():
    assert total([1, 2]) == 3


def test_a_floor_is_a_number():
    assert isinstance(floor_of(1.0), int)
"""
ROOM = Room("sums", ("sums/*.py",), ("tests/sums",))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A room of one file, and tests that notice some of its faults."""
    root = tmp_path / "checkout"
    room = root / PACKAGE / "sums"
    room.mkdir(parents=True)
    (root / PACKAGE / "__init__.py").write_text("", encoding="utf-8")
    (room / "__init__.py").write_text("", encoding="utf-8")
    (room / "sums.py").write_text(SOURCE, encoding="utf-8")
    (root / "tests/sums").mkdir(parents=True)
    (root / "tests/sums/test_sums.py").write_text(TESTS, encoding="utf-8")
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\nfilterwarnings = ['error']\n", encoding="utf-8")
    return root


def mutants_of(source: str) -> dict[tuple[str, str], Mutant]:
    return {(mutant.before, mutant.after): mutant for mutant in MutableFile(Path("a.py"), source).mutants}


def budget(sample: int = 1000) -> Budget:
    return Budget(sample, time.monotonic() + 3600)


def tried(root: Path, output: Path, sample: int = 1000) -> tuple[Found, list[str]]:
    said: list[str] = []
    return try_room(ROOM, root, Records(output), budget(sample), say=said.append), said


def test_words_types_and_imports_are_left_alone_but_not_whether_an_error_is_raised() -> None:
    found = mutants_of(SOURCE)
    assert ('raise ValueError("no numbers to add" + "!")', "pass") in found
    assert not [pair for pair in found if "no numbers" in pair[0] and pair[1] != "pass"]
    assert not [pair for pair in found if "Sums" in pair[0] or "None" in pair[0] or "import" in pair[0]]


def test_a_condition_is_negated_and_a_sum_turned_round() -> None:
    found = mutants_of("def f(a, b):\n    if a:\n        b.clear()\n    return a + b\n")
    assert {("a + b", "a - b"), ("b.clear()", "pass")} <= found.keys()
    assert ("a", "not (a)") in found


def test_checks_of_our_own_invariants_and_the_encoding_of_files_are_left_alone() -> None:
    found = mutants_of('def f(a, b, p):\n    return zip(a, b, strict=True), p.open("r", encoding="utf-8")\n')
    assert ("zip(a, b, strict=True)", "zip(None, b, strict=True)") in found
    assert ('p.open("r", encoding="utf-8")', 'p.open(encoding="utf-8")') in found
    for before, after in found:
        assert ("strict=True" in before) == ("strict=True" in after)
        assert ("utf-8" in before) == ("utf-8" in after)


def test_every_mutant_is_python_and_not_the_file_itself() -> None:
    for file in (Path("nn/moe.py"), Path("nn/kv_cache.py")):
        source = (ROOT / PACKAGE / file).read_text(encoding="utf-8")
        mutable = MutableFile(file, source)
        codes = [mutable.code_of(mutant) for mutant in mutable.mutants[::7]]
        assert all(code != source for code in codes)
        assert sum(code is None for code in codes) <= len(codes) // 20


def test_the_lines_of_a_mutant_are_those_of_its_statement() -> None:
    found = mutants_of("def f(a):\n    if (\n        a > 1\n    ):\n        return g(\n            a, 2\n        )\n")
    assert found["> 1", ">= 1"].lines == (3, 3)
    assert found["2", "3"].lines == (5, 7)


def test_an_edit_elsewhere_changes_neither_the_order_of_the_sample_nor_a_mutants_name(checkout: Path) -> None:
    before = [mutant.key for mutant in Sample(ROOM, checkout, 0).mutants]
    file = checkout / PACKAGE / "sums/sums.py"
    file.write_text(SOURCE + "\n\ndef more() -> int:\n    return 7\n", encoding="utf-8")
    after = [mutant.key for mutant in Sample(ROOM, checkout, 0).mutants]
    assert [key for key in after if key in set(before)] == before
    assert [mutant.key for mutant in Sample(ROOM, checkout, 1).mutants] != after


def test_what_a_shared_fixture_runs_counts_for_all_tests_that_may_use_it() -> None:
    reach = Reach(
        {"a.py::one": 2.0, "a.py::two": 1.0, "b.py::three": 3.0},
        {"f.py": {"1": ["a.py::*"], "2": ["*"], "3": ["b.py::three"], "4": []}},
    )

    def tests_of(line: int) -> list[str]:
        return reach.tests_of(Mutant("f.py", "f", "number", "1", "2", 0, line, (line, line)))

    assert tests_of(1) == ["a.py::two", "a.py::one"]
    assert tests_of(2) == ["a.py::two", "a.py::one", "b.py::three"]
    assert tests_of(3) == ["b.py::three"]
    assert tests_of(4) == []


@pytest.mark.slow
def test_a_constant_of_a_module_is_seen_though_it_is_made_before_the_first_test(checkout: Path, tmp_path: Path) -> None:
    file = checkout / PACKAGE / "sums/sums.py"
    file.write_text(SOURCE.replace("def total", "SMALLEST = 1\n\n\ndef total"), encoding="utf-8")
    tests = checkout / "tests/sums/test_sums.py"
    named = "from interconnected_ai.sums.sums import SMALLEST\n\n\ndef test_the_smallest():\n    assert SMALLEST == 1\n"
    tests.write_text(f"{TESTS}\n\n{named}", encoding="utf-8")
    found, _ = tried(checkout, tmp_path / "mutants.jsonl")
    of_the_constant = [one for one in found.records if one.mutant.function == ""]
    assert of_the_constant
    assert {(one.outcome, one.num_tests) for one in of_the_constant} == {("killed", 3)}


def test_the_fastest_tests_of_a_line_are_taken_as_far_as_a_minute_holds_and_one_at_least() -> None:
    reach = Reach({"a::1": 50.0, "a::2": 5.0, "a::3": 5.1, "b::4": 900.0}, {"f.py": {"1": ["*"], "2": ["b::4"]}})

    def tests_of(line: int) -> list[str]:
        return reach.tests_of(Mutant("f.py", "f", "number", "1", "2", 0, line, (line, line)))

    assert tests_of(1) == ["a::2", "a::3"]
    assert tests_of(2) == ["b::4"]


@pytest.mark.slow
def test_a_campaign_counts_what_the_tests_notice_and_goes_on_where_it_was_cut(checkout: Path, tmp_path: Path) -> None:
    output = tmp_path / "mutants.jsonl"
    found, said = tried(checkout, output)
    outcomes = {(r.mutant.before, r.mutant.after): r.outcome for r in found.records}
    assert outcomes["start += number", "start -= number"] == "killed"
    assert outcomes["start += number", "start = number"] == "killed"
    assert outcomes["floor(number)", "floor(None)"] == "killed"
    assert outcomes['raise ValueError("no numbers to add" + "!")', "pass"] == "unseen"
    assert outcomes["1 + 1", "1 - 1"] == "unseen"
    assert any("+    return 1 - 1" in words for words in said)
    assert len(found.records) <= found.num_mutants
    assert (checkout / PACKAGE / "sums/sums.py").read_text(encoding="utf-8") == SOURCE

    with output.open("a", encoding="utf-8") as lines:
        lines.write('{"room": "su')  # cut while it wrote
    again, said = tried(checkout, output)
    assert again.records == found.records
    assert not said, "nothing is tried twice"

    more = (
        TESTS
        + "\n\ndef test_a_constant():\n    from interconnected_ai.sums.sums import unseen\n\n    assert unseen() == 2\n"
    )
    (checkout / "tests/sums/test_sums.py").write_text(more, encoding="utf-8")
    better, _ = tried(checkout, output)
    killed = {r.mutant.key for r in better.records if r.noticed}
    assert {r.mutant.key for r in found.records if r.noticed} < killed
    assert next(r for r in better.records if r.mutant.after == "1 - 1").outcome == "killed"


@pytest.mark.slow
def test_tests_that_fail_without_a_fault_stop_the_campaign(checkout: Path, tmp_path: Path) -> None:
    (checkout / "tests/sums/test_sums.py").write_text("def test_false():\n    assert False\n", encoding="utf-8")
    with pytest.raises(NurseryError, match=r"without any fault .*test_false"):
        tried(checkout, tmp_path / "mutants.jsonl")


def test_no_time_means_no_process(checkout: Path, tmp_path: Path) -> None:
    found = try_room(ROOM, checkout, Records(tmp_path / "m.jsonl"), Budget(5, time.monotonic() - 1))
    assert (found.records, found.num_mutants > 5) == ((), True)


def test_the_copy_has_no_compiled_files_and_is_gone_afterwards(checkout: Path) -> None:
    compiled = checkout / PACKAGE / "__pycache__"
    compiled.mkdir()
    (compiled / "a.pyc").write_bytes(b"")
    with copy_of(checkout) as copy:
        assert (copy / PACKAGE / "sums/sums.py").is_file()
        assert not list(copy.rglob("__pycache__"))
    assert not copy.exists()


def record(outcome: str, after: str) -> Record:
    mutant = Mutant("a.py", "f", "number", "1", after, 0, 3, (3, 3))
    return Record("nn", mutant, outcome, "", 0 if outcome == "unseen" else 2, 0.1, "-1\n+" + after, "source", "tests")


def test_equivalent_mutants_are_told_apart_and_do_not_count() -> None:
    records = (record("killed", "2"), record("timeout", "3"), record("survived", "4"), record("unseen", "5"))
    equivalents = [Equivalent("a.py", "f", "1", "4", "four is one here")]
    content = figures([Found(ROOMS[0], 90, records, 1.0)], equivalents)
    room = content["rooms"]["nn"]
    assert room["share_killed"] == pytest.approx(2 / 3)
    assert (room["num_timeouts"], room["num_equivalent"], room["num_survived"]) == (1, 1, 1)
    machine = {"date": "2026-01-02", "processor": "p", "cores": 2, "python": "3.11"}
    page = markdown({"machine": machine, **content}, "make mutants")
    assert "four is one here" in page
    assert "no test runs it" in page
    assert json.loads(json.dumps(content))["rooms"]["nn"]["survivors"][0]["after"] == "5"


def test_what_was_noticed_holds_while_the_source_stands_the_rest_while_the_tests_do() -> None:
    assert record("killed", "2").holds("source", "other tests")
    assert not record("killed", "2").holds("other source", "tests")
    assert record("survived", "2").holds("source", "tests")
    assert not record("survived", "2").holds("source", "other tests")


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(85, 100) == pytest.approx((0.7672, 0.9069), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(10, 10)[1] == pytest.approx(1.0)


def test_every_room_has_sources_and_tests_and_every_equivalent_mutant_still_exists() -> None:
    for room in ROOMS:
        assert room.source_files(ROOT), room
        assert room.test_paths(ROOT), room
    entries = read_equivalents()
    found = {path: MutableFile(Path(path), (ROOT / path).read_text(encoding="utf-8")).mutants
             for path in {entry.path for entry in entries}}  # fmt: skip
    stale = [entry for entry in entries if not any(entry.is_of(mutant) for mutant in found[entry.path])]
    assert not stale, "equivalent.toml tells of mutants that no longer exist"
