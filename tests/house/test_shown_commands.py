"""Every `iai` command that a page shows is one that the command line takes: its verbs and all its options."""

import shlex
from pathlib import Path

import click
import pytest

from interconnected_ai.cli import iai
from pages import ROOT, blocks, inline_commands

# A log tells what was run in its day.
PAGES = [
    *(ROOT / name for name in ("README.md", "README.ru.md")),
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.stem.split(".")[0] != "log"),
]


def shown_in(page: Path) -> list[str]:
    """The `iai` lines of the page's shell blocks, continued lines joined."""
    shown = [text for language in ("bash", "sh", "console") for text in blocks(page, language)]
    lines = "\n".join(shown).replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.removeprefix("$ ").startswith("iai ")]


def parse(words: list[str]) -> None:
    """Raises `click.UsageError` for a verb or an option that does not exist; values are not looked at."""
    command: click.Command = iai
    context = click.Context(iai, info_name="iai", **iai.context_settings)
    while isinstance(command, click.Group):
        if not words or words[0].startswith("-"):
            assert words in ([], ["--help"], ["--version"]), words
            return
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        context = click.Context(command, info_name=command.name, parent=context)
    try:
        command.make_parser(context).parse_args(words)
    except click.BadOptionUsage as error:  # in a sentence an option may stand without its value
        if not error.message.endswith("requires an argument."):
            raise


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_on_the_page_is_one_that_exists(page: Path) -> None:
    wrong = []
    for line in [*shown_in(page), *inline_commands(page)]:
        words = shlex.split(line, comments=True)[1:]
        cut = [index for index, word in enumerate(words) if word in ("|", ">", ">>", "2>", "&&", ";", "<")]
        words = [word for word in words[: min(cut, default=len(words))] if word not in ("…", "...")]
        try:
            parse(words)
        except click.UsageError as error:
            wrong.append(f"{line}: {error.format_message()}")
    assert not wrong


def test_a_wrong_option_on_a_page_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\niai plan system \\\n  --brunches 5\n```\n", encoding="utf-8")
    (line,) = shown_in(page)
    with pytest.raises(click.UsageError, match="--brunches"):
        parse(shlex.split(line)[1:])
