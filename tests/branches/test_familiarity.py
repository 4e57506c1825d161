"""Familiarity: a head is sure among its classes whatever it is asked, the vector tells that a text is none of them."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from conftest import make_rows, make_system, randomize
from interconnected_ai.branches import (
    InterconnectedAISystem,
    class_directions,
    fit_branch,
    inference,
    rows_for_directions,
)
from interconnected_ai.branches.familiarity import familiarity
from interconnected_ai.config import TrainingConfig
from interconnected_ai.errors import IntegrityError
from interconnected_ai.storage import load_tensors, read_json, save_tensors, write_folder

CONFIG = TrainingConfig(epochs=3, batch_size=8)


def grown(**settings: object) -> InterconnectedAISystem:
    """A system with one branch added to it."""
    system = make_system("new", "old")
    outside = make_rows("other", 20, seed=9, marker="zzz").texts
    fit_branch(
        system, "new", *make_rows("new", 40).of("new"), validation=make_rows("new", 20, seed=5).of("new"), outside=outside,
        config=CONFIG,
    )  # fmt: skip
    return system


def slow(pooled: Tensor, means: list[Tensor]) -> Tensor:
    """The formula, one vector after another."""
    return torch.stack(
        [max(F.cosine_similarity(vector, mean, dim=0).clamp(min=0) for mean in means).square() for vector in pooled]
    )


def test_it_is_the_squared_cosine_with_the_nearest_class_mean() -> None:
    random = torch.Generator().manual_seed(0)
    learnt, targets = torch.randn(30, 8, generator=random) + 1, torch.arange(30) % 3
    asked = torch.randn(20, 8, generator=random)
    means = [learnt[targets == number].mean(dim=0) for number in range(3)]
    found = familiarity(asked, class_directions(learnt, targets, 3))
    torch.testing.assert_close(found, slow(asked, means))
    assert ((found >= 0) & (found <= 1)).all()


def test_a_class_without_rows_makes_nothing_familiar() -> None:
    learnt = torch.eye(4)[:2]
    directions = class_directions(learnt, torch.tensor([0, 2]), 4)
    assert familiarity(torch.eye(4), directions).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert familiarity(torch.zeros(1, 4), directions).tolist() == [0.0]


def test_without_directions_every_text_is_familiar() -> None:
    assert familiarity(torch.randn(3, 4), None).tolist() == [1.0, 1.0, 1.0]


def test_a_confident_head_still_finds_foreign_text_unfamiliar() -> None:
    random = torch.Generator().manual_seed(0)
    centers = torch.randn(3, 64, generator=random)
    targets = torch.arange(300) % 3
    learnt = centers[targets] + 0.3 * torch.randn(300, 64, generator=random)
    foreign = torch.randn(100, 64, generator=random) + 0.5 * centers[0]  # on one side of the head's planes
    directions = class_directions(learnt[:200], targets[:200], 3)
    assert familiarity(learnt[200:], directions).min() > familiarity(foreign, directions).max()


@pytest.mark.parametrize(("counts", "wanted"), [((5000, 3), (1024, 3)), ((40, 0, 1), (40, 0, 1))])
def test_means_are_taken_over_some_rows_of_each_class(counts: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    targets = torch.cat([torch.full((count,), number) for number, count in enumerate(counts)])
    rows = rows_for_directions(targets, len(counts))
    assert len(rows.unique()) == len(rows)
    assert torch.bincount(targets[rows], minlength=len(counts)).tolist() == list(wanted)


def test_the_answer_is_unknown_where_confidence_times_familiarity_is_below_the_threshold() -> None:
    system = grown()
    texts = [*make_rows("new", 10, seed=6).texts, "zzz zzz", "the the of"]
    threshold = 0.3
    system.cards["new"] = system.cards["new"].with_changes(threshold=threshold)
    branch, pooled = system.branch("new"), system.encode(texts)
    answers = [found.branches["new"] for found in system.predict(texts)]
    assert [a.familiarity for a in answers] == pytest.approx(branch.familiarity(pooled).tolist())
    assert [a.unknown for a in answers] == [a.confidence * a.familiarity < threshold for a in answers]
    assert all(a.to_dict()["familiarity"] == a.familiarity for a in answers)
    assert {found.branches["old"].familiarity for found in system.predict(texts)} == {1.0}
    ids, mask = system.encoder.pad(system.encoder.tokenize(texts))
    for row, answer in zip(inference(system, ids, "new", attention_mask=mask, texts=texts), answers, strict=True):
        assert row["familiarity"] == pytest.approx(answer.familiarity, abs=1e-5)
        assert row["unknown"] == answer.unknown


def test_class_directions_are_kept_and_travel_with_their_branch(tmp_path: Path) -> None:
    system = grown()
    system.save_pretrained(tmp_path / "model", include_encoder=True)
    again = InterconnectedAISystem.from_pretrained(tmp_path / "model")
    kept = system.branch("new").directions
    assert kept is not None
    assert again.branch("new").directions is not None
    assert torch.equal(again.branch("new").directions, kept)
    assert again.branch("old").directions is None
    taker = copy.deepcopy(system)
    taker.remove_branch("new")
    taker.take_branch("new", again)
    texts = make_rows("new", 5).texts
    wanted = [p.branches["new"] for p in system.predict(texts)]
    assert [p.branches["new"] for p in taker.predict(texts)] == wanted


def rewritten(folder: Path, change: str) -> None:
    """Write a saved system again without class directions, or with directions of another shape."""
    tensors, files = load_tensors(folder / "model.safetensors"), {}
    tensors = {n: t for n, t in tensors.items() if not (change == "drop" and n.startswith("directions."))}
    tensors = {n: t[:, :-1].contiguous() if n.startswith("directions.") else t for n, t in tensors.items()}
    for file in folder.rglob("*"):
        place = file.relative_to(folder).as_posix()
        if file.is_file() and place not in ("manifest.json", "model.safetensors"):
            files[place] = file.read_bytes()
    kind = read_json(folder / "manifest.json")["kind"]

    def write(scratch: Path) -> None:
        for place, content in files.items():
            (scratch / place).parent.mkdir(parents=True, exist_ok=True)
            (scratch / place).write_bytes(content)
        save_tensors(scratch / "model.safetensors", tensors)

    write_folder(folder, write, kind=kind)


def test_a_folder_of_before_opens_and_its_confidence_alone_decides(tmp_path: Path) -> None:
    grown().save_pretrained(tmp_path / "model", include_encoder=True)
    rewritten(tmp_path / "model", "drop")
    old = InterconnectedAISystem.from_pretrained(tmp_path / "model")
    card = old.cards["new"]
    for found in old.predict(make_rows("new", 8, seed=3).texts):
        answer = found.branches["new"]
        assert answer.familiarity == 1.0
        assert answer.unknown == (answer.confidence < card.threshold)


def test_class_directions_of_another_shape_are_refused(tmp_path: Path) -> None:
    grown().save_pretrained(tmp_path / "model", include_encoder=True)
    rewritten(tmp_path / "model", "cut")
    with pytest.raises(IntegrityError, match="class directions of branch 'new' are"):
        InterconnectedAISystem.from_pretrained(tmp_path / "model")


def test_a_system_of_random_weights_answers_with_its_directions_on_any_mode() -> None:
    system = randomize(grown())
    before = system.predict(["my bank card"])[0].branches["new"]
    system.train()
    assert system.predict(["my bank card"])[0].branches["new"] == before
