"""One branch as one file: the same bits in another copy of its system, and a clear word about every file that is not whole."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import make_encoder, make_rows, make_system, randomize, spec
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.branches import exchange, export_branch, fit_branch, import_branch
from interconnected_ai.config import TrainingConfig
from interconnected_ai.errors import (
    ConfigError,
    ConflictError,
    FormatVersionError,
    IntegrityError,
    InterconnectedAIError,
    NotAModelError,
    StorageError,
    UnknownNameError,
)
from interconnected_ai.storage import load_described_tensors, save_tensors

TEXTS = ["my bank card", "rain today", "the cat was cold", "money and snow"]
QUICK = TrainingConfig(epochs=2, batch_size=16)


def ground(*names: str, seed: int = 1, **settings: object) -> InterconnectedAISystem:
    """A system with a finished trunk; the same one for the same seed."""
    system = make_system(*names, encoder=make_encoder(), **settings)
    randomize(system, seed)
    system.freeze_trunk()
    for name in system.branch_names:
        system.seal_branch(name, trained="joint", threshold=0.4, temperature=1.7)
    return system


def trained(**settings: object) -> InterconnectedAISystem:
    """The ground with a trained branch "bank", its words, directions, threshold and record."""
    system = ground("one", **settings)
    rows, held_out = make_rows("bank", 60, seed=2), make_rows("bank", 20, seed=9)
    system.add_branch(spec("bank", *sorted(set(rows.of("bank")[1]))))
    fit_branch(system, "bank", *rows.of("bank"), validation=held_out.of("bank"), outside=TEXTS, config=QUICK)
    return system


@pytest.fixture(scope="module")
def source() -> InterconnectedAISystem:
    return trained()


@pytest.fixture
def file(source: InterconnectedAISystem, tmp_path: Path) -> Path:
    return export_branch(source, "bank", tmp_path / "bank.safetensors")


def answers(system: InterconnectedAISystem, name: str) -> list[dict[str, Any]]:
    return [p.branches[name].to_dict() for p in system.predict(TEXTS, branches=[name])]


def same_bits(one: InterconnectedAISystem, other: InterconnectedAISystem, name: str) -> bool:
    a, b = (system.logits_of(system.features_of(TEXTS), [name])[name] for system in (one, other))
    return torch.equal(a, b)


def test_another_copy_of_the_system_gives_the_same_bits_card_and_record(
    source: InterconnectedAISystem, file: Path
) -> None:
    target = ground("one")
    card = import_branch(target, file)
    assert card == source.cards["bank"]
    assert card.spec.num_terms > 0
    assert same_bits(source, target, "bank")
    assert answers(target, "bank") == answers(source, "bank")
    learnt = source.learnt_texts("bank")
    assert learnt is not None
    assert len(learnt) > 0
    assert target.learnt_texts("bank") == learnt
    assert all(check.identical and check.same_machine for check in target.verify())
    assert [check.branch for check in target.verify()] == ["one", "bank"]


def test_it_is_saved_and_read_like_any_other(source: InterconnectedAISystem, file: Path, tmp_path: Path) -> None:
    target = ground("one")
    import_branch(target, file)
    target.save_pretrained(tmp_path / "model")
    loaded = InterconnectedAISystem.from_pretrained(tmp_path / "model", encoder=make_encoder())
    assert same_bits(source, loaded, "bank")
    export_branch(loaded, "bank", tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_the_other_branches_do_not_change_by_one_bit(file: Path) -> None:
    target, untouched = ground("one", "two"), ground("one", "two")
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    cards = dict(target.cards)
    import_branch(target, file)
    after = target.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert {name: target.cards[name] for name in cards} == cards
    assert same_bits(target, untouched, "one")
    assert same_bits(target, untouched, "two")


def test_a_name_that_is_taken_needs_another_one_or_the_word(source: InterconnectedAISystem, file: Path) -> None:
    target = ground("bank", "one")
    before = answers(target, "one")
    with pytest.raises(ConfigError, match=r"--name.*--overwrite"):
        import_branch(target, file)
    assert target.branch_names == ["bank", "one"]
    card = import_branch(target, file, name="second")
    assert card.name == "second"
    assert target.branch_names == ["bank", "one", "second"]
    import_branch(target, file, overwrite=True)
    assert target.branch_names == ["bank", "one", "second"]
    assert target.cards["bank"] == source.cards["bank"]
    assert same_bits(source, target, "bank")
    assert answers(target, "one") == before
    assert all(check.identical for check in target.verify())
    with pytest.raises(ConfigError, match="no safe file name"):
        import_branch(target, file, name="a b/c")
    with pytest.raises(ConfigError, match="exists already"):
        import_branch(target, file, name="ONE", overwrite=True)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (lambda: ground("one", seed=5), "trunk"),
        (lambda: ground("one", d_ff=64), "shape.*d_ff"),
        (lambda: make_system("one", encoder=make_encoder(seed=3)), "encoder"),
    ],
    ids=["trunk", "shape", "encoder"],
)
def test_another_ground_is_refused(file: Path, other: Callable[[], InterconnectedAISystem], what: str) -> None:
    target = other()
    with pytest.raises(ConflictError, match=f"another {what}"):
        import_branch(target, file)
    assert target.branch_names == ["one"]


def test_where_the_encoder_lies_makes_no_difference(file: Path, encoder_folder: Path) -> None:
    target = ground("one", base_model_name=str(encoder_folder))
    assert import_branch(target, file).name == "bank"


def test_other_probe_texts_get_a_fingerprint_of_their_own(source: InterconnectedAISystem, file: Path) -> None:
    target = ground("one")
    target._probe_texts = ("another text", "rain")
    target.seal_branch("one")
    card = import_branch(target, file)
    assert card.fingerprint != source.cards["bank"].fingerprint
    assert all(check.identical and check.same_machine for check in target.verify())


def test_stored_outputs_of_another_machine_are_understood(
    source: InterconnectedAISystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_probe_environment", "torch 9, riscv, 3 threads")
    branch = source.branch("bank")
    assert branch.probe is not None
    monkeypatch.setattr(branch, "probe", branch.probe + 1e-6)  # as another machine rounds
    fingerprint = exchange.proof.fingerprint_of(branch.probe, branch.wide_digest)
    monkeypatch.setattr(branch, "card", branch.card.with_changes(fingerprint=fingerprint))
    file = export_branch(source, "bank", tmp_path / "elsewhere.safetensors")
    target = ground("one")
    assert import_branch(target, file).fingerprint != fingerprint
    assert all(check.identical and check.same_machine for check in target.verify())
    alone = ground()
    assert import_branch(alone, file).fingerprint == fingerprint
    (check,) = alone.verify()
    assert (check.identical, check.same_machine) == (False, False)
    assert check.max_abs_diff < 1e-5


def test_a_branch_that_answers_otherwise_is_refused(
    source: InterconnectedAISystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = source.branch("bank")
    assert branch.probe is not None
    monkeypatch.setattr(branch, "probe", branch.probe + 0.1)
    fingerprint = exchange.proof.fingerprint_of(branch.probe, branch.wide_digest)
    monkeypatch.setattr(branch, "card", branch.card.with_changes(fingerprint=fingerprint))
    file = export_branch(source, "bank", tmp_path / "other.safetensors")
    target = ground("one")
    with pytest.raises(IntegrityError, match="does not give here the outputs"):
        import_branch(target, file)
    assert target.branch_names == ["one"]


def test_an_untrained_branch_without_words_travels_too(tmp_path: Path) -> None:
    system = ground("one", wide_terms=0)
    system.add_branch(make_system("new").cards["new"].spec)
    file = export_branch(system, "new", tmp_path / "new.safetensors")
    target = ground("one")
    assert import_branch(target, file).fingerprint is None
    assert same_bits(system, target, "new")


def test_no_file_is_replaced_unasked_and_no_unknown_branch_written(source: InterconnectedAISystem, file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(StorageError, match="--overwrite"):
        export_branch(source, "one", file)
    assert file.read_bytes() == before
    export_branch(source, "one", file, overwrite=True)
    assert import_branch(ground(), file).name == "one"
    with pytest.raises(UnknownNameError):
        export_branch(source, "nobody", file.with_name("x.safetensors"))
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("place", ["cut", "first tensor", "last tensor", "card"])
def test_a_damaged_file_is_refused(file: Path, place: str) -> None:
    whole = file.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    if place == "cut":
        file.write_bytes(whole[:-10])
    elif place == "card":
        file.write_bytes(whole.replace(b'\\"temperature\\": ', b'\\"temperature\\": 1', 1))
        changed = file.read_bytes()
        file.write_bytes(struct.pack("<Q", header - 8 + len(changed) - len(whole)) + changed[8:])
    else:
        at = header if place == "first tensor" else len(whole) - 1
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    target = ground("one")
    with pytest.raises(IntegrityError):
        import_branch(target, file)
    assert target.branch_names == ["one"]


def forged(file: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]) -> None:
    """The file with something else in it and a checksum that fits."""
    tensors, metadata = load_described_tensors(file)
    said = json.loads(metadata["description"].partition(" ")[2])
    change(said, tensors)
    text = json.dumps(said)
    save_tensors(file, tensors, {"description": f"{exchange._digest(text, tensors)} {text}"})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda said, tensors: said.update(format_version=99), FormatVersionError),
        (lambda said, tensors: said.update(format_version="x"), FormatVersionError),
        (lambda said, tensors: said.update(kind="interconnected_ai expert"), NotAModelError),
        (lambda said, tensors: said.update(terms="of another package"), FormatVersionError),
        (lambda said, tensors: said.update(extra=1), IntegrityError),
        (lambda said, tensors: said.pop("card"), IntegrityError),
        (lambda said, tensors: said["card"].update(temperature=-1.0), IntegrityError),
        (lambda said, tensors: said["card"]["spec"].update(num_terms=2**24), IntegrityError),
        (lambda said, tensors: said["card"]["spec"].update(name="../../etc"), IntegrityError),
        (lambda said, tensors: said["card"]["spec"].update(labels=None, num_classes=10**6), IntegrityError),
        (lambda said, tensors: said.update(probe_texts=["a"] * 3), IntegrityError),
        (lambda said, tensors: tensors.pop("weights.head.bias"), IntegrityError),
        (lambda said, tensors: tensors.pop("words.terms"), IntegrityError),
        (lambda said, tensors: tensors.update({"weights.more": torch.ones(1)}), IntegrityError),
        (lambda said, tensors: tensors.update(directions=torch.ones(2)), IntegrityError),
        (lambda said, tensors: tensors.update(learnt=torch.ones(3)), IntegrityError),
        (lambda said, tensors: tensors.update({"words.rarity": tensors["words.rarity"].double()}), IntegrityError),
        (lambda said, tensors: tensors["weights.head.weight"].fill_(float("nan")), IntegrityError),
        (lambda said, tensors: tensors["weights.wide.weight"].add_(1e-4), IntegrityError),
    ],
)  # fmt: skip
def test_a_forged_file_is_refused_in_our_words(
    file: Path, change: Callable[..., object], error: type[InterconnectedAIError]
) -> None:
    forged(file, change)
    target = ground("one")
    with pytest.raises(error):
        import_branch(target, file)
    assert target.branch_names == ["one"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nothing of the kind",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**9) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        b"\x80\x04\x95pickle",
    ],
    ids=["empty", "text", "length 2^63", "length of a gigabyte", "a list", "pickle"],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(IntegrityError):
        import_branch(ground("one"), tmp_path / "bad.safetensors")


def test_other_safetensors_files_and_deep_descriptions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for metadata, error in (
        ({}, NotAModelError),
        ({"description": "x []"}, NotAModelError),
        ({"description": "x {"}, IntegrityError),
        ({"description": "x " + "[" * 100_000}, IntegrityError),
    ):
        save_tensors(path, {"a": torch.from_numpy(np.ones(2))}, metadata)
        with pytest.raises(error):
            import_branch(ground("one"), path)
    with pytest.raises(NotAModelError, match="does not exist"):
        import_branch(ground("one"), tmp_path / "nothing.safetensors")
