"""Every word of the page stands in the catalogue, in both languages, and nothing stands there in vain."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interconnected_ai.serving.page import files

CATALOGUE: dict[str, dict[str, Any]] = json.loads((files.STATIC / "catalogue.json").read_text(encoding="utf-8"))
MODULES = sorted(files.STATIC.rglob("*.js"))
TEMPLATES = sorted((files.HOME / "templates").glob("*.html"))
PLURALS = {"en": {"one", "other"}, "ru": {"one", "few", "many", "other"}}
_COMMENT = re.compile(r"/\*.*?\*/|(?<![:\"'`\w])//[^\n]*", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"|\'((?:[^\'\\\n]|\\.)*)\'|`((?:[^`\\]|\\.)*)`')
_REGEX = re.compile(r"(?<=[=(,:\[!&|?;])\s*/(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")
# What programs read and people do not: keys of keyboards, headers, names of errors and elements, words of other programs.
_PROGRAMS = re.compile(
    r"Enter|Escape|Arrow(Up|Down|Left|Right)|Home|End|Key[A-Z]|Tab|Page(Up|Down)|Space|AbortError|ApiError|TypeError|"
    r"Bearer|Content-Type|GET|PUT|POST|DELETE|[A-Z]|Event|CSV|JSON|P|LI|BUTTON|INPUT|Ctrl\+K"
)
_SENTENCE = re.compile(r"[A-Za-z]{2,}[,.!?:]? [a-z]{2,}|[А-Яа-яЁё]")
_TITLE = re.compile(r"[A-Z][a-z]+\w*")


def words_of(entry: Any) -> list[str]:
    """All texts of an entry in one language."""
    return list(entry.values()) if isinstance(entry, dict) else [entry]


def code_of(path: Path) -> str:
    """A module without its comments and expressions."""
    text = re.sub(r"^\s*(//|\*|/\*).*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return _REGEX.sub("0", _COMMENT.sub("", text))


def strings_of(code: str) -> Iterator[tuple[str, str]]:
    """Every string of a module, its placeholders cut out, and what stands before it."""
    for match in _STRING.finditer(code):
        text = next(group for group in match.groups() if group is not None)
        yield re.sub(r"\$\{[^}]*\}", "", text), code[max(0, match.start() - 40) : match.start()]


def used_keys() -> tuple[set[str], set[str]]:
    """Keys that are used, and beginnings of keys of which any may be."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)
    shells = "\n".join(path.read_text(encoding="utf-8") for path in TEMPLATES)
    prefixes = "|".join(sorted({key.split(".")[0] for key in CATALOGUE}))
    whole = set(re.findall(rf'["\'`]((?:{prefixes})\.[\w.]+)["\'`]', text + shells))
    begun = set(re.findall(rf"[\"'`]((?:{prefixes})\.(?:\w+\.)*)\$\{{", text))
    begun |= set(re.findall(rf"[\"']((?:{prefixes})\.(?:\w+\.)*)[\"'] ~", shells))
    return {key for key in whole if not key.endswith(".")}, begun


def test_every_entry_has_both_languages_and_says_something() -> None:
    for key, entry in CATALOGUE.items():
        assert set(entry) == set(files.LANGUAGES), key
        for language, told in entry.items():
            assert all(isinstance(text, str) and text.strip() for text in words_of(told)), (key, language)
            if isinstance(told, dict):
                assert set(told) == PLURALS[language], (key, language)


def test_both_languages_fill_in_the_same_values() -> None:
    for key, entry in CATALOGUE.items():
        values = [{frozenset(re.findall(r"\{(\w+)\}", text)) for text in words_of(told)} for told in entry.values()]
        assert all(len(each) == 1 for each in values), key
        assert values[0] == values[1], key


def test_russian_words_are_russian() -> None:
    same = {key for key, entry in CATALOGUE.items() if entry["en"] == entry["ru"]}
    assert same <= {"shell.title"} | {key for key in same if not re.search(r"[a-z]{4}", str(CATALOGUE[key]["en"]))}
    for key, entry in CATALOGUE.items():
        assert not re.search(r"[А-Яа-яЁё]", " ".join(words_of(entry["en"]))) or key.startswith("shell.language."), key


def test_keys_are_in_order_and_belong_to_a_view() -> None:
    assert list(CATALOGUE) == sorted(CATALOGUE)
    assert {key.split(".")[0] for key in CATALOGUE} <= {"shell", "monitor", *files.VIEWS}


def test_every_key_that_is_used_is_there_and_every_one_there_is_used() -> None:
    used, begun = used_keys()
    assert used - set(CATALOGUE) == set()
    for prefix in begun:
        assert any(key.startswith(prefix) for key in CATALOGUE), prefix
    unused = {key for key in CATALOGUE if key not in used and not any(key.startswith(prefix) for prefix in begun)}
    assert unused == set()


def is_for_people(text: str, before: str) -> bool:
    """Whether a string looks like words that somebody reads."""
    return bool(_TITLE.fullmatch(text.strip()) or (_SENTENCE.search(text) and not is_css(text, before)))


def test_no_module_holds_words_for_people() -> None:
    found = []
    for path in MODULES:
        for text, before in strings_of(code_of(path)):
            if re.search(r"(class|className|console\.\w+|Error)\W*$|class: $", before) or _PROGRAMS.fullmatch(
                text.strip()
            ):
                continue
            if is_for_people(text, before):
                found.append(f"{path.name}: {text!r}")
    assert found == []


def is_css(text: str, before: str) -> bool:
    """Lists of classes, values of styles and attributes, and what Intl takes."""
    return bool(re.search(r"(class:|\bclass\b.*|d:|rel:|viewBox:|transform:|sandbox:)\s*(\S+ \? )?$", before)) or (
        re.fullmatch(r"[a-z-]+( [a-z-]+)*", text) is not None and ("class" in before or "-" in text)
    )


def test_no_template_holds_words_for_people() -> None:
    for path in TEMPLATES:
        text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", path.read_text(encoding="utf-8"))
        between = re.findall(r">([^<]*)<", text)
        assert not [words for words in between if re.search(r"[A-Za-zА-Яа-я]", words)], path
        assert not re.findall(r'(?:aria-label|title|placeholder|alt)="[^"]*[A-Za-zА-Яа-я][^"]*"', text), path


def test_every_clause_that_the_server_tells_has_words() -> None:
    """What is told by a code in Python is said by the page: every code of a reason, of a notice, of a router."""
    homes = {"chat.reason.": "routing", "chat.notice.": "council", "planner.told.": "planner"}
    codes: dict[str, set[str]] = {}
    for prefix, room in homes.items():
        text = "\n".join(path.read_text(encoding="utf-8") for path in (files.HOME.parents[1] / room).rglob("*.py"))
        codes[prefix] = set(re.findall(r'(?:Told\.of|_notice)\(\s*"(\w+)"', text))
    codes["chat.notice."] -= {"by_name", "no_router"}  # these are reasons
    codes["chat.reason."] |= {
        "by_name", "prompt_id", "role", "user", "language", "unknown_label", "label_nowhere",
        *(f"{why}_{who}" for why in ("barred", "gone") for who in ("nobody", "other")),
    }  # fmt: skip
    codes["chat.reason."].discard("router")  # its words are the router's name
    codes["chat.notice."] |= {"set_aside", "unable"}
    codes["planner.told."] |= {"tokens", "tokens_at_most", "first_steps", "first_steps_twice"}
    codes["chat.router."] = {"rules", "learned", "semantic", "classifier", "likelihood", "cascade", "prior"}
    for prefix, found in codes.items():
        assert {key.removeprefix(prefix) for key in CATALOGUE if key.startswith(prefix)} == found, prefix


def test_words_that_bypass_the_catalogue_are_found() -> None:
    bad = 'el("p", null, "Something went wrong"); el("p", { title: "Close" }); el("h1", null, `Привет`);'
    found = [text for text, before in strings_of(bad) if is_for_people(text, before)]
    assert found == ["Something went wrong", "Close", "Привет"]
