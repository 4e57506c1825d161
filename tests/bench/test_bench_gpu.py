"""The GPU day on a CPU: every part runs with tiny shapes; a part that fails, hangs or is not reached is told."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from interconnected_ai.bench.gpu import PARTS, Part, Place, bench_gpu, page, run_part
from interconnected_ai.cli import iai
from interconnected_ai.errors import ConfigError, UnknownNameError

TINY = Place("cpu", tiny=True)
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


def part(name: str) -> Part:
    return next(part for part in PARTS if part.name == name)


def test_the_limits_of_all_parts_together_are_eight_minutes() -> None:
    assert sum(part.seconds for part in PARTS) <= 8 * 60
    assert len({part.name for part in PARTS}) == len(PARTS)


def test_the_moe_layer_stands_beside_both_ways_of_transformers() -> None:
    found = part("moe").run(TINY)
    assert found["max_abs_diff_float32"] < 1e-4
    for way in ("forward", "train"):
        assert found[f"{way}_seconds"].keys() == {
            "ours", "ours_loop", "ours_grouped_mm", "hf_eager", "hf_grouped_mm",
        }  # fmt: skip
        assert found[f"{way}_over_hf_eager"] == found[f"{way}_seconds"]["hf_eager"] / found[f"{way}_seconds"]["ours"]


def test_the_answers_are_those_of_transformers() -> None:
    found = part("generation").run(TINY)
    assert found["same_tokens_float32_b1"]
    assert found["same_tokens_float32_b2"]
    assert {"bfloat16_b1_over_hf", "bfloat16_b2_tokens_per_second"} <= found.keys()


def test_an_expert_and_a_system_learn_in_both_precisions() -> None:
    found = part("training").run(TINY)
    for precision in ("float32", "bfloat16"):
        assert found[f"expert_{precision}_precision"] == found[f"system_{precision}_precision"] == precision
        assert found[f"expert_{precision}_losses"][-1] < found[f"expert_{precision}_losses"][0]


@pytest.mark.parametrize("name", ["surgery, four layers", "surgery, whole"])
def test_a_model_is_edited_given_lora_and_trained(name: str) -> None:
    found = part(name).run(TINY)
    assert found["whole_peak_bytes"] >= found["whole_weight_bytes"]
    assert found["whole_losses"][-1] < found["whole_losses"][0]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_parts_run_in_processes_of_their_own_and_every_one_is_on_disk(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        iai, ["bench", "gpu", "--output", str(tmp_path), "--device", "cpu", "--minutes", "60", "--json"]
    )
    found = json.loads(done.stdout)
    assert [(each["part"], each["state"], each["error"]) for each in found["parts"]] == [
        (part.name, "done", "") for part in PARTS
    ]
    assert done.exit_code == 0
    assert json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8")) == found
    assert found["parts"][0]["result"]["num_skipped"] == found["parts"][0]["result"]["num_tests"] > 0
    assert next(each for each in found["parts"] if each["part"] == "fsdp2")["result"]["parallelism"] == "FSDP2"
    assert "says anything of a GPU" in (tmp_path / "gpu.md").read_text(encoding="utf-8")


def test_a_part_that_hangs_is_stopped_and_tells_its_last_words(tmp_path: Path) -> None:
    outcome = run_part(part("moe"), "cpu", True, tmp_path, 0.05)
    assert (outcome.state, outcome.result) == ("stopped", {})
    assert "stopped after" in outcome.error


@pytest.mark.slow
def test_a_part_that_fails_is_recorded_with_its_error_and_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "peft.py").write_text("raise RuntimeError('no kernel for this card')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", ":".join([str(broken), *sys.path]))
    seen: list[Any] = []
    watch(monkeypatch, lambda found: seen.append(json.loads(json.dumps(found))))
    found = bench_gpu(tmp_path / "out", device="cpu", only=["adapters", "surgery, four layers"], minutes=60)
    assert [each["state"] for each in found["parts"]] == ["failed", "done"]
    assert "no kernel for this card" in found["parts"][0]["error"]
    assert not found["all_done"]
    assert [len(each["parts"]) for each in seen] == [1, 2]
    assert seen[0]["not_begun"] == ["surgery, four layers"]


def watch(monkeypatch: pytest.MonkeyPatch, look: Callable[[Any], None]) -> None:
    """See what is written after every part."""
    from interconnected_ai.bench.gpu import day

    write = day._write

    def watched(folder: Path, found: Any) -> None:
        write(folder, found)
        look(json.loads((folder / "gpu.json").read_text(encoding="utf-8")))

    monkeypatch.setattr(day, "_write", watched)


def test_what_the_minutes_do_not_reach_is_named(tmp_path: Path) -> None:
    found = bench_gpu(tmp_path, device="cpu", minutes=0.0)
    assert {each["state"] for each in found["parts"]} == {"not reached"}
    assert (tmp_path / "gpu.md").is_file()


@no_gpu
def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'cuda' is not on this machine.*--device cpu"):
        bench_gpu(tmp_path, device="cuda")
    with pytest.raises(ConfigError, match="hours on a CPU"):
        bench_gpu(tmp_path, device="cpu", tiny=False)


def test_an_unknown_part_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'training'"):
        bench_gpu(tmp_path, device="cpu", only=["trainin"])


def test_the_page_shows_nested_figures_and_errors() -> None:
    done = {"part": "moe", "state": "done", "seconds": 3.0, "result": {"a": {"b": 0.5}, "c": [1, 2]}, "error": ""}
    failed = {"part": "fsdp2", "state": "failed", "seconds": 1.0, "result": {}, "error": "RuntimeError: no"}
    here = {"date": "2026-01-02", "processor": "p", "cores": 2, "gpu": "H100", "torch": "2", "python": "3"}
    text = page({"machine": here, "tiny": False, "parts": [done, failed], "not_begun": ["tests"]})
    for words in ("| a.b | 0.5 |", "| c | 1, 2 |", "RuntimeError: no", "| tests | not begun |", "GPU: H100"):
        assert words in text
    assert "Tiny" not in text
