"""The expert verbs on experts of several kinds: each does what its kind can, and says why where it cannot."""

import json
from pathlib import Path

import pytest
from command_line import error_of, run_json, run_main
from tests.experts.causal_folders import TEXTS, causal_folder

from interconnected_ai.experts import ExpertCard, ExpertModel, save_expert
from interconnected_ai.text import Tokenizer


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One from nothing, a Hugging Face model, a server, and a file that is broken."""
    folder = tmp_path_factory.mktemp("experts")
    words = Tokenizer.train(TEXTS, 300)
    model = ExpertModel(words.vocab_size, d_model=32, n_layers=1, n_heads=2, max_seq_len=64, norm="pre")
    save_expert(model, folder / "own", words, ExpertCard("own", training={"bits_per_byte": 1.5}))
    causal_folder(folder / "llama", card="---\nlicense: mit\nlanguage: [en]\n---\n")
    (folder / "server").mkdir()
    (folder / "server" / "remote.json").write_text(json.dumps({"base_url": "http://127.0.0.1:9/v1", "model": "theirs"}))
    (folder / "cut.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    (folder / "text.md").write_text("\n\n".join(TEXTS[:3]))
    return folder


def test_the_list_names_every_kind_and_goes_on_after_one_that_is_broken(
    experts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = run_json(capsys, "expert", "list", str(experts))
    found = {row["name"]: row for row in listed["experts"]}
    assert {name: row["kind"] for name, row in found.items()} == {
        "own": "expert",
        "llama": "causal",
        "server": "remote",
    }
    assert (found["llama"]["licence"], found["llama"]["languages"]) == ("mit", ["en"])
    assert found["own"]["bits_per_byte"] == 1.5
    (broken,) = listed["unreadable"]
    assert broken["name"] == "cut.gguf"
    assert "cut off" in broken["error"]
    assert run_main("expert", "list", str(experts)) == 0
    told = capsys.readouterr()
    assert "cut.gguf cannot be read" in told.out
    assert all(kind in told.out for kind in ("expert", "causal", "remote"))


def test_a_hugging_face_model_is_generated_with_measured_and_exported(
    experts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    llama = str(experts / "llama")
    asked = ("generate", llama, "the expert", "--max-new-tokens", "5", "--temperature", "0")
    answer = run_json(capsys, *asked)
    assert answer["engine"] == "torch"
    assert len(answer["answers"][0]["token_ids"]) <= 5
    measured = run_json(capsys, "expert", "evaluate", llama, "--text", str(experts / "text.md"))
    assert measured["bits_per_byte"] > 0
    done = run_json(capsys, "expert", "export", llama, "--to", "safetensors", "--out", str(tmp_path / "out"))
    assert done["size_bytes"] > 0
    assert run_json(capsys, "generate", str(tmp_path / "out"), *asked[2:])["answers"] == answer["answers"]
    again = run_json(capsys, "expert", "evaluate", str(tmp_path / "out"), "--text", str(experts / "text.md"))
    assert again["bits_per_byte"] == pytest.approx(measured["bits_per_byte"])


def test_what_a_kind_cannot_is_said_in_one_line(
    experts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, server, llama = str(tmp_path / "out"), str(experts / "server"), str(experts / "llama")
    for words, args in {
        "does not tell the probabilities": ("expert", "evaluate", server, "--text", str(experts / "text.md")),
        "on a server and not here; quantise": ("expert", "quantize", server, "--to", "int8", "--out", out),
        "on a server and not here; export": ("expert", "export", server, "--to", "gguf", "--out", out),
        "not quantised in place": ("expert", "quantize", llama, "--to", "int8", "--out", out),
        "cannot be written as gpt2": ("expert", "export", llama, "--to", "gpt2", "--out", out),
        "the engine onnx cannot run": ("generate", llama, "x", "--engine", "onnx"),
        "is cut off": ("generate", str(experts / "cut.gguf"), "x"),
        "holds no expert; known are": ("generate", str(experts / "text.md"), "x"),
    }.items():
        message = error_of(capsys, *args)
        assert words in message
        assert "\n" not in message
    assert not (tmp_path / "out").exists()
