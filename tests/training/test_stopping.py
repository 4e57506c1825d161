"""Ctrl-C and SIGTERM in a training: a checkpoint, the command that goes on, the same bits in the end; and what is finished."""

import json
import os
import shlex
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import make_rows
from interconnected_ai.cli import main
from interconnected_ai.data import write_rows
from interconnected_ai.errors import BusyError, ConfigError, DataError
from interconnected_ai.storage import sha256_of
from interconnected_ai.training import TrainingStoppedError
from interconnected_ai.training.interruption import going_on_later, heeding_signals
from interconnected_ai.training.run_folder import owned, refuse_busy_folder
from interconnected_ai.training.trainer import Trainer

STOPS_AFTER = 3  # steps


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, the one JSON object, stderr) of `iai …`."""
    capsys.readouterr()
    try:
        main([*arguments, "--json"])
        code = 0
    except SystemExit as leave:
        code = int(leave.code or 0)
    shown = capsys.readouterr()
    assert shown.out.count("\n") == 1, shown.out
    return code, json.loads(shown.out), shown.err


@pytest.fixture
def here(tmp_path: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a space in its name, with a config and a text to train an expert on."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_rows(Path("rows.jsonl"), *make_rows("a", 60).of("a"))
    config = {
        "output": "run",
        "system": {"base_model_name": str(encoder_folder), "num_experts": 2, "max_seq_len": 32, "d_ff": 16},
        "data": {"branches": [{"name": "a", "path": "rows.jsonl"}]},
        "training": {
            "epochs": 3, "batch_size": 8, "patience": None, "precision": "float32", "device": "cpu", "monitors": [],
            "baseline": False,
        },
    }  # fmt: skip
    Path("my config.yaml").write_text(yaml.safe_dump(config))
    Path("text.txt").write_text(
        "\n\n".join(f"the sun is warm and bank {n} is cold, said number {n * n}" for n in range(60))
    )
    return folder


TRAIN = ("train", "my config.yaml")
EXPERT = (
    "expert", "train", "--text", "text.txt", "--unit", "paragraph", "--out", "expert", "--d-model", "16", "--layers", "1",
    "--heads", "2", "--vocab-size", "300", "--seq-len", "16", "--batch-size", "2", "--steps", "6", "--seed", "0",
    "--precision", "float32", "--device", "cpu",
)  # fmt: skip
KINDS = pytest.mark.parametrize(
    ("command", "folder", "model"), [(TRAIN, "run", "run/model"), (EXPERT, "expert-training", "expert")]
)


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Signals that come in the middle of a step, one a step from step `STOPS_AFTER` on."""
    waiting: list[int] = []
    step = Trainer._step

    def and_a_signal(trainer: Trainer, *arguments: Any) -> float:
        loss = step(trainer, *arguments)
        if waiting and trainer.step == STOPS_AFTER - 1:
            signal.raise_signal(waiting.pop(0))
        return loss

    monkeypatch.setattr(Trainer, "_step", and_a_signal)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield waiting
    assert {number: signal.getsignal(number) for number in before} == before


@KINDS
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_training_keeps_its_last_step_and_the_command_it_names_ends_in_the_same_bits(
    here: Path, capsys: pytest.CaptureFixture[str], signalled: list[int],
    command: tuple[str, ...], folder: str, model: str, number: int, code: int,
) -> None:  # fmt: skip
    assert run(capsys, *command)[0] == 0
    whole = sha256_of(Path(model) / "model.safetensors")
    signalled.append(number)
    ended, told, _ = run(capsys, *command, "--overwrite")
    assert ended == code
    assert told["error"]["kind"] == "Interrupted"
    goes_on = f"iai {shlex.join(command)} --json --resume"
    assert told["error"]["message"] == f"stopped with a checkpoint of step {STOPS_AFTER}. Go on with: {goes_on}"
    assert (Path(folder) / "checkpoints" / f"step-{STOPS_AFTER:08d}" / "manifest.json").is_file()
    assert not (Path(folder) / "results.json").exists()
    words = [word for word in shlex.split(goes_on)[1:] if word != "--json"]
    code, done, _ = run(capsys, *words)
    assert (code, done["was_finished"]) == (0, False)
    assert sha256_of(Path(model) / "model.safetensors") == whole


@KINDS
def test_a_training_that_ends_before_its_first_checkpoint_says_so(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...], folder: str, model: str,
) -> None:  # fmt: skip
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_prepare", interrupted)
        code, told, _ = run(capsys, *command)
    assert code == 130
    assert told["error"]["message"].startswith("stopped before its first checkpoint. Go on with: iai ")
    assert run(capsys, *command, "--resume")[0] == 0


@KINDS
def test_a_finished_training_that_is_resumed_says_so_and_writes_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], folder: str, model: str
) -> None:
    code, first, _ = run(capsys, *command)
    assert code == 0
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path().rglob("*") if path.is_file()}
    code, again, error = run(capsys, *command, "--resume")
    assert code == 0, error
    assert "was finished already; nothing was trained or written" in error
    assert (first.pop("was_finished"), again.pop("was_finished")) == (False, True)
    first.pop("warnings", None)  # of the checklist, before a training
    assert again == first
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in Path().rglob("*") if p.is_file()} == before


def test_an_expert_that_an_older_version_finished_is_finished_too(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, first, _ = run(capsys, *EXPERT)
    results = Path("expert-training/results.json")
    content = json.loads(results.read_text())
    del content["fit"]["validation"]["nats"]  # which they did not write
    results.write_text(json.dumps(content))
    _, again, _ = run(capsys, *EXPERT, "--resume")
    assert again["fit"]["validation"]["perplexity"] == pytest.approx(first["fit"]["validation"]["perplexity"])
    shutil.rmtree("expert")
    code, anew, _ = run(capsys, *EXPERT, "--resume")  # without its model it is none
    assert (code, anew["was_finished"]) == (0, False)


def test_a_finished_run_is_not_taken_for_one_of_other_rows_or_another_config(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, *TRAIN)[0] == 0
    config = Path("my config.yaml")
    settings = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**settings, "training": {**settings["training"], "epochs": 4}}))
    assert run(capsys, *TRAIN, "--resume")[1]["error"]["kind"] == ConfigError.__name__
    config.write_text(yaml.safe_dump(settings))
    assert run(capsys, *TRAIN, "--resume", "--new-rows")[1]["was_finished"] is True  # no row is new
    with Path("rows.jsonl").open("a") as rows:
        rows.writelines(
            json.dumps({"text": f"a new row of the sun {n}", "label": f"a_{n % 2}"}) + "\n" for n in range(8)
        )
    assert run(capsys, *TRAIN, "--resume")[1]["error"]["kind"] == DataError.__name__


def test_a_second_signal_ends_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with heeding_signals() as request:
        signal.raise_signal(signal.SIGINT)
        assert request.number == signal.SIGINT
        with pytest.raises(TrainingStoppedError) as stopped:
            signal.raise_signal(signal.SIGTERM)
    assert stopped.value.signal is signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) is before
    assert capfd.readouterr().err.count("Ctrl-C again ends at once") == 1
    with heeding_signals(speaks=False, takes_repeats=True) as request:  # as a launcher repeats them
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_in_a_training_leaves_what_was_kept(
    here: Path, capsys: pytest.CaptureFixture[str], signalled: list[int], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def and_again(trainer: Trainer) -> None:
        os.kill(os.getpid(), number)

    signalled.append(number)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_stopped", and_again)
        code, told, _ = run(capsys, *TRAIN)
    assert code == 128 + number
    assert told["error"]["message"].startswith("stopped before its first checkpoint")
    assert [path for path in Path("run").rglob("*") if ".writing" in path.name] == []
    assert run(capsys, *TRAIN, "--resume")[0] == 0


def test_a_signal_that_is_ignored_stays_so_and_other_threads_are_left_alone() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heeding_signals() as request:
            signal.raise_signal(signal.SIGINT)
            assert request.number is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    heard: list[object] = []

    def in_a_thread() -> None:
        with heeding_signals() as request:
            heard.append(request.number)
            assert signal.getsignal(signal.SIGINT) is before

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert heard == [None]


def test_an_interrupt_outside_the_loop_names_the_newest_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingStoppedError) as stopped, going_on_later(tmp_path):
        raise KeyboardInterrupt
    assert (stopped.value.step, stopped.value.signal) == (None, signal.SIGINT)
    with pytest.raises(ValueError, match="as it came"), going_on_later(tmp_path):
        raise ValueError("as it came")


def test_whether_a_folder_is_busy_is_asked_without_making_a_file(tmp_path: Path) -> None:
    refuse_busy_folder(tmp_path / "deep" / "run")
    assert list(tmp_path.iterdir()) == []
    refused: list[Exception] = []

    def ask() -> None:
        try:
            refuse_busy_folder(tmp_path / "run")
        except BusyError as error:
            refused.append(error)

    with owned(tmp_path / "run"):
        refuse_busy_folder(tmp_path / "run")  # one's own
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert [type(error) for error in refused] == [BusyError]
    assert list(tmp_path.iterdir()) == []
