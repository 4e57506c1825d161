"""What holds for every view of the page: it opens, fits, speaks two languages, obeys keys, and outlives its server."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.serving.browser.browsing import Site, tab_of

from interconnected_ai.config import ServingConfig
from ports import own_port

pytest.importorskip("playwright.sync_api", reason='needs the extra "dev"')
pytest.importorskip("fastapi", reason='needs the extra "serving"')

from playwright.sync_api import expect
from tests.serving.browser.test_page_chat import ask, button, finished

from interconnected_ai.serving import KeyFile, ServerThread
from interconnected_ai.serving.page import VIEWS
from interconnected_ai.serving.page.files import STATIC

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SHOWN = [view for view in VIEWS if (STATIC / "views" / f"{view}.js").exists()]
PHONE, DESKTOP = (360, 740), (1280, 800)


def opened(tab: "Page", view: str) -> None:
    """The view, once it is there and what it asked for too."""
    tab.goto(f"/{view}")
    expect(tab.locator(f"section.view-{view} h1")).to_be_visible()
    expect(tab.locator("main")).not_to_have_attribute("aria-busy", "true")
    expect(tab.locator("main .skeleton:visible")).to_have_count(0)


@pytest.mark.parametrize("view", SHOWN)
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_every_view_opens_and_fits(view: str, size: tuple[int, int], chromium: "Browser", site: Site) -> None:
    with tab_of(chromium, site.url, width=size[0], height=size[1]) as tab:
        opened(tab, view)
        expect(tab.locator(f'nav a[data-view="{view}"]')).to_have_attribute("aria-current", "page")
        assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert view.capitalize() in tab.title()
        small = tab.evaluate(
            """() => [...document.querySelectorAll("button, nav a, select, input, textarea")]
                .filter((node) => node.checkVisibility() && !["checkbox", "radio", "range"].includes(node.type))
                .filter((node) => node.getBoundingClientRect().height < 43.5).map((node) => node.outerHTML.slice(0, 120))"""
        )
        assert small == []


@pytest.mark.parametrize("view", SHOWN)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault(view: str, theme: str, chromium: "Browser", site: Site) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with tab_of(chromium, site.url, theme=theme, language="ru" if theme == "dark" else "en") as tab:
        opened(tab, view)
        if view == "chat":
            site.scripted.says("A *list*:\n\n- one\n\n```\ncode\n```")
            tab.locator(".composer select").first.select_option("scripted")
            tab.locator("#say").fill("Say it")
            tab.locator("#say").press("Enter")
            expect(tab.locator("article.answer .message-tools")).to_be_visible()
        found = axe.Axe().run(tab).response["violations"]
        assert [
            (each["id"], [node["html"][:200] for node in each["nodes"]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ] == []


def test_the_language_is_the_readers_and_changes_in_place(chromium: "Browser", site: Site) -> None:
    with tab_of(chromium, site.url, language="ru-RU") as tab:
        tab.goto("/chat")
        expect(tab.locator("html")).to_have_attribute("lang", "ru")
        expect(tab.get_by_role("heading", name="Спросите совет")).to_be_visible()
        tab.get_by_label("Напишите сообщение").fill("Черновик")
        tab.get_by_role("button", name="English: сменить язык").click()
        expect(tab.get_by_role("heading", name="Ask the council")).to_be_visible()
        expect(tab.get_by_label("Write a message")).to_have_value("Черновик")
        expect(tab.get_by_role("link", name="Chat")).to_be_visible()
        tab.reload()
        expect(tab.locator("html")).to_have_attribute("lang", "en")


def test_the_theme_is_the_systems_until_it_is_chosen(chromium: "Browser", site: Site) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with tab_of(chromium, site.url, theme="dark") as tab:
        opened(tab, "chat")  # before that nobody heeds the button, which the server has drawn
        dark = tab.evaluate(paper)
        button(tab, "Theme: as the system has it").click()
        expect(tab.locator("html")).to_have_attribute("data-theme", "light")
        light = tab.evaluate(paper)
        assert light != dark
        opened(tab, "chat")
        assert tab.evaluate(paper) == light
        button(tab, "Theme: light").click()
        expect(button(tab, "Theme: dark")).to_be_visible()
        assert tab.evaluate(paper) == dark


def test_keys_alone_lead_everywhere(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    expect(tab.get_by_role("heading", name="Ask the council")).to_be_visible()
    tab.keyboard.press("Tab")
    expect(tab.get_by_text("Skip to the content")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("main")).to_be_focused()
    for _ in range(30):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "say":
            break
        assert tab.evaluate("document.activeElement.matches(':focus-visible')")
    expect(tab.get_by_label("Write a message")).to_be_focused()
    site.scripted.says("by keys")
    tab.keyboard.press("Tab")
    expect(tab.get_by_label("Who answers")).to_be_focused()
    tab.keyboard.press("End")
    expect(tab.get_by_label("Who answers")).to_have_value("scripted")
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.type("Only keys")
    tab.keyboard.press("Shift+Enter")
    tab.keyboard.type("of two lines")
    tab.keyboard.press("Enter")
    expect(finished(tab)).to_contain_text("by keys")
    expect(tab.locator("article.said")).to_contain_text("Only keys\nof two lines")
    if len(SHOWN) > 1:
        link = tab.locator(f'nav a[data-view="{SHOWN[1]}"]')
        link.focus()
        tab.keyboard.press("Enter")
        expect(tab.locator(f"section.view-{SHOWN[1]} h1")).to_be_visible()
        expect(tab.locator("main")).to_be_focused()


@contextmanager
def serving(site: Site) -> Iterator[str]:
    """The same hall at a port of its own, which can end and begin again."""
    config = ServingConfig(port=own_port(), drain_seconds=0.1, state=str(site.home / "other-state"))
    with ServerThread(site.hall, config) as server:
        yield server.url


def test_without_its_server_the_page_says_so_and_goes_on_when_it_is_back(chromium: "Browser", site: Site) -> None:
    with ExitStack() as open_until_the_end:
        with serving(site) as url:
            tab = open_until_the_end.enter_context(tab_of(chromium, url))
            tab.goto("/chat")
            expect(tab.get_by_role("heading", name="Ask the council")).to_be_visible()
        ask(tab, "Anybody there?", "scripted")
        expect(tab.locator("#lost")).to_contain_text("The server does not answer.")
        expect(tab.locator("article.answer").get_by_role("alert")).to_contain_text("Is it still running?")
        site.scripted.says("yes")
        with serving(site):
            expect(tab.get_by_text("The server is there again.")).to_be_visible()
            expect(tab.locator("#lost")).to_be_empty()
            button(tab.locator("article.answer"), "Try again").click()
            expect(finished(tab)).to_contain_text("yes")
            tab.reload()
            expect(finished(tab)).to_contain_text("yes")


def test_a_key_is_asked_for_once_and_stands_in_no_address(chromium: "Browser", site: Site, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    secret = keys.add("page", scopes=["chat", "memory", "classify"])[1]
    with (
        ServerThread(site.hall, ServingConfig(port=0, drain_seconds=0.1, keys=str(keys.path))) as server,
        tab_of(chromium, server.url) as tab,
    ):
        addresses: list[str] = []
        tab.on("request", lambda request: addresses.append(request.url))
        tab.goto("/chat")
        dialog = tab.get_by_role("dialog")
        dialog.get_by_label("API key").fill("iai-not-this-one")
        dialog.get_by_label("API key").press("Enter")
        expect(dialog.get_by_text("The server does not know this key.")).to_be_visible()
        dialog.get_by_label("API key").fill(secret)
        button(dialog, "Use it").click()
        expect(tab.get_by_role("heading", name="Ask the council")).to_be_visible()
        site.scripted.says("with a key")
        ask(tab, "May I?", "scripted")
        expect(finished(tab)).to_contain_text("with a key")
        tab.reload()
        expect(finished(tab)).to_contain_text("with a key")
        expect(tab.locator("#strip")).to_be_empty()  # the figures are for another scope
        keys.revoke("page")
        ask(tab, "Still?")
        expect(dialog.get_by_text("The server does not know this key.")).to_be_visible()
        dialog.get_by_label("API key").fill(keys.add("next")[1])
        site.scripted.says("with the next one")
        button(dialog, "Use it").click()
        expect(finished(tab, 2).last).to_contain_text("with the next one")
        assert not [address for address in addresses if "iai-" in address]
        assert "iai-" not in tab.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")


def test_the_strip_shows_how_the_server_fares(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    strip = tab.locator("#strip")
    expect(strip).to_contain_text("Latency")
    expect(strip).to_contain_text("of 8 busy")
