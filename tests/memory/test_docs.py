"""What the memory's pages show is what runs."""

import re
import shlex
from pathlib import Path

import pytest

from interconnected_ai.cli import main

pytest.importorskip("Stemmer", reason='needs the extra "memory"')
pytest.importorskip("pymorphy3", reason='needs the extra "memory"')

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ["memory.md", "memory.ru.md"]
CHAT = '{"role": "user", "content": "Анна живёт в Риге, her phone number is 555.", "session": "chat-1"}\n'


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_first_block_runs_and_finds_its_answer(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks(page, "python")[0], page, "exec"), {})
    assert re.search("volcanoes|вулканы", capsys.readouterr().out)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_shown_runs_in_its_order(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chat.jsonl").write_text(CHAT, encoding="utf-8")
    lines = [line for line in blocks(page, "bash")[0].splitlines() if line.startswith("iai ")]
    assert len(lines) == 20
    for line in lines:
        arguments = shlex.split(line, comments=True)[1:]
        with pytest.raises(SystemExit) as left:
            main([*arguments, "--yes"] if "forget" in arguments else arguments)
        assert left.value.code == 0, (line, capsys.readouterr().err)


def test_both_languages_show_the_same_commands_tables_and_headings() -> None:
    texts = [(DOCS / page).read_text(encoding="utf-8") for page in PAGES]
    assert len({len(re.findall("^#", text, flags=re.M)) for text in texts}) == 1
    assert len({len(re.findall(r"^\|", text, flags=re.M)) for text in texts}) == 1
    commands = [[line.split("#")[0].strip() for line in blocks(page, "bash")[0].splitlines()] for page in PAGES]
    assert commands[0] == commands[1]
