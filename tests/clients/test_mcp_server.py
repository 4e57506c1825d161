"""An MCP server over a memory, asked by the package's own client: over stdio as a process of its own, over HTTP, in memory."""

import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason='needs the extra "mcp"')
pytest.importorskip("Stemmer", reason='needs the extra "memory"')

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from interconnected_ai.clients import AsyncThreeLevelMemory, listening_socket, memory_server
from interconnected_ai.errors import ConfigError
from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory

TOOLS = {"remember", "recall", "context", "facts", "correct", "forget"}
IAI = [sys.executable, "-m", "interconnected_ai.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
Talk = Callable[[Client], Coroutine[Any, Any, None]]


def over_stdio(store: Path, talk: Talk, *options: str) -> None:
    """A client that starts the server itself."""
    arguments = [*IAI[1:], "memory", "serve", str(store), "--mcp", *options]

    async def run() -> None:
        with (store.parent / "stderr.txt").open("w") as told:
            server = StdioServerParameters(command=IAI[0], args=arguments, env=ENVIRONMENT)
            async with Client(stdio_client(server, errlog=told)) as client:
                await talk(client)

    asyncio.run(run())


def over_http(store: Path, talk: Talk, *options: str) -> None:
    """A client of a server that was started beside it, on a port that was free."""
    arguments = [*IAI, "memory", "serve", str(store), "--mcp", "--http", "0", "--json", *options]
    with subprocess.Popen(
        arguments, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        try:

            async def run() -> None:
                async with Client(address) as client:
                    await talk(client)

            asyncio.run(run())
        finally:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
    assert out == ""
    assert "Traceback" not in err
    assert process.returncode == 130


@asynccontextmanager
async def served(store: Path | SQLiteStore, user: str = "default") -> AsyncIterator[Client]:
    """A client and a server in one process."""
    async with (
        AsyncThreeLevelMemory(store, background=False) as memory,
        Client(memory_server(memory, user=user)) as client,
    ):
        yield client


async def given(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers."""
    told = await client.call_tool(tool, arguments)
    assert not told.is_error, told.content
    assert told.structured_content is not None
    return told.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """What a tool refuses."""
    told = await client.call_tool(tool, arguments)
    assert told.is_error, told
    return "\n".join(part.text for part in told.content)  # type: ignore[union-attr]


@pytest.mark.parametrize("way", [over_stdio, over_http])
def test_a_client_uses_every_tool(way: Callable[..., None], tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        kept = await given(client, "remember", content="My name is Anna. I live in Riga.", session="a", id="m1")
        assert kept == {"id": "m1", "session": "a"}
        await given(client, "remember", content="Приятно познакомиться!", role="assistant", session="a")
        assert (await given(client, "recall", query="Anna", session="b"))["messages"] == []
        assert (await given(client, "facts", session="b"))["facts"] == []
        found = await given(client, "recall", query="where does Anna live")
        assert [one["content"] for one in found["messages"]] == ["My name is Anna. I live in Riga."]
        assert "Riga" in (await given(client, "context", query="Where does she live?", session="a"))["text"]
        while not (facts := (await given(client, "facts"))["facts"]):  # they are made in the background
            await asyncio.sleep(0.01)
        (home,) = [one for one in facts if one["relation"] == "lives in"]
        made = await given(client, "correct", fact=home["number"], value="Bergen")
        assert made["value"] == "Bergen"
        assert made["by_hand"]
        assert (await given(client, "forget", ids=["m1"]))["num_messages"] == 1
        assert (await given(client, "recall", query="Riga"))["messages"] == []

    way(tmp_path / "memory.db", talk)
    with ThreeLevelMemory(tmp_path / "memory.db") as memory:
        assert [message.content for message in memory.messages(session="a")] == ["Приятно познакомиться!"]


def test_the_user_is_the_servers_and_no_client_can_name_another(tmp_path: Path) -> None:
    with ThreeLevelMemory(tmp_path / "memory.db") as memory:
        memory.add("user", "Bob's secret is swordfish.", user="bob", id="b1")

    async def talk(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert all("user" not in tool.input_schema["properties"] for tool in tools)
        await given(client, "remember", content="I like tea.", id="a1")
        assert "user: Extra inputs are not permitted" in await refused(client, "recall", query="secret", user="bob")
        assert (await given(client, "recall", query="secret swordfish"))["messages"] == []
        assert "swordfish" not in (await given(client, "context", query="swordfish"))["text"]
        assert "b1" in await refused(client, "forget", ids=["b1"])

    over_stdio(tmp_path / "memory.db", talk, "--user", "anna")
    with ThreeLevelMemory(tmp_path / "memory.db") as memory:
        assert [message.id for message in memory.messages(user="bob")] == ["b1"]
        assert [message.id for message in memory.messages(user="anna")] == ["a1"]


def test_the_only_user_of_a_memory_is_the_one_that_is_served(tmp_path: Path) -> None:
    with ThreeLevelMemory(tmp_path / "memory.db") as memory:
        memory.add("user", "I live in Riga.", user="anna")

    async def talk(client: Client) -> None:
        assert (await given(client, "recall", query="Riga"))["messages"]

    over_stdio(tmp_path / "memory.db", talk)


def test_forgetting_is_as_strict_as_in_the_library(tmp_path: Path) -> None:
    async def talk() -> None:
        async with served(tmp_path / "memory.db", "anna") as client:
            for number in range(3):
                await given(client, "remember", content=f"n{number}", session="a", id=f"m{number}")
            assert "say what" in await refused(client, "forget")
            assert "say what" in await refused(client, "forget", everything=True)
            assert "say what" in await refused(client, "forget", ids=[])
            assert "everything=True" in await refused(client, "forget", session="a")
            assert "blank" in await refused(client, "forget", containing=" ")
            assert "blank" in await refused(client, "forget", ids=[""])
            assert "blank" in await refused(client, "forget", session="", everything=True)
            assert "m1" in await refused(client, "forget", ids=["m9"])
            assert "everything goes with session" in await refused(client, "forget", ids=["m1"], everything=True)
            assert "contains: Extra" in await refused(client, "forget", session="a", contains="n1", everything=True)
            assert "everything: Input" in await refused(client, "forget", session="a", everything="yes")
            assert "ids: Input" in await refused(client, "forget", ids="m1")
            assert (await given(client, "forget", containing="null", before="2100-01-01"))["num_messages"] == 0
            assert len((await given(client, "recall", query="n0 n1 n2"))["messages"]) == 3
            assert (await given(client, "forget", session="a", everything=True))["num_messages"] == 3

    asyncio.run(talk())


def test_what_goes_wrong_is_an_error_in_the_answer_and_the_server_goes_on(tmp_path: Path) -> None:
    async def talk(client: Client) -> None:
        assert "time='soon'" in await refused(client, "remember", content="x", time="soon")
        assert "budget_tokens=0" in await refused(client, "context", query="x", budget_tokens=0)
        assert "fact" in await refused(client, "correct", fact=17, value="x")
        assert "remember: content: Field required" in await refused(client, "remember")
        assert "recall" in await refused(client, "recal", query="x")
        assert (await given(client, "remember", content="I live in Riga.", id="m1"))["id"] == "m1"
        assert "m1" in await refused(client, "remember", content="Other words.", id="m1")

    over_stdio(tmp_path / "memory.db", talk)
    assert "Traceback" not in (tmp_path / "stderr.txt").read_text()


def test_a_memory_that_another_program_keeps_busy_is_an_error_and_the_server_goes_on(tmp_path: Path) -> None:
    with ThreeLevelMemory(tmp_path / "memory.db") as memory:
        memory.add("user", "I live in Riga.")
    writer = sqlite3.connect(tmp_path / "memory.db", isolation_level=None)

    async def talk() -> None:
        async with served(SQLiteStore(tmp_path / "memory.db", busy_seconds=0.05)) as client:
            writer.execute("BEGIN IMMEDIATE")
            assert "another process has been writing" in await refused(client, "remember", content="x", id="x")
            assert len((await given(client, "recall", query="Riga"))["messages"]) == 1
            writer.execute("ROLLBACK")
            assert (await given(client, "remember", content="x", id="x"))["id"] == "x"

    asyncio.run(talk())
    writer.close()


def test_nothing_but_the_protocol_comes_to_standard_output(tmp_path: Path) -> None:
    """A message of the protocol is a line of JSON; what libraries print, or a warning, would not be one."""
    hello = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
    }  # fmt: skip
    asked = [
        hello,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call",
         "params": {"name": "remember", "arguments": {"content": "I live in Riga.\nПривет"}}},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "forget", "arguments": {}}},
    ]  # fmt: skip
    process = subprocess.Popen(
        [*IAI, "memory", "serve", str(tmp_path / "memory.db"), "--mcp", "-v"],
        env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    answers: dict[int, Any] = {}
    for message in asked:
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        while "id" in message and message["id"] not in answers:
            answer = json.loads(process.stdout.readline())
            answers[answer.get("id")] = answer
    out, err = process.communicate()  # closes standard input, which ends the server
    assert out == ""
    assert process.returncode == 0, err
    assert not answers[2]["result"]["isError"]
    assert answers[3]["result"]["isError"]


@pytest.mark.parametrize("kind", ["terminal", "pipe"])
def test_ctrl_c_ends_a_server_whose_input_stays_open(kind: str, tmp_path: Path) -> None:
    """As when it is started by hand: nobody writes another line, and nobody closes the input."""
    hello = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
    }  # fmt: skip
    ours, theirs = os.openpty() if kind == "terminal" else os.pipe()[::-1]
    process = subprocess.Popen(
        [*IAI, "memory", "serve", str(tmp_path / "memory.db"), "--mcp"],
        env=ENVIRONMENT, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        os.write(ours, (json.dumps(hello) + "\n").encode())
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["id"] == 1
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Fatal" not in err
    assert not list(tmp_path.glob("memory.db-*")), "the memory was closed"
    if kind == "terminal":
        assert "Ctrl-C ends it" in err


def test_http_is_for_this_machine_alone_and_a_page_from_elsewhere_is_refused(tmp_path: Path) -> None:
    import urllib.error
    import urllib.request

    with listening_socket(0) as made:
        host, port = made.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(ConfigError, match=f"port {port}"):
            listening_socket(port)

    async def talk(client: Client) -> None:
        await given(client, "recall", query="x")

    seen: list[int] = []

    def ask(address: str) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        request = urllib.request.Request(address, body, {**headers, "Origin": "http://evil.example"})
        with pytest.raises(urllib.error.HTTPError) as told:
            urllib.request.urlopen(request, timeout=60)
        seen.append(told.value.code)
        told.value.close()

    process = subprocess.Popen(
        [*IAI, "memory", "serve", str(tmp_path / "memory.db"), "--mcp", "--http", "0"],
        env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    (address,) = re.findall(r"http://\S+/mcp", process.stderr.readline())
    ask(address)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert seen == [403]


def test_the_line_that_starts_it_says_what_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from interconnected_ai.cli import main

    def told(*options: str) -> str:
        with pytest.raises(SystemExit) as left:
            main(["memory", "serve", str(tmp_path / "memory.db"), *options])
        assert left.value.code == 2
        return capsys.readouterr().err

    assert "--mcp" in told()
    assert "--json" in told("--mcp", "--json")
    assert "shut each other out" in told("--mcp", "--http", "0", "--tools")
    assert not list(tmp_path.iterdir())
