"""What commands write never takes the place of what they read, and of what stands there only with --overwrite.

The tree of commands is walked: a new verb that writes needs a call here, and a new path must be known as read or written.
"""

import os
import shutil
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path

import click
import pytest
from artefacts import calls, make_artefacts, snapshot
from command_line import COMMANDS, error_of, run_json, run_main

from interconnected_ai.cli.outputs import OutputPath
from interconnected_ai.storage import files, folders

pytest.importorskip("matplotlib", reason='needs the extra "training"')
pytest.importorskip("onnx", reason='needs the extra "onnx"')
pytest.importorskip("Stemmer", reason='needs the extra "memory"')

WRITING = {"--output", "--out", "-o", "--write", "--plot", "--png", "--save", "--export"}
# Paths that are read, or added to (--keys, --state), by the name of the argument.
READ = {
    "--adapters", "--config", "--curve", "--data", "--devices", "--dir", "--experts", "--file", "--json-schema", "--keys",
    "--model", "--others", "--outside", "--router", "--rules", "--set", "--state", "--text", "--texts", "--tokenizer",
    "--validation", "config", "council", "data", "expert", "file", "folder", "model", "recipe", "run", "run_a", "run_b",
    "source", "table", "target",
}  # fmt: skip
# What takes minutes is refused before it begins; what stands there is a file that says so.
LONG = {
    "quickstart": "run.yaml",
    "expert quickstart": "numpy/manifest.json",
    "surgery quickstart": "quickstart.json",
    "council quickstart": "council.yaml",
    "bench gpu": "gpu.json",
}
# A folder that is worked in, with checkpoints to go on from: --overwrite drops what stands there before the work begins.
WORKED_IN = {"train --output"}


@dataclass(frozen=True)
class Written:
    """An output of a command. name: of the parameter; suffix: what the file's name must end in."""

    verb: str
    parameter: click.Parameter

    @property
    def name(self) -> str:
        return self.parameter.opts[0]

    @property
    def suffix(self) -> str:
        kind = self.parameter.type
        assert isinstance(kind, OutputPath)
        defaults = {"report --output": ".html", "report --png": ".png", "doctor --output": ".yaml"}
        return kind.suffixes[0] if kind.suffixes else defaults.get(f"{self.verb} {self.name}", "")

    def given(self, path: Path | str) -> list[str]:
        return [self.name, str(path)] if isinstance(self.parameter, click.Option) else [str(path)]

    def __str__(self) -> str:
        return f"{self.verb} {self.name}"


OUTPUTS = [
    Written(verb, parameter)
    for verb, command in COMMANDS.items()
    for parameter in command.params
    if isinstance(parameter.type, OutputPath)
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs")
    make_artefacts(folder / "world")
    (folder / "world" / "topics.csv").write_text("text\nbank card\nrain\n", encoding="utf-8")
    return folder / "world"


@pytest.fixture
def world(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The artefacts, and a current folder beside them."""
    shutil.copytree(made, tmp_path / "world")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "world"


def call(written: Written, world: Path) -> list[str]:
    """The command with all it needs, its outputs left out."""
    texts = str(world / "texts")
    beside = {
        "doctor": [str(world / "config.yaml"), "--fix"],
        "predict": [str(world / "run"), "--file", str(world / "topics.csv")],
        "plan system": [str(world / "run"), "--device", "L4"],
        "plan fit": [str(world / "run"), "--device", "L4", "--memory-gb", "2"],
        "quickstart": ["--data", texts],
        "expert quickstart": [],
        "surgery quickstart": [],
        "council quickstart": ["--base", str(world / "base"), "--adapters", str(world / "experts")],
        "bench gpu": ["--device", "cpu", "--part", "adapters"],
        "surgery role": [*calls(world)["surgery role"], "--others", str(world / "corpus.txt")],
        "surgery replace": [*calls(world)["surgery replace"], "--from", str(world / "mixture")],
    }
    known = {**calls(world), **beside}
    assert written.verb in known, f"iai {written.verb} writes: give it a call here"
    return _without_outputs(known[written.verb])


def _without_outputs(arguments: list[str]) -> list[str]:
    return [
        each for i, each in enumerate(arguments) if each not in WRITING and (i == 0 or arguments[i - 1] not in WRITING)
    ]


def test_every_path_of_every_command_is_known_as_read_or_written() -> None:
    for verb, command in COMMANDS.items():
        for parameter in command.params:
            names = set(parameter.opts)
            if names & WRITING:
                assert isinstance(parameter.type, OutputPath), f"iai {verb} {parameter.opts[0]}: type OutputPath"
            elif isinstance(parameter.type, click.Path) and not isinstance(parameter.type, OutputPath):
                assert names & READ, f"iai {verb} {parameter.opts[0]}: is it read, or written (OutputPath)?"


def test_every_command_that_writes_can_be_asked_to_replace() -> None:
    for written in OUTPUTS:
        flags = {flag for parameter in COMMANDS[written.verb].params for flag in parameter.opts}
        assert "--overwrite" in flags, f"iai {written}: what stands there needs --overwrite"


@pytest.mark.parametrize("written", OUTPUTS, ids=str)
def test_an_output_is_none_of_the_inputs(written: Written, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = call(written, world)
    inputs = sorted({Path(each) for each in arguments if Path(each).is_absolute() and Path(each).exists()})
    before = snapshot(world)
    for number, place in enumerate(inputs):
        link = Path(f"link{number}{written.suffix}")
        link.symlink_to(place)
        around = place.parent / ".." / place.parent.name / place.name
        ways = [place, around, Path("..") / "world" / place.relative_to(world), link]
        if place.is_dir() and not written.suffix:
            ways += [place / "new", link / "deep" / "new"]
        for way in ways:
            if written.suffix and way.suffix != written.suffix:
                continue
            said = error_of(capsys, *written.verb.split(), *arguments, *written.given(way), "--overwrite")
            assert "which is read" in said, way
            assert str(way) in said
            assert snapshot(world) == before, way


@pytest.mark.parametrize("written", [each for each in OUTPUTS if each.verb not in LONG], ids=str)
def test_what_stands_there_is_replaced_only_when_that_is_asked_for(
    written: Written, world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, out = [*written.verb.split(), *call(written, world)], Path(f"out{written.suffix}")
    codes = (0, 1)  # `doctor` finds something
    assert run_main(*arguments, *written.given(out)) in codes
    assert out.exists(), capsys.readouterr()
    before = snapshot(Path())
    said = error_of(capsys, *arguments, *written.given(out))
    assert "--overwrite" in said
    assert str(out) in said
    assert snapshot(Path()) == before

    with monkeypatch.context() as full:
        for module in (files, folders):
            for name in ("sync_file", "sync_tree"):
                if hasattr(module, name):
                    full.setattr(module, name, _full)
        run_json(capsys, *arguments, *written.given(out), "--overwrite", code=2)
    if str(written) not in WORKED_IN:
        assert snapshot(out.resolve()) == _below(before, out), "half-way: what stood there stays"

    assert run_main(*arguments, *written.given(out), "--overwrite") in codes
    assert out.exists()


@pytest.mark.parametrize("written", [each for each in OUTPUTS if each.verb in LONG], ids=str)
def test_a_long_command_refuses_what_stands_there_at_once(
    written: Written, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Path("out") / LONG[written.verb]
    kept.parent.mkdir(parents=True)
    kept.write_text("{}", encoding="utf-8")
    arguments = [each for each in call(written, world) if not each.endswith("texts") and each != "--data"]
    said = error_of(capsys, *written.verb.split(), *arguments, *written.given("out"))
    assert "--overwrite" in said
    assert kept.read_text(encoding="utf-8") == "{}"
    assert [path for path in Path().rglob("*") if path.is_file()] == [kept]


def _full(*_: object) -> None:
    raise OSError(ENOSPC, os.strerror(ENOSPC))


def _below(found: dict[str, str], place: Path) -> dict[str, str]:
    return {
        str(Path(name).relative_to(place)): content
        for name, content in found.items()
        if Path(name).is_relative_to(place) and Path(name) != place
    }


def test_two_outputs_have_two_places(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = error_of(capsys, "plan", "system", "--device", "L4", "--write", "a.svg", "--plot", "./a.svg")
    assert "give each output a place of its own" in said
    assert not Path("a.svg").exists()


def test_an_output_in_a_folder_of_others_is_refused_before_any_work(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine", encoding="utf-8")
    asked = ["surgery", "top-k", str(world / "mixture"), "1", "--output", "mine", "--overwrite"]
    assert "not written by this package" in error_of(capsys, *asked)
    assert os.listdir("mine") == ["notes.txt"]


def test_the_page_of_a_run_is_written_anew_in_the_run_and_nowhere_else_over_it(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = world / "run"
    assert run_main("report", str(run)) == 0
    assert run_main("report", str(run)) == 0
    before = snapshot(run)
    for name in ("run.yaml", "results.json", "model"):
        assert "which is read" in error_of(capsys, "report", str(run), "--output", str(run / name), "--overwrite")
    assert snapshot(run) == before


def test_training_anew_spares_the_rows_that_lie_in_the_run(
    made: Path, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = world / "run"
    (run / "data").mkdir()
    shutil.copy(world / "topics.jsonl", run / "data" / "topics.jsonl")
    config = world / "inside.yaml"
    text = (world / "first.yaml").read_text(encoding="utf-8").replace(str(made), str(world))
    config.write_text(text.replace("topics.jsonl", "run/data/topics.jsonl"), encoding="utf-8")
    before = snapshot(run)
    assert "which is read" in error_of(capsys, "train", str(config), "--overwrite")
    config.write_text(text.replace("topics.jsonl", "typo.jsonl"), encoding="utf-8")
    assert "typo.jsonl" in error_of(capsys, "train", str(config), "--overwrite")
    assert snapshot(run) == before
