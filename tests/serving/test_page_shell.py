"""The page as the server sends it: its shell in the reader's language, its files, and what they may never hold."""

import re
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')

from tests.serving.halls import Waiting, call, waiting_server

from interconnected_ai.serving.page import VIEWS
from interconnected_ai.serving.page.files import STATIC, language_of


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with waiting_server(Waiting()) as address:
        yield address


def test_every_view_has_an_address_of_its_own_that_gives_the_shell(url: str) -> None:
    for path in ("/", *(f"/{view}" for view in VIEWS)):
        status, headers, body = call(url, path)
        assert status == 200
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert '<script type="module" src="/page/static/main.js">' in body.decode()
    assert call(url, "/other")[0] == 404
    assert call(url, "/chat/")[0] == 200


def test_the_shell_speaks_the_readers_language_and_has_the_readers_theme(url: str) -> None:
    def shell(**headers: str) -> str:
        text: str = call(url, "/", headers=headers)[2].decode()
        return text

    assert '<html lang="en" data-theme="auto">' in shell()
    assert '<html lang="ru"' in shell(**{"accept-language": "de, ru-RU;q=0.8, en;q=0.5"})
    assert '<html lang="en"' in shell(**{"accept-language": "ru", "cookie": "iai_language=en"})
    assert 'data-theme="dark"' in shell(cookie="iai_theme=dark")
    assert '<html lang="en" data-theme="auto">' in shell(cookie='iai_theme="><script>; iai_language=xx')
    assert "vary" in call(url, "/")[1]


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("ru", "ru"),
        ("fr", "en"),
        ("en;q=0.1, ru;q=0.2", "ru"),
        ("ru;q=x, en", "en"),
        ("ru;q=", "en"),
        (",;,", "en"),
    ],
)
def test_a_language_is_the_one_that_is_liked_best(accepted: str, language: str) -> None:
    assert language_of(accepted) == language


def test_files_are_kept_by_browsers_until_they_change(url: str) -> None:
    status, headers, body = call(url, "/page/static/main.js")
    assert status == 200
    assert body == (STATIC / "main.js").read_bytes()
    assert headers["content-type"] == "text/javascript; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    again = call(url, "/page/static/main.js", headers={"if-none-match": f'"other", W/{headers["etag"]}'})
    assert (again[0], again[2], again[1]["etag"]) == (304, b"", headers["etag"])
    assert call(url, "/page/static/page.css", headers={"if-none-match": headers["etag"]})[0] == 200


@pytest.mark.parametrize(
    "name", ["", "none.js", "../files.py", "%2e%2e/files.py", "views", "views/../../files.py", "/etc/passwd"]
)
def test_only_files_of_the_page_are_sent(name: str, url: str) -> None:
    assert call(url, f"/page/static/{name}")[0] == 404


def test_nothing_stands_inline_and_nothing_comes_from_elsewhere(url: str) -> None:
    shell = call(url, "/")[2].decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", shell)
    assert not re.search(r"\s(style|on\w+)\s*=|<style|javascript:", shell)
    for path in (*STATIC.rglob("*.js"), *STATIC.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\.(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        foreign = re.findall(r"""["'(](https?:)?//[\w.-]+""", re.sub(r"https?://www\.w3\.org/\S+", "", text))
        assert not foreign, path
        assert "@import" not in text
