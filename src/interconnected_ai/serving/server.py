"""A socket and uvicorn: the server runs until it is told to end, and then for as long as its answers may take."""

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import uvicorn
from fastapi import FastAPI

from interconnected_ai.config import ServingConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.serving.app import create_app
from interconnected_ai.serving.connections import HEAD_SECONDS, MOST_CONNECTIONS, Connection
from interconnected_ai.serving.ending import Ending
from interconnected_ai.serving.hall import Hall
from interconnected_ai.storage import locked

_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 75
_HEADER_BYTES = 64 * 1024  # of all headers of a request


def listening_socket(config: ServingConfig) -> socket.socket:
    """A socket that listens at the config's address. Raises `ConfigError` where that is taken, or is none of this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigError(
            f"host={config.host!r}: {error.strerror or error}; give an address of this machine"
        ) from error
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        raise ConfigError(
            f"port {config.port} on {config.host}: {error.strerror or error}; choose another, or 0 for a free one"
        ) from error
    return made


def address_of(config: ServingConfig, listening: socket.socket) -> str:
    """Where a person or a client finds the server."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'http' if config.tls_certificate is None else 'https'}://{shown}:{port}"


@contextmanager
def state_held(config: ServingConfig) -> Iterator[None]:
    """Hold the folder of what outlives a server: a second one there would take the first one's jobs for interrupted.

    The thread that holds it may hold it again. Raises `BusyError`, which names the process that serves from it.
    """
    if config.state is None:
        yield
        return
    place = Path(config.state).expanduser()
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place, purpose="serving", timeout_seconds=0.0):
        yield


def serve(hall: Hall, config: ServingConfig, listening: socket.socket, ending: Ending | None = None) -> int:
    """Serve until SIGINT or SIGTERM; 128 + the signal that ended it. Answers that are being made have `drain_seconds`.

    ending: whoever heeds the signals before and after; one that it kept ends the server as soon as that has begun, or raises
    `EndedError` before.
    Raises `BusyError` where another server has the folder `state`, an error of ours where something in it cannot be used.
    """
    with ExitStack() as opened:
        ending = ending or opened.enter_context(Ending())
        ending.hold()
        app = create_app(hall, config)
        server = _Server(app, _uvicorn_config(app, config))
        opened.enter_context(state_held(config))
        ending.heed(server.handle_exit)
        try:
            asyncio.run(server.serve([listening]))
        except SystemExit:  # uvicorn's way of saying that the application could not begin
            raise app.state.unable from None
        finally:
            ending.heed(None)
    for lane in app.state.door.lanes:
        lane.cut()  # a second signal ends the server without its farewell
    return 128 + server.signal


def _uvicorn_config(app: FastAPI, config: ServingConfig) -> uvicorn.Config:
    made = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="on",
        http=Connection, ws="none", timeout_keep_alive=_KEEP_ALIVE_SECONDS, h11_max_incomplete_event_size=_HEADER_BYTES,
        timeout_graceful_shutdown=max(1, round(config.drain_seconds)), ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key, proxy_headers=False,
    )  # fmt: skip
    setattr(made, MOST_CONNECTIONS, config.max_connections)
    setattr(made, HEAD_SECONDS, config.head_seconds)
    return made


class _Server(uvicorn.Server):
    """Ends at the first SIGINT or SIGTERM when its answers are done, at the second at once, and knows which it was.

    uvicorn's own raises the signal again after its end, and what is open around it would not be closed.
    """

    signal: int = signal.SIGINT

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.signal = sig
        self.app.state.door.is_ending = True
        self.force_exit = self.should_exit
        self.should_exit = True


class ServerThread:
    """A server in a thread of this process, for tests, notebooks and measurements; leaving `with`, in the thread that entered
    it, ends it.

    url: where it listens, once `with` was entered. Raises `BusyError` there where another server has the folder `state`.
    """

    def __init__(self, hall: Hall, config: ServingConfig) -> None:
        self._config, self._held = config, ExitStack()
        self._listening = listening_socket(config)
        self.url = address_of(config, self._listening)
        self._app = create_app(hall, config)
        self._server = uvicorn.Server(_uvicorn_config(self._app, config))
        self._thread = threading.Thread(target=self._run, name="serving", daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._listening]))

    def __enter__(self) -> Self:
        try:
            self._held.enter_context(state_held(self._config))
        except BaseException:
            self._listening.close()
            raise
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            threading.Event().wait(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._app.state.door.is_ending = True
        self._server.should_exit = True
        self._thread.join()
        self._listening.close()
        self._held.close()
