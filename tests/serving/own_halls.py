"""A server with everything: the council of three tiny experts with a memory, and a saved system of two branches."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.serving.halls import call, council_of

from conftest import make_encoder, make_rows, make_system, randomize
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.branches import Encoder
from interconnected_ai.config import ServingConfig
from interconnected_ai.memory import ThreeLevelMemory
from interconnected_ai.serving import Hall, ServerThread

TEXTS = ["my bank card", "rain and snow today please tell me", "cat"]


def saved_system(home: Path) -> Path:
    """The folder of a system of the branches one and two on a finished trunk."""
    folder = home / "system"
    if not folder.exists():
        made = make_encoder()
        made.model.save_pretrained(home / "tiny-bert")  # type: ignore[operator]
        made.tokenizer.save_pretrained(home / "tiny-bert")
        encoder = Encoder.load(str(home / "tiny-bert"), max_seq_len=32)
        system = randomize(make_system("one", "two", encoder=encoder, base_model_name=str(home / "tiny-bert")))
        system.freeze_trunk()
        for name in ("one", "two"):
            system.seal_branch(name, trained="joint")
        system.save_pretrained(folder)
    return folder


def csv_of(name: str, count: int = 24, seed: int = 0) -> bytes:
    """A table of a branch's rows."""
    texts, labels = make_rows(name, count, seed=seed).of(name)
    return "\n".join(["text,label", *(f"{text},{label}" for text, label in zip(texts, labels, strict=True))]).encode()


@contextmanager
def own_server(home: Path, **settings: Any) -> Iterator[tuple[str, Hall]]:
    """The address of the server, and what it serves."""
    folder = saved_system(home)
    with ExitStack() as opened:
        memory = opened.enter_context(ThreeLevelMemory(home / "memory.db", background=False))
        council = opened.enter_context(council_of(home, memory=None))
        council.memory = memory
        system = InterconnectedAISystem.from_pretrained(folder).eval()
        hall = Hall(council=council, systems={"system": system}, folders={"system": folder})
        config = ServingConfig(**{"port": 0, "drain_seconds": 1.0, "state": str(home / "state"), **settings})
        with ServerThread(hall, config) as server:
            yield server.url, hall


def upload(
    url: str, data: bytes, headers: dict[str, str] | None = None, *, file: str = "rows.csv", **fields: str
) -> tuple[int, dict[str, str], Any]:
    """A table that is sent as a browser's form sends it."""
    edge = "edge-of-a-part"
    parts = [
        f'--{edge}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    begin = f'--{edge}\r\ncontent-disposition: form-data; name="file"; filename="{file}"\r\n'
    parts.append(f"{begin}content-type: text/csv\r\n\r\n".encode() + data + f"\r\n--{edge}--\r\n".encode())
    kind = {"content-type": f"multipart/form-data; boundary={edge}", **(headers or {})}
    return call(url, "/v1/branches", b"".join(parts), headers=kind)


def job_events(url: str, id: str, headers: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """What a job's stream says, to its end."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=300)
    try:
        connection.request("GET", f"/v1/jobs/{id}/events", headers=headers or {})
        answered = connection.getresponse()
        assert answered.status == 200
        for line in answered:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])
    finally:
        connection.close()


def until(url: str, id: str, *statuses: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The job once its status is one of these."""
    while True:
        found: dict[str, Any] = call(url, f"/v1/jobs/{id}", headers=headers)[2]
        if found["status"] in statuses:
            return found
        assert found["status"] in ("queued", "running"), found
        time.sleep(0.05)
