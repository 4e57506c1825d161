"""The page of an adapter's training: what it learnt from, what it measured, its curves; of conversations and preferences."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.training.test_adapter_chats import a_config, chat_rows, pair_rows
from tests.training.tiny_base import tiny_base

from interconnected_ai.report import AdapterReport, missing_sentences, write_report
from interconnected_ai.training import adapter_training_folder, train_adapter

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (chat_rows, ["conversations, their answers alone", "the base alone", "with the adapter", "nats per token"]),
        (pair_rows, ["preferences (DPO, beta 0.1)", "the right way round", "reward of the better answers", "DPO loss"]),
    ],
)
def test_the_page_says_what_was_learnt_and_how_it_went(
    rows: Callable[[int], list[dict[str, Any]]], words: list[str], tmp_path: Path, base: Path
) -> None:
    run = train_adapter(a_config(tmp_path, base, rows(80)))
    report = write_report(run.folder, tmp_path / "page.html", picture=tmp_path / "page.png")
    assert isinstance(report, AdapterReport)
    assert report.verdict == "good"
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for word in words:
        assert word in page
    assert "<script" not in page
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    examples = report.to_dict()["examples"]["sides"]
    assert examples["train"]["num_examples"] + examples["validation"]["num_examples"] == 80
    write_report(run.folder, tmp_path / "ru.html", language="ru")
    russian = (tmp_path / "ru.html").read_text(encoding="utf-8")
    assert "Отложенные примеры" in russian
    assert re.search("[а-я]", russian)


def test_a_run_that_has_only_begun_has_a_page_too(tmp_path: Path, base: Path) -> None:
    config = a_config(tmp_path, base, chat_rows(9))
    folder = adapter_training_folder(config)
    folder.mkdir()
    (folder / "run.yaml").write_text(config.to_yaml(), encoding="utf-8")
    report = write_report(folder, tmp_path / "page.html")
    assert report.verdict == "unfinished"
    assert missing_sentences(report)


def test_findings_stand_on_top_in_both_languages(tmp_path: Path, base: Path) -> None:
    run = train_adapter(a_config(tmp_path, base, chat_rows(20), training={"epochs": 1}))
    for language, words in (("en", "Few examples"), ("ru", "Примеров мало")):
        report = write_report(run.folder, tmp_path / f"{language}.html", language=language)
        assert report.verdict == "look"
        assert words in (tmp_path / f"{language}.html").read_text(encoding="utf-8")
