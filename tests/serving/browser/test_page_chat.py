"""The chat as a person uses it, in a real browser before a real server."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.serving.browser.browsing import Site, tab_of
from tests.serving.halls import call

from interconnected_ai.errors import EngineError

pytest.importorskip("playwright.sync_api", reason='needs the extra "dev"')

from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Locator, Page, Route


def button(tab: "Page | Locator", name: str) -> "Locator":
    return tab.get_by_role("button", name=name, exact=True)


def ask(tab: "Page", text: str, model: str | None = None) -> None:
    """Write a message and send it by Enter."""
    if model is not None:
        tab.get_by_label("Who answers").select_option(model)
    area = tab.get_by_label("Write a message")
    area.fill(text)
    area.press("Enter")


def saved(tab: "Page") -> None:
    """Wait until the server has all that is shown of the conversation; a page that is left before loses the rest."""
    expect(tab.locator(".view-head .chip.warn")).to_have_count(0)


def finished(tab: "Page", number: int = 1) -> "Locator":
    """The answers, once there are so many, the last is whole, and the server has them."""
    answers = tab.locator("article.answer")
    expect(answers).to_have_count(number)
    expect(button(answers.last, "Answer again")).to_be_enabled()
    saved(tab)
    return answers


def kept(site: Site, tab: "Page") -> Any:
    """The open conversation, as the server has it once it has everything."""
    saved(tab)
    id = tab.url.split("c=")[1]
    return call(site.url, f"/v1/conversations/{id}")[2]


def test_a_whole_conversation(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    expect(tab.get_by_role("heading", name="Ask the council")).to_be_visible()
    ask(tab, "A traceback in python")
    answer = finished(tab)
    expect(answer.locator("summary")).to_contain_text("code")
    expect(answer.locator("summary")).to_contain_text("rule “programs”")
    answer.locator("summary").click()
    expect(answer.get_by_role("row", name="code")).to_be_visible()
    expect(answer.get_by_text("Writing", exact=True)).to_be_visible()

    tab.reload()
    expect(tab.get_by_role("heading", level=1, name="A traceback in python")).to_be_visible()
    ask(tab, "What did I say about a traceback?")
    second = finished(tab, 2).last
    expect(second.locator("summary")).to_contain_text("recalled")
    second.locator("summary").click()
    expect(second.get_by_text("Recalled for this answer")).to_be_visible()
    expect(second.locator("blockquote").get_by_text("A traceback in python", exact=True).first).to_be_visible()

    with tab.expect_response("**/v1/feedback"):
        button(second, "A good answer").click()
    expect(button(second, "A good answer")).to_have_attribute("aria-pressed", "true")
    expect(tab.get_by_text("Thank you; that is kept.")).to_be_visible()
    given = call(site.url, "/v1/feedback")[2]["data"][-1]
    assert (given["rating"], given["model"]) == ("up", "council")
    found = kept(site, tab)
    assert [message["role"] for message in found["messages"]] == ["user", "assistant"] * 2
    assert found["messages"][-1]["rating"] == "up"
    assert found["messages"][-1]["answer"] == given["answer"]


def test_of_several_that_deliberated_it_says_what_the_word_of_each_weighed(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    tab.get_by_label("How many experts deliberate").select_option("2")
    ask(tab, "A traceback in python")
    summary = finished(tab).locator("summary")
    told = kept(site, tab)["messages"][-1]["told"]
    assert len(told["weights"]) == 2
    shown = summary.locator(".chip").first.inner_text()
    assert shown == ", ".join(f"{name} {100 * told['weights'][name]:.0f}%" for name in told["experts"])
    summary.click()
    expect(tab.get_by_text("They deliberated over every token")).to_be_visible()


def test_reasons_and_errors_of_the_server_are_told_in_the_readers_language(chromium: "Browser", site: Site) -> None:
    with tab_of(chromium, site.url, language="ru") as tab:
        tab.goto("/chat")
        area = tab.locator("textarea")
        area.fill("A traceback in python")
        area.press("Enter")
        expect(tab.locator(".reason")).to_contain_text("правило «programs»")
        expect(tab.locator(".reason")).to_contain_text("«python, traceback»")
        expect(tab.locator("article.answer [lang=en]")).to_have_count(0)
        tab.goto("/chat")
        tab.locator("main select").first.select_option("code")
        area.fill("word " * 3000)
        area.press("Enter")
        expect(tab.locator(".answer .problem")).to_contain_text("Это не помещается в окно модели")


@contextmanager
def kept_waiting(tab: "Page", address: str) -> "Iterator[Callable[[], None]]":
    """Requests for this address come to the server when what this gives is called: the page is not ready before."""
    waiting: list[Route] = []
    is_ready = False

    def keep(route: "Route") -> None:
        if is_ready:
            route.continue_()
        else:
            waiting.append(route)

    def go_on() -> None:
        nonlocal is_ready
        while not waiting:
            tab.wait_for_timeout(10)
        is_ready = True
        for route in waiting:
            route.continue_()

    tab.route(address, keep)
    yield go_on


def test_what_is_written_before_the_page_knows_who_answers_is_asked_once_it_does(site: Site, tab: "Page") -> None:
    with kept_waiting(tab, "**/v1/experts") as go_on:
        tab.goto("/chat")
        ask(tab, "A traceback in python")
        expect(tab.get_by_label("Write a message")).to_have_value("A traceback in python")
        go_on()
    expect(finished(tab).locator("summary")).to_contain_text("rule “programs”")
    assert kept(site, tab)["messages"][0]["content"] == "A traceback in python"
    expect(tab.get_by_label("Write a message")).to_have_value("")


def test_what_is_written_while_a_conversation_is_fetched_is_said_in_it(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    site.scripted.says("the first")
    ask(tab, "To be continued", "scripted")
    finished(tab)
    address = tab.url
    with kept_waiting(tab, f"**/v1/conversations/{address.split('c=')[1]}") as go_on:
        tab.goto(address)
        expect(tab.get_by_label("Who answers").locator("option")).to_have_count(0)
        site.scripted.says("the second")
        ask(tab, "Here it goes on")
        go_on()
    expect(finished(tab, 2).last).to_contain_text("the second")
    assert tab.url == address
    said = [message["content"] for message in kept(site, tab)["messages"]]
    assert said == ["To be continued", "the first", "Here it goes on", "the second"]


def test_an_answer_that_the_server_does_not_have_yet_is_said_to_be_unsaved(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    site.scripted.says("not yet kept")
    with kept_waiting(tab, "**/v1/conversations/*") as go_on:
        ask(tab, "Is it safe?", "scripted")
        expect(button(tab, "Answer again")).to_be_enabled()
        expect(tab.get_by_text("not saved yet")).to_be_visible()
        go_on()
    finished(tab)
    expect(tab.get_by_text("not saved yet")).to_have_count(0)
    assert [message["content"] for message in kept(site, tab)["messages"]] == ["Is it safe?", "not yet kept"]


def test_who_goes_to_another_conversation_before_one_has_come_stays_there_with_what_was_written(
    site: Site, tab: "Page"
) -> None:
    tab.goto("/chat")
    site.scripted.says("a slow one")
    ask(tab, "Slow to come", "scripted")
    finished(tab)
    address = tab.url
    with kept_waiting(tab, f"**/v1/conversations/{address.split('c=')[1]}") as go_on:
        tab.goto(address)
        tab.get_by_label("Write a message").fill("for the slow one")
        button(tab, "New conversation").first.click()
        expect(tab.get_by_role("heading", name="Ask the council")).to_be_visible()
        expect(tab.get_by_label("Write a message")).to_have_value("")
        tab.get_by_label("Write a message").fill("for the new one")
        with tab.expect_response(f"**/v1/conversations/{address.split('c=')[1]}"):
            go_on()
    expect(tab.locator("article.said")).to_have_count(0)
    tab.locator(".conversation-row", has_text="Slow to come").first.click()
    finished(tab)
    expect(tab.get_by_label("Write a message")).to_have_value("for the slow one")
    button(tab, "New conversation").first.click()
    expect(tab.get_by_label("Write a message")).to_have_value("for the new one")


def test_an_answer_is_made_again_and_a_question_edited_and_both_ways_stay(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    site.scripted.says("first answer")
    ask(tab, "A question", "scripted")
    finished(tab)
    site.scripted.says("second answer")
    button(tab, "Answer again").click()
    answer = finished(tab)
    expect(answer).to_contain_text("second answer")
    expect(answer).to_contain_text("2 / 2")
    button(answer, "Previous version").click()
    expect(answer).to_contain_text("first answer")
    expect(button(answer, "Previous version")).to_be_disabled()

    site.scripted.says("third answer")
    said = tab.locator("article.said")
    button(said, "Edit").click()
    said.get_by_role("textbox").fill("Another question")
    button(said, "Ask again").click()
    expect(finished(tab)).to_contain_text("third answer")
    expect(said).to_contain_text("Another question")
    button(said, "Previous version").click()
    expect(said).to_contain_text("A question")
    expect(tab.locator("article.answer")).to_contain_text("first answer")

    button(tab, "Go on from here in a conversation of its own").click()
    expect(tab.get_by_role("heading", level=1, name="A question (branch)")).to_be_visible()
    expect(tab.locator("article.answer")).to_contain_text("first answer")
    assert len(kept(site, tab)["messages"]) == 2


def test_an_answer_goes_on_while_another_view_is_shown_and_can_be_stopped(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    site.scripted.says("one ", "two ", "three ", at_once=False)
    ask(tab, "Count", "scripted")
    site.scripted.goes.release()
    expect(tab.locator("article.answer")).to_contain_text("one")
    tab.evaluate("document.querySelector('main').firstChild.dataset.mark = 'first'")
    tab.get_by_role("link", name="Chat").click()
    expect(tab.locator("[data-mark]")).to_have_count(0)  # the view ended and began again
    site.scripted.goes.release()
    expect(tab.locator("article.answer")).to_contain_text("one two")
    button(tab, "Stop").click()
    expect(tab.get_by_text("You stopped this answer.")).to_be_visible()
    assert site.scripted.ended.wait(60)
    saved(tab)
    tab.reload()
    expect(tab.locator("article.answer")).to_contain_text("one two")
    expect(tab.get_by_text("You stopped this answer.")).to_be_visible()


def test_an_error_is_told_in_words_and_tried_again(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    site.scripted.says(EngineError("the weights are gone"))
    ask(tab, "Will it?", "scripted")
    problem = tab.get_by_role("alert").filter(has_text="weights")
    expect(problem).to_contain_text("Not now: it cannot answer now: the weights are gone")
    saved(tab)
    tab.reload()
    expect(problem).to_be_visible()
    site.scripted.says("it does")
    button(problem, "Try again").click()
    expect(finished(tab)).to_contain_text("it does")
    expect(problem).to_have_count(0)

    site.scripted.says("half an ", EngineError("the disk is gone"))
    button(tab, "Answer again").click()
    answer = tab.locator("article.answer")
    expect(answer).to_contain_text("half an")
    expect(answer.get_by_role("alert")).to_contain_text("the disk is gone")


def test_two_tabs_lose_none_of_each_others_messages(chromium: "Browser", site: Site) -> None:
    with tab_of(chromium, site.url) as here, tab_of(chromium, site.url) as there:
        here.goto("/chat")
        site.scripted.says("shared answer")
        ask(here, "Shared", "scripted")
        finished(here)
        there.goto(here.url)
        finished(there)
        site.scripted.says("for this tab")
        ask(here, "From this tab")
        finished(here, 2)
        site.scripted.says("for that tab")
        ask(there, "From that tab")
        finished(there, 2)
        said = [message["content"] for message in kept(site, there)["messages"]]
        assert sorted(said) == sorted(
            ["Shared", "shared answer", "From this tab", "for this tab", "From that tab", "for that tab"]
        )
        expect(button(there, "Previous version")).to_be_visible()


def test_conversations_are_searched_by_keys_alone(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    site.scripted.says("the pelican flies")
    ask(tab, "Tell me of a bird", "scripted")
    finished(tab)
    button(tab, "New conversation").first.click()
    expect(tab.locator("article.answer")).to_have_count(0)
    tab.keyboard.press("Control+k")
    search = tab.get_by_role("dialog").get_by_role("searchbox")
    expect(search).to_be_focused()
    tab.keyboard.type("pelic")
    expect(tab.get_by_text("1 conversation found")).to_be_visible()
    tab.keyboard.press("ArrowDown")
    expect(tab.locator(".conversation-row.found").first).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("article.answer")).to_contain_text("the pelican flies")
    expect(tab.get_by_role("dialog")).to_have_count(0)
    tab.keyboard.press("Control+k")
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_have_count(0)


def test_a_conversation_is_renamed_exported_and_deleted(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    site.scripted.says("an **answer**")
    ask(tab, "To be exported", "scripted")
    finished(tab)
    button(tab, "Rename the conversation").click()
    tab.get_by_label("Title").fill("Письма & числа")
    tab.get_by_label("Title").press("Enter")
    expect(tab.get_by_role("heading", level=1, name="Письма & числа")).to_be_visible()
    for choice, ending in (("Markdown, as it is shown", "md"), ("JSON, with all its branches", "json")):
        button(tab, "Export").click()
        with tab.expect_download() as waited:
            button(tab, choice).click()
        saved = waited.value
        assert saved.suggested_filename == f"Письма-числа.{ending}"
        text = Path(saved.path()).read_text(encoding="utf-8")
        if ending == "md":
            assert text == "# Письма & числа\n\n## You\n\nTo be exported\n\n## scripted\n\nan **answer**\n"
        else:
            assert [message["content"] for message in json.loads(text)["messages"]] == [
                "To be exported",
                "an **answer**",
            ]
    id = kept(site, tab)["id"]
    button(tab, "Delete the conversation").click()
    expect(button(tab.get_by_role("dialog"), "Cancel")).to_be_focused()
    button(tab.get_by_role("dialog"), "Delete").click()
    expect(tab.get_by_role("heading", name="Ask the council")).to_be_visible()
    assert call(site.url, f"/v1/conversations/{id}")[0] == 404
    tab.goto(f"/chat?c={id}")
    expect(tab.get_by_text("This conversation is not here any more.")).to_be_visible()


HOSTILE = """<img src=x onerror=alert(1)> <script>alert(2)</script>

[a link](javascript:alert(3)) [another](https://example.com/a_b "t") and https://example.com/x?y=1.

# A heading

1. one
2. two with `code <b>` and **bold _both_**
   - inner

> quoted

```python
print("<b>")
"""


def test_an_answer_is_text_and_never_html(site: Site, tab: "Page") -> None:
    tab.goto("/chat")
    site.scripted.says(HOSTILE)
    ask(tab, "Hurt me", "scripted")
    prose = finished(tab).locator(".prose")
    expect(prose.locator("img, script, [onerror]")).to_have_count(0)
    expect(prose).to_contain_text("<img src=x onerror=alert(1)> <script>alert(2)</script>")
    expect(prose.locator("a")).to_have_count(2)
    assert [link.get_attribute("href") for link in prose.locator("a").all()] == [
        "https://example.com/a_b", "https://example.com/x?y=1",
    ]  # fmt: skip
    expect(prose).to_contain_text("[a link](javascript:alert(3))")
    expect(prose.get_by_role("heading", level=3)).to_have_text("A heading")
    expect(prose.locator("ol > li")).to_have_count(2)
    expect(prose.locator("ol > li").nth(1).locator("ul > li")).to_have_text("inner")
    expect(prose.locator("strong em")).to_have_text("both")
    expect(prose.locator("blockquote p")).to_have_text("quoted")
    expect(prose.locator("pre code")).to_have_text('print("<b>")')


def test_markdown_takes_time_that_grows_with_the_text(tab: "Page") -> None:
    """Marks that open and never close: for each of them the rest of the text is looked through once, not each time."""
    tab.goto("/chat")
    texts = [
        "*" * 50_000 + "a",
        "**a " * 30_000,
        "[a](" * 30_000,
        "_a " * 30_000,
        "`" * 30_001 + "a",
        "> " * 20_000,
        "- a " * 20_000,
    ]
    for text in texts:
        count = tab.evaluate(
            "async (text) => { const { rendered } = await import('/page/static/markdown.js');"
            " return rendered(text).map((node) => node.textContent).join('').length; }", text,
        )  # fmt: skip
        assert count > 0
