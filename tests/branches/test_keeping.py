"""Saved systems: the same bits back, and a clear word about everything that is not as it was saved."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import make_encoder, make_rows, make_system, randomize, spec
from interconnected_ai import DenseSystem, InterconnectedAISystem
from interconnected_ai.branches import Encoder, fit_branch
from interconnected_ai.config import TrainingConfig
from interconnected_ai.errors import (
    EncoderError,
    FormatVersionError,
    IntegrityError,
    NotAModelError,
    StorageError,
    UnsafeFileError,
)
from interconnected_ai.storage import atomic_folder, load_tensors, save_tensors, sha256_of

TEXTS = ["my bank card", "rain today", "the cat was cold"]


def saved(tmp_path: Path, encoder_folder: Path, **settings: object) -> tuple[InterconnectedAISystem, Path]:
    system = make_system("one", "two", encoder=Encoder.load(str(encoder_folder), max_seq_len=32),
                         base_model_name=str(encoder_folder), **settings)  # fmt: skip
    randomize(system)
    system.freeze_trunk()
    for name in system.branch_names:
        system.seal_branch(name, trained="joint", threshold=0.4, temperature=1.7)
    system.save_pretrained(tmp_path / "model")
    return system, tmp_path / "model"


@pytest.mark.parametrize("settings", [{}, {"pooling": "cls"}, {"pooling": "attention", "encoder_lora_rank": 2}])
def test_a_loaded_system_gives_the_same_bits(tmp_path: Path, encoder_folder: Path, settings: dict[str, object]) -> None:
    system, folder = saved(tmp_path, encoder_folder, **settings)
    loaded = InterconnectedAISystem.from_pretrained(folder)
    before, after = (s.logits_of(s.features_of(TEXTS)) for s in (system, loaded))
    assert all(torch.equal(before[name], after[name]) for name in ("one", "two"))
    assert loaded.cards == system.cards
    assert loaded.config == system.config
    assert loaded.trunk_is_trained
    assert all(check.identical and check.same_machine for check in loaded.verify())


def test_a_dense_system_comes_back_as_one(tmp_path: Path, encoder_folder: Path) -> None:
    encoder = Encoder.load(str(encoder_folder))
    dense = DenseSystem(str(encoder_folder), num_branches=1, encoder=encoder, d_ff=64)
    dense.save_pretrained(tmp_path / "dense")
    assert isinstance(InterconnectedAISystem.from_pretrained(tmp_path / "dense"), DenseSystem)


@pytest.mark.parametrize("lora", [0, 2])
def test_with_the_encoder_included_the_folder_needs_nothing_else(
    tmp_path: Path, encoder_folder: Path, lora: int
) -> None:
    system, _ = saved(tmp_path, encoder_folder, encoder_lora_rank=lora)
    system.save_pretrained(tmp_path / "whole", include_encoder=True)
    encoder_folder.rename(tmp_path / "gone")
    loaded = InterconnectedAISystem.from_pretrained(tmp_path / "whole")
    assert torch.equal(system.encode(TEXTS), loaded.encode(TEXTS))


def test_saving_over_an_older_version_replaces_it(tmp_path: Path, encoder_folder: Path) -> None:
    system, folder = saved(tmp_path, encoder_folder)
    system.remove_branch("two")
    system.save_pretrained(folder)
    assert InterconnectedAISystem.from_pretrained(folder).branch_names == ["one"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "tiny-bert"]


def test_a_foreign_folder_is_never_overwritten(tmp_path: Path, encoder_folder: Path) -> None:
    system, _ = saved(tmp_path, encoder_folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match="not written by this package"):
        system.save_pretrained(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_truncated_and_altered_weights_are_refused(tmp_path: Path, encoder_folder: Path) -> None:
    _, folder = saved(tmp_path, encoder_folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(IntegrityError, match="bytes"):
        InterconnectedAISystem.from_pretrained(folder)
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IntegrityError, match="altered"):
        InterconnectedAISystem.from_pretrained(folder)


def test_weights_that_do_not_fit_the_config_are_refused(tmp_path: Path, encoder_folder: Path) -> None:
    _, folder = saved(tmp_path, encoder_folder)
    config = json.loads((folder / "config.json").read_text())
    config["system"]["d_ff"] = 52
    (folder / "config.json").write_text(json.dumps(config))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["config.json"] = {
        "size_bytes": (folder / "config.json").stat().st_size,
        "sha256": sha256_of(folder / "config.json"),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match="shape"):
        InterconnectedAISystem.from_pretrained(folder)


def rewritten(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """The folder anew, its manifest included, with changed tensors."""
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}
    tensors = load_tensors(folder / "model.safetensors")
    change(tensors)
    with atomic_folder(folder, kind="interconnected_ai system") as scratch:
        for name, content in files.items():
            (scratch / name).write_bytes(content)
        save_tensors(scratch / "model.safetensors", tensors)


def test_the_statistics_of_the_encoders_vectors_come_back(tmp_path: Path, encoder_folder: Path) -> None:
    system, folder = saved(tmp_path, encoder_folder)
    system.trunk.standardization.take(torch.randn(20, 32, generator=torch.Generator().manual_seed(1)) + 3)
    system.save_pretrained(folder)
    loaded = InterconnectedAISystem.from_pretrained(folder)
    assert torch.equal(loaded.trunk.standardization.mean, system.trunk.standardization.mean)
    assert torch.equal(loaded.encode(TEXTS), system.encode(TEXTS))


def test_a_folder_without_statistics_gives_the_bits_that_it_gave(tmp_path: Path, encoder_folder: Path) -> None:
    _, folder = saved(tmp_path, encoder_folder)
    rewritten(folder, lambda t: [t.pop(name) for name in list(t) if "standardization" in name])
    assert all(check.identical for check in InterconnectedAISystem.from_pretrained(folder).verify())


def test_half_of_the_statistics_are_refused(tmp_path: Path, encoder_folder: Path) -> None:
    _, folder = saved(tmp_path, encoder_folder)
    rewritten(folder, lambda t: t.pop("trunk.standardization.mean"))
    with pytest.raises(IntegrityError, match=r"lacks 'trunk\.standardization\.mean'"):
        InterconnectedAISystem.from_pretrained(folder)


def test_a_sealed_branch_without_its_stored_outputs_is_refused(tmp_path: Path, encoder_folder: Path) -> None:
    _, folder = saved(tmp_path, encoder_folder)
    rewritten(folder, lambda tensors: tensors.pop("probe.two"))
    with pytest.raises(IntegrityError, match="outputs that branch 'two'"):
        InterconnectedAISystem.from_pretrained(folder)


def test_a_newer_format_is_refused(tmp_path: Path, encoder_folder: Path) -> None:
    _, folder = saved(tmp_path, encoder_folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format_version": 99}))
    with pytest.raises(FormatVersionError, match="upgrade"):
        InterconnectedAISystem.from_pretrained(folder)


def test_a_changed_encoder_is_noticed(tmp_path: Path, encoder_folder: Path) -> None:
    _, folder = saved(tmp_path, encoder_folder)
    other = make_encoder(seed=9)
    other.model.save_pretrained(encoder_folder)  # type: ignore[operator]
    with pytest.raises(IntegrityError, match="other weights"):
        InterconnectedAISystem.from_pretrained(folder)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match="no folder"):
        InterconnectedAISystem.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotAModelError, match="is no interconnected_ai system of ours"):
        InterconnectedAISystem.from_pretrained(tmp_path / "empty")
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "model.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(UnsafeFileError, match="pickle"):
        InterconnectedAISystem.from_pretrained(tmp_path / "pickled")


def test_an_unreachable_hub_id_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_OFFLINE", True
    )  # or the library waits for a network, a minute long
    with pytest.raises(EncoderError, match="base_model_name"):
        Encoder.load("nobody/no-such-encoder")


def test_an_encoder_of_pickles_is_refused(tmp_path: Path, encoder_folder: Path) -> None:
    (encoder_folder / "model.safetensors").unlink()
    torch.save({}, encoder_folder / "pytorch_model.bin")
    with pytest.raises(UnsafeFileError, match="safetensors"):
        Encoder.load(str(encoder_folder))


def test_a_missing_encoder_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="no folder at"):
        Encoder.load(str(tmp_path / "nowhere"))


def test_verify_tells_which_branch_was_tampered_with(tmp_path: Path, encoder_folder: Path) -> None:
    system, _ = saved(tmp_path, encoder_folder)
    with torch.no_grad():
        system.branch("two").head.bias += 1e-3
    checks = {check.branch: check for check in system.verify()}
    assert checks["one"].identical
    assert not checks["two"].identical
    assert checks["two"].max_abs_diff == pytest.approx(1e-3, rel=0.1)


def test_a_branch_added_after_loading_leaves_the_saved_ones_alone(tmp_path: Path, encoder_folder: Path) -> None:
    system, folder = saved(tmp_path, encoder_folder)
    before = system.logits_of(system.features_of(TEXTS))
    loaded = InterconnectedAISystem.from_pretrained(folder)
    loaded.add_branch(spec("three"))
    fit_branch(loaded, "three", *make_rows("three", 30).of("three"), config=TrainingConfig(epochs=2))
    loaded.save_pretrained(folder)
    again = InterconnectedAISystem.from_pretrained(folder)
    after = again.logits_of(again.features_of(TEXTS))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [check.identical for check in again.verify()] == [True, True, True]


def test_the_card_is_a_readme_that_names_every_branch(tmp_path: Path, encoder_folder: Path) -> None:
    _, folder = saved(tmp_path, encoder_folder)
    card = (folder / "README.md").read_text()
    assert "| one | 3 |" in card
    assert "| two | 3 |" in card


class Hub:
    """A hub in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.private = folder, False

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        (self.folder / repo_id).mkdir(parents=True, exist_ok=exist_ok)
        self.private = private

    def upload_folder(self, *, repo_id: str, folder_path: Path, allow_patterns: list[str], commit_message: str) -> str:
        for file in (f for pattern in allow_patterns for f in folder_path.glob(pattern)):
            shutil.copy(file, self.folder / repo_id / file.name)
        return f"https://hub.example/{repo_id}"


def test_a_pushed_system_is_the_same_when_it_is_fetched(tmp_path: Path, encoder_folder: Path) -> None:
    system, _ = saved(tmp_path, encoder_folder)
    hub = Hub(tmp_path / "hub")
    assert system.push_to_hub("me/system", private=True, api=hub) == "https://hub.example/me/system"
    assert hub.private
    fetched = InterconnectedAISystem.from_pretrained(tmp_path / "hub" / "me" / "system")
    assert torch.equal(
        fetched.logits_of(fetched.features_of(TEXTS))["one"], system.logits_of(system.features_of(TEXTS))["one"]
    )


def test_a_hub_that_cannot_be_reached_is_said_with_the_remedy(tmp_path: Path, encoder_folder: Path) -> None:
    class Down(Hub):
        def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
            raise ConnectionError("no route to host")

    system, _ = saved(tmp_path, encoder_folder)
    with pytest.raises(
        StorageError, match=r"could not push to 'me/system' \(ConnectionError: no route to host\); needs"
    ):
        system.push_to_hub("me/system", api=Down(tmp_path))


def test_systems_whose_loras_differ_share_the_pretrained_weights_in_memory(
    tmp_path: Path, encoder_folder: Path
) -> None:
    one, first = saved(tmp_path / "a", encoder_folder, encoder_lora_rank=2)
    two, second = saved(tmp_path / "b", encoder_folder, encoder_lora_rank=3)
    plain, third = saved(tmp_path / "c", encoder_folder)
    expected = {folder: system.encode(TEXTS) for folder, system in ((first, one), (second, two), (third, plain))}
    loaded: list[InterconnectedAISystem] = []
    for folder in (first, second, third):
        loaded.append(InterconnectedAISystem.from_pretrained(folder, beside=loaded))
        for system, wanted in zip(loaded, expected.values(), strict=False):
            assert torch.equal(system.encode(TEXTS), wanted)
        assert loaded[-1].encoder.fingerprint == one.encoder.fingerprint
    words = [system.encoder.model.embeddings.word_embeddings.weight.data_ptr() for system in loaded]  # type: ignore[union-attr]
    assert len(set(words)) == 1
    assert [system.encoder.has_lora for system in loaded] == [True, True, False]
    assert loaded[0].encoder is not loaded[1].encoder
    assert all(check.identical for system in loaded for check in system.verify())


def test_a_system_without_a_lora_gets_none_from_one_that_is_loaded_beside_it(
    tmp_path: Path, encoder_folder: Path
) -> None:
    _, first = saved(tmp_path / "a", encoder_folder)
    learnt, second = saved(tmp_path / "b", encoder_folder, encoder_lora_rank=2)
    plain = InterconnectedAISystem.from_pretrained(first)
    before = plain.encode(TEXTS)
    for found in (
        InterconnectedAISystem.from_pretrained(second, beside=[plain]),
        InterconnectedAISystem.from_pretrained(second, encoder=plain.encoder),
    ):
        assert torch.equal(found.encode(TEXTS), learnt.encode(TEXTS))
        assert not plain.encoder.has_lora
        assert torch.equal(plain.encode(TEXTS), before)


def test_another_encoder_or_another_length_is_not_shared(tmp_path: Path, encoder_folder: Path) -> None:
    system, folder = saved(tmp_path / "a", encoder_folder, encoder_lora_rank=2)
    shorter = make_system(
        "one",
        encoder=Encoder.load(str(encoder_folder), max_seq_len=16),
        base_model_name=str(encoder_folder),
        max_seq_len=16,
    )
    other = make_system("one", encoder=make_encoder(seed=5))
    loaded = InterconnectedAISystem.from_pretrained(folder, beside=[shorter, other])
    assert loaded.encoder.max_seq_len == system.encoder.max_seq_len
    assert torch.equal(loaded.encode(TEXTS), system.encode(TEXTS))
    weights = [s.encoder.model.embeddings.word_embeddings.weight.data_ptr() for s in (loaded, shorter, other)]  # type: ignore[union-attr]
    assert len(set(weights)) == 3


def test_a_system_sealed_before_its_lora_was_folded_in_is_another_machines(
    tmp_path: Path, encoder_folder: Path
) -> None:
    _, folder = saved(tmp_path, encoder_folder, encoder_lora_rank=2)
    assert InterconnectedAISystem.from_pretrained(folder).probe_environment.endswith(", LoRA folded in")
    system = InterconnectedAISystem.from_pretrained(folder)
    system._probe_environment = system.probe_environment.removesuffix(", LoRA folded in")
    assert not any(check.same_machine for check in system.verify())
