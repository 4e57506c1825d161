"""What the page on clients shows is what runs, in both languages."""

import gc
import re
from pathlib import Path

import pytest

pytest.importorskip("Stemmer", reason='needs the extra "memory"')

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ["clients.md", "clients.ru.md"]
PACKAGES = ["asyncio", "langchain_core", "llama_index.core"]  # in the order of the page's blocks


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # LlamaIndex closes its own store never
def test_the_block_of_each_package_runs_and_finds_its_answer(
    package: str, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks(page)[PACKAGES.index(package)], page, "exec"), {})
    gc.collect()
    assert re.search("volcanoes|вулканы", capsys.readouterr().out)


def test_both_languages_show_the_same_headings_tables_and_commands() -> None:
    texts = [(DOCS / page).read_text(encoding="utf-8") for page in PAGES]
    for pattern in (r"^#+", r"^\|", r"^```\w+", r"^iai [^#\n]*"):
        found = [[one.strip() for one in re.findall(pattern, text, flags=re.M)] for text in texts]
        assert found[0] == found[1]
