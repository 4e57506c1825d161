"""What the doctor says of a calibration: on how few rows it stands, and a temperature that could go no further."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import make_encoder, make_rows
from interconnected_ai.config import RunConfig
from interconnected_ai.data import Splits
from interconnected_ai.doctor.branches import LOOKS
from interconnected_ai.doctor.history import History
from interconnected_ai.training import read_run, train_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch, with 24 validation rows."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = RunConfig.from_mapping(
        {
            "data": {"branches": [{"name": "a", "path": "a.csv"}]},
            "system": {"num_moe_layers": 0, "max_seq_len": 16},
            "training": {"epochs": 1, "batch_size": 8, "monitors": [], "device": "cpu", "precision": "float32"},
            "output": str(folder),
        }
    )
    splits = Splits(make_rows("a", 40), make_rows("a", 24, seed=1), make_rows("a", 8, seed=2))
    train_run(config, splits=splits, encoder=make_encoder())
    return folder


def illnesses(history: History) -> dict[str, str]:
    """What the looks at single branches find, with the evidence."""
    found = [look(history) for look in LOOKS]
    return {illness.name: illness.evidence for illness in found if illness is not None}


def test_enough_rows_are_nothing_to_speak_of(finished: Path) -> None:
    found = illnesses(History(read_run(finished)))
    assert not {"calibrated on few rows", "temperature at its bound"} & set(found)


def test_a_calibration_on_few_rows_says_on_how_many(finished: Path) -> None:
    record = read_run(finished)
    few = replace(record, data={name: replace(read, num_validation=3) for name, read in record.data.items()})
    assert illnesses(History(few))["calibrated on few rows"].startswith("a on 3;")


@pytest.mark.parametrize(("temperature", "word"), [(0.05, "lowest"), (20.0, "highest")])
def test_a_temperature_at_its_bound_is_named_with_its_rows(
    finished: Path, tmp_path: Path, temperature: float, word: str
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "run"))
    kept = folder / "model" / "config.json"
    known = json.loads(kept.read_text(encoding="utf-8"))
    known["branches"][0]["temperature"] = temperature
    kept.write_text(json.dumps(known), encoding="utf-8")
    told = illnesses(History(read_run(folder)))["temperature at its bound"]
    assert word in told
    assert "fitted on 24 rows" in told
