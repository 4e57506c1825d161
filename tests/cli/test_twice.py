"""Every verb twice with the same words: the second run refuses and says how to go on, or comes to the same and loses nothing.

The tree of commands is walked: a new verb needs a right call in `artefacts.calls`.
"""

import json
import re
from pathlib import Path

import pytest
from artefacts import calls, snapshot
from test_wrong_input import COMMANDS, DRIVEN, Call, called, left_behind, right_call, shelf, world

from interconnected_ai.cli.outputs import OVERWRITE, OutputPath

__all__ = ["shelf", "world"]  # fixtures

# What a refusal names: the option that goes on, or that what was asked for is so already.
WAY_ON = re.compile(r"--overwrite|--resume|exists already|known, nearest first|no message")


def shape(done: Call) -> object:
    """The keys of what the command printed, at every depth."""

    def of(found: object) -> object:
        if isinstance(found, dict):
            return {key: of(value) for key, value in found.items()}
        return [of(found[0])] if isinstance(found, list) and found and isinstance(found[0], dict) else None

    return of(json.loads(done.out))


def must_refuse(verb: str, given: list[str]) -> bool:
    """Whether the call names an output that only --overwrite may replace."""
    return any(
        isinstance(parameter.type, OutputPath)
        and not parameter.type.may_stand
        and (any(option in given for option in parameter.opts) or parameter.required)
        for parameter in COMMANDS[verb].params
    )


@pytest.mark.parametrize("verb", DRIVEN)
def test_a_second_run_refuses_or_comes_to_the_same(verb: str, world: Path) -> None:
    given = right_call(verb, world)
    arguments = [*verb.split(), "--json", *given]
    first = called(arguments)
    assert (first.fault(), first.code in (0, 1)) == (None, True), first.err
    written, changed = snapshot(Path.cwd()), snapshot(world)
    again = called(arguments)
    assert again.fault() is None
    assert [*left_behind(Path.cwd()), *left_behind(world)] == []
    if again.code == 2:
        assert (snapshot(Path.cwd()), snapshot(world)) == (written, changed)
        assert WAY_ON.search(again.err), again.err
    else:
        assert not must_refuse(verb, given), "an output was replaced unasked"
        assert again.code == first.code
        assert shape(again) == shape(first)
        assert set(written) <= set(snapshot(Path.cwd()))
        assert set(changed) <= set(snapshot(world))


def writing_call(verb: str, world: Path) -> list[str]:
    """Arguments with which the verb writes a file: of some what they find goes to the screen unless they are told where to."""
    told = {
        "chat": [*calls(world)["chat"], "--save", "talk.jsonl"],
        "doctor": [str(world / "config.yaml"), "--fix", "--output", "fixed.yaml"],
        "plan fit": [*calls(world)["plan fit"], "--write", "planned.yaml"],
        "plan system": [*calls(world)["plan system"], "--write", "planned.yaml"],
        "predict": [str(world / "run"), "--file", str(world / "topics.jsonl"), "--out", "answers.csv"],
        "surgery usage": [*calls(world)["surgery usage"], "--plot", "use.png"],
    }
    return told.get(verb, calls(world)[verb])


def files(folder: Path) -> set[str]:
    """The files' names, without the moment and process that TensorBoard writes into them."""
    return {re.sub(r"tfevents\..*", "tfevents", name) for name in snapshot(folder)}


@pytest.mark.parametrize("verb", [verb for verb in DRIVEN if any(OVERWRITE in p.opts for p in COMMANDS[verb].params)])
def test_a_second_run_with_overwrite_takes_the_place_of_the_first(verb: str, world: Path) -> None:
    arguments = [*verb.split(), "--json", *writing_call(verb, world)]
    before = [snapshot(Path.cwd()), snapshot(world)]
    assert called(arguments).code in (0, 1)
    assert [snapshot(Path.cwd()), snapshot(world)] != before
    written = files(Path.cwd()) | files(world)
    assert called(arguments).code in (0, 2)
    again = called([*arguments, OVERWRITE])
    assert (again.fault(), again.code in (0, 1)) == (None, True), again.err
    assert files(Path.cwd()) | files(world) == written
    assert [*left_behind(Path.cwd()), *left_behind(world)] == []
