"""Records: strict, frozen, there and back through YAML and JSON, and mistakes that name the remedy."""

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from interconnected_ai.config import (
    BranchSpec,
    DataConfig,
    ExpertRunConfig,
    Record,
    RunConfig,
    SystemConfig,
    TrainingConfig,
    document_branches,
    merged,
    settings_of,
)
from interconnected_ai.errors import ConfigError
from properties import examples

few = examples(50)

RUN: dict[str, Any] = {
    "output": "runs/a",
    "system": {
        "num_experts": 4,
        "k": 1,
        "branches": [{"name": "bank", "labels": ["да", "нет"]}, {"name": "weather", "num_classes": 3}],
    },
    "data": {"branches": [{"name": "bank", "path": "bank.csv"}, {"name": "weather", "path": "w.csv"}]},
    "training": {"epochs": 3, "patience": None, "lr_moe": 0.00002, "monitors": []},
}


def refused(record: type[Record], settings: Any) -> str:
    """The message with which these settings are refused."""
    with pytest.raises(ConfigError) as caught:
        record.from_mapping(settings, source="here")
    return str(caught.value)


@pytest.mark.parametrize(
    ("record", "given", "nearest"),
    [
        (SystemConfig, {"num_expert": 8}, "num_experts"),
        (SystemConfig, {"pool": "cls"}, "pooling"),
        (TrainingConfig, {"epoch": 3}, "epochs"),
        (RunConfig, {**RUN, "training": {"batchsize": 8}}, "batch_size"),
        (RunConfig, {**RUN, "data": {"branches": [{"name": "a", "path": "b", "lable": "c"}]}}, "label"),
        (RunConfig, {**RUN, "data": {"table": {"path": "b", "label": {"a": "b"}}}}, "labels"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_known_key_named_first(
    record: type[Record], given: dict[str, Any], nearest: str
) -> None:
    message = refused(record, given)
    assert message.startswith("here: ")
    assert f"known, nearest first: {nearest}" in message


def test_every_mistake_gets_a_line_of_its_own() -> None:
    lines = refused(
        RunConfig, {"data": {"branches": [{"name": "a", "pth": "b"}]}, "training": {"epochs": 0}}
    ).splitlines()
    assert len(lines) == 4
    for expected in (
        "'output' is missing",
        "'data.branches.0.path' is missing",
        "'data.branches.0.pth'",
        "training.epochs = 0",
    ):
        assert any(expected in line for line in lines), expected


@pytest.mark.parametrize("extension", ["yaml", "json"])
def test_a_file_reads_back_as_an_equal_record(tmp_path: Path, extension: str) -> None:
    run = RunConfig.from_mapping(RUN)
    path = tmp_path / f"run.{extension}"
    path.write_text(run.to_yaml() if extension == "yaml" else json.dumps(run.to_dict()), encoding="utf-8")
    assert RunConfig.from_file(path) == run
    assert RunConfig.from_file(str(path)) == run


def test_yaml_keeps_the_order_of_definition_and_letters_of_every_alphabet() -> None:
    text = RunConfig.from_mapping(RUN).to_yaml()
    assert text.index("output:") < text.index("system:") < text.index("data:") < text.index("training:")
    assert "нет" in text
    assert yaml.safe_load(text)["system"]["top_k"] == 1


@few
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.integers(1, 10**6),
            "lr_moe": st.floats(1e-12, 1e3),
            "weight_decay": st.floats(0, 10),
            "label_smoothing": st.floats(0, 1, exclude_max=True),
            "patience": st.none() | st.integers(1, 99),
            "device": st.text(max_size=10),
            "monitors": st.lists(st.sampled_from(["tensorboard", "wandb"]), max_size=2),
        },
    )
)
def test_any_valid_record_survives_yaml_and_json(chosen: dict[str, Any]) -> None:
    record = TrainingConfig.from_mapping(chosen)
    assert TrainingConfig.from_mapping(yaml.safe_load(record.to_yaml())) == record
    assert TrainingConfig.from_mapping(json.loads(json.dumps(record.to_dict()))) == record
    assert TrainingConfig.from_mapping(record.to_dict()) == record


@pytest.mark.parametrize("written", ["1e-4", "1.0e-4", "1E-4", "0.0001", "1.e-4"])
def test_numbers_may_be_written_as_people_write_them(tmp_path: Path, written: str) -> None:
    (tmp_path / "run.yaml").write_text(f"lr_moe: {written}\n")
    assert TrainingConfig.from_file(tmp_path / "run.yaml").lr_moe == 0.0001


@pytest.mark.parametrize(
    "label", ["1e5", "12E4", "1.e-3", "007", "yes", "null", "~", "1_000", "2024-01-01", "0x1f", " a", ""]
)
def test_labels_that_look_like_something_else_stay_strings(tmp_path: Path, label: str) -> None:
    spec = BranchSpec.from_mapping({"name": "a", "labels": [label, "other"]})
    (tmp_path / "spec.yaml").write_text(spec.to_yaml(), encoding="utf-8")
    assert BranchSpec.from_file(tmp_path / "spec.yaml") == spec


def test_k_of_the_documents_is_top_k() -> None:
    assert SystemConfig.from_mapping({"k": 3}) == SystemConfig.from_mapping({"top_k": 3})
    assert SystemConfig.from_mapping({"k": 3}).to_dict()["top_k"] == 3
    assert SystemConfig().top_k == 2


def test_records_are_frozen() -> None:
    config = SystemConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.top_k = 3
    assert config.top_k == 2


def test_equal_contents_are_equal_and_hash_alike() -> None:
    assert SystemConfig(top_k=3) == SystemConfig(top_k=3) != SystemConfig()
    assert len({TrainingConfig(), TrainingConfig(), TrainingConfig(epochs=1)}) == 2


def test_changes_give_a_new_record_that_is_checked() -> None:
    config = SystemConfig(num_experts=4)
    assert config.with_changes(top_k=4).top_k == 4
    assert config.top_k == 2
    with pytest.raises(ConfigError, match="top_k=5 of num_experts=4"):
        config.with_changes(top_k=5)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "a\\b", "", "con", "CON", "nul", "com1", "a.b", ".", "..", " x", "x ", "a b", "-a", "a-", "a:b",
     "a\0b", "a\n", "\n", "x" * 65, "~", "*"],
)  # fmt: skip
def test_branch_names_that_are_no_safe_file_names_are_refused(name: str) -> None:
    assert "no safe file name" in refused(BranchSpec, {"name": name, "num_classes": 2})


@pytest.mark.parametrize(
    "name", ["a", "Bio-Elec", "bank_intents", "погода", "Ёлка-2", "x" * 64, "银行", "confirm", "7"]
)
def test_safe_branch_names_in_any_alphabet_are_accepted(name: str) -> None:
    assert BranchSpec.from_mapping({"name": name, "num_classes": 2}).name == name


@few
@given(st.text(alphabet=st.characters() | st.sampled_from("./\\ \n\t:*?-_aя"), max_size=6))
def test_an_accepted_name_is_a_single_plain_file_name(name: str) -> None:
    try:
        BranchSpec.from_mapping({"name": name, "num_classes": 2})
    except ConfigError:
        return
    assert name
    assert Path(name).name == name
    assert not set(name) & set(string.whitespace + string.punctuation.replace("-", "").replace("_", ""))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "a", "labels": ["x", "y", "x"]}, "label 'x' stands twice"),
        ({"name": "a", "labels": ["x"]}, "num_classes = 1"),
        ({"name": "a", "num_classes": 1}, "num_classes = 1"),
        ({"name": "a", "num_classes": 3, "labels": ["x", "y"]}, "2 labels for num_classes=3"),
        ({"name": "a", "labels": [1, 2]}, "valid string"),
        ({"name": "a", "labels": "xy"}, "valid tuple"),
        ({"name": "a", "labels": 3}, "labels = 3"),
        ({"name": "a"}, "is missing"),
        ({"num_classes": 2}, "'name' is missing"),
        ({"name": 3, "num_classes": 2}, "valid string"),
    ],
)
def test_impossible_branches_are_refused(given: dict[str, Any], message: str) -> None:
    assert message in refused(BranchSpec, given)


def test_labels_may_be_numbered_or_named() -> None:
    assert BranchSpec.from_mapping({"name": "a", "num_classes": 3}).labels == ("0", "1", "2")
    assert BranchSpec.from_mapping({"name": "a", "labels": ["x", "y"]}).num_classes == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"top_k": 9}, "top_k=9 of num_experts=8"),
        ({"num_experts": 1}, "num_experts = 1"),
        ({"num_experts": 129}, "num_experts = 129"),
        ({"num_experts": "8"}, "num_experts = '8'"),
        ({"num_experts": 8.0}, "num_experts = 8.0"),
        ({"num_experts": True}, "num_experts = True"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"dropout": float("nan")}, "dropout = nan"),
        ({"pooling": "max"}, "pooling = 'max'"),
        ({"branches": [{"name": "a", "num_classes": 2}, {"name": "A", "num_classes": 2}]}, "stands twice"),
        ({1: 2}, "strings"),
    ],
)
def test_impossible_systems_are_refused(given: dict[Any, Any], message: str) -> None:
    assert message in refused(SystemConfig, given)


def test_a_batch_must_divide_into_its_accumulation_steps() -> None:
    assert "batch_size=64 must be a multiple of accumulation_steps=5" in refused(
        TrainingConfig, {"accumulation_steps": 5}
    )


@pytest.mark.parametrize("settings", [None, 3, "text", ["a"], [("top_k", 2)]])
def test_what_is_no_mapping_is_refused(settings: Any) -> None:
    assert f"needs a mapping of keys to values, got {type(settings).__name__}" in refused(SystemConfig, settings)


TABLE = {"path": "all.csv", "labels": {"bank": "intent"}}
FILES = [{"name": "bank", "path": "bank.csv"}]


@pytest.mark.parametrize("given", [{}, {"branches": []}, {"branches": FILES, "table": TABLE}])
def test_data_comes_from_exactly_one_source(given: dict[str, Any]) -> None:
    assert "give either data.branches (one file per branch) or data.table" in refused(DataConfig, given)


@pytest.mark.parametrize("given", [{"branches": FILES}, {"table": TABLE}, {"branches": FILES, "table": None}])
def test_either_source_of_data_will_do(given: dict[str, Any]) -> None:
    config = DataConfig.from_mapping(given)
    assert bool(config.branches) != (config.table is not None)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config at .*absent\.yaml"):
        RunConfig.from_file(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", b"output: [1, 2", "not valid YAML"),
        ("a.yaml", b"output: \t- x\n\t- y: :", "not valid YAML"),
        ("a.json", b'{"output": ', "not valid JSON"),
        ("a.yaml", b"- 1\n- 2\n", "needs a mapping"),
        ("a.yaml", b"", "needs a mapping"),
        ("a.json", b"[]", "needs a mapping"),
        ("a.yaml", "output: привет".encode("cp1251"), "UTF-8"),
        ("a.yaml", b"!!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_read_names_itself(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_file(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        RunConfig.from_file(tmp_path)


def test_the_documents_branches_have_the_documents_class_counts() -> None:
    three = document_branches(3)
    assert {spec.name: spec.num_classes for spec in three} == {"Bio-Elec": 100, "Neuro-6G": 50, "IoBNT": 80}


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_as_many_branches_as_asked_for_with_distinct_names(count: int) -> None:
    specs = document_branches(count)
    assert len(specs) == len({spec.name for spec in specs}) == count
    assert SystemConfig(branches=specs).branches == specs
    assert all(spec.num_classes == 100 for spec in specs[3:])


def test_a_negative_number_of_branches_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_branches=-1"):
        document_branches(-1)


@pytest.mark.parametrize(
    ("assignments", "settings"),
    [
        ([], {}),
        (["system.d_ff=768", "system.pooling=cls", "num_rows=10"], {"system": {"d_ff": 768, "pooling": "cls"}, "num_rows": 10}),
        (["training.lr_moe=1e-3"], {"training": {"lr_moe": 1e-3}}),
        (["a=x=y", "b=", "c=[1, 2]"], {"a": "x=y", "b": None, "c": [1, 2]}),
        (["a=1", "a=2"], {"a": 2}),
    ],
)  # fmt: skip
def test_settings_are_written_one_by_one(assignments: list[str], settings: dict[str, Any]) -> None:
    assert settings_of(assignments) == settings


@pytest.mark.parametrize("assignment", ["", "d_ff", "=3", ".d_ff=3", "system.=3", "a=[1"])
def test_what_is_no_setting_is_refused_by_name(assignment: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(repr(assignment))):
        settings_of([assignment])


def test_changes_are_laid_over_settings_section_by_section() -> None:
    settings = {"system": {"d_ff": 1, "branches": [1, 2]}, "device": "L4"}
    changes = {"system": {"branches": [3]}, "num_rows": 5}
    assert merged(settings, changes) == {"system": {"d_ff": 1, "branches": [3]}, "device": "L4", "num_rows": 5}
    assert settings["system"] == {"d_ff": 1, "branches": [1, 2]}


@pytest.mark.parametrize("output", ["", ".", "/", "experts/.."])
def test_an_expert_is_written_to_a_folder_that_has_a_name(output: str) -> None:
    settings = {"output": output, "text": {"paths": ["a.txt"]}, "model": {"vocab_size": 300}}
    with pytest.raises(ConfigError, match="name of no new folder"):
        ExpertRunConfig.from_mapping(settings)
