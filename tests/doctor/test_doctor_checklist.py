"""The checklist before a run: every line when all is well, when something is not, and that what "fails" really does."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from conftest import make_encoder, make_rows
from interconnected_ai.config import RunConfig
from interconnected_ai.data import Rows, Splits, load_splits, write_rows
from interconnected_ai.doctor import Check, checklist, fixed_config, machine, memory
from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.training import train_run

SEVEN = [
    "encoder frozen", "clipping on", "balance weight set", "rates differ per group", "every batch holds every branch",
    "checkpoints on", "monitoring on",
]  # fmt: skip


def rows(a: int = 60, b: int = 36, seed: int = 0, marker: str = "") -> Rows:
    return Rows.joined([make_rows("a", a, seed=seed, marker=marker), make_rows("b", b, seed=seed + 1, marker="today")])


def splits(train: Rows | None = None, validation: Rows | None = None, test: Rows | None = None) -> Splits:
    return Splits(
        train or rows(),
        rows(24, 24, seed=40) if validation is None else validation,
        rows(24, 24, seed=60) if test is None else test,
    )


def config(folder: Path, **changes: Any) -> RunConfig:
    """changes: settings by their names, such as training__epochs=3."""
    content: dict[str, Any] = {
        "output": str(folder / "run"),
        "system": {"num_experts": 2, "max_seq_len": 32, "d_ff": 48},
        "data": {"branches": [{"name": name, "path": f"{name}.jsonl"} for name in ("a", "b")]},
        "training": {
            "epochs": 4, "batch_size": 16, "precision": "float32", "device": "cpu", "checkpoint_every_steps": 5,
        },
    }  # fmt: skip
    for name, value in changes.items():
        room, _, key = name.partition("__")
        content[room][key] = value
    return RunConfig.from_mapping(content)


def look(folder: Path, read: Splits | None = None, **changes: Any) -> dict[str, Check]:
    checks = checklist(config(folder, **changes), splits=read or splits(), encoder=make_encoder())
    return {check.name: check for check in checks}


def labelled(texts: Iterable[str], a: Iterable[str | None]) -> Rows:
    return Rows(list(texts), {"a": list(a)})


def test_all_is_well_and_the_documents_seven_come_first(tmp_path: Path) -> None:
    checks = look(tmp_path)
    assert {check.state for check in checks.values()} == {"ok"}
    assert list(checks)[:7] == SEVEN
    assert all(check.evidence and not check.remedy and not check.settings_to_change for check in checks.values())
    assert len(checks) == len(SEVEN) + 14
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "name", "evidence", "cure"),
    [
        ({"training__gradient_clip": 1e6}, "clipping on", "1e+06", {"training.gradient_clip": 1.0}),
        ({"training__balance_loss_weight": 0.0}, "balance weight set", "0:", {"training.balance_loss_weight": 0.01}),
        ({"training__balance_loss_weight": 0.5}, "balance weight set", "drowns", {"training.balance_loss_weight": 0.01}),
        (
            {f"training__{part}": 1e-3 for part in ("lr_moe", "lr_adapter", "lr_head", "lr_wide")},
            "rates differ per group", "lr_moe 0.001",
            {"training.lr_moe": 3e-4, "training.lr_adapter": 5e-4, "training.lr_head": 1e-3, "training.lr_wide": 2e-4},
        ),
        ({"training__lr_moe": 0.5}, "rates in range", "lr_moe 0.5", {"training.lr_moe": 3e-4}),
        ({"training__checkpoint_every_steps": 500}, "checkpoints on", "has 24", {"training.checkpoint_every_steps": 2}),
        ({"training__monitors": []}, "monitoring on", "nothing draws", {"training.monitors": ["tensorboard"]}),
        ({"system__max_seq_len": 8}, "texts fit max_seq_len", "more than 8 tokens", {"system.max_seq_len": 16}),
    ],
)  # fmt: skip
def test_a_setting_that_may_spoil_the_run_is_a_warning_with_its_cure(
    tmp_path: Path, changes: dict[str, Any], name: str, evidence: str, cure: dict[str, Any]
) -> None:
    encoder = make_encoder(max_seq_len=changes.get("system__max_seq_len", 32))
    asked = config(tmp_path, **changes)
    checks = {check.name: check for check in checklist(asked, splits=splits(), encoder=encoder)}
    assert {n for n, check in checks.items() if check.state != "ok"} == {name}
    assert checks[name].state == "warning"
    assert evidence in checks[name].evidence
    assert checks[name].settings_to_change == cure
    fixed, _ = fixed_config(asked, checks.values())
    encoder = make_encoder(max_seq_len=fixed.system.max_seq_len)
    after = {check.name: check.state for check in checklist(fixed, splits=splits(), encoder=encoder)}
    assert after[name] == "ok"


def test_without_experts_there_is_nothing_to_balance(tmp_path: Path) -> None:
    checks = look(tmp_path, system__ffn="dense", training__balance_loss_weight=0.0)
    assert checks["balance weight set"].state == "ok"


def test_an_encoder_that_learns_is_named_and_its_lora_is_not(tmp_path: Path) -> None:
    encoder = make_encoder()
    encoder.add_lora(2, alpha=4.0, dropout=0.0, generator=None)
    asked = config(tmp_path, system__encoder_lora_rank=2)
    checks = {check.name: check for check in checklist(asked, splits=splits(), encoder=encoder)}
    assert checks["encoder frozen"].state == "ok"
    assert "LoRA of rank 2" in checks["encoder frozen"].evidence
    next(encoder.model.parameters()).requires_grad_(True)
    checks = {check.name: check for check in checklist(asked, splits=splits(), encoder=encoder)}
    assert checks["encoder frozen"].state == "warning"
    assert "1 of its tensors learn" in checks["encoder frozen"].evidence


# The rows


def test_classes_with_few_rows_are_named_smallest_first(tmp_path: Path) -> None:
    few = rows(22, 36)  # 8 money, 7 weather, 7 animals
    check = look(tmp_path, splits(few))["classes large enough"]
    assert check.state == "warning"
    assert check.evidence == "'animals' of a has 7, 'weather' of a has 7"


def test_a_rare_class_is_a_warning_where_nothing_weighs_it(tmp_path: Path) -> None:
    many = make_rows("a", 300)
    kept = [i for i, label in enumerate(many.labels["a"]) if label != "animals" or i < 27]
    read = splits(many.select(kept), make_rows("a", 24, seed=40), make_rows("a", 24, seed=60))
    data = {"data__branches": [{"name": "a", "path": "a.jsonl"}]}
    assert look(tmp_path, read, **data)["classes balanced"].state == "ok"
    check = look(tmp_path, read, **data, training__class_weights="none")["classes balanced"]
    assert check.state == "warning"
    assert "11.1 : 1" in check.evidence
    assert check.settings_to_change == {"training.class_weights": "balanced"}


def test_held_out_texts_that_are_learnt_from_are_counted(tmp_path: Path) -> None:
    train = rows()
    leaky = Rows.joined([rows(24, 24, seed=40), train.select(range(5))])
    check = look(tmp_path, splits(train, test=leaky))["no text in two splits"]
    assert check.state == "warning"
    assert check.evidence == "a: 5 of 53 held-out rows are learnt from too"


def test_a_text_with_two_labels_is_shown(tmp_path: Path) -> None:
    train = rows()
    torn = Rows.joined([train, Rows.of_branch("a", [train.texts[0].upper()], ["animals"])])
    check = look(tmp_path, splits(torn))["labels agree"]
    assert check.state == "warning"
    assert "a: 1 texts" in check.evidence
    assert "animals and money" in check.evidence


def test_rows_without_any_label_are_counted(tmp_path: Path) -> None:
    train = rows()
    bare = Rows([*train.texts, "my cat", "a dog"], {n: [*c, None, None] for n, c in train.labels.items()})
    check = look(tmp_path, splits(bare))["labels there"]
    assert check.state == "warning"
    assert check.evidence.startswith("2 of 98 training rows")


def test_a_class_of_the_config_without_rows_is_named(tmp_path: Path) -> None:
    labels = ["animals", "money", "planets", "weather"]
    check = look(tmp_path, system__branches=[{"name": "a", "labels": labels}])["labels there"]
    assert check.state == "warning"
    assert check.evidence == "no training rows for 'planets' of a"


def test_a_branch_without_validation_rows_is_named(tmp_path: Path) -> None:
    check = look(tmp_path, splits(validation=make_rows("a", 24, seed=40)))["rows held out"]
    assert check.state == "warning"
    assert "no validation rows for b" in check.evidence


def test_a_branch_with_one_row_in_a_hundred_is_a_warning(tmp_path: Path) -> None:
    check = look(tmp_path, splits(rows(198, 6)), training__batch_size=32)["every batch holds every branch"]
    assert check.state == "warning"
    assert "b 1.0 rows" in check.evidence
    assert "iai branch add" in check.remedy


def test_a_branch_that_some_batches_lack_is_counted(tmp_path: Path) -> None:
    """In one table a row belongs to the first branch that labels it; a rare second label may be missing in a batch."""
    base = make_rows("a", 96)
    rare: list[str | None] = [None] * 96
    for row in range(0, 96, 12):
        rare[row] = "yes" if row % 24 else "no"
    table = Rows(base.texts, {"a": base.labels["a"], "b": rare})
    check = look(tmp_path, splits(table, Rows([], {}), Rows([], {})))["every batch holds every branch"]
    assert check.state == "warning"
    assert "b is missing in" in check.evidence
    assert "of 6 batches" in check.evidence


def test_texts_longer_than_the_encoder_reads_cannot_be_helped_by_a_setting(tmp_path: Path) -> None:
    long = rows()
    long = Rows([" ".join([text] * 20) for text in long.texts], long.labels)
    cut = look(tmp_path, splits(long))["texts fit max_seq_len"]
    assert cut.settings_to_change == {"system.max_seq_len": 64}  # all the positions that it has
    asked = config(tmp_path, system__max_seq_len=500)
    found = checklist(asked, splits=splits(long), encoder=make_encoder(max_seq_len=500))
    still = next(check for check in found if check.name == "texts fit max_seq_len")
    assert "more than 64 tokens" in still.evidence
    assert "no more positions" in still.remedy
    assert not still.settings_to_change


def test_without_a_tokenizer_lengths_are_guessed_from_characters(tmp_path: Path) -> None:
    asked = config(tmp_path, system__base_model_name=str(tmp_path / "nowhere"), system__max_seq_len=4)
    checks = {check.name: check for check in checklist(asked, splits=splits())}
    assert checks["encoder loads"].state == "fails"
    assert checks["texts fit max_seq_len"].state == "warning"
    assert "guessed" in checks["texts fit max_seq_len"].evidence
    assert "encoder frozen" not in checks


def test_rows_that_cannot_be_read_leave_what_can_be_said_without_them(tmp_path: Path) -> None:
    checks = {check.name: check for check in checklist(config(tmp_path), relative_to=tmp_path, encoder=make_encoder())}
    assert checks["rows can be read"].state == "fails"
    assert "no file at" in checks["rows can be read"].evidence
    assert {"encoder frozen", "clipping on", "monitoring on", "precision fast here"} <= set(checks)
    assert "labels there" not in checks


def test_rows_are_really_read_from_the_configs_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_rows(tmp_path / f"{name}.jsonl", *make_rows(name, 90).of(name))
    checks = {check.name: check for check in checklist(config(tmp_path), relative_to=tmp_path, encoder=make_encoder())}
    learnt = load_splits(config(tmp_path).data, relative_to=tmp_path).train.of("a")[0]
    assert checks["labels there"].evidence.startswith(f"a: {len(learnt)} rows, 3 classes")


# The machine


def test_a_system_larger_than_the_machine_fails_and_one_that_barely_fits_is_a_warning(tmp_path: Path) -> None:
    large = {"system__num_experts": 128, "system__num_moe_layers": 8}
    checks = look(tmp_path, system__d_ff=2**20, **large)
    assert checks["fits memory"].state == "fails"
    assert checks["disk space"].state == "fails"
    assert checks["fits memory"].settings_to_change["training.accumulation_steps"] == 16
    asked = config(tmp_path, system__d_ff=10**4, **large)
    shape = memory.shape_of(asked.system, {"a": 3, "b": 3}, make_encoder().model.config.to_dict())
    assert shape is not None
    demand = memory.training_demand(asked.training, shape, 9)
    assert demand is not None
    nearly_all = int(10**4 * 0.95 * demand.free_bytes / demand.peak_bytes)  # the peak grows with d_ff
    check = look(tmp_path, system__d_ff=nearly_all, **large)["fits memory"]
    assert check.state == "warning"
    assert "GB free" in check.evidence


def test_free_memory_is_the_containers_where_it_has_a_limit(tmp_path: Path) -> None:
    proc = tmp_path / "meminfo"
    proc.write_text("MemTotal:  1000000 kB\nMemAvailable:   500000 kB\n")
    assert memory.main_memory(proc, tmp_path)[0] == 512_000_000
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.current").write_text("250000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 40000000\n")
    assert memory.main_memory(proc, tmp_path) == (90_000_000, 300_000_000)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.main_memory(proc, tmp_path)[0] == 512_000_000


def test_a_taken_output_folder_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").write_text("output: run\n")
    check = look(tmp_path)["output folder free"]
    assert check.state == "warning"
    assert "--resume" in check.remedy


def test_a_slow_precision_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which precision is slow depends on the machine, so the measurement is replaced; that it measures is tested elsewhere."""
    monkeypatch.setattr(machine, "bfloat16_speedup", lambda device: 0.3)
    check = look(tmp_path, training__precision="bfloat16")["precision fast here"]
    assert check.state == "warning"
    assert "0.30 ×" in check.evidence
    monkeypatch.setattr(machine, "bfloat16_speedup", lambda device: 3.0)
    assert look(tmp_path, training__precision="bfloat16")["precision fast here"].state == "ok"


# What fails


@pytest.mark.parametrize(
    ("changes", "read", "name"),
    [
        ({"training__batch_size": 1}, None, "every batch holds every branch"),
        ({"training__accumulation_steps": 16, "training__epochs": 1}, rows(17, 18), "every batch holds every branch"),
        ({"training__precision": "float16"}, None, "device is there"),
        ({"training__device": "tpu"}, None, "device is there"),
        ({"system__branches": [{"name": "c", "num_classes": 2}]}, None, "rows can be read"),
        ({"system__branches": [{"name": "a", "labels": ["animals", "money"]}]}, None, "labels there"),
    ],
)
def test_what_fails_in_the_checklist_fails_in_training(
    tmp_path: Path, changes: dict[str, Any], read: Rows | None, name: str
) -> None:
    asked, given = config(tmp_path, **changes), splits(read)
    checks = {check.name: check for check in checklist(asked, splits=given, encoder=make_encoder())}
    assert {n for n, check in checks.items() if check.state == "fails"} == {name}
    assert checks[name].remedy
    with pytest.raises(InterconnectedAIError):
        train_run(asked, splits=given, encoder=make_encoder())


def test_a_held_out_label_that_is_not_learnt_fails_here_and_after_an_epoch_there(tmp_path: Path) -> None:
    foreign = Rows.joined([rows(24, 24, seed=40), Rows.of_branch("a", ["is this a planet"], ["planets"])])
    given = splits(validation=foreign)
    check = look(tmp_path, given)["labels there"]
    assert check.state == "fails"
    assert check.evidence == "validation of a has 'planets': unknown to the branch"
    with pytest.raises(InterconnectedAIError, match="planets"):
        train_run(config(tmp_path), splits=given, encoder=make_encoder())


def test_a_monitor_that_is_not_installed_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = import_module("interconnected_ai.doctor.checklist")
    real = room.find_spec
    monkeypatch.setattr(room, "find_spec", lambda name: None if name == "wandb" else real(name))
    check = look(tmp_path, training__monitors=["tensorboard", "wandb"])["monitoring on"]
    assert check.state == "fails"
    assert 'pip install "interconnected-ai[wandb]"' in check.remedy
    assert check.settings_to_change == {"training.monitors": ["tensorboard"]}


def test_an_english_encoder_that_is_named_for_other_rows_is_a_warning(tmp_path: Path) -> None:
    name = "encoder reads the language"
    english = look(tmp_path, system__base_model_name="all-MiniLM-L6-v2")[name]
    assert (english.state, english.evidence) == ("ok", "96 of 96 texts looked at are in English")
    russian = Rows([f"закажи билет {i}" for i in range(40)], {"a": ["money", "weather"] * 20})
    read = splits(Rows.joined([russian, make_rows("b", 40)]))
    for encoder in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
        check = look(tmp_path, read, system__base_model_name=encoder)[name]
        assert (check.state, check.settings_to_change) == ("warning", {"system.base_model_name": "multilingual"})
        assert check.evidence == f"{encoder} reads English only; of 80 texts looked at 40 in English, 40 in Russian"
    assert name not in look(tmp_path, read, system__base_model_name="multilingual")
    assert name not in look(tmp_path, read)  # an encoder at hand, of which nothing is known
