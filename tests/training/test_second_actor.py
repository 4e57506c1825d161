"""A training's folder with others in the room: a second training, readers of its log and its checkpoints, a shared cache."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from conftest import make_encoder, make_rows, make_system
from interconnected_ai.config import RunConfig, TrainingConfig
from interconnected_ai.data import Corpus, Splits, Texts
from interconnected_ai.errors import BusyError, StorageError
from interconnected_ai.text import Tokenizer
from interconnected_ai.training import FeatureCache, fit, read_curves, train_run
from interconnected_ai.training.checkpoints import Checkpoint, CheckpointFolder
from interconnected_ai.training.monitors import JsonLines
from interconnected_ai.training.run_folder import drop_folder

OWNER = """
import sys
from pathlib import Path
from interconnected_ai.training.run_folder import owned
with owned(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_training(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder as a training does."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "mine\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def run_config(output: Path) -> RunConfig:
    return RunConfig.from_mapping(
        {
            "output": str(output),
            "system": {"num_experts": 2, "max_seq_len": 32},
            "data": {"branches": [{"name": "a", "path": "unread.jsonl"}]},
            "training": {
                "epochs": 1, "batch_size": 16, "device": "cpu", "precision": "float32", "monitors": [],
                "head_start_epochs": 0,
            },
        }
    )  # fmt: skip


def splits() -> Splits:
    return Splits(make_rows("a", 32), make_rows("a", 8, seed=1), make_rows("a", 8, seed=2))


def left_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# The owner of a run


@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}])
def test_a_training_beside_a_running_one_is_refused_with_its_pid_and_changes_nothing(
    tmp_path: Path, how: dict[str, bool]
) -> None:
    config, read, encoder = run_config(tmp_path / "run"), splits(), make_encoder()
    train_run(config, splits=read, encoder=encoder)
    before = left_in(tmp_path / "run")
    with another_training(tmp_path / "run") as owner:
        with pytest.raises(BusyError, match=rf"process {owner.pid}\b.*training") as refused:
            train_run(config, splits=read, encoder=encoder, **how)
        assert refused.value.pid == owner.pid
        assert left_in(tmp_path / "run") == before
        owner.kill()
        owner.wait()
        train_run(config, splits=read, encoder=encoder, **how)  # a dead owner's folder is free


def test_a_first_training_owns_its_folder_before_it_exists(tmp_path: Path) -> None:
    with another_training(tmp_path / "run"), pytest.raises(BusyError, match="training"):
        train_run(run_config(tmp_path / "run"), splits=splits(), encoder=make_encoder())
    assert not (tmp_path / "run").exists()


def test_fit_owns_its_folder_too_and_lets_go_of_it(tmp_path: Path) -> None:
    config = TrainingConfig(
        epochs=1, batch_size=16, device="cpu", precision="float32", monitors=(), head_start_epochs=0
    )
    rows = make_rows("a", 32)
    with another_training(tmp_path / "fit"), pytest.raises(BusyError):
        fit(make_system("a"), rows, rows, config, tmp_path / "fit")
    assert not (tmp_path / "fit" / "ended.json").exists()  # the running training did not fail
    fit(make_system("a"), rows, rows, config, tmp_path / "fit")
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]


def test_an_overwritten_run_is_gone_at_once_for_whoever_reads_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "run.yaml").write_text("whole")
    drop_folder(run)
    assert list(tmp_path.iterdir()) == []
    drop_folder(run)  # nothing there: nothing to do
    aside = tmp_path / ".run.dropped"  # by a process that died meanwhile
    aside.mkdir()
    (aside / "old").write_text("")
    run.mkdir()
    drop_folder(run)
    assert list(tmp_path.iterdir()) == []


# The log


def log(path: Path, steps: range) -> None:
    path.write_text("".join(json.dumps({"step": step, "loss": 1.0}) + "\n" for step in steps))


def test_resuming_replaces_the_log_and_never_cuts_what_a_reader_has_open(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log(path, range(0, 50, 10))
    before = path.read_text()
    with path.open() as reader:
        JsonLines(path, resume_at=20).close()
        assert reader.read() == before
    assert read_curves(path)["loss"].steps == (0, 10, 20)


def test_a_crash_while_a_training_resumes_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    log(path, range(0, 50, 10))
    before = path.read_text()

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError):
        JsonLines(path, resume_at=20)
    assert path.read_text() == before


def test_a_resumed_log_keeps_its_lines_to_the_letter_and_drops_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0,  "b": NaN}\n{"step": 10, "a": 1}\n{"step": 20, "a": 2}\n{"step": 1')
    monitor = JsonLines(path, resume_at=10)
    monitor.log(20, {"a": 3.0})
    monitor.close()
    assert path.read_text() == '{"step": 0,  "b": NaN}\n{"step": 10, "a": 1}\n{"step": 20, "a": 3.0}\n'


def test_a_damaged_log_is_named_when_a_training_resumes(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\nnonsense\n')
    with pytest.raises(StorageError, match="line 2 is not an object of figures"):
        JsonLines(tmp_path / "metrics.jsonl", resume_at=10)


def test_a_training_that_starts_afresh_starts_an_empty_log(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log(path, range(0, 50, 10))
    JsonLines(path).close()
    assert path.read_text() == ""


# Checkpoints


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint({"weight": torch.full((64,), float(step))}, {}, {"step": step})


def test_a_reader_beside_a_training_sees_whole_checkpoints(tmp_path: Path) -> None:
    writer, reader = CheckpointFolder(tmp_path / "c", keep=1), CheckpointFolder(tmp_path / "c")
    writer.save(checkpoint(1))
    writer.save_best(checkpoint(1))
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            for found in (reader.latest(), reader.best()):
                assert found is not None
                assert torch.equal(found.model["weight"], torch.full((64,), float(found.step)))

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for step in range(2, 40):
                writer.save(checkpoint(step))
                writer.save_best(checkpoint(step))
        finally:
            ended.set()
        for each in readers:
            each.result()
    assert writer.steps() == [39]
    assert {name.name for name in (tmp_path / "c").iterdir()} == {"step-00000039", "best"}


def test_a_checkpoint_that_is_dropped_while_it_is_read_gives_way_to_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(tmp_path / "c", keep=1)
    folder.save(checkpoint(1))
    known = folder.steps

    def and_then_the_training_goes_on() -> list[int]:
        steps = known()
        if steps == [1]:
            folder.save(checkpoint(2))
        return steps

    monkeypatch.setattr(folder, "steps", and_then_the_training_goes_on)
    latest = folder.latest()
    assert latest is not None
    assert latest.step == 2


def test_what_is_no_checkpoint_is_none(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "c")
    assert (folder.latest(), folder.best(), folder.steps()) == (None, None, [])
    (tmp_path / "c" / "step-00000007").mkdir(parents=True)
    (tmp_path / "c" / "best").mkdir()
    assert (folder.latest(), folder.best(), folder.steps()) == (None, None, [])


# The feature cache


def test_trainings_that_share_a_cache_read_their_own_vectors(tmp_path: Path) -> None:
    system = make_system("a")
    mine, others = make_rows("a", 20).texts, make_rows("a", 20, seed=1, marker="storm").texts
    first, second = FeatureCache(tmp_path, system), FeatureCache(tmp_path, system)
    first.build(mine)
    second.build(others)
    later = FeatureCache(tmp_path, system)
    for cache, texts in (
        (first, mine),
        (second, others),
        (later, mine),
        (later, others),
        (later, mine[:3] + others[:3]),
    ):
        expected, mask = FeatureCache(tmp_path / "alone", system), None
        expected.build(sorted({*texts}))
        tokens, mask = cache.read(texts)
        alone, alone_mask = expected.read(texts)
        assert torch.equal(mask, alone_mask)
        torch.testing.assert_close(tokens, alone)


BUILDER = """
import sys
from pathlib import Path
import torch
from conftest import make_rows, make_system
from interconnected_ai.training import FeatureCache
cache = FeatureCache(sys.argv[1], make_system("a"))
print("open", flush=True)
sys.stdin.readline()
texts = make_rows("a", 60, seed=int(sys.argv[2])).texts
cache.build(texts)
sys.stdin.readline()
tokens, _ = FeatureCache(sys.argv[1], make_system("a")).read(texts)
print(float(tokens.double().sum()), flush=True)
"""


def test_processes_that_share_a_cache_read_their_own_vectors(tmp_path: Path) -> None:
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", BUILDER, str(tmp_path / "shared"), str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )
        for seed in (1, 2)
    ]  # fmt: skip
    found = []
    for process in processes:  # both have opened the cache before either builds
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("build\nread\n")
        process.stdin.flush()
    for process in processes:
        said, _ = process.communicate()
        assert process.returncode == 0
        found.append(float(said))
    system = make_system("a")
    for seed, total in zip((1, 2), found, strict=True):
        alone, texts = FeatureCache(tmp_path / f"alone-{seed}", system), make_rows("a", 60, seed=seed).texts
        alone.build(texts)
        assert total == pytest.approx(float(alone.read(texts)[0].double().sum()), abs=1e-3)


def test_what_a_training_beside_us_has_encoded_is_not_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, texts = make_system("a"), make_rows("a", 20).texts
    first, second = FeatureCache(tmp_path, system), FeatureCache(tmp_path, system)
    first.build(texts)
    monkeypatch.setattr(FeatureCache, "_encode", lambda *_: pytest.fail("encoded again"))
    second.build(texts)
    assert torch.equal(second.read(texts)[0], first.read(texts)[0])


# The tokenised text


def test_trainings_that_prepare_one_corpus_at_once_get_it_whole(tmp_path: Path) -> None:
    documents = [f"document {number} of some words" for number in range(200)]
    texts, tokenizer = Texts.of_documents(documents), Tokenizer.train(documents, 300)
    barrier = threading.Barrier(4)

    def prepare(_: int) -> Corpus:
        barrier.wait()
        return Corpus.prepare(texts, tokenizer, tmp_path)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(prepare, range(4)))
    assert len({corpus.train.tokens.tobytes() for corpus in found}) == 1
    assert len(list(tmp_path.iterdir())) == 1
