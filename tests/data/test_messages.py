"""The Russian texts of the quickstart: real, distinct, labelled without doubt, and the same for everybody."""

import re
from collections import Counter
from pathlib import Path

import pytest

from interconnected_ai.data import PROGRAMS, message_rows
from interconnected_ai.data.harvest import messages
from interconnected_ai.data.harvest.messages import Program
from interconnected_ai.errors import MissingExtraError, UnknownNameError

polib = pytest.importorskip("polib")


@pytest.mark.parametrize("program", PROGRAMS)
def test_messages_are_russian_distinct_and_in_large_classes(program: str) -> None:
    pytest.importorskip(PROGRAMS[program].package)
    rows = message_rows(program)
    assert len({row.text for row in rows}) == len(rows) > 100
    assert all(re.search("[а-яё]", row.text.lower()) and len(row.text.split()) >= 3 for row in rows)
    assert max(len(row.text) for row in rows) <= 300
    sizes = Counter(row.label for row in rows)
    assert len(sizes) > 3
    assert min(sizes.values()) >= 12
    assert rows == message_rows(program)


def test_a_program_that_nobody_knows_or_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="jupyterlab"):
        message_rows("jupyterlap")
    monkeypatch.setitem(messages.PROGRAMS, "absent", Program("no_such_package_of_ours", "folder"))
    with pytest.raises(MissingExtraError, match=r"interconnected-ai\[bench\]"):
        message_rows("absent")


@pytest.mark.parametrize(
    ("part", "labels"), [("catalogue", ["django"]), ("folder", ["shop"]), ("source", ["cart", "mail"])]
)
def test_a_message_is_labelled_by_the_part_that_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, labels: list[str]
) -> None:
    folder = tmp_path / "program_of_the_tests" / "shop" / "locale" / "ru" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (tmp_path / "program_of_the_tests" / "__init__.py").touch()
    catalogue = polib.POFile()
    for said, place, flags in (
        ("Добавьте товар в корзину", "cart/views.py", []),
        ("Письмо отправлено\nна ваш адрес", "templates/mail/sent.txt", []),
        ("Это ещё не проверено", "cart/views.py", ["fuzzy"]),
        ("Слишком коротко", "cart/views.py", []),
        ("Not in Russian at all", "cart/views.py", []),
    ):
        catalogue.append(polib.POEntry(msgid=said, msgstr=said, occurrences=[(place, "1")], flags=flags))
    catalogue.save(str(folder / "django.po"))
    catalogue.save_as_mofile(str(folder / "django.mo"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(messages.PROGRAMS, "shop", Program("program_of_the_tests", part))  # type: ignore[arg-type]
    rows = message_rows("shop", min_rows_per_class=1)
    assert sorted(row.text for row in rows) == ["Добавьте товар в корзину", "Письмо отправлено на ваш адрес"]
    assert sorted({row.label for row in rows}) == labels
