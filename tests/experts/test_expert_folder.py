"""An expert on disk: back to the last bit, the document's own snippet, and everything that can be wrong with a folder."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from expert_models import TEXTS, ids, made, tokenizer

from interconnected_ai import ExpertModel
from interconnected_ai.errors import FormatVersionError, IntegrityError, NotAModelError, TokenizerError, UnsafeFileError
from interconnected_ai.experts import ExpertCard, load_card, load_expert, load_model, load_tokenizer, save_expert
from interconnected_ai.text import Tokenizer


@pytest.mark.parametrize("settings", [{}, {"norm": "pre", "tie_weights": True}])
def test_a_saved_model_comes_back_to_the_last_bit(tmp_path: Path, settings: dict[str, object]) -> None:
    model = made(**settings)
    model.save_pretrained(tmp_path / "expert")
    again = ExpertModel.from_pretrained(tmp_path / "expert")
    assert again.get_model_config() == model.get_model_config()
    assert not again.training
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(again(ids(2, 7)), model(ids(2, 7)))
    assert again.get_num_params() == model.get_num_params()


@pytest.mark.parametrize("tied", [False, True])
def test_a_loaded_model_trains_and_leaves_its_file_alone(tmp_path: Path, tied: bool) -> None:
    made(tie_weights=tied).save_pretrained(tmp_path / "expert")
    model = load_model(tmp_path / "expert").train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model(ids(2, 5)).square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    optimizer.step()
    assert (model.head.weight is model.embedding.weight) == tied
    again = load_model(tmp_path / "expert")
    assert torch.equal(again(ids(2, 5)), made(tie_weights=tied)(ids(2, 5)))


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    for name, tied in (("free", False), ("tied", True)):
        made(tie_weights=tied).save_pretrained(tmp_path / name)
    free, tied_bytes = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("free", "tied"))
    assert free - tied_bytes >= 97 * 32 * 4


def test_the_documents_own_snippet_works_and_loads_weights_only(tmp_path: Path) -> None:
    model = made()
    checkpoint = {"model_state_dict": model.state_dict(), "config": model.get_model_config()}
    torch.save(checkpoint, tmp_path / "model.pt")

    checkpoint = torch.load(tmp_path / "model.pt", weights_only=True)
    again = ExpertModel(**checkpoint["config"])
    again.load_state_dict(checkpoint["model_state_dict"])
    assert (again.eval()(ids(1, 6)) - model(ids(1, 6))).abs().max().item() == 0.0


def test_model_tokenizer_and_card_travel_together(tmp_path: Path) -> None:
    card = ExpertCard("docs", training={"bits_per_byte": 1.25})
    save_expert(made(vocab_size=400), tmp_path / "expert", tokenizer(), card)
    model, words, read = load_expert(tmp_path / "expert")
    assert model.config.vocab_size == 400
    assert words.encode("the experts") == tokenizer().encode("the experts")
    assert read == ExpertCard("docs", tokenizer().sha256, {"bits_per_byte": 1.25})
    assert load_card(tmp_path / "expert") == read
    assert load_tokenizer(tmp_path / "expert").sha256 == tokenizer().sha256
    readme = (tmp_path / "expert" / "README.md").read_text(encoding="utf-8")
    assert "# docs" in readme
    assert "| bits_per_byte | 1.25 |" in readme
    assert f"{model.get_num_params():,} parameters" in readme


# What can be wrong


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made(vocab_size=400).save_pretrained(tmp_path / "expert", tokenizer=tokenizer())
    return tmp_path / "expert"


def test_truncated_weights_are_noticed(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match=r"model\.safetensors has \d+ bytes, saved were"):
        load_model(folder)


def test_one_altered_byte_is_noticed_although_the_folder_was_read_before(folder: Path) -> None:
    load_model(folder)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(IntegrityError, match="altered after saving"):
        load_model(folder)


def test_a_config_of_another_shape_is_noticed(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    content["model"]["d_ff"] = 52
    _rewrite(folder, "config.json", content)
    with pytest.raises(
        IntegrityError, match=r"blocks\.0\.feed_forward\.w_in\.bias' has shape \(48,\), .* asks for \(52,\)"
    ):
        load_model(folder)


def test_a_newer_format_is_named(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format_version": 99}))
    with pytest.raises(FormatVersionError, match="format version 99"):
        load_model(folder)


def test_another_models_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    other = Tokenizer.train(["quite another text, of quite other words"], 330)
    with pytest.raises(TokenizerError, match="is not the one that expert"):
        save_expert(load_model(folder), tmp_path / "new", other, load_card(folder))
    other.save(folder / "tokenizer.json")
    _rewrite(folder, "tokenizer.json", None)
    with pytest.raises(TokenizerError, match="is not the one that expert"):
        load_tokenizer(folder)
    with pytest.raises(TokenizerError, match="the model knows 97"):
        save_expert(made(), tmp_path / "small", tokenizer())


def test_no_tokenizer_no_folder_and_a_pickle_are_named(tmp_path: Path) -> None:
    made().save_pretrained(tmp_path / "bare")
    with pytest.raises(TokenizerError, match=r"holds no tokenizer\.json"):
        load_tokenizer(tmp_path / "bare")
    with pytest.raises(NotAModelError, match="no folder"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "pickled").mkdir()
    torch.save({}, tmp_path / "pickled" / "model.pt")
    with pytest.raises(UnsafeFileError, match="pickle"):
        load_model(tmp_path / "pickled")
    shutil.rmtree(tmp_path / "pickled")


def _rewrite(folder: Path, name: str, content: object) -> None:
    """Change a file and have the manifest agree, as somebody would who means it."""
    from interconnected_ai.storage import sha256_of

    path = folder / name
    if content is not None:
        path.write_text(json.dumps(content))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"size_bytes": path.stat().st_size, "sha256": sha256_of(path)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_reader_beside_a_writer_has_model_tokenizer_and_card_of_one_version(tmp_path: Path) -> None:
    folder = tmp_path / "expert"
    other = Tokenizer.train(TEXTS, 300)
    versions = [
        (made(vocab_size=330), tokenizer(), "first"),
        (made(seed=1, vocab_size=300, d_model=16), other, "second"),
    ]

    def write() -> None:
        for number in range(12):
            model, words, name = versions[number % 2]
            save_expert(model, folder, words, ExpertCard(name))

    def read(_: int) -> int:
        num_read = 0
        while not is_done.is_set():
            model, words, card = load_expert(folder)
            wanted, known, _ = versions[card.name == "second"]
            assert model.config == wanted.config
            assert words.sha256 == known.sha256
            assert torch.equal(model.head.weight, wanted.head.weight)
            num_read += 1
        return num_read

    is_done = threading.Event()
    save_expert(*versions[0][:1], folder, versions[0][1], ExpertCard("first"))
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, number) for number in range(3)]
        try:
            pool.submit(write).result()
        finally:
            is_done.set()
        assert all(reader.result() > 0 for reader in readers)
