"""`iai plan` as a stranger uses it: from flags, files and runs, to configs, pictures and answers, and wrong words."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import command_line
import pytest

from conftest import make_encoder, make_rows
from interconnected_ai.cli import main
from interconnected_ai.config import RunConfig
from interconnected_ai.data import load_splits, write_rows
from interconnected_ai.planner import find_device, load_calibration

QWEN3 = {
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 151936,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 768,
    "tie_word_embeddings": False,
    "max_position_embeddings": 40960,
    "torch_dtype": "bfloat16",
}


@pytest.fixture(autouse=True)
def no_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans rest on the table, not on what somebody measured here."""
    monkeypatch.setenv("IAI_HOME", str(tmp_path / "home"))


def run_main(*args: str) -> int:
    return command_line.run_main("plan", *args)


def run_json(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> Any:
    return command_line.run_json(capsys, "plan", *args, code=code)


def test_without_any_flag_the_documents_system_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "system")
    assert [b["name"] for b in found["request"]["system"]["branches"]] == ["Bio-Elec", "Neuro-6G", "IoBNT"]
    assert [way["name"] for way in found["ways"]] == ["dense", "moe", "added branch"]
    assert not found["assumption"]["measured"]


def test_a_whole_plan_needs_no_torch() -> None:
    code = (
        "import sys; from interconnected_ai.cli import main\ntry: main(['plan', 'system'])\nexcept SystemExit: pass\n"
    )
    code += "print([m for m in ('torch', 'transformers', 'numpy', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Recommended: moe" in done.stdout


def test_flags_become_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(
        capsys,
        *"system --branches 6 --classes 12 --experts 16 --top-k 4 --d-ff 256 --tokens 20 --rows 5000".split(),
        *"--device L4 --growth 3 --budget 5 --set system.num_moe_layers=1 --set system.pooling=cls".split(),
        *"--set system.max_seq_len=64 --set training.batch_size=32 --set training.lr_moe=1e-3".split(),
        *"--set added.num_classes=9 --set added.num_rows=200 --set accuracy_floor=0.9".split(),
        *"--set requests_per_batch=8 --set system.lora_rank=4".split(),
    )["request"]
    system = found["system"]
    assert len(system["branches"]) == 6
    assert {b["num_classes"] for b in system["branches"]} == {12}
    chosen = (system["num_experts"], system["top_k"], system["num_moe_layers"], system["d_ff"], system["pooling"])
    assert chosen == (16, 4, 1, 256, "cls")
    assert (found["tokens_per_text"], found["num_rows"], found["requests_per_batch"]) == (20, 5000, 8)
    assert found["added"] == {"num_classes": 9, "num_rows": 200}
    assert (found["training"]["batch_size"], found["training"]["lr_moe"]) == (32, 1e-3)
    assert (found["added_branches"], found["accuracy_floor"], found["budget_usd"]) == (3, 0.9, 5.0)


def test_the_table_for_people_holds_the_figures_of_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "system", "--device", "L4")
    run_main("system", "--device", "L4")
    shown = capsys.readouterr().out
    for way in found["ways"]:
        assert f"{way['num_params']:,}" in shown
    assert "assumed, not measured" in shown


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with an encoder and data."""
    made = make_encoder()
    made.model.save_pretrained(tmp_path / "encoder")  # type: ignore[operator]
    made.tokenizer.save_pretrained(tmp_path / "encoder")
    write_rows(tmp_path / "topics.jsonl", *make_rows("topics", 90).of("topics"))
    return tmp_path


def test_a_written_config_is_trained_unchanged_and_its_run_planned_again(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    flags = "system --branches 1 --classes 3 --experts 2 --d-ff 16 --set system.max_seq_len=16".split()
    flags += "--set training.batch_size=16 --set training.epochs=1 --set system.wide_terms=0".split()
    target = world / "planned.yaml"
    data = ["--data", f"topics={world / 'topics.jsonl'}"]
    planned = run_json(capsys, *flags, "--encoder", str(world / "encoder"), "--write", str(target), *data)
    assert RunConfig.from_file(target).system.d_ff == 16
    with pytest.raises(SystemExit) as leave:
        main(["train", str(target), "--json"])
    assert leave.value.code in (0, None)
    capsys.readouterr()
    again = run_json(capsys, "system", str(world / "runs" / "planned"))
    ours = [next(way for way in found["ways"] if way["name"] == "moe") for found in (planned, again)]
    assert ours[0]["num_params"] == ours[1]["num_params"]
    learnt = load_splits(RunConfig.from_file(target).data, relative_to=world).train
    assert again["request"]["num_rows"] == len(learnt)


def test_a_written_config_leaves_open_what_its_rows_decide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "planned.yaml"
    planned = run_json(capsys, "system", "--rows", "2000", "--device", "T4", "--write", str(target))
    assert planned["first_steps"]["steps"]
    written = RunConfig.from_file(target)
    assert written.training.encoder_steps is None
    assert not written.system.encoder_lora_rank


def test_an_existing_file_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mine.yaml"
    target.write_text("mine", encoding="utf-8")
    assert run_json(capsys, "system", "--write", str(target), code=2)["error"]["kind"] == "StorageError"
    assert target.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(("name", "begins"), [("p.png", b"\x89PNG"), ("p.svg", b"<?xml"), ("p.html", b"<!doctype")])
def test_the_comparison_is_drawn(tmp_path: Path, name: str, begins: bytes) -> None:
    assert run_main("system", "--branches", "5", "--plot", str(tmp_path / name)) == 0
    content = (tmp_path / name).read_bytes()
    assert content.startswith(begins)
    if name.endswith("html"):
        assert b"Recommended" in content
        assert b"<svg" in content
        assert b"http" not in content.replace(b"http://www.w3.org", b"").replace(b"http://purl.org", b"").replace(
            b"http://creativecommons.org", b""
        ).replace(b"https://matplotlib.org", b"")
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".part"] == []


def test_the_largest_fit_is_searched(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "fit", "--memory-gb", "2", "--tokens", "30", "--device", "L4")
    assert next(way for way in found["ways"] if way["name"] == "moe")["fits_training"]


def test_a_hyperparameter_is_explained_in_both_languages(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "explain", "AUX_LOSS_WEIGHT")
    assert found["name"] == "balance_loss_weight"
    assert found["default"] == found["document_default"] == 0.01
    russian = run_json(capsys, "explain", "top_k", "--language", "ru")["does"]
    assert any("а" <= letter <= "я" for letter in russian)
    assert "nearest first" in run_json(capsys, "explain", "num_expert", code=2)["error"]["message"]


def test_the_documents_table_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    claims = {claim["what"]: claim for claim in run_json(capsys, "document")["claims"]}
    assert claims["parameters, MoE"]["claimed"] == "11.8B"
    assert claims["parameters, MoE"]["computed"] == "11.31B"


def test_an_expert_and_a_pool_are_sized(capsys: pytest.CaptureFixture[str]) -> None:
    expert = run_json(
        capsys, "expert", "--vocab-size", "5000", "--d-model", "256", "--layers", "4", "--device", "RTX 3060"
    )
    assert expert["num_params"] == 5_719_552
    assert expert["precisions"]["int8"]["weight_bytes"] * 4 == expert["precisions"]["float32"]["weight_bytes"]
    pool = run_json(capsys, "pool", "--experts", "64", "--ram-gb", "0.5", "--preset", "small", "--context", "256")
    assert 0 < pool["num_resident"] < 64
    assert pool["used_bytes"] <= 5e8
    assert not run_json(capsys, "pool", "--experts", "4", "--ram-gb", "0.001", "--preset", "large")["fits"]


def test_a_pretrained_moe_is_sized_from_its_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN3), encoding="utf-8")
    found = run_json(capsys, "surgery", "--config", str(tmp_path), "--device", "H100 SXM")
    assert found["model"]["num_params"] == 30_532_122_624
    ways = {way["name"]: way for way in found["ways"]}
    assert ways["inference"]["best"]["num_devices"] == 1
    assert ways["full"]["best"]["num_devices"] > 1
    assert ways["router-only"]["num_trainable_params"] == 48 * 128 * 2048
    assert run_main("surgery", "--config", str(tmp_path)) == 0
    assert "30,532,122,624 parameters" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["system", "--device", "RTX 4091"], "unknown device 'RTX 4091'; known, nearest first: 'RTX 4090'"),
        (["system", "--encoder", "roberta-bas"], "roberta-base"),
        (["system", "--rows", "0"], "num_rows"),
        (["system", "--experts", "1"], "num_experts"),
        (["system", "--experts", "4", "--top-k", "5"], "top_k=5 of num_experts=4"),
        (["system", "--classes", "ten"], "needs a whole number"),
        (["system", "--branches", "3", "--classes", "10,20"], "2 numbers for 3 branches"),
        (["system", "--memory-gb", "-1"], "-1.0 is not in the range 0<x<=1000000000.0"),
        (["system", "--plot", "plan.gif"], "ends in .png, .svg, .html"),
        (["system", "--data", "x", "--write", "new.yaml"], "needs BRANCH=FILE"),
        (["system", "no-such.yaml"], "no config at no-such.yaml"),
        (["system", "--set", "precision=bfloat16", "--device", "T4"], "T4 does not compute in bfloat16"),
        (["system", "--set", "d_ff"], "'d_ff' is no setting; write KEY=VALUE"),
        (["system", "--set", "system.dff=3"], "unknown key 'system.dff'; known, nearest first: d_ff"),
        (["system", "--set", "system=3"], "system = 3"),
        (["system", "--set", "device=a", "--set", "device.name=b"], "cannot hold other keys"),
        (["system", "--set", "num_rows=[1"], "not valid YAML"),
        (["--branches", "5"], "No such option"),
        (["expert"], "give --vocab-size, or --preset"),
        (["expert", "--preset", "Hugo"], "known, nearest first"),
        (["expert", "--vocab-size", "100", "--d-model", "100", "--heads", "3"], "100"),
        (["pool", "--experts", "2", "--ram-gb", "1", "--preset", "small", "--active", "3"], "num_active=3"),
        (["surgery", "--config", "nothing"], "no config.json"),
        (["surgery"], "--config"),
    ],
)
def test_wrong_words_end_in_one_clear_sentence(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run_json(capsys, *args, code=2)
    assert said in found["error"]["message"]
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_architecture_is_named_and_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}), encoding="utf-8")
    message = run_json(capsys, "surgery", "--config", str(tmp_path), code=2)["error"]["message"]
    assert "llama" in message
    assert "qwen3_moe" in message


def test_a_config_with_keys_of_a_newer_version_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plan.yaml").write_text("system: {branches: [{name: a, num_classes: 3}], hyperdrive: 2}\n")
    message = run_json(capsys, "system", str(tmp_path / "plan.yaml"), code=2)["error"]["message"]
    assert "unknown key 'system.hyperdrive'" in message


def test_a_row_of_ones_own_is_planned_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "devices.yaml"
    rows.write_text(
        "- {name: my card, kind: gpu, memory_bytes: 8e9, memory_bandwidth: 3e11, peak_flops: {float32: 1e13},\n"
        "   usd_per_hour: 0.1}\n"
    )
    found = run_json(capsys, "system", "--device", "my card", "--devices", str(rows))
    assert found["device"]["name"] == "my card"
    assert found["ways"][1]["usd"]["expected"] > 0


@pytest.mark.slow
def test_this_machine_is_measured_and_plans_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "calibrate")
    assert Path(found["path"]).is_file()
    kept = load_calibration()
    assert kept is not None
    assert kept == find_device("this machine").with_changes(memory_bytes=kept.memory_bytes)
    planned = run_json(capsys, "system")
    assert planned["assumption"]["measured"]
    assert kept.calibration is not None
    assert kept.calibration.date in planned["assumption"]["text"]
