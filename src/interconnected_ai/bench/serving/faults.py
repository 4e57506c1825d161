"""Faults one by one while others are served: the rest is answered, and nothing that was acknowledged is lost."""

import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from interconnected_ai.bench.serving.generation import ExpertSizes, streamed
from interconnected_ai.bench.serving.household import Household, chat, household
from interconnected_ai.bench.serving.processes import Served, started, write_settings
from interconnected_ai.bench.serving.wire import Answer, Line, ask_for, connected, request

_HARMED = "interconnected_ai.bench.serving.harmed"
_CLOCK = Path(__file__).with_name("clock.c")
_WAIT_SECONDS = 120.0
_LOAD_AT_ONCE = 2
_DAY_SECONDS = 86_400
_MOST_MESSAGES = 4

Say = Callable[[str], object]


class FaultError(Exception):
    """The service did not stand a fault; the words say what it did instead."""


@dataclass
class Scene:
    """A server under load, and what it has acknowledged.

    facts: relations; feedback, responses: ids; said: texts of a council's turns; conversations: id → the newest version.
    """

    made: Household
    server: Served
    clock: Path | None
    facts: list[str] = field(default_factory=list)
    feedback: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    responses: list[str] = field(default_factory=list)
    conversations: dict[str, int] = field(default_factory=dict)
    talk: tuple[str, int] = ("talk", 0)
    numbers: Iterator[int] = field(default_factory=count)

    def ask(self, asked: bytes) -> Answer:
        """The answer to one request."""
        with connected(self.server.address) as line:
            return line.ask(asked)

    def is_answered(self, asked: bytes) -> bool:
        """Whether a request is answered."""
        return self.ask(asked).status == 200

    def give_feedback(self) -> int:
        """Status; what is acknowledged is kept in mind."""
        answer = self.ask(request("/v1/feedback", {"rating": "up", "comment": "x" * 200}))
        if answer.status == 200:
            self.feedback.append(answer.content["id"])
        return answer.status

    def set_fact(self) -> int:
        """The same of the memory."""
        relation = f"likes_{next(self.numbers)}"
        answer = self.ask(request("/v1/memory/facts", {"relation": relation, "value": "tea"}))
        if answer.status == 200:
            self.facts.append(relation)
        return answer.status

    def say(self) -> int:
        """The same of a council's turn, as far as it does not say that it is not remembered."""
        text = f"remember the number {next(self.numbers)}"
        answer = self.ask(chat(text, model="council", session="faults"))
        if answer.status == 200 and not answer.content["interconnected_ai"].get("notices"):
            self.said.append(text)
        return answer.status

    def respond(self) -> int:
        """The same of a response that goes on from the one before, as far as it says that it is kept."""
        asked = {"model": "expert", "input": "hello", "max_output_tokens": 8}
        before = {"previous_response_id": self.responses[-1]} if len(self.responses) % 5 else {}
        answer = self.ask(request("/v1/responses", {**asked, **before}))
        if answer.status == 200 and answer.content["store"]:
            self.responses.append(answer.content["id"])
        return answer.status

    def converse(self) -> int:
        """The same of a conversation, which gains a message each time; another one begins where it was not kept, or is long."""
        id, version = self.talk
        messages = [{"id": f"m{place}", "role": "user", "content": "hello " * 50} for place in range(version + 1)]
        body = {"version": version, "title": "faults", "messages": messages}
        answer = self.ask(request(f"/v1/conversations/{id}", body, method="PUT"))
        goes_on = answer.status == 200 and version < _MOST_MESSAGES
        self.talk = (id, version + 1) if goes_on else (f"talk-{next(self.numbers)}", 0)
        if answer.status == 200:
            self.conversations[id] = answer.content["version"]
        return answer.status

    @property
    def acts(self) -> tuple[Callable[[], int], ...]:
        """All that is acknowledged, and has to be kept."""
        return self.give_feedback, self.set_fact, self.say, self.respond, self.converse

    def require_kept(self) -> None:
        """Everything that was acknowledged is there."""
        facts = {each["relation"] for each in self.ask(request("/v1/memory/facts")).content["data"]}
        feedback = {each["id"] for each in self.ask(request("/v1/feedback?limit=1000")).content["data"]}
        said = ""
        if self.said:
            said = self.ask(request("/v1/memory/messages?session=faults&limit=1000")).body.decode()
        for what, lost in (
            ("facts", [each for each in self.facts if each not in facts]),
            ("feedback", [each for each in self.feedback if each not in feedback]),
            ("turns", [each for each in self.said if each not in said]),
            ("responses", [each for each in self.responses if not self.is_answered(request(f"/v1/responses/{each}"))]),
            ("conversations", [id for id, version in self.conversations.items() if not self._stands(id, version)]),
        ):
            require(not lost, f"{len(lost)} {what} that were acknowledged are lost: {lost[:3]}")

    def _stands(self, id: str, version: int) -> bool:
        """Whether a conversation has this version, or the next one, whose acknowledgement may have been cut off."""
        answer = self.ask(request(f"/v1/conversations/{id}"))
        if answer.status != 200 or answer.content["version"] not in (version, version + 1):
            return False
        return bool(len(answer.content["messages"]) == answer.content["version"])


Fault = Callable[[Scene], None]


def require(condition: object, otherwise: str) -> None:
    """Raise `FaultError` with these words where it does not hold."""
    if not condition:
        raise FaultError(otherwise)


def until(condition: Callable[[], object], otherwise: str) -> None:
    """Wait until it holds."""
    end = time.monotonic() + _WAIT_SECONDS
    while not condition():
        require(time.monotonic() < end, otherwise)
        time.sleep(0.05)


def a_damaged_expert(scene: Scene) -> None:
    """An expert's weights are damaged before they are loaded, and mended again."""
    path = scene.made.weights("other")
    sound = path.read_bytes()
    path.write_bytes(sound[: len(sound) // 2])
    answer = scene.ask(chat("hello", model="other"))
    require(answer.status == 503, f"an expert that cannot be read was answered with {answer.status}")
    require(b"retry-after" in answer.head, "nothing said when to come again")
    path.write_bytes(sound)
    until(lambda: scene.ask(chat("hello", model="other")).status == 200, "the mended expert does not answer")


def a_locked_store(scene: Scene) -> None:
    """Another process writes in the memory and does not end."""
    with closing(sqlite3.connect(scene.made.memory, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        status = scene.set_fact()
        require(status == 503, f"a fact that cannot be written was answered with {status}")
        answer = scene.ask(chat("hello", model="council", session="locked"))
        require(answer.status == 200, f"the council answered {answer.status} since it cannot remember")
        require(answer.content["interconnected_ai"]["notices"], "it does not say that it will not remember")
        other.execute("ROLLBACK")
    until(lambda: scene.set_fact() == 200, "the memory is not written though nobody holds it")


def a_full_disk(scene: Scene) -> None:
    """No file grows any more, at any of some lengths, and then they do again."""
    scene.give_feedback()
    for more in (0, 100, 300):
        scene.server.limit_files((scene.made.home / "state" / "feedback.jsonl").stat().st_size + more)
        for act in scene.acts:
            status = act()
            require(status in (200, 503), f"what cannot be kept was answered with {status}")
        require(scene.ask(request("/v1/classify", {"input": "a card"})).status == 200, "texts are not classified")
    require(scene.give_feedback() == 503 or scene.feedback, "feedback was never kept")
    scene.server.limit_files(None)
    until(lambda: scene.give_feedback() == 200, "feedback is not kept though there is room again")
    until(lambda: scene.set_fact() == 200, "facts are not kept though there is room again")
    until(lambda: scene.converse() == 200, "conversations are not kept though there is room again")
    number = len(scene.responses)
    until(
        lambda: scene.respond() == 200 and len(scene.responses) > number,
        "responses are not kept though there is room again",
    )


def a_slow_client(scene: Scene) -> None:
    """Somebody takes an answer byte by byte, and somebody sends a request like that."""
    with ExitStack() as opened:
        taking = [opened.enter_context(connected(scene.server.address)) for _ in range(4)]
        for number, line in enumerate(taking):
            line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            line.send(streamed(number, 64))
        sending = [opened.enter_context(connected(scene.server.address)) for _ in range(16)]
        asked = chat("hello")
        for place in range(40):
            for line in sending:
                line.socket.sendall(asked[place : place + 1])
            for line in taking:
                line.socket.recv(1)
            if place % 10 == 0:
                require(scene.ask(chat("hello")).status == 200, "others wait for who is slow")


def clients_that_leave(scene: Scene) -> None:
    """They hang up before, in the midst of, and right at the end of their answers; some without a farewell."""
    for number in range(24):
        line = Line(scene.server.address)
        line.send(streamed(number, 16 + number))
        if number % 3:
            line.socket.recv(64 * number)
        if number % 2:
            line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        line.close()
    until(lambda: _admitted(scene) <= _LOAD_AT_ONCE, "answers are made for those who have left")


def a_clock_that_jumps(scene: Scene) -> None:
    """The clock on the wall goes ten years ahead, two days back, and right again."""
    if scene.clock is None:
        raise FaultError("not tried: no C compiler, with which a clock is put before the server")
    for days in (3650, -2, 0):
        with scene.clock.open("r+b") as offset:  # in place: the server has it mapped
            offset.write(struct.pack("q", days * _DAY_SECONDS))
        for act in scene.acts:
            status = act()
            require(status == 200, f"{days} days off the server answered {status}")
        with connected(scene.server.address) as line:
            answer = line.ask(streamed(1, 16))
        require(answer.status == 200 and answer.events, f"{days} days off no stream comes")
        scene.require_kept()


def an_error_in_a_worker(scene: Scene) -> None:
    """Whatever works raises out of nowhere: who was answered is told, and who asks afterwards is answered."""
    statuses: set[int] = set()
    for _ in range(3):
        asking = threading.Thread(
            target=lambda: statuses.update(
                answer.status for answer in ask_for(scene.server.address, (chat("hello") for _ in count()), 4, 1.0)
            )
        )
        asking.start()
        time.sleep(0.3)
        scene.server.process.send_signal(signal.SIGUSR1)
        scene.ask(request("/v1/classify", {"input": "a card"}))
        asking.join()
    require(statuses <= {200, 500, 503}, f"answers came with {statuses}")
    for what, asked in {
        "an expert": chat("hello"), "the council": chat("hello", model="council"),
        "a branch": request("/v1/classify", {"input": "a card"}),
    }.items():  # fmt: skip
        until(partial(scene.is_answered, asked), f"{what} answers no more")


def a_power_cut(scene: Scene, again: Callable[[], Served]) -> None:
    """kill -9 in the midst of everything, and a new start on the same folders."""
    is_over = threading.Event()

    def write(act: Callable[[], int]) -> None:
        while not is_over.is_set():
            try:
                act()
            except (OSError, ValueError):
                return

    writing = [threading.Thread(target=write, args=(act,)) for act in scene.acts]
    job = scene.ask(_upload())
    require(job.status == 202, f"a job was answered with {job.status}: {job.body[:200]!r}")
    for thread in writing:
        thread.start()
    time.sleep(2.0)
    scene.server.kill()
    is_over.set()
    for thread in writing:
        thread.join()
    scene.server = again()
    scene.require_kept()
    found = scene.ask(request(f"/v1/jobs/{job.content['id']}"))
    require(found.status == 200, "the job is gone")
    require(found.content["status"] in ("interrupted", "succeeded", "failed"), f"the job is {found.content['status']}")


FAULTS: dict[str, Fault] = {
    "a damaged expert": a_damaged_expert, "a locked store": a_locked_store, "a full disk": a_full_disk,
    "slow clients": a_slow_client, "clients that leave": clients_that_leave, "a clock that jumps": a_clock_that_jumps,
    "an error in a worker": an_error_in_a_worker,
}  # fmt: skip
POWER_CUT = "kill -9"
_MAY_FAIL = ("an error in a worker",)  # whoever was being answered is told of it


def measure_faults(home: Path, sizes: ExpertSizes, say: Say) -> dict[str, Any]:
    """faults_survived: how many; num_faults: of how many; faults_not_survived: name → what happened instead."""
    made = household(home, sizes)
    failed: dict[str, str] = {}
    with ExitStack() as opened:
        clock = _clock_before(home)

        def start() -> Served:
            return opened.enter_context(_serving(made, clock))

        scene = Scene(made, start(), None if clock is None else clock[1])
        for name, fault in FAULTS.items():
            say(name)
            _try(name, failed, partial(_under_load, scene, fault, may_fail=name in _MAY_FAIL))
        say(POWER_CUT)
        _try(POWER_CUT, failed, lambda: a_power_cut(scene, start))
    return {
        "faults_survived": len(FAULTS) + 1 - len(failed), "num_faults": len(FAULTS) + 1, "faults_not_survived": failed,
    }  # fmt: skip


def _try(name: str, failed: dict[str, str], act: Callable[[], object]) -> None:
    try:
        act()
    except (FaultError, OSError, ValueError, KeyError) as error:
        failed[name] = str(error) or type(error).__name__


def _under_load(scene: Scene, fault: Fault, *, may_fail: bool) -> None:
    """The fault while others ask without a pause: all of them are answered, and afterwards nothing is lost."""
    wrong: list[Answer] = []
    is_over = threading.Event()

    def load() -> None:
        numbers = count()
        while not is_over.is_set():
            requests = (_of_the_rest(next(numbers)) for _ in count())
            wrong.extend(
                each for each in ask_for(scene.server.address, requests, _LOAD_AT_ONCE, 0.5) if each.status != 200
            )

    loading = threading.Thread(target=load)
    loading.start()
    try:
        fault(scene)
    finally:
        is_over.set()
        loading.join()
    require(may_fail or not wrong, f"{len(wrong)} others were not answered: {wrong[0] if wrong else ''}")
    scene.require_kept()


def _of_the_rest(number: int) -> bytes:
    """What those ask whom a fault does not concern."""
    kinds = (chat("hello"), streamed(number, 8), request("/v1/classify", {"input": "a card"}), request("/v1/experts"))
    return kinds[number % len(kinds)]


def _admitted(scene: Scene) -> float:
    """Answers that are being made or wait."""
    for line in scene.ask(request("/metrics")).body.decode().splitlines():
        if line.startswith('iai_lane_admitted{lane="answers"}'):
            return float(line.split()[-1])
    raise FaultError("/metrics does not tell what is being made")


@contextmanager
def _serving(made: Household, clock: tuple[Path, Path] | None) -> Iterator[Served]:
    settings = write_settings(made.home, {"max_at_once": 8, "body_seconds": 600})
    words = [_HARMED, "serve", *map(str, made.places), "--config", str(settings), "--json", "-q"]
    more = {} if clock is None else {"LD_PRELOAD": str(clock[0]), "CLOCK_OFFSET": str(clock[1])}
    with started(made.home, words, environment=more) as served:
        yield served


def _clock_before(home: Path) -> tuple[Path, Path] | None:
    """A library that is put before the server, and the file of how wrong it makes the clock; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library, offset = home / "clock.so", home / "clock.offset"
    offset.write_bytes(struct.pack("q", 0))
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _CLOCK, "-ldl"], check=True)
    return library, offset


def _upload() -> bytes:
    """A table that becomes a branch."""
    rows = "text,label\n" + "".join(f"this is text {number} of its kind,{'ab'[number % 2]}\n" for number in range(60))
    parts = ('name="name"\r\n\r\nmore', f'name="file"; filename="rows.csv"\r\ncontent-type: text/csv\r\n\r\n{rows}')
    body = "".join(f"--edge\r\ncontent-disposition: form-data; {part}\r\n" for part in parts) + "--edge--\r\n"
    head = "POST /v1/branches HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=edge\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
