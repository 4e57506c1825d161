"""`iai doctor CONFIG` of a config for `iai expert adapt`: the checklist of adapters, with --set and --fix."""

from pathlib import Path

import command_line
import pytest
from tests.training.test_adapter_chats import a_config, chat_rows
from tests.training.tiny_base import tiny_base


def test_a_config_of_an_adapter_is_looked_at_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = a_config(tmp_path, tiny_base(tmp_path / "base"), chat_rows(60), training={"seq_len": 1000})
    path = tmp_path / "adapter.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    found = command_line.run_json(capsys, "doctor", str(path), "--fix", code=1)
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert (states["base is there"], states["rows can be read"], states["answers are learnt"]) == ("ok", "ok", "ok")
    assert (states["block fits the window"], found["healthy"]) == ("warning", False)
    again = command_line.run_json(capsys, "doctor", found["fixed"]["file"])
    assert again["healthy"]
    wider = command_line.run_json(capsys, "doctor", found["fixed"]["file"], "--set", "training.seq_len=900", code=1)
    assert not wider["healthy"]
