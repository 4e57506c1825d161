"""The wide part: what a branch learns of words is its own, is counted once for all branches, and travels with it."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from conftest import make_encoder, make_rows, make_system, randomize, spec
from interconnected_ai.branches import (
    Branch,
    DenseSystem,
    Encoder,
    InterconnectedAISystem,
    TextFeatures,
    features,
    fit_branch,
    inference,
    train_on_pooled,
)
from interconnected_ai.branches import (
    system as system_file,
)
from interconnected_ai.branches.vocabulary import bags_of
from interconnected_ai.branches.wide import WidePart
from interconnected_ai.config import SystemConfig, TrainingConfig
from interconnected_ai.errors import ConfigError, FormatVersionError, IntegrityError, MissingExtraError
from interconnected_ai.nn import Bags
from interconnected_ai.planner import SystemShape, encoder_shape
from interconnected_ai.storage import SYSTEM
from interconnected_ai.storage.manifests import write_manifest
from interconnected_ai.text import Vocabulary, count_ngrams, vocabulary
from interconnected_ai.training.system.learner import SystemLearner

QUICK = TrainingConfig(epochs=3, batch_size=8)
TEXTS = ["a cat and a horse", "show me the balance of my account", "snow in the wind", "Сколько денег на карте?"]


def with_words(*names: str, **settings: object) -> InterconnectedAISystem:
    """A system whose branches know words, with random weights everywhere."""
    system = make_system(*names, **settings)
    for number, name in enumerate(names):
        system.branch(name).take_words(make_rows(name, 12, seed=number).texts)
    return randomize(system)


def answers(system: InterconnectedAISystem, *names: str) -> dict[str, torch.Tensor]:
    return system.logits_of(system.features_of(TEXTS), names or None)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() <= other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# What it computes


def test_logits_are_those_of_tf_idf_times_the_weights() -> None:
    system = with_words("one")
    branch = system.branch("one")
    assert branch.wide is not None
    branch.wide.scale.fill_(3.0)
    known, given = branch.wide.vocabulary, system.features_of(TEXTS)
    dense = torch.zeros(len(TEXTS), len(known))
    for row, text in enumerate(TEXTS):
        (counted,) = count_ngrams([text])
        for kind in (0, 1):
            ours = {}
            for column, frequency in zip(
                counted.columns[counted.ends[kind] : counted.ends[kind + 1]],
                counted.frequencies[counted.ends[kind] : counted.ends[kind + 1]],
                strict=True,
            ):
                place = np.flatnonzero(known.terms == counted.terms[column])
                if len(place):
                    ours[int(place[0])] = float(frequency * known.rarity[place[0]])
            length = sum(weight**2 for weight in ours.values()) ** 0.5
            for place, weight in ours.items():
                dense[row, place] = weight / length
    assert dense.any()
    meaning = F.linear(given.pooled + branch.adapter(given.pooled), branch.head.weight, branch.head.bias)
    torch.testing.assert_close(branch.evaluate(given), meaning + 3.0 * dense @ branch.wide.weight.detach())


def test_rarity_is_scikit_learns_smooth_idf() -> None:
    known = Vocabulary.of(["cat dog", "cat", "bird"], 10_000)
    cat, bird = (next(count_ngrams([word])).terms[-1] for word in ("cat", "bird"))
    rarity = dict(zip(known.terms.tolist(), known.rarity.tolist(), strict=True))
    assert rarity[int(cat)] == pytest.approx(np.log(4 / 3) + 1)
    assert rarity[int(bird)] == pytest.approx(np.log(4 / 2) + 1)


def test_terms_of_one_row_are_left_out_where_there_are_many_rows() -> None:
    rare = int(next(count_ngrams(["xylophone"])).terms[-1])
    few, many = (Vocabulary.of(["cat"] * number + ["xylophone"], 10_000) for number in (10, 1_001))
    assert rare in few.terms
    assert rare not in many.terms
    assert len(Vocabulary.of([f"{number:08d}x"[::-1] + str(number * 7919) for number in range(3)], 10_000))


def test_of_too_many_terms_the_commonest_are_kept_words_and_characters_alike() -> None:
    texts = ["common word"] * 5 + [f"rare{number} one" for number in range(30)]
    known = Vocabulary.of(texts, 40)
    assert len(known) == 40
    assert (np.diff(known.terms) > 0).all()
    assert int((known.terms >= 0).sum()) == 20
    assert {int(term) for term in next(count_ngrams(["common word"])).terms if term >= 0} <= set(known.terms.tolist())


def test_the_vocabulary_is_a_function_of_the_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = make_rows("a", 60).texts
    first = Vocabulary.of(texts, 200)
    monkeypatch.setattr("interconnected_ai.text.ngrams._MOST_TEXTS", 7)
    again = Vocabulary.of(texts, 200)
    assert np.array_equal(first.terms, again.terms)
    assert np.array_equal(first.rarity, again.rarity)


def test_counting_forgets_the_rarest_terms_before_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interconnected_ai.text.ngrams._MOST_TEXTS", 50)
    monkeypatch.setattr(vocabulary, "_MOST_SEEN", 500)
    seen: list[int] = []
    counted = vocabulary._rows_with

    def watched(parts: object) -> tuple[np.ndarray, np.ndarray]:
        terms, rows = counted(parts)  # type: ignore[arg-type]
        seen.append(len(terms))
        return terms, rows

    monkeypatch.setattr(vocabulary, "_rows_with", watched)
    known = Vocabulary.of([f"always x{number:05d}y" for number in range(1_500)], 10_000)
    always = int(next(count_ngrams(["always"])).terms[-1])
    assert seen == [len(known)] or seen[0] <= 500
    assert always in known.terms


def test_bags_of_some_texts_are_those_of_the_texts_alone() -> None:
    texts = [*TEXTS, "zzz", "cat"]
    known = Vocabulary.of(TEXTS, 1_000)
    whole, rows = bags_of(known, count_ngrams(texts)), torch.tensor([5, 4, 1, 1])
    alone = bags_of(known, count_ngrams([texts[row] for row in rows]))
    assert all(torch.equal(*pair) for pair in zip(whole.take(rows), alone, strict=True))
    apart = Bags.joined([bags_of(known, count_ngrams([text])) for text in texts])
    assert all(torch.equal(*pair) for pair in zip(whole, apart, strict=True))
    assert len(bags_of(known, count_ngrams([])).starts) == 0


def test_the_transpose_is_the_same_matrix() -> None:
    known = Vocabulary.of(TEXTS, 1_000)
    bags = bags_of(known, count_ngrams([*TEXTS, "zzz"]))
    part = WidePart(known, len(known))
    with torch.no_grad():
        part.weight.copy_(torch.eye(len(known)))
    matrix = part(bags)
    back = bags.transposed(len(known))
    found = F.embedding_bag(back.terms, torch.eye(5), back.starts, mode="sum", per_sample_weights=back.weights)
    assert torch.equal(found.T, matrix)


def test_a_text_is_read_whole_and_not_cut_where_the_encoder_cuts() -> None:
    system = with_words("one")
    long, longer = "cat " * 200, "cat " * 200 + "snow"
    one, other = answers_of(system, long), answers_of(system, longer)
    assert torch.equal(*(system.encode([text]) for text in (long, longer)))
    assert not torch.equal(one, other)


def answers_of(system: InterconnectedAISystem, text: str) -> torch.Tensor:
    return system.logits_of(system.features_of([text]))["one"]


# It is the branch's own


def test_words_of_one_branch_change_no_bit_of_another() -> None:
    system = with_words("old", "older")
    before = answers(system)
    system.add_branch(spec("new"))
    fit_branch(system, "new", *make_rows("new", 30, seed=8).of("new"), config=QUICK)
    assert system.branch("new").wide is not None
    assert same(before, answers(system))
    fit_branch(system, "older", *make_rows("older", 30, seed=9).of("older"), config=QUICK)
    system.remove_branch("older")
    assert same({"old": before["old"]}, answers(system))
    assert torch.equal(answers(system, "old")["old"], before["old"])


def test_terms_are_counted_once_for_all_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    system, calls = with_words("one", "two", "three"), []

    def counted(texts: list[str]) -> object:
        calls.append(list(texts))
        return count_ngrams(texts)

    monkeypatch.setattr(features, "count_ngrams", counted)
    monkeypatch.setattr(system_file, "count_ngrams", counted)
    system.predict(TEXTS)
    assert calls == [TEXTS]
    system.words_of(TEXTS)
    assert calls == [TEXTS, TEXTS]


def test_nothing_is_counted_where_no_branch_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    system = randomize(make_system("one"))
    monkeypatch.setattr(features, "count_ngrams", lambda texts: pytest.fail("counted"))
    assert system.predict(TEXTS)[0].branches["one"].label
    assert system.words_of(TEXTS) == {}


def test_pooled_vectors_alone_are_refused_by_a_branch_that_answers_by_words() -> None:
    system = with_words("one")
    with pytest.raises(ConfigError, match=r"'one' answers by words .* give it system\.features_of\(texts\)"):
        system.logits_of(system.encode(TEXTS))
    with pytest.raises(ConfigError, match="features_of"):
        train_on_pooled(system.branch("one"), system.encode(TEXTS), torch.zeros(4, dtype=torch.long), None, QUICK)


def test_forward_without_words_answers_by_meaning_and_with_them_as_predict_does() -> None:
    system = with_words("one")
    batch = system.encoder.pad(system.encoder.tokenize(TEXTS))
    with torch.no_grad():
        silent, spoken = system(*batch).logits["one"], system(*batch, words=system.words_of(TEXTS)).logits["one"]
    assert torch.allclose(spoken, answers(system)["one"], atol=1e-5)
    assert not torch.allclose(silent, spoken, atol=1e-2)


def test_inference_reads_the_words_back_from_the_ids() -> None:
    system, text = with_words("one"), "show me the balance of my account"
    ids = torch.tensor(system.encoder.tokenize([text])[0])
    asked = system.predict([text])[0].branches["one"]
    assert inference(system, ids)["confidence"] == pytest.approx(asked.confidence, abs=1e-5)
    assert inference(system, ids, texts=[text])["confidence"] == pytest.approx(asked.confidence, abs=1e-5)
    assert inference(system, ids, texts=["snow"])["confidence"] != pytest.approx(asked.confidence, abs=1e-5)


def test_a_row_of_tokens_without_a_word_is_answered_by_meaning_alone() -> None:
    system = with_words("one")
    ids = torch.tensor([[2, 1, 3]])  # [CLS] [UNK] [SEP]
    assert system.encoder.texts_of(ids) == [""]
    with torch.no_grad():
        silent = system(ids, torch.ones_like(ids, dtype=torch.bool)).logits["one"]
    chances = (silent / system.cards["one"].temperature).softmax(dim=-1)
    assert inference(system, ids)["confidence"] == pytest.approx(chances.max().item(), abs=1e-6)


# It learns


def test_words_tell_apart_what_the_encoder_does_not_know() -> None:
    """To the tiny encoder these are all unknown words."""
    texts = [f"{word} {i % 7}" for i in range(42) for word in (("ёлка", "снежок", "пурга")[i % 3],)]
    labels = [("animals", "money", "weather")[i % 3] for i in range(42)]
    config = TrainingConfig(epochs=30, batch_size=8)
    shares = {}
    for wide_terms in (0, 1_000):
        system = make_system("one", wide_terms=wide_terms)
        fit_branch(system, "one", texts, labels, config=config)
        asked = system.predict(["снежка", "ёлку", "пурги"])
        shares[wide_terms] = [p.branches["one"].label for p in asked]
    assert shares[1_000] == ["money", "animals", "weather"]
    assert shares[0] != shares[1_000]


def test_without_a_wide_part_a_branch_is_trained_to_the_same_bits_as_on_vectors_alone() -> None:
    rows = make_rows("one", 24)
    system, alone = (make_system("one", wide_terms=0, dropout=0.3) for _ in range(2))
    fit_branch(system, "one", *rows.of("one"), config=QUICK)
    targets = torch.tensor([system.cards["one"].spec.labels.index(label) for label in rows.of("one")[1]])
    train_on_pooled(alone.branch("one"), alone.encode(rows.texts), targets, None, QUICK)
    assert system.branch("one").wide is None
    assert same(alone.branch("one").state_dict(), system.branch("one").state_dict())


def test_a_branch_of_two_rows_a_class_learns() -> None:
    system = make_system("one")
    fit = fit_branch(system, "one", *make_rows("one", 6).of("one"), config=QUICK)
    assert fit.card.spec.num_terms == len(system.branch("one").wide.vocabulary) > 0  # type: ignore[union-attr]


def test_rows_without_a_common_term_leave_the_branch_without_a_wide_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MANY_ROWS", 2)
    system = make_system("one")
    texts = ["ab", "cd", "ef", "gh", "ij", "kl"]
    card = fit_branch(system, "one", texts, ["animals", "money", "weather"] * 2, config=QUICK).card
    assert (card.spec.num_terms, system.branch("one").wide) == (0, None)
    assert [check.identical for check in system.verify()] == [True]


def test_training_again_begins_with_the_new_rows_words() -> None:
    system = with_words("one")
    old = system.branch("one").wide
    fit_branch(system, "one", *make_rows("one", 24, seed=4, marker="зебра").of("one"), config=QUICK)
    new = system.branch("one").wide
    assert old is not None
    assert new is not None
    zebra = int(next(count_ngrams(["зебра"])).terms[-1])
    assert zebra in new.vocabulary.terms
    assert zebra not in old.vocabulary.terms


def test_the_wide_part_has_a_group_of_its_own() -> None:
    system = with_words("one", "two")
    groups = {group["name"]: group for group in system.get_trainable_params(lr_wide=0.25)}
    assert groups["wide"]["lr"] == 0.25
    assert [p.shape[0] for p in groups["wide"]["params"]] == [card.spec.num_terms for card in system.cards.values()]
    assert {"moe", "adapter", "head"} <= groups.keys()


# It is kept, moved and proved


def test_a_saved_system_answers_by_the_same_words(tmp_path: Path, encoder_folder: Path) -> None:
    system = with_words(
        "one", "two", encoder=Encoder.load(str(encoder_folder), max_seq_len=32), base_model_name=str(encoder_folder)
    )
    system.remove_branch("two")
    system.add_branch(spec("bare"))
    system.seal_branches({"one": {}, "bare": {}})
    before = answers(system)
    system.save_pretrained(tmp_path / "model")
    loaded = InterconnectedAISystem.from_pretrained(tmp_path / "model")
    assert same(before, answers(loaded))
    assert [check.identical for check in loaded.verify()] == [True, True]
    assert loaded.get_num_params() == system.get_num_params()
    assert loaded.config == system.config


def saved(tmp_path: Path, encoder_folder: Path, **settings: object) -> Path:
    system = with_words(
        "one",
        encoder=Encoder.load(str(encoder_folder), max_seq_len=32),
        base_model_name=str(encoder_folder),
        **settings,
    )
    system.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, change: object) -> None:
    description = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    change(description)  # type: ignore[operator]
    (folder / "config.json").write_text(json.dumps(description), encoding="utf-8")
    (folder / "manifest.json").unlink()
    write_manifest(folder, SYSTEM)


def test_words_told_apart_in_another_way_are_refused(tmp_path: Path, encoder_folder: Path) -> None:
    folder = saved(tmp_path, encoder_folder)
    rewrite(folder, lambda description: description.update(terms="words as they stand/7"))
    with pytest.raises(FormatVersionError, match=r"'words as they stand/7'.*train the branch again"):
        InterconnectedAISystem.from_pretrained(folder)


def test_a_folder_that_lacks_the_terms_is_refused(tmp_path: Path, encoder_folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = saved(tmp_path, encoder_folder)
    tensors = load_file(folder / "model.safetensors")
    save_file({n: t for n, t in tensors.items() if not n.startswith("words.")}, folder / "model.safetensors")
    rewrite(folder, lambda description: None)
    with pytest.raises(IntegrityError, match=r"lacks the \d+ terms of branch 'one'"):
        InterconnectedAISystem.from_pretrained(folder)


def test_a_folder_from_before_there_were_wide_parts_still_opens(tmp_path: Path, encoder_folder: Path) -> None:
    system = randomize(
        make_system(
            "one", encoder=Encoder.load(str(encoder_folder), max_seq_len=32), base_model_name=str(encoder_folder)
        )
    )
    system.seal_branch("one")
    before = system.logits_of(system.encode(TEXTS))
    system.save_pretrained(tmp_path / "model")

    def older(description: dict) -> None:
        del description["terms"], description["system"]["wide_terms"]
        for branch in (*description["system"]["branches"], *(card["spec"] for card in description["branches"])):
            del branch["num_terms"]

    rewrite(tmp_path / "model", older)
    loaded = InterconnectedAISystem.from_pretrained(tmp_path / "model")
    assert same(before, loaded.logits_of(loaded.encode(TEXTS)))
    assert [check.identical for check in loaded.verify()] == [True]


def test_verify_sees_a_change_of_a_term_that_no_probe_text_has() -> None:
    system = with_words("one")
    system.seal_branch("one")
    assert [check.identical for check in system.verify()] == [True]
    branch = system.branch("one")
    assert branch.wide is not None
    probes = bags_of(branch.wide.vocabulary, count_ngrams(system._probe_texts)).terms.unique()
    absent = next(place for place in range(branch.card.spec.num_terms) if place not in probes)
    with torch.no_grad():
        branch.wide.weight[absent, 0] += 1e-6
    (check,) = system.verify()
    assert (check.identical, check.max_abs_diff) == (False, 0.0)


def test_a_taken_branch_answers_by_its_words() -> None:
    encoder = make_encoder()
    here, there = with_words("x", encoder=encoder), with_words("y", encoder=encoder, wide_terms=500)
    expected = answers(there, "y")["y"]
    here.take_branch("y", there)
    assert torch.equal(answers(here, "y")["y"], expected)


def test_a_copy_has_weights_of_its_own_and_shares_the_terms() -> None:
    branch = with_words("one").branch("one")
    other = copy.deepcopy(branch)
    assert branch.wide is not None
    assert other.wide is not None
    assert other.wide.vocabulary is branch.wide.vocabulary
    assert other.wide.weight.data_ptr() != branch.wide.weight.data_ptr()
    carded = branch.with_card(branch.card.with_changes(temperature=2.0), None)
    assert carded.wide is branch.wide


def test_the_planner_counts_the_wide_parts_of_the_built_system() -> None:
    system = with_words("one", "two")
    assert system.branch("one").wide is not None
    shape = SystemShape.of(system.config, encoder=encoder_shape("tiny", config=system.encoder.model.config.to_dict()))
    assert {k: n for k, n in shape.num_params.items() if k in ("one", "two")} == {
        k: n for k, n in system.get_num_params().items() if k in ("one", "two")
    }


def test_a_dense_twin_has_wide_parts_of_the_same_size() -> None:
    system = with_words("one")
    twin = DenseSystem.twin_of(system)
    assert twin.get_num_params()["one"] == system.get_num_params()["one"]
    assert not answers(twin)["one"].isnan().any()


def test_a_system_on_another_device_reads_words_there() -> None:
    system = with_words("one").to("meta")
    bags = system.words_of(TEXTS)["one"]
    assert bags.terms.device.type == "meta"
    assert isinstance(system.branch("one"), Branch)


def test_the_most_terms_follow_from_the_classes_too() -> None:
    system = make_system("one", wide_terms=40)
    branch = system.branch("one")
    branch.take_words(make_rows("one", 60).texts)
    assert branch.card.spec.num_terms == 40
    assert SystemConfig().wide_terms > 0


def test_features_of_some_rows_are_those_of_their_texts() -> None:
    system = with_words("one")
    whole = system.features_of(TEXTS)
    assert isinstance(whole, TextFeatures)
    for rows in ([2, 0], torch.tensor([True, False, True, False])):
        part = whole[rows]
        assert len(part) == 2
        expected = [whole.texts[r] for r in ([2, 0] if isinstance(rows, list) else [0, 2])]
        assert list(part.texts) == expected
        assert torch.equal(part.pooled[0], whole.pooled[2 if isinstance(rows, list) else 0])


def test_without_a_stemmer_the_error_says_what_to_install_or_to_leave_out(no_optional_packages: None) -> None:
    with pytest.raises(MissingExtraError, match=r"wide_terms: 0 does without.*interconnected-ai\[branches\]"):
        make_system("one").branch("one").take_words(TEXTS)
    make_system("one", wide_terms=0).branch("one").take_words(TEXTS)


def test_the_rows_without_words_are_the_same_however_a_batch_is_dealt_out() -> None:
    def learner(seed: int) -> SystemLearner:
        made = SystemLearner.__new__(SystemLearner)
        made.config = TrainingConfig(seed=seed)
        return made

    batch = np.arange(100, 164)
    first = learner(0)._without_words(7, batch)
    assert first == learner(0)._without_words(7, batch)
    assert first < set(batch.tolist())
    assert 16 < len(first) < 48
    assert first != learner(0)._without_words(8, batch)
    assert first != learner(1)._without_words(7, batch)


def test_a_silent_text_has_no_terms_and_the_others_keep_theirs() -> None:
    system = with_words("one")
    whole, some = system.words_of(TEXTS)["one"], system.words_of(TEXTS, silent={1, 3})["one"]
    heard = torch.tensor([0, 2])
    assert all(torch.equal(*pair) for pair in zip(whole.take(heard), some.take(heard), strict=True))
    assert not len(some.take(torch.tensor([1, 3])).terms)
