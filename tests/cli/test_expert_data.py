"""`iai expert data`: what text holds, said to people and to programs."""

import json
from pathlib import Path

import pytest

from interconnected_ai.cli import main
from interconnected_ai.text import Tokenizer


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leave:
        main(["expert", "data", *arguments])
    return int(leave.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # a short name for a narrow table
    for number in range(12):
        (tmp_path / f"{number:02}.md").write_text(
            f"The text of the file number {number}.\n\nКот и пёс.\n", encoding="utf-8"
        )
    (tmp_path / "copy.md").write_bytes((tmp_path / "03.md").read_bytes())
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    return tmp_path


def test_the_report_names_documents_copies_languages_sides_and_what_was_passed_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(".") == 0
    shown = capsys.readouterr().out
    for words in (
        "12",
        "English",
        "1 × duplicate",
        "1 × empty text",
        "1 × ending .jpg",
        "validation",
        "Longest document",
    ):
        assert words in shown
    assert "tokens" not in shown


def test_with_a_tokenizer_the_tokens_are_counted_and_json_has_all_figures(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    expert = tmp_path_factory.mktemp("expert")
    tokenizer = Tokenizer.train(["The text of the file number 1. Кот и пёс."], 300)
    tokenizer.save(expert / "tokenizer.json")
    assert run(str(folder), "docs:numpy", "--tokenizer", str(expert), "--json") == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    first, second = found["sources"]
    texts = [file.read_text() for file in sorted(folder.glob("[01]*.md"))]
    assert first["num_tokens"] == sum(len(tokenizer.encode(text)) for text in texts)
    assert first["num_words"] == 10 * 12
    assert first["left_out"] == {"ending .jpg": 1, "duplicate": 1, "empty text": 1}
    assert found["total"]["num_bytes"] == first["num_bytes"] + second["num_bytes"]
    assert sum(side["num_documents"] for side in found["sides"]) == found["total"]["num_documents"]
    assert "tokens per word" in shown.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.txt"], "no file or folder at absent.txt"),
        (["docs:nunpy"], "unknown library 'nunpy'"),
        ([], "Missing argument"),
    ],
)
def test_mistakes_are_named_and_leave_with_code_two(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert words in capsys.readouterr().err
