"""`iai expert export` and `iai expert quantize` as a stranger uses them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experts"))
from artefacts import snapshot
from command_line import error_of, run_json
from tests.experts.expert_models import TEXTS, made, tokenizer

from interconnected_ai.errors import ConfigError, StorageError
from interconnected_ai.experts import export_expert, load_model, save_expert


@pytest.fixture
def expert(tmp_path: Path) -> Path:
    save_expert(made(norm="pre", vocab_size=330, d_model=64, d_ff=128), tmp_path / "mine", tokenizer())
    return tmp_path / "mine"


def test_an_expert_is_exported(expert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run_json(capsys, "expert", "export", str(expert), "--to", "gpt2", "--out", str(tmp_path / "gpt2"))
    assert done["format"] == "gpt2"
    assert (tmp_path / "gpt2" / "model.safetensors").is_file()
    assert done["size_bytes"] > (tmp_path / "gpt2" / "model.safetensors").stat().st_size
    said = run_json(capsys, "expert", "export", str(expert), "--to", "gpt3", "--out", str(tmp_path / "x"), code=2)[
        "error"
    ]["message"]
    assert "unknown format 'gpt3'; known, nearest first: 'gpt2'" in said


def test_an_expert_is_quantised_and_measured(expert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS), encoding="utf-8")
    asked = ["expert", "quantize", str(expert), "--to", "int8", "--out", str(tmp_path / "small")]
    found = run_json(capsys, *asked, "--text", str(text))
    assert found["perplexity_change"] == pytest.approx(found["perplexity_after"] / found["perplexity_before"] - 1)
    assert found["total_bytes"] == found["value_bytes"] + found["scale_bytes"] + found["kept_bytes"]
    assert found["float_bytes"] == 4 * load_model(expert).get_num_params()
    assert load_model(tmp_path / "small").config == load_model(expert).config


def test_without_text_the_perplexity_is_not_made_up(
    expert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_json(capsys, "expert", "quantize", str(expert), "--to", "int4", "--out", str(tmp_path / "small"))
    assert found["perplexity_change"] is None
    assert found["precision"] == "int4"


@pytest.mark.parametrize(
    ("to", "out"), [("gpt2", "out"), ("gguf", "out.gguf"), ("gguf", "out"), ("onnx", "out"), ("ctranslate2", "out")]
)
def test_an_export_in_every_format_spares_the_expert_and_what_stands_there(
    to: str, out: str, expert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if to != "gpt2":
        pytest.importorskip(to)
    monkeypatch.chdir(tmp_path)
    before = snapshot(expert)
    export = ["expert", "export", str(expert), "--to", to, "--out"]
    for place in (expert, expert / ("model.gguf" if to == "gguf" else "inside")):
        assert "which is read" in error_of(capsys, *export, str(place), "--overwrite")
        assert snapshot(expert) == before
        with pytest.raises(ConfigError, match="which is read"):
            export_expert(expert, to, place, overwrite=True)
    done = run_json(capsys, *export, out)
    kept = snapshot(tmp_path)
    assert "--overwrite" in error_of(capsys, *export, out)
    with pytest.raises(StorageError, match="overwrite=True"):
        export_expert(expert, to, out)
    assert snapshot(tmp_path) == kept
    assert run_json(capsys, *export, out, "--overwrite") == done
