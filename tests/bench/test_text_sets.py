"""Public data sets are read as their authors publish them, and what is left out is said."""

import csv
import json
from pathlib import Path

import pytest

from interconnected_ai.bench.text_sets import TEXT_SETS, load_text_set
from interconnected_ai.errors import DataError
from interconnected_ai.text import folded

LABELS = ("музыка", "погода", "таймер")


def write_csv(path: Path, rows: list[tuple[str, str]], columns: tuple[str, str] = ("text", "label")) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def rows_of(count: int, start: int = 0) -> list[tuple[str, str]]:
    return [(f"{label} номер {number}", label) for number in range(start, start + count) for label in LABELS]


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """All public sets, in small."""
    for part, rows in (("train", rows_of(8)), ("test", [*rows_of(4, 20), ("Музыка  номер 0", "музыка")])):
        write_csv(tmp_path / "banking77" / f"{part}.csv", rows, ("text", "category"))
        write_csv(tmp_path / "ru_intents" / f"intents_{part}.csv", rows)
    clinc = {
        "train": rows_of(8),
        "val": rows_of(2, 10),
        "test": rows_of(3, 20),
        "oos_train": [["?", "oos"]],
        "oos_val": [["чужое", "oos"]],
        "oos_test": [["иное", "oos"], ["другое", "oos"]],
    }
    (tmp_path / "clinc150").mkdir()
    (tmp_path / "clinc150" / "data_full.json").write_text(json.dumps(clinc), encoding="utf-8")
    top3 = tmp_path / "rumedbench" / "RuMedTop3"
    top3.mkdir(parents=True)
    for part, rows in (("train", rows_of(4)), ("dev", rows_of(2, 10)), ("test", rows_of(2, 20))):
        lines = [json.dumps({"idx": "q", "symptoms": text, "code": label}) for text, label in rows]
        (top3 / f"{part}_v1.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", TEXT_SETS)
def test_every_set_can_be_trained_and_tested_on(public: Path, name: str) -> None:
    found = load_text_set(public, name)
    splits = found.splits()
    assert [spec.name for spec in splits.specs()] == [name]
    assert splits.validation.of(name)[0]
    assert splits.test.texts == found.test.texts
    assert not set(splits.train.texts) & set(splits.validation.texts)


def test_repeated_rows_are_left_out_where_our_own_figures_do_and_kept_where_published_ones_do(public: Path) -> None:
    russian, banking = load_text_set(public, "ru_intents"), load_text_set(public, "banking77")
    assert (len(russian.test), len(banking.test)) == (12, 13)
    assert russian.cut == ("1 test rows whose text stands in the training rows too: left out",)
    assert banking.cut[0].startswith("1 test rows")
    assert "kept" in banking.cut[0]


def test_out_of_scope_texts_validate_without_a_label_and_are_asked_at_the_end(public: Path) -> None:
    found = load_text_set(public, "clinc150")
    assert found.outside == ("иное", "другое")
    assert found.validation.texts[-1] == "чужое"
    assert found.validation.labels["clinc150"][-1] is None


def test_few_shots_are_as_many_distinct_texts_of_each_class_and_nothing_labelled_besides(public: Path) -> None:
    whole = load_text_set(public, "clinc150")
    few = whole.with_shots(3, seed=1)
    assert few.train.of("clinc150")[1] == [label for label in sorted(LABELS) for _ in range(3)]
    assert len(set(map(folded, few.train.texts))) == 9
    assert few.validation.texts == ["чужое"]
    assert few.test is whole.test
    assert few.train.texts == whole.with_shots(3, seed=1).train.texts != whole.with_shots(3, seed=2).train.texts
    assert len(whole.with_shots(100, seed=0).train) == len(whole.train)


def test_the_new_users_rows_hold_no_class_with_a_single_text(public: Path) -> None:
    rows = [*rows_of(8), ("одна", "редкий")]
    write_csv(public / "ru_intents" / "intents_train.csv", rows)
    write_csv(public / "ru_intents" / "intents_test.csv", [*rows_of(2, 30), ("другая", "редкий")])
    found = load_text_set(public, "ru-600")
    assert set(found.train.of("ru-600")[1]) == set(found.test.of("ru-600")[1]) == set(LABELS)
    assert found.cut[-1] == "of the 25 rows drawn, 1 whose class has one text among them"


def test_a_folder_of_ones_own_is_a_set(tmp_path: Path) -> None:
    write_csv(tmp_path / "mine" / "train.csv", rows_of(4), ("q", "a"))
    write_csv(tmp_path / "mine" / "test.csv", [*rows_of(2, 9), ("погода номер 1", "погода")], ("q", "a"))
    found = load_text_set(tmp_path, "mine", text="q", label="a")
    assert (found.name, len(found.train), len(found.test)) == ("mine", 12, 6)
    assert found.cut
    assert load_text_set(tmp_path, str(tmp_path / "mine"), text="q", label="a").test == found.test


def test_absent_data_sets_are_named(tmp_path: Path) -> None:
    for name in (*TEXT_SETS, "mine"):
        with pytest.raises(DataError, match=r"(train|train_v1|data_full|intents_train)\.\w+ is missing"):
            load_text_set(tmp_path, name)


def test_the_public_data_have_their_published_sizes(shared_data: Path) -> None:
    sets = {name: load_text_set(shared_data, name) for name in TEXT_SETS}
    sizes = {name: (len(s.train.of(name)[0]), len(s.validation.of(name)[0]), len(s.test)) for name, s in sets.items()}
    assert sizes["banking77"] == (10_003, 0, 3_080)
    assert sizes["clinc150"] == (15_000, 3_000, 4_500)
    assert sizes["ru_intents"] == (5_000, 0, 4_633)
    assert sizes["rumedtop3"] == (4_690, 848, 822)
    assert sizes["ru-600"][2] == 500
    assert len(sets["clinc150"].outside) == 1_000
    classes = {name: len(set(found.train.of(name)[1])) for name, found in sets.items() if name != "ru-600"}
    assert classes == {
        "banking77": 77,
        "clinc150": 150,
        "ru_intents": 67,  # and one more among the test rows
        "rumedtop3": 105,
    }
