"""The doctor's diagnosis, on runs that truly have each illness and on healthy ones that must stay silent."""

import json
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_runs import HEALTHY, ILL, Case, two_branches

from conftest import make_encoder
from interconnected_ai.config import RunConfig
from interconnected_ai.data import Splits
from interconnected_ai.doctor import Diagnosis, Illness, checklist, diagnose, fixed_config, thresholds, write_fixed
from interconnected_ai.doctor.thresholds import calibration_noise
from interconnected_ai.errors import DataError, IntegrityError, StorageError, TrainingError
from interconnected_ai.training import train_run

Runs = Callable[[str], Path]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The folder of a named run, trained when it is first asked for."""
    root, trained = tmp_path_factory.mktemp("doctor"), dict[str, Path]()

    def folder_of(name: str) -> Path:
        if name not in trained:
            folder = Path(tempfile.mkdtemp(dir=root)) / "run"
            case = {**HEALTHY, **ILL}[name]
            case.run(case.config(folder))
            trained[name] = folder
        return trained[name]

    return folder_of


def names(diagnosis: Diagnosis) -> set[str]:
    return {illness.name for illness in diagnosis.illnesses}


def found(diagnosis: Diagnosis, name: str) -> Illness:
    return next(illness for illness in diagnosis.illnesses if illness.name == name)


def lines_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


# Healthy runs


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_is_silent(run: Runs, name: str) -> None:
    diagnosis = diagnose(run(name))
    assert diagnosis.illnesses == ()
    assert diagnosis.is_healthy
    assert diagnosis.state == "finished"
    assert diagnosis.unjudged == ()


def test_a_healthy_run_is_silent_while_it_learns_and_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interconnected_ai.training.trainer import Learner, Trainer

    seen: list[Diagnosis] = []
    evaluate = Trainer._evaluate

    def look_after(self: Trainer, learner: Learner) -> None:
        evaluate(self, learner)
        seen.append(diagnose(tmp_path / "run"))
        if len(seen) == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_evaluate", look_after)
    case = HEALTHY["two branches"]
    with pytest.raises(KeyboardInterrupt):
        case.run(case.config(tmp_path / "run"))
    assert len(seen) == 8
    assert [look.illnesses for look in seen] == [()] * 8
    assert any("trends" in item for item in seen[0].unjudged)
    last = diagnose(tmp_path / "run")
    assert last.state == "unfinished"
    assert last.is_healthy
    assert any("calibration" in item for item in last.unjudged)


# Each illness. related: what may come with it, because the one brings the other.

WEAK = "branch under 85 %"
IDLE = {"routing collapse", "dead expert", "experts under 20 % used"}
NOT_LEARNT = {WEAK, "calibration poor"}
SHOWN_BY_ANSWERS = {"below counted words", "class never answered", "labels look wrong"}  # whatever makes them poor


@pytest.mark.parametrize(
    ("name", "expected", "related"),
    [
        (
            "rates of ten",
            {"learning rate too high", "loss jumps", "trunk drift", WEAK},
            {*IDLE, *NOT_LEARNT, "balance loss high, loss not falling", "temperature at its bound"},
        ),
        ("a rate beyond numbers", {"learning rate too high"}, set()),
        ("a head that leaps", {"loss jumps"}, {"calibration poor"}),
        ("rates of nothing", {"learning rate too low", WEAK}, {"calibration poor"}),
        ("rates too low by ten", {"learning rate too low", WEAK}, {"calibration poor"}),
        (
            "a trunk that runs away",
            {"trunk drift", "learning rate too high"},
            {*IDLE, *NOT_LEARNT, "balance loss high, loss not falling", "loss jumps"},
        ),
        ("no balance, narrow encoder", {*IDLE, WEAK}, {"calibration poor"}),
        (
            "no balance, nothing to learn",
            {"balance loss high, loss not falling", "dead expert", "experts under 20 % used", WEAK},
            {"routing collapse", "calibration poor"},
        ),
        ("few rows, many epochs", {"overfitting", WEAK}, {"calibration poor"}),
        ("one branch in a hundred", {"branch starved in batches", WEAK}, {"overfitting", "calibration poor"}),
        ("labels half by lot", {WEAK}, {"calibration poor", "overfitting"}),
        ("validated on what was learnt", {"calibration poor", WEAK}, set()),
    ],
)
def test_an_illness_is_found_and_nothing_that_is_not_there(
    run: Runs, name: str, expected: set[str], related: set[str]
) -> None:
    diagnosis = diagnose(run(name))
    assert expected <= names(diagnosis)
    assert names(diagnosis) <= expected | related | SHOWN_BY_ANSWERS
    for illness in diagnosis.illnesses:
        assert any(character.isdigit() for character in illness.evidence)
        assert illness.remedy
    assert set(ILL) >= {name}


def test_every_illness_has_its_run() -> None:
    marks = test_an_illness_is_found_and_nothing_that_is_not_there.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == set(ILL)


def test_what_is_named_is_what_is_ill(run: Runs) -> None:
    assert found(diagnose(run("one branch in a hundred")), "branch starved in batches").evidence.startswith("b: 1.0 of")
    narrow = diagnose(run("no balance, narrow encoder"))
    figures = lines_of(run("no balance, narrow encoder"))
    late = [line for line in figures if "loss/task" in line][-2:]
    dead = [e for e in range(8) if all(line[f"routing/layer0/expert{e}"] == 0 for line in late)]
    assert f"layer 0: expert {', '.join(map(str, dead))} got no token" in found(narrow, "dead expert").evidence
    overfit = found(diagnose(run("few rows, many epochs")), "overfitting").evidence
    assert "100.0% right on rows learnt from" in overfit
    jumps = found(diagnose(run("a head that leaps")), "loss jumps")
    assert jumps.settings_to_change == {
        "training.lr_head": 0.01
    }  # to the level of the others, ten times the document's


def test_the_documents_five_problems_come_with_its_remedies_as_its_own(run: Runs) -> None:
    told = {}
    for name in ILL:
        told.update({i.name: i.document_remedy for i in diagnose(run(name)).illnesses if i.document_remedy})
    assert set(told) == {
        "balance loss high, loss not falling",
        "experts under 20 % used",
        "loss jumps",
        WEAK,
    }  # the fifth, out of memory, has its own test
    assert "NUM_EXPERTS" in told["experts under 20 % used"]
    assert "falls further" in told["experts under 20 % used"]
    assert "GRADIENT_CLIP" in told["loss jumps"]
    assert "the jumps grow" in told["loss jumps"]


def test_where_the_documents_remedy_makes_it_worse_ours_goes_the_other_way(run: Runs) -> None:
    idle = found(diagnose(run("no balance, narrow encoder")), "experts under 20 % used").settings_to_change
    assert idle["training.balance_loss_weight"] == 0.05
    assert "system.num_experts" not in idle
    jumps = found(diagnose(run("rates of ten")), "loss jumps").settings_to_change
    assert all(rate < 10 for rate in jumps.values())
    assert jumps.get("training.gradient_clip", 1.0) <= 1.0


# Memory


@contextmanager
def little_memory(spare_bytes: int) -> Iterator[None]:
    """Allow this process only so much more address space than it has now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + spare_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a limit of address space that holds")
def test_memory_that_ran_out_is_told_and_noted(run: Runs, tmp_path: Path) -> None:
    run("two branches")  # what a training imports is imported
    case = Case(
        system={"d_ff": 40_000, "num_experts": 2}, training={"batch_size": 64, "epochs": 1, "cache_features": False}
    )
    config = case.config(tmp_path / "run")
    with (
        pytest.raises(TrainingError, match=r"memory ran out at step 1 .*accumulation_steps"),
        little_memory(150_000_000),
    ):
        train_run(config, splits=Splits(case.train, case.validation, case.test), encoder=make_encoder())
    diagnosis = diagnose(tmp_path / "run")
    assert names(diagnosis) == {"out of memory"}
    illness = found(diagnosis, "out of memory")
    assert "can't allocate memory" in illness.evidence
    assert "64 rows of" in illness.evidence
    assert "quantization" in str(illness.document_remedy)
    assert illness.settings_to_change == {"training.accumulation_steps": 2}
    assert "parts of 32 rows" in illness.remedy
    assert diagnosis.state == "ended by OutOfMemory after 0 steps"


def test_a_run_that_was_killed_and_asks_for_more_than_there_is_is_suspected(run: Runs, tmp_path: Path) -> None:
    """Nobody can note a SIGKILL: the folder of a healthy run as a kill leaves it, with a config too large for any machine."""
    shutil.copytree(run("two branches"), tmp_path / "killed", ignore=shutil.ignore_patterns("results.json", "model"))
    config = RunConfig.from_file(tmp_path / "killed" / "run.yaml")
    assert diagnose(tmp_path / "killed").is_healthy
    huge = config.with_changes(system={**config.system.to_dict(), "d_ff": 2**24, "num_experts": 128})
    (tmp_path / "killed" / "run.yaml").write_text(huge.to_yaml())
    illness = found(diagnose(tmp_path / "killed"), "out of memory")
    assert "noted no error" in illness.evidence
    assert illness.settings_to_change["training.accumulation_steps"] == 16
    assert illness.settings_to_change["system.num_experts"] == 64


def test_another_error_is_told_and_forgotten_when_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk "fills up" at the second checkpoint."""
    from interconnected_ai.training import checkpoints

    real, calls = checkpoints.save_tensors, list[Path]()

    def full(path: Path, tensors: object, metadata: object = None) -> None:
        calls.append(path)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        real(path, tensors)  # type: ignore[arg-type]

    case = Case(train=two_branches(30, 20), training={"checkpoint_every_steps": 2, "epochs": 2})
    config, splits = case.config(tmp_path / "run"), Splits(case.train, case.validation, case.test)
    monkeypatch.setattr(checkpoints, "save_tensors", full)
    with pytest.raises(StorageError, match="No space left"):
        train_run(config, splits=splits, encoder=make_encoder())
    illness = found(diagnose(tmp_path / "run"), "ended by an error")
    assert "No space left" in illness.evidence
    assert "--resume" in illness.remedy
    monkeypatch.setattr(checkpoints, "save_tensors", real)
    train_run(config, splits=splits, encoder=make_encoder(), resume=True)
    assert "ended by an error" not in names(diagnose(tmp_path / "run"))
    assert not (tmp_path / "run" / "ended.json").exists()


# The cure


def retrained(run: Runs, name: str, folder: Path) -> tuple[Diagnosis, Diagnosis]:
    """The diagnosis of a run, and that of the run with the changed config."""
    before, case = diagnose(run(name)), ILL[name]
    config = RunConfig.from_file(run(name) / "run.yaml")
    fixed, changes = fixed_config(config, before.illnesses, output=str(folder / "cured"))
    write_fixed(folder / "fixed.yaml", fixed, changes)
    case.run(RunConfig.from_file(folder / "fixed.yaml"))
    return before, diagnose(folder / "cured")


@pytest.mark.parametrize(
    ("name", "cured"),
    [
        ("no balance, narrow encoder", {"routing collapse", "dead expert"}),
        ("a trunk that runs away", {"trunk drift", "learning rate too high", *IDLE}),
        ("a head that leaps", {"loss jumps"}),
        ("rates too low by ten", {"learning rate too low"}),
    ],
)
def test_the_changed_config_cures(run: Runs, tmp_path: Path, name: str, cured: set[str]) -> None:
    before, after = retrained(run, name, tmp_path)
    assert cured & names(before)
    assert not cured & names(after)


def test_a_changed_config_says_what_was_changed_and_overwrites_nothing(run: Runs, tmp_path: Path) -> None:
    config = RunConfig.from_file(run("rates of ten") / "run.yaml")
    fixed, changes = fixed_config(config, diagnose(run("rates of ten")).illnesses, output="runs/next")
    assert len({change.setting for change in changes}) == len(changes)
    path = tmp_path / "fixed.yaml"
    write_fixed(path, fixed, changes)
    text = path.read_text(encoding="utf-8")
    assert RunConfig.from_file(path) == fixed
    assert fixed.output == "runs/next"
    assert all(f"#   {change.words}" in text for change in changes)
    assert "#   training.lr_moe: 10.0 → 0.0003 (learning rate too high)" in text
    same = {room: getattr(config, room).to_dict() for room in ("system", "data", "training")}
    for change in changes:
        room, _, name = change.setting.partition(".")
        same[room][name] = change.after
    assert fixed == RunConfig.from_mapping({"output": "runs/next", **same})
    with pytest.raises(StorageError, match="--overwrite"):
        write_fixed(path, config, changes)
    assert path.read_text(encoding="utf-8") == text


def test_changes_that_contradict_an_earlier_one_are_left_out() -> None:
    config = Case(training={"batch_size": 32}).config(Path("run"))
    first = Illness("out of memory", "", None, "", {"training.accumulation_steps": 16})
    second = Illness("branch starved in batches", "", None, "", {"training.batch_size": 8, "training.lr_head": 0.5})
    third = Illness("another", "", None, "", {"training.accumulation_steps": 4})
    fixed, changes = fixed_config(config, [first, second, third])
    assert [change.setting for change in changes] == ["training.accumulation_steps", "training.lr_head"]
    assert (fixed.training.accumulation_steps, fixed.training.batch_size) == (16, 32)


# What is no run


def test_a_folder_that_is_no_run_is_named(tmp_path: Path, run: Runs) -> None:
    with pytest.raises(StorageError, match="no folder at"):
        diagnose(tmp_path / "nowhere")
    with pytest.raises(StorageError, match=r"holds no run\.yaml"):
        diagnose(tmp_path)
    with pytest.raises(StorageError, match="a model without its run"):
        diagnose(run("two branches") / "model")


def test_a_run_without_figures_yet_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(Case().config(tmp_path).to_yaml())
    with pytest.raises(DataError, match=r"no figures in metrics\.jsonl yet"):
        diagnose(tmp_path)


@pytest.fixture
def copied(run: Runs, tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(run("two branches"), tmp_path / "copy", ignore=shutil.ignore_patterns("model", "features"))
    )


def test_a_torn_last_line_is_left_out_and_a_damaged_one_is_named(copied: Path) -> None:
    log = copied / "metrics.jsonl"
    text = log.read_text()
    log.write_text(text + '{"step": 150, "loss/ta')
    assert diagnose(copied).is_healthy
    log.write_text(text + "[1, 2]\n")
    with pytest.raises(IntegrityError, match=rf"line {text.count(chr(10)) + 1} is not an object of figures"):
        diagnose(copied)


@pytest.mark.parametrize("file", ["results.json", "data_report.json", "ended.json"])
def test_a_damaged_file_of_a_run_is_named(copied: Path, file: str) -> None:
    (copied / file).write_text("{half")
    with pytest.raises(IntegrityError, match=file):
        diagnose(copied)


def test_a_log_by_an_earlier_version_is_judged_by_what_it_has(copied: Path) -> None:
    """Before the doctor the loop logged no drift, no validation losses, no rows in a batch."""
    later = ("drift/", "moved/", "validation_loss/", "calibration_error/", "batch_rows/", "loss/highest")
    kept = [{name: v for name, v in line.items() if not name.startswith(later)} for line in lines_of(copied)]
    (copied / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    diagnosis = diagnose(copied)
    assert diagnosis.is_healthy
    assert any(item.startswith("drift") for item in diagnosis.unjudged)


def test_a_run_too_short_for_trends_says_so(tmp_path: Path) -> None:
    case = replace(HEALTHY["two branches"], training={"epochs": 1, "lr_moe": 1e-3, "lr_head": 1e-2})
    case.run(case.config(tmp_path / "run"))
    diagnosis = diagnose(tmp_path / "run")
    assert names(diagnosis) <= {WEAK, "calibration poor", *SHOWN_BY_ANSWERS}
    assert any(item.startswith("trends and routing: 2 lines") for item in diagnosis.unjudged)


# Where honest confidence ends


@pytest.mark.parametrize(("accuracy", "rows"), [(0.9, 60), (0.6, 150), (0.95, 1000)])
def test_honest_confidence_on_few_rows_stays_below_what_counts_as_noise(accuracy: float, rows: int) -> None:
    import torch

    from interconnected_ai.training import expected_calibration_error

    generator = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(200):
        spread = 0.5 * min(accuracy, 1 - accuracy)
        confidence = accuracy + spread * (2 * torch.rand(rows, generator=generator) - 1)
        correct = torch.rand(rows, generator=generator) < confidence
        errors.append(expected_calibration_error(confidence, correct))
    assert sum(errors) / len(errors) < calibration_noise(accuracy, rows)
    assert sum(error > 0.05 + calibration_noise(accuracy, rows) for error in errors) <= 2
    assert calibration_noise(accuracy, 100 * rows) == pytest.approx(calibration_noise(accuracy, rows) / 10, rel=0.1)


def test_few_rows_that_were_all_right_leave_room_for_modesty() -> None:
    assert calibration_noise(1.0, 33) > 0.05
    assert calibration_noise(1.0, 10_000) < 0.003


# The words


@pytest.mark.parametrize("page", ["doctor.md", "doctor.ru.md"])
def test_the_docs_name_every_threshold_illness_and_check(run: Runs, tmp_path: Path, page: str) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / page).read_text(encoding="utf-8")
    for name, limit in vars(thresholds).items():
        if isinstance(limit, thresholds.Threshold):
            assert f"| `{name}` | {limit.value:g} |" in text
    for name in set().union(*(names(diagnose(run(ill))) for ill in ILL)) | {"out of memory", "ended by an error"}:
        assert f"\n| {name} " in text
    case = HEALTHY["two branches"]
    read = Splits(case.train, case.validation, case.test)
    for check in checklist(case.config(tmp_path / "new"), splits=read, encoder=make_encoder()):
        assert f"\n| {check.name} |" in text
