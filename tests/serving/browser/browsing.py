"""Fixtures of the browser's tests: a real server of tiny experts, a headless Chromium, and tabs that notice what goes wrong.

All of it skips where Playwright or Chromium is absent; `make browser` installs the latter.
"""

import shutil
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

    from interconnected_ai.serving import Hall

PATIENCE_MS = 30_000  # a limit, not a wait: everything is waited for by its condition
_NOTICES = """document.addEventListener('securitypolicyviolation', (event) =>
    console.error(`against the policy: ${event.violatedDirective} ${event.blockedURI}`));"""


@dataclass(frozen=True)
class Site:
    """What is served. scripted: says what a test tells it to, when the test lets it; its model is called "scripted"."""

    url: str
    hall: "Hall"
    scripted: Any
    home: Path


def scripted_expert() -> Any:
    """An expert that says its `script`, a piece for each `goes.release()`; an error in the script is raised there."""
    from tests.serving.halls import Waiting

    from interconnected_ai.experts import ChatAnswer
    from interconnected_ai.types import ChatMessage, Generation

    class Scripted(Waiting):
        def __init__(self) -> None:
            super().__init__()
            self.script: Sequence[str | Exception] = ("said ",)

        def _pieces(self) -> Generator[str | None, None, ChatAnswer]:
            said = ""
            self.began.set()
            try:
                for piece in self.script:
                    while not self.goes.acquire(timeout=0.01):
                        yield None
                    if isinstance(piece, Exception):
                        raise piece
                    said += piece
                    yield piece
            finally:
                self.ended.set()
            return ChatAnswer(ChatMessage("assistant", said), Generation((1, 2), "eos", said), 1)

        def says(self, *script: str | Exception, at_once: bool = True) -> None:
            """What is said to the next question, without waiting or a piece at a time."""
            self.script = script
            self.goes = threading.Semaphore(len(script) if at_once else 0)
            self.began.clear()
            self.ended.clear()

    return Scripted()


@contextmanager
def site_of(home: Path, **settings: Any) -> Iterator[Site]:
    """A server of the council of three tiny experts with a memory, a system of two branches, and a scripted expert."""
    from tests.serving.halls import council_of
    from tests.serving.own_halls import saved_system

    from interconnected_ai import InterconnectedAISystem
    from interconnected_ai.config import ServingConfig
    from interconnected_ai.experts import ExpertPool
    from interconnected_ai.memory import ThreeLevelMemory
    from interconnected_ai.serving import Hall, ServerThread

    scripted = scripted_expert()
    folder = saved_system(home)
    with ExitStack() as opened:
        memory = opened.enter_context(ThreeLevelMemory(home / "memory.db", background=False))
        council = opened.enter_context(council_of(home, memory=None, seed="general"))
        council.memory = memory
        pool = opened.enter_context(ExpertPool(10))
        pool.add("scripted", lambda: scripted, num_bytes=1)
        system = InterconnectedAISystem.from_pretrained(folder).eval()
        hall = Hall(council=council, experts=pool, systems={"system": system}, folders={"system": folder})
        config = ServingConfig(**{"port": 0, "drain_seconds": 1.0, "state": str(home / "state"), **settings})
        with ServerThread(hall, config) as server:
            yield Site(server.url, hall, scripted, home)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all of the browser's tests."""
    pytest.importorskip("fastapi", reason='needs the extra "serving"')
    pytest.importorskip("re2")
    with site_of(tmp_path_factory.mktemp("site")) as found:
        yield found


# Not for the session: while Playwright is started, its event loop counts as running here, and asyncio.run of other tests fails.
@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """The browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason='needs the extra "dev"')
    place = shutil.which("chromium")
    if place is None:
        pytest.skip("needs Chromium; make browser installs it")
    with playwright.sync_playwright() as started:
        playwright.expect.set_options(timeout=PATIENCE_MS)
        opened = started.chromium.launch(executable_path=place, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextmanager
def tab_of(
    browser: "Browser", url: str, *, language: str = "en", theme: str = "light", width: int = 1280, height: int = 800
) -> Iterator["Page"]:
    """A tab in a browser of its own, at no address yet. Leaving it fails where the page wrote an error into the console, broke
    its policy, or asked anybody but the server.
    """
    context = browser.new_context(
        base_url=url, locale=language, color_scheme=theme, reduced_motion="reduce", accept_downloads=True,  # type: ignore[arg-type]
        viewport={"width": width, "height": height},
    )  # fmt: skip
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(_NOTICES)
    problems: list[str] = []

    def asked(request: "Request") -> None:
        if not request.url.startswith((url, "blob:", "data:")):
            problems.append(f"asked somebody else: {request.url}")

    def written(message: "ConsoleMessage") -> None:
        # what the API refuses is told to the person; the browser writes it down all the same
        # of a server that is gone Chromium fetches the icon again
        path = urlsplit(message.location["url"]).path
        is_told = "Failed to load resource" in message.text and path.startswith(
            ("/v1/", "/healthz", "/page/static/icon")
        )
        if message.type == "error" and not is_told:
            problems.append(f"console: {message.text} ({message.location['url']})")

    context.on("request", asked)
    context.on("console", written)
    context.on("weberror", lambda error: problems.append(f"thrown: {error.error}"))
    try:
        yield context.new_page()
        assert problems == []
    finally:
        context.close()


@pytest.fixture
def tab(chromium: "Browser", site: Site) -> Iterator["Page"]:
    """A tab of the server's page: English, light, as wide as a small laptop."""
    with tab_of(chromium, site.url) as page:
        yield page
