"""Branches, Memory, Experts and Planner in a real browser, over a real server, system and memory."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")
pytest.importorskip("playwright.sync_api", reason='needs the extra "dev"')

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from tests.serving.browser.browsing import tab_of
from tests.serving.halls import Waiting, call, waiting_server
from tests.serving.own_halls import csv_of, own_server

from interconnected_ai.planner import plan, request_from
from interconnected_ai.serving import Hall, KeyFile

TRAINING_MILLISECONDS = 240_000  # of a process that imports PyTorch on a machine that is busy


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Hall]]:
    """Two branches, three experts, and a memory with a fact that superseded another."""
    with own_server(tmp_path_factory.mktemp("views")) as (url, hall):
        assert hall.memory is not None
        for words, session in (
            ("I live in Riga.", "first talk"),
            ("My boat is called Albatross.", "first talk"),
            ("I moved to Oslo. I live in Oslo now.", "second talk"),
            ("Forget-me-nots are blue.", "second talk"),
        ):
            hall.memory.add("user", words, session=session)
        hall.memory.catch_up()
        yield url, hall


@pytest.fixture
def page(chromium: Browser, served: tuple[str, Hall]) -> Iterator[Page]:
    with tab_of(chromium, served[0]) as tab:
        yield tab


def test_every_branch_says_what_a_text_is_and_how_sure_it_is(served: tuple[str, Hall], page: Page) -> None:
    url, hall = served
    page.goto(f"{url}/branches")
    page.get_by_label("Texts").fill("my bank card\n\nrain and snow")
    page.get_by_label("Texts").press("Control+Enter")
    expect(page.locator(".answered")).to_have_count(2)
    first = page.locator(".answered").first
    (expected,) = hall.systems["system"].predict(["my bank card"])
    for name, found in expected.branches.items():
        row = first.locator(f"[data-branch={name}]")
        expect(row).to_contain_text(found.label)
        meter = row.get_by_role("meter", name=f"Confidence of {name}")
        assert float(meter.get_attribute("aria-valuenow") or "-1") == pytest.approx(100 * found.confidence, abs=0.1)
        expect(row.get_by_text("unknown")).to_have_count(int(found.unknown))


def test_a_branch_made_of_a_table_is_followed_over_a_reload(
    served: tuple[str, Hall], page: Page, tmp_path: Path
) -> None:
    url, _ = served
    table = tmp_path / "three-topics.csv"
    table.write_bytes(csv_of("three", 48))
    page.goto(f"{url}/branches")
    page.get_by_role("button", name="Add a branch").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Train it").click()
    expect(dialog.get_by_role("alert")).to_have_text("Choose a table first.")
    dialog.locator("input[type=file]").set_input_files(table)
    expect(dialog.get_by_label("Name of the branch")).to_have_value("three-topics")
    expect(dialog.get_by_label("Column of labels").locator("option")).to_have_text(["found by itself", "text", "label"])
    dialog.get_by_label("Name of the branch").fill("one")
    dialog.get_by_role("button", name="Train it").click()
    expect(dialog.get_by_role("alert")).to_contain_text("exists already")
    dialog.get_by_label("Name of the branch").fill("three")
    dialog.get_by_role("button", name="Train it").click()
    expect(dialog).to_have_count(0)
    job = page.locator("article.job")
    expect(job.get_by_role("progressbar", name="Progress of three")).to_be_visible()
    page.reload()
    expect(job.get_by_role("progressbar", name="Progress of three")).to_be_visible()
    expect(job.locator(".chip")).to_have_text("done", timeout=TRAINING_MILLISECONDS)
    expect(job).to_contain_text("answer as before, to the last bit")
    page.get_by_role("button", name="Details of three").click()
    confusion = call(url, "/v1/branches/three")[2]["confusion"]
    matrix = page.get_by_role("dialog").locator("table.matrix")
    expect(matrix.locator("tbody tr")).to_have_count(3)
    told = sum(int(text) for text in matrix.locator("tbody td").all_inner_texts() if text.isdecimal())
    assert told == confusion["num_rows"]
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove three").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.locator("[data-branch=three]")).to_have_count(0)
    assert call(url, "/v1/branches/three")[0] == 404
    page.get_by_role("button", name="Dismiss the job of three").click()
    expect(job).to_have_count(0)
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("dialog")).to_contain_text("All 2 branches give their stored outputs")


def test_a_training_that_is_cancelled_says_so_and_may_start_again(
    served: tuple[str, Hall], page: Page, tmp_path: Path
) -> None:
    url, _ = served
    table = tmp_path / "four.csv"
    table.write_bytes(csv_of("four", 48))
    page.goto("/branches")
    page.get_by_role("button", name="Add a branch").click()
    page.locator("input[type=file]").set_input_files(table)
    page.get_by_role("dialog").get_by_role("button", name="Train it").click()
    page.get_by_role("button", name="Cancel the training of four").click()
    job = page.locator("article.job")
    expect(job.locator(".chip")).to_have_text("cancelled")
    expect(job).to_contain_text("nothing of it was saved")
    expect(page.get_by_role("button", name="Start the training of four again")).to_be_enabled()
    page.get_by_role("button", name="Dismiss the job of four").click()
    expect(job).to_have_count(0)
    assert call(url, "/v1/jobs")[2]["data"] == []


def test_a_key_that_may_not_is_told_so_in_words(chromium: Browser, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    secret = keys.add("reader", scopes=["classify"])[1]
    with own_server(tmp_path, keys=str(keys.path)) as (url, hall), tab_of(chromium, url) as page:
        page.add_init_script(f"sessionStorage.setItem('iai.key', {secret!r})")
        page.goto("/branches")
        page.get_by_role("button", name="Remove one").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_role("alert")).to_contain_text("This key may not do that")
        assert "one" in hall.systems["system"].branch_names
        page.goto("/memory")
        expect(page.get_by_role("alert")).to_contain_text("memory")


def test_what_a_server_lacks_is_said_with_the_command_that_helps(chromium: Browser) -> None:
    with waiting_server(Waiting()) as url, tab_of(chromium, url) as page:
        page.goto("/branches")
        expect(page.get_by_text("iai serve council.yaml runs/quickstart")).to_be_visible()
        expect(page.get_by_role("button", name="Add a branch")).to_have_count(0)
        page.goto("/memory")
        expect(page.get_by_role("heading", name="This server has no memory")).to_be_visible()
        expect(page.get_by_text("memory: ./memory.db")).to_be_visible()


def test_a_fact_shows_its_source_and_what_it_superseded_and_is_corrected(served: tuple[str, Hall], page: Page) -> None:
    url, hall = served
    assert hall.memory is not None
    page.goto(f"{url}/memory?part=facts")
    oslo = page.locator("li.holds", has_text="Oslo")
    expect(page.locator("li.past", has_text="Riga")).to_contain_text("superseded by Oslo")
    oslo.get_by_role("button", name="The message that says Oslo").click()
    expect(oslo.locator(".quote")).to_contain_text("I moved to Oslo")
    oslo.get_by_role("button", name="Correct Oslo").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Value")).to_be_focused()
    dialog.get_by_label("Value").fill("Bergen")
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.locator("li.holds", has_text="Bergen")).to_contain_text("set by hand")
    past = page.locator("li.past", has=page.locator("strong", has_text="Oslo"))
    expect(past).to_contain_text("superseded by Bergen")
    assert "Bergen" in {fact.value for fact in hall.memory.facts()}


def test_a_context_says_why_each_message_is_there(served: tuple[str, Hall], page: Page) -> None:
    url, _ = served
    page.goto(f"{url}/memory")
    expect(page.locator(".level")).to_have_count(3)
    page.get_by_label("Question").first.fill("How is my boat called?")
    page.keyboard.press("Enter")
    boat = page.locator(".quote", has_text="Albatross")
    expect(boat.locator(".cause")).to_contain_text("boat")
    page.get_by_role("tab", name="Levels").press("ArrowRight")
    expect(page.get_by_role("tab", name="Facts")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Facts")).to_be_visible()
    page.get_by_role("tab", name="Search").click()
    page.get_by_role("search").get_by_label("Question").fill("boat")
    page.keyboard.press("Enter")
    found = page.locator(".quote", has_text="Albatross").last
    found.get_by_role("button", name="Why is message").click()
    expect(found.locator(".cause")).to_be_visible()


def has_flowers(hall: Hall) -> bool:
    assert hall.memory is not None
    return any("Forget-me-nots" in one.content for one in hall.memory.messages(session="second talk"))


def test_forgetting_shows_how_much_would_go_before_it_does(served: tuple[str, Hall], page: Page) -> None:
    url, hall = served
    page.goto(f"{url}/memory?part=forget")
    page.get_by_role("textbox", name="Words").fill("Forget-me-nots")
    page.get_by_role("button", name="See how much would go").click()
    expect(page.locator(".would-go")).to_contain_text("1 message")
    page.get_by_role("button", name="Forget it for good").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel").click()
    assert has_flowers(hall)
    page.get_by_role("button", name="Forget it for good").click()
    dialog.get_by_role("button", name="Forget it for good").click()
    expect(page.get_by_text("no bytes of it are left")).to_be_visible()
    assert not has_flowers(hall)


def test_an_expert_is_loaded_and_pinned_and_the_pool_fills(served: tuple[str, Hall], page: Page) -> None:
    url, hall = served
    page.goto(f"{url}/experts")
    row = page.locator("tr[data-expert=law]")
    expect(row).to_contain_text("cold")
    row.get_by_role("button", name="Load law", exact=True).click()
    expect(row).to_contain_text("hot")
    row.get_by_role("button", name="Pin law in memory").click()
    expect(row.get_by_text("pinned")).to_be_visible()
    assert hall.pools["council"].stats().experts["law"].pinned
    expect(row.get_by_role("button", name="Unload law")).to_be_disabled()
    meter = page.get_by_role("meter", name="Pool of the council")
    assert float(meter.get_attribute("aria-valuenow") or "0") > 0
    row.get_by_role("button", name="Take the pin off law").click()
    row.get_by_role("button", name="Unload law").click()
    expect(row).to_contain_text("cold")


def test_what_others_do_with_experts_is_seen_without_a_reload(served: tuple[str, Hall], page: Page) -> None:
    url, _ = served
    page.goto(f"{url}/experts")
    row = page.locator("tr[data-expert=code]")
    expect(row).to_be_visible()
    call(url, "/v1/experts/code/load", b"", method="POST")
    expect(row).to_contain_text("hot")
    call(url, "/v1/experts/code/unload", b"", method="POST")
    expect(row).to_contain_text("cold")


def test_a_plan_follows_the_slider_and_its_file_says_the_same(
    served: tuple[str, Hall], page: Page, tmp_path: Path
) -> None:
    url, _ = served
    page.goto(f"{url}/planner")
    table = page.get_by_role("region", name="The plan as a table")
    params = table.get_by_role("row", name=re.compile("^Parameters")).get_by_role("cell")
    expect(params).to_have_count(3)
    before = params.all_inner_texts()
    slider = page.get_by_role("slider", name="FFN experts in a layer")
    slider.focus()
    for _ in range(3):  # what is asked on the way is given up
        page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "64")
    expect(params.nth(1)).not_to_have_text(before[1])
    expect(page.locator(".plan-panel svg")).to_have_count(3)  # of this machine no price is known
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as plan.yaml").click()
    path = tmp_path / "plan.yaml"
    saved.value.save_as(path)
    request = request_from(path)
    assert request.system.num_experts == 64
    expect(params.nth(1)).to_have_text(f"{plan(request).way('moe').num_params:,}")
    page.get_by_label("Device", exact=True).select_option("L4")
    expect(table.get_by_role("row", name=re.compile("^Money"))).to_contain_text("$")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_what_is_pinned_is_shown_and_taken_off(language: str, served: tuple[str, Hall], chromium: Browser) -> None:
    url, hall = served
    assert hall.memory is not None
    words = {
        "en": ("Pin a text", "Unpin", "all conversations"),
        "ru": ("Закрепить текст", "Открепить", "все разговоры"),
    }
    add, remove, everywhere = words[language]
    with tab_of(chromium, url, language=language, width=360, height=740) as page:
        page.goto("/memory?part=pins")
        page.get_by_role("button", name=add).click()
        dialog = page.get_by_role("dialog")
        dialog.locator("textarea").fill("Call me Captain.")
        dialog.get_by_role("button", name=add).click()
        expect(page.locator(".pin")).to_contain_text("Call me Captain.")
        expect(page.locator(".pin")).to_contain_text(everywhere)
        assert [pin.text for pin in hall.memory.pins()] == ["Call me Captain."]
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.locator(".pin").get_by_role("button").click()
        page.get_by_role("dialog").get_by_role("button", name=remove).click()
        expect(page.locator(".pin")).to_have_count(0)
    assert hall.memory.pins() == []


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        ("branches?branch=one", "dialog .facts"), ("experts", "tr[data-expert]"), ("memory?part=facts", ".timeline"),
        ("memory?part=search", "form[role=search]"), ("memory?part=sessions", ".session"), ("memory?part=forget", ".choices"),
        ("memory?part=pins", ".empty"),
        ("planner", ".plan-panel svg"),
    ],
)  # fmt: skip
def test_axe_finds_nothing_serious_in_either_theme(view: str, shown: str, served: tuple[str, Hall], page: Page) -> None:
    page.goto(f"/{view}")
    expect(page.locator(shown).first).to_be_visible()
    for theme in ("light", "dark"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        serious = [
            (each["id"], [node["html"][:200] for node in each["nodes"]])
            for each in Axe().run(page).response["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == []


@pytest.mark.parametrize("view", ["branches", "experts", "memory", "memory?part=facts", "planner"])
def test_nothing_is_wider_than_a_phone_in_russian(view: str, served: tuple[str, Hall], chromium: Browser) -> None:
    with tab_of(chromium, served[0], language="ru", theme="dark", width=360, height=740) as page:
        page.goto(f"/{view}")
        expect(page.locator("main[aria-busy]")).to_have_count(0)
        expect(page.locator("html")).to_have_attribute("lang", "ru")
        expect(page.locator("main [lang=en]")).to_have_count(0)  # what the server says is said in Russian too
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
