"""`iai surgery`: every verb on a tiny model with a tokenizer, and what it says about mistakes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from artefacts import make_base
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

from interconnected_ai import surgery
from interconnected_ai.cli import main
from interconnected_ai.cli.surgery.inputs import texts_in
from interconnected_ai.errors import DataError
from interconnected_ai.experts import GgufModel

WORDS = (
    "sun rain cloud wind snow storm mist warm coin bank loan stock fund money price trade the a of and is was".split()
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny Qwen3-MoE with a word tokenizer, as it would be fetched."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}, "<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(tmp_path / "model")
    config = Qwen3MoeConfig(
        vocab_size=len(WORDS) + 3, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        head_dim=8, moe_intermediate_size=8, num_experts=8, num_experts_per_tok=2, norm_topk_prob=True,
        max_position_embeddings=64,
        pad_token_id=0, eos_token_id=1, bos_token_id=1, initializer_range=0.3,
    )  # fmt: skip
    Qwen3MoeForCausalLM(config).save_pretrained(tmp_path / "model")
    for name, start in (("weather", 0), ("bank", 8)):
        (tmp_path / name).mkdir()
        for number in range(6):
            words = [WORDS[start + (number + i) % 8] for i in range(12)]
            (tmp_path / name / f"{number}.txt").write_text(" ".join(words), encoding="utf-8")
    return tmp_path


ROLE = ["role", "{}/model", "--name", "law", "--texts", "{}/weather", "--steps", "1", "--output", "{}/out"]


def run(capsys: pytest.CaptureFixture[str], *arguments: Any, code: int = 0) -> dict[str, Any]:
    with pytest.raises(SystemExit) as left:
        main(["surgery", *map(str, arguments), "--json"])
    shown = capsys.readouterr()
    assert left.value.code == code, shown.err
    return dict(json.loads(shown.out))


def test_inspect_reads_the_anatomy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "inspect", folder / "model")
    assert found["family"] == "Qwen3-MoE"
    assert found["top_k"] == 2
    assert [layer["num_experts"] for layer in found["layers"]] == [8, 8]
    assert found["layers"][0]["expert_params"] == 3 * 16 * 8


def test_files_are_edited_without_loading(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = folder / "model"
    assert run(capsys, "top-k", model, 3, "--output", folder / "k")["top_k"] == 3
    assert AutoModelForCausalLM.from_pretrained(folder / "k").config.num_experts_per_tok == 3
    assert run(capsys, "remove", model, "--experts", "1,5-6", "--output", folder / "less")["num_experts"] == 5
    assert AutoModelForCausalLM.from_pretrained(folder / "less").model.layers[1].mlp.gate.weight.shape[0] == 5
    run(
        capsys,
        "replace",
        model,
        "--layer",
        0,
        "--expert",
        1,
        "--with",
        "1:2",
        "--with",
        "1:3",
        "--output",
        folder / "new",
    )
    old, new = (AutoModelForCausalLM.from_pretrained(folder / name).model.layers for name in ("model", "new"))
    mean = old[1].mlp.experts.down_proj[2:4].mean(dim=0)
    torch.testing.assert_close(new[0].mlp.experts.down_proj[1], mean)


def test_an_inserted_expert_waits_in_a_side_car(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "insert", folder / "model", "--like", 3, "--output", folder / "more")
    assert done == {"folder": str(folder / "more"), "experts": {"0": [8], "1": [8]}, "vanilla": False}
    assert run(capsys, "insert", folder / "model", "--let-in", "--output", folder / "open")["vanilla"]


def test_usage_counts_and_draws(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    found = run(
        capsys, "usage", folder / "model", "--texts", folder / "weather", "--texts", folder / "bank", "--plot",
        folder / "use.png", "--generate", 3,
    )  # fmt: skip
    assert found["domains"]["weather"]["tokens"] == 6 * 12 + 6 * 2  # the last written token is never read again
    assert found["domains"]["weather"]["generated_tokens"] == 6 * 2
    assert all(sum(layer) == pytest.approx(1) for layer in found["domains"]["bank"]["share"])
    assert len(found["suggested"]["bank"]["0"]) == 2
    assert (folder / "use.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("method", ["lora", "full", "router"])
def test_a_role_is_made_kept_and_opened_again(folder: Path, capsys: pytest.CaptureFixture[str], method: str) -> None:
    done = run(
        capsys, "role", folder / "model", "--name", "weather", "--texts", folder / "weather", "--others", folder / "bank",
        "--method", method, "--steps", 60, "--batch-size", 4, "--seq-tokens", 16, "--learning-rate", 0.03,
        *(["--rank", 4] if method == "lora" else []), "--output", folder / "role",
    )  # fmt: skip
    measured = done["perplexity"]
    assert measured["role_after"] < measured["role_before"]
    if method != "router":
        assert measured["others_after"] == pytest.approx(
            measured["others_before"], rel=0.03
        )  # a 27th token takes its part
    from interconnected_ai import surgery

    moe = surgery.open(folder / "role")
    assert moe.program.roles == {"weather": done["token_id"]}
    assert moe.tokenizer.convert_tokens_to_ids("<|role=weather|>") == done["token_id"]
    if method != "router":
        assert list(moe.adapters) == ["weather"]


def test_a_recipe_is_applied(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from interconnected_ai import surgery

    moe = surgery.open(folder / "model")
    moe.set_top_k(3)
    moe.recipe().save(folder / "recipe.yaml")
    for number, extra in enumerate([[], ["--streaming"]]):
        target = folder / f"applied{number}"
        assert run(capsys, "apply", folder / "recipe.yaml", folder / "model", "--output", target, *extra)["vanilla"]
        assert AutoModelForCausalLM.from_pretrained(target).config.num_experts_per_tok == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["inspect", "{}/nothing"], "no config.json"),
        (["top-k", "{}/model", "9", "--output", "{}/out"], "from 1 to 8"),
        (["remove", "{}/model", "--experts", "0-6", "--output", "{}/out"], "lower top-k first"),
        (["remove", "{}/model", "--experts", "x", "--output", "{}/out"], "needs numbers and ranges"),
        (["replace", "{}/model", "--layer", "0", "--expert", "9", "--with", "1:2", "--output", "{}/out"], "0 to 7"),
        (
            ["replace", "{}/model", "--layer", "0", "--expert", "1", "--with", "12", "--output", "{}/out"],
            "LAYER:EXPERT",
        ),
        (["insert", "{}/model", "--like", "8", "--output", "{}/out"], "0 to 7"),
        (["usage", "{}/model", "--texts", "{}/model/model.safetensors"], "not UTF-8"),
        (["apply", "{}/weather/0.txt", "{}/model", "--output", "{}/out"], "is no recipe"),
        (["usage", "{}/model", "--texts", "{}/weather", "--plot", "{}/x.docx"], ".png"),
        (["usage", "{}/model", "--texts", "{}/weather", "--plot", "{}/x"], ".png"),
        (["usage", "{}/model", "--texts", "{}/weather", "--texts", "{}/model/../weather"], "two domains"),
        (["usage", "{}/model", "--texts", "{}/weather", "--share", "0"], "range"),
        (["usage", "{}/model", "--texts", "{}/weather", "--share", "nan"], "nan"),
        (["usage", "{}/broken", "--texts", "{}/weather"], "is truncated"),
        (["inspect", "{}/broken"], "is truncated"),
        (["top-k", "{}/broken", "3", "--output", "{}/out"], "is truncated"),
        (["insert", "{}/broken", "--output", "{}/out"], "is truncated"),
        (["remove", "{}/model", "--experts", "0-99999999999", "--output", "{}/out"], "needs numbers and ranges"),
        (["remove", "{}/model", "--experts", "²", "--output", "{}/out"], "needs numbers and ranges"),
        (
            ["replace", "{}/model", "--layer", "0", "--expert", "1", "--with", "²:1", "--output", "{}/out"],
            "LAYER:EXPERT",
        ),
        (["replace", "{}/model", "--layer", "7", "--expert", "1", "--with", "1:2", "--output", "{}/out"], "layer 7"),
        (["insert", "{}/model", "--layers", "9", "--output", "{}/out"], "layer 9 has no experts"),
        (["top-k", "{}/model", "3", "--output", "{}/model/config.json/out"], "which is a file"),
        (["top-k", "{}/model", "3", "--output", "{}/weather"], "not written by this package"),
        ([*ROLE, "--learning-rate", "-1"], "range"),
        ([*ROLE, "--learning-rate", "0"], "range"),
        ([*ROLE, "--learning-rate", "nan"], "nan"),
        ([*ROLE, "--learning-rate", "inf"], "inf"),
        ([*ROLE, "--learning-rate", "fast"], "fast"),
        ([*ROLE, "--experts", "9"], "0 to 7"),
        ([*ROLE, "--seed", "-1"], "seed = -1"),
        ([*ROLE, "--name", ""], "needs 1 to 63 letters"),
        ([*ROLE, "--others", "{}/latin.txt"], "not UTF-8"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    shutil.copytree(folder / "model", folder / "broken")
    weights = folder / "broken" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    (folder / "latin.txt").write_bytes("дождь".encode("cp1251"))
    answer = run(capsys, *(each.format(folder) for each in arguments), code=2)
    assert said in answer["error"]["message"]
    assert not (folder / "out").exists()


def test_what_stands_beside_the_weights_follows_an_edit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from interconnected_ai import surgery
    from interconnected_ai.surgery import Program, Rule

    moe = surgery.open(folder / "model")
    moe.set_program(Program(rules=(Rule(do="prefer", experts=(6,)),)))
    moe.lora({0: [5]}, rank=2)
    moe.save(folder / "ruled")
    found = run(capsys, "inspect", folder / "ruled")
    assert found["side_car"]
    assert found["num_params"] == run(capsys, "inspect", folder / "model")["num_params"]
    assert found["router"] == "softmax over all, scaled to sum to 1"
    assert run(capsys, "remove", folder / "ruled", "--experts", "1", "--output", folder / "less")["num_experts"] == 7
    run(capsys, "top-k", folder / "ruled", 3, "--output", folder / "k")
    run(capsys, "replace", folder / "ruled", "--layer", 0, "--expert", 1, "--with", "1:2", "--output", folder / "new")
    less, wider, new = (surgery.open(folder / name) for name in ("less", "k", "new"))
    assert less.program.rules[0].experts == (5,)
    assert less.adapters["lora"].spec.experts == {0: (4,)}
    assert wider.layers[1].top_k == 3
    assert torch.equal(new.layers[0].read(1).down, moe.layers[1].read(2).down)
    for each in (wider, new):
        assert each.program == moe.program
        assert list(each.adapters) == ["lora"]
    wider.set_top_k(2)
    wider.recipe().save(folder / "recipe.yaml")
    answer = run(capsys, "apply", folder / "recipe.yaml", folder / "k", "--streaming", "--output", folder / "x", code=2)
    assert "surgery.json beside its weights" in answer["error"]["message"]
    answer = run(capsys, "remove", folder / "ruled", "--experts", "6", "--output", folder / "out", code=2)
    assert "would have none left in layer 0" in answer["error"]["message"]
    answer = run(capsys, "remove", folder / "ruled", "--experts", "5", "--output", folder / "out", code=2)
    assert "adapter 'lora' stands in for expert 5 of layer 0" in answer["error"]["message"]
    assert not (folder / "out").exists()


def test_texts_that_hold_other_ends_of_lines_are_read_and_a_bad_row_is_named_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"text": "one\u2028two\x85three"}\n\n{"text": "four"}\n', encoding="utf-8")
    assert texts_in(file) == ["one\u2028two\x85three", "four"]
    file.write_text('{"text": "one\u2028two"}\n\n{"txt": "four"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"texts\.jsonl, line 3: needs"):
        texts_in(file)


def test_prune_says_what_it_costs_and_writes_a_model_that_vanilla_transformers_opens(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["prune", folder / "model", "--texts", folder / "weather", "--keep", "0.5", "--seq-tokens", "8"]
    dry = run(capsys, *asked)
    assert dry["dry_run"]
    assert set(dry["perplexity"]) == {"before", "pruned"}
    found = run(capsys, *asked, "--repair", "router", "--steps", "2", "--output", folder / "out")
    assert set(found["perplexity"]) == {"before", "pruned", "repaired"}
    assert found["perplexity"]["pruned"] == dry["perplexity"]["pruned"]
    assert {len(gone) for gone in found["removed"].values()} == {4}
    assert AutoModelForCausalLM.from_pretrained(folder / "out").config.num_experts == 4


def test_prune_compares_methods_and_shares_in_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(
        capsys, "prune", folder / "model", "--texts", folder / "weather", "--table", "--method", "use", "--method", "random",
        "--keep", "0.5", "--random-seeds", "2", "--seq-tokens", "8", "--repair", "lora", "--rank", "2", "--steps", "1",
    )  # fmt: skip
    assert [(row["method"], row["seed"]) for row in found["rows"]] == [
        ("whole", 0), ("use", 0), ("random", 0), ("random", 1),
    ]  # fmt: skip
    assert all(row["repaired"] > 0 for row in found["rows"])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--keep", "0.5", "--keep", "0.25"], "--table"),
        (["--table", "--output", "x"], "--table writes no model"),
        (["--steps", "3"], "--repair"),
        (["--repair", "router", "--rank", "3"], "--rank"),
        (["--random-seeds", "2"], "--random-seeds"),
    ],
)
def test_what_prune_would_ignore_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["surgery", "prune", str(folder / "model"), "--texts", str(folder / "weather"), *more])
    assert left.value.code == 2
    assert told in capsys.readouterr().err


def test_prune_keeps_what_top_k_needs_unless_it_is_lowered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["prune", folder / "model", "--texts", folder / "weather", "--keep", "0.125", "--seq-tokens", "8"]
    with pytest.raises(SystemExit) as left:
        main(["surgery", *map(str, asked)])
    assert left.value.code == 2
    assert "--top-k" in capsys.readouterr().err
    found = run(capsys, *asked, "--top-k", "1", "--output", folder / "one")
    assert {len(gone) for gone in found["removed"].values()} == {7}


def test_export_writes_a_file_that_llamacpp_opens_and_refuses_what_it_cannot_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gguf")
    make_base(tmp_path / "base")
    surgery.upcycle(str(tmp_path / "base"), num_experts=4, top_k=2).save(tmp_path / "model")
    run(capsys, "remove", tmp_path / "model", "--experts", "1", "--output", tmp_path / "edited")
    found = run(capsys, "export", tmp_path / "edited", "--output", tmp_path / "edited.gguf", "--quantize", "float16")
    assert found["family"] == "Mixtral"
    assert (tmp_path / "edited.gguf").stat().st_size == found["size_bytes"]
    assert GgufModel.read(tmp_path / "edited.gguf").metadata["llama.expert_count"] == 3
    run(capsys, "insert", tmp_path / "model", "--like", "1", "--output", tmp_path / "closed")
    with pytest.raises(SystemExit) as left:
        main(["surgery", "export", str(tmp_path / "closed"), "--output", str(tmp_path / "closed.gguf")])
    assert left.value.code == 2
    assert "closed or warming experts" in capsys.readouterr().err
    assert not (tmp_path / "closed.gguf").exists()
