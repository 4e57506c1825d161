"""`iai expert` as a stranger uses it: from a text file to an expert, and wrong words on the way."""

import json
from pathlib import Path

import pytest
from command_line import error_of, run_json, run_main

SENTENCES = ("the cat sees a bird", "my dog likes the rain", "one cow follows the river", "a horse knows the storm")
SMALL = (
    "--d-model", "16", "--layers", "1", "--heads", "2", "--seq-len", "16", "--vocab-size", "300", "--batch-size", "4",
    "--epochs", "1", "--precision", "float32", "--device", "cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two text files, and an expert trained on them."""
    folder = tmp_path_factory.mktemp("world")
    for name in ("one", "two"):
        lines = [
            f"{name} {number}: {SENTENCES[number % 4]}, {SENTENCES[(number * 3 + 1) % 4]}." for number in range(80)
        ]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    texts = ["--text", str(folder / "one.txt"), str(folder / "two.txt")]
    assert run_main("expert", "train", *texts, "--unit", "line", "--out", str(folder / "experts" / "pets"), *SMALL) == 0
    return folder


def test_several_files_are_one_text_and_the_expert_can_be_measured(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expert = str(world / "experts" / "pets")
    results = json.loads((world / "experts" / "pets-training" / "results.json").read_text())
    assert results["text"]["total"]["num_documents"] == 160
    own = run_json(capsys, "expert", "evaluate", expert)
    assert own["bits_per_byte"] == pytest.approx(results["test"]["bits_per_byte"], rel=1e-5)
    given = run_json(capsys, "expert", "evaluate", expert, "--text", str(world / "one.txt"))
    assert given["num_bytes"] == (world / "one.txt").stat().st_size
    assert given["perplexity"] > 1


def test_experts_are_listed_with_their_figures(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "expert", "list", str(world / "experts"))["experts"]
    assert [(e["name"], e["max_seq_len"]) for e in found] == [("pets", 16)]
    results = json.loads((world / "experts" / "pets-training" / "results.json").read_text())
    assert found[0]["num_params"] == results["num_params"]
    assert found[0]["bits_per_byte"] == results["test"]["bits_per_byte"]


def test_a_training_is_resumed_by_its_folder_alone(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expert = str(world / "experts" / "pets")
    again = run_json(capsys, "expert", "train", "--out", expert, "--resume")
    results = json.loads((world / "experts" / "pets-training" / "results.json").read_text())
    assert again["fit"]["steps"] == results["fit"]["steps"]
    assert "no training of" in error_of(capsys, "expert", "train", "--out", str(world / "experts" / "x"), "--resume")


def test_a_branch_has_the_shape_and_the_tokenizer_of_its_seed(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed, out = str(world / "experts" / "pets"), str(world / "branch")
    call = ["expert", "train", "--text", str(world / "two.txt"), "--unit", "line", "--init", seed, "--out"]
    short = ["--batch-size", "4", "--steps", "2", "--precision", "float32", "--device", "cpu"]
    told = run_json(capsys, *call, out, *short)
    results = json.loads((world / "experts" / "pets-training" / "results.json").read_text())
    assert told["num_params"] == results["num_params"]
    card = json.loads((world / "branch" / "config.json").read_text())
    assert card["training"]["init"] == "pets"
    assert card["tokenizer_sha256"] == json.loads(Path(seed, "config.json").read_text())["tokenizer_sha256"]
    assert run_json(capsys, "expert", "train", "--out", out, "--resume")["was_finished"]
    assert "n_layers=1" in error_of(capsys, *call, str(world / "wide"), "--layers", "2", *short)
    nowhere = [*call[:-2], str(world / "nowhere"), "--out", str(world / "x")]
    assert "nowhere" in error_of(capsys, *nowhere, *short)


def test_a_config_is_read_and_flags_go_before_it(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "run.yaml").write_text(
        "output: unused\ntext: {paths: [one.txt], unit: line}\n"
        "model: {vocab_size: 300, d_model: 16, n_layers: 1, n_heads: 2, max_seq_len: 16, norm: pre}\n"
        "training: {epochs: 9, batch_size: 4, precision: float32, device: cpu, monitors: []}\n",
        encoding="utf-8",
    )
    out = str(world / "experts" / "configured")
    found = run_json(capsys, "expert", "train", "--config", str(world / "run.yaml"), "--out", out, "--steps", "3")
    assert found["fit"]["steps"] == 3
    assert found["text"]["total"]["num_documents"] == 80
    assert not (Path("unused")).exists()


def test_wrong_words_get_one_clear_message_and_exit_code_2(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, out = str(world / "one.txt"), str(world / "experts" / "new")
    train = ("expert", "train", "--text", text, "--out", out)
    assert "--text FILES" in error_of(capsys, "expert", "train", "--out", out)
    assert "--out experts/NAME" in error_of(capsys, "expert", "train", "--text", text)
    assert "nearest first: 'small'" in error_of(capsys, *train, "--preset", "smal")
    assert "n_heads must divide it" in error_of(capsys, *train, "--d-model", "30", "--heads", "4")
    assert "no file or folder at" in error_of(capsys, "expert", "train", "--text", "nowhere.txt", "--out", out)
    assert "unknown device 'tpu'" in error_of(capsys, *train, "--device", "tpu")
    assert "one batch of batch_size=9999" in error_of(capsys, *train, *SMALL, "--unit", "line", "--batch-size", "9999")
    assert "holds an expert" in error_of(capsys, *train[:-1], str(world / "experts" / "pets"))
    assert "no folder at" in error_of(capsys, "expert", "evaluate", str(world / "experts" / "nobody"))
    assert "no command 'trian'; known, nearest first: train" in error_of(capsys, "expert", "trian")
    (world / "bad.txt").write_bytes("кошка".encode("cp1251"))
    pets = str(world / "experts" / "pets")
    assert "not UTF-8" in error_of(capsys, "expert", "evaluate", pets, "--text", str(world / "bad.txt"))


def test_the_command_to_try_can_be_typed_as_it_stands(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = world / "мои эксперты" / "the pets"
    texts = ("--text", str(world / "one.txt"), "--unit", "line")
    assert run_main("expert", "train", *texts, "--out", str(out), *SMALL) == 0
    told = " ".join(capsys.readouterr().out.split())  # as wide as the terminal
    assert f"Try: iai generate '{out}'" in told


def test_what_is_said_of_adapters_needs_a_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, named in ((("--steps", "3"), "--steps"), (("--no-scratch",), "--no-scratch")):
        assert run_main("expert", "quickstart", "--output", str(tmp_path / "experts"), *options) == 2
        assert f"{named} says something of adapters alone" in capsys.readouterr().err
    assert not (tmp_path / "experts").exists()
