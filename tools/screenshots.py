"""`python -m tools.screenshots`: the pictures of the page that the documentation shows, taken of a real server and made small.

A council of three experts, a memory in which something was said, and a trained system stand behind it. The conversation is an
example, put there as the page would put it, so that the pictures are the same each time.
"""

import argparse
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from interconnected_ai.config import ServingConfig
from interconnected_ai.serving import Hall, ServerThread
from interconnected_ai.serving.page import VIEWS

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
THEMES = ("light", "dark")
COLOURS = 96
MOST_BYTES = 3_000_000
PATIENCE_MS = 300_000
COUNCIL = """
experts:
  general: {place: smollm2}
  code: {place: smollm2}
  law: {place: smollm2}
fallback: general
rules: rules.yaml
memory: memory.db
semantic: false
max_new_tokens: 110
"""
RULES = """
default: general
rules:
- name: programs
  to: code
  words: [python, traceback, function, program, Питон, программа]
- name: courts
  to: law
  words: [court, contract, law, суд, договор]
"""
SAID = {
    "en": ("I live in Riga and work as a nurse.", "My sister Anna studies volcanoes in Catania."),
    "ru": ("Я живу в Риге и работаю медсестрой.", "Моя сестра Анна изучает вулканы в Катании."),
}
# Examples of what experts answer, as the server keeps a conversation: asked, answered, who, why, and who was next.
TURNS = {
    "en": (
        ("Where does my sister work?", (
            "In Catania: you told me that Anna studies volcanoes there."
        ), "general", "nearest examples: 'who in my family', 'what did I tell you'"),
        ("What does a Python traceback say?", (
            "A traceback says **where** a program failed, and how it came there:\n\n"
            "1. the last line names the error and what was wrong;\n"
            "2. above it stands each call, the innermost at the end.\n\n"
            "```python\nTraceback (most recent call last):\n  File \"count.py\", line 2, in <module>\n"
            "    print(1 / number)\nZeroDivisionError: division by zero\n```"
        ), "code", "rule 'programs' (line 4): 'python', 'traceback'"),
    ),
    "ru": (
        ("Где работает моя сестра?", (
            "В Катании: вы говорили, что Анна изучает там вулканы."
        ), "general", "ближайшие примеры: 'кто в моей семье', 'что я рассказывал'"),
        ("Что говорит traceback в Python?", (
            "Он говорит, **где** программа остановилась и как она туда попала:\n\n"
            "1. последняя строка называет ошибку и что было не так;\n"
            "2. над ней стоят вызовы, самый внутренний — в конце.\n\n"
            "```python\nTraceback (most recent call last):\n  File \"count.py\", line 2, in <module>\n"
            "    print(1 / number)\nZeroDivisionError: division by zero\n```"
        ), "code", "правило 'programs' (строка 4): 'python', 'traceback'"),
    ),
}  # fmt: skip
SCORES = ({"general": 0.81, "law": 0.22, "code": 0.08}, {"code": 0.94, "general": 0.31, "law": 0.05})
TIMINGS = {"recall": 0.004, "route": 0.001, "borrow": 0.0004, "first_piece": 0.21, "generate": 2.9, "remember": 0.006}


@contextmanager
def served(home: Path, run: Path) -> Iterator[str]:
    """The address of a server of all there is to see."""
    (home / "rules.yaml").write_text(RULES, encoding="utf-8")
    (home / "council.yaml").write_text(COUNCIL, encoding="utf-8")
    config = ServingConfig(port=0, state=str(home / "state"), drain_seconds=1.0)
    with Hall.open([home / "council.yaml", run]) as hall, ServerThread(hall, config) as server:
        memory = hall.memory
        assert memory is not None
        for language, texts in SAID.items():
            for text in texts:
                memory.add("user", text, session=f"earlier-{language}")
        memory.catch_up()
        for name in ("code", "general"):
            asked(f"{server.url}/v1/experts/{name}/load", {})
        asked(f"{server.url}/v1/experts/code/pin", {"pinned": True})
        yield server.url


@contextmanager
def tab(browser: Browser, url: str, language: str, theme: str, size: str) -> Iterator[Page]:
    """A page of this language, theme and size."""
    width, height = SIZES[size]
    context = browser.new_context(
        base_url=url, locale=language, color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce",
        viewport={"width": width, "height": height},
    )  # fmt: skip
    context.set_default_timeout(PATIENCE_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


def converse(url: str, language: str) -> str:
    """The address of a conversation in this language, kept on the server as the page would keep it."""
    id, messages = f"example-{language}", []
    found = asked(f"{url}/v1/memory/messages?session=earlier-{language}")["data"]
    parent = None
    for number, (question, answer, expert, reason) in enumerate(TURNS[language]):
        scores = SCORES[number]
        second = sorted(scores, key=scores.__getitem__)[-2]
        recalled = [one["id"] for one in found[1:]] if number == 0 else []
        told = {
            "experts": [expert], "reason": reason, "scores": scores, "timings": TIMINGS, "notices": [],
            "runner_up": {"expert": second, "score": scores[second]}, "recalled": recalled,
        }  # fmt: skip
        said = {"id": f"q{number}", "parent": parent, "role": "user", "content": question}
        parent = f"a{number}"
        messages += [said, {
            "id": parent, "parent": said["id"], "role": "assistant", "content": answer, "model": "council",
            "finish": "stop", "told": told,
        }]  # fmt: skip
    title = TURNS[language][0][0]
    body = {"version": 0, "title": title, "model": "council", "leaf": parent, "messages": messages}
    asked(f"{url}/v1/conversations/{id}", body, method="PUT")
    return f"/chat?c={id}"


def asked(address: str, body: object = None, method: str | None = None) -> Any:
    """What the server answers."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(address, data, {"content-type": "application/json"}, method=method)
    with urlopen(request) as answer:
        return json.loads(answer.read())


def show(page: Page, view: str, conversation: str) -> None:
    """Open a view as the documentation shows it."""
    page.goto(conversation if view == "chat" else f"/{view}")
    expect(page.locator(f"section.view-{view} h1")).to_be_visible()
    expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")
    expect(page.locator("main .skeleton:visible")).to_have_count(0)
    expect(page.locator("#strip dl")).to_be_visible()
    if view == "branches":
        page.locator("main textarea").first.fill("Return the sum of array elements\nDraw a scatter plot of two columns")
        with page.expect_response("**/v1/classify"):
            page.locator("main textarea").first.press("Control+Enter")
        expect(page.locator("main .skeleton:visible")).to_have_count(0)
        page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    if view == "chat":
        expect(page.locator("article.answer .message-tools").last).to_be_visible()
        page.locator("article.answer summary").first.click()
        expect(page.locator("main .sources")).to_be_visible()
        page.evaluate("window.scrollTo(0, 0)")


def small(png: bytes) -> bytes:
    """The same picture with few colours."""
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    made = io.BytesIO()
    picture.save(made, "PNG", optimize=True)
    return made.getvalue()


def take(browser: Browser, url: str, to: Path) -> int:
    """All pictures; how many bytes they are."""
    to.mkdir(parents=True, exist_ok=True)
    total = 0
    for language in ("en", "ru"):
        conversation = converse(url, language)
        for theme in THEMES:
            for size in SIZES:
                for view in VIEWS:
                    with tab(browser, url, language, theme, size) as page:
                        show(page, view, conversation)
                        data = small(page.screenshot())
                    (to / f"page-{view}-{language}-{theme}-{size}.png").write_bytes(data)
                    total += len(data)
    return total


def main() -> int:
    """Make the pictures anew."""
    asked = argparse.ArgumentParser(prog="python -m tools.screenshots", description=__doc__)
    asked.add_argument("--to", type=Path, default=IMAGES, help="the folder of the pictures")
    asked.add_argument(
        "--run", type=Path, default=ROOT / "runs" / "quickstart", help="a trained run, as make demo leaves it"
    )
    given = asked.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("Chromium is not here; make browser installs it", file=sys.stderr)
        return 2
    if not given.run.exists():
        print(f"{given.run} is not there; make demo makes it, or name another with --run", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as home, served(Path(home), given.run) as url, sync_playwright() as started:
        expect.set_options(timeout=PATIENCE_MS)
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        total = take(browser, url, given.to)
        browser.close()
    print(f"{total:,} bytes in {given.to}")
    return 0 if total <= MOST_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
