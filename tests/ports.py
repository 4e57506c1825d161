"""A port of this process's own, for tests that must know the number before anybody listens there."""

import atexit
import socket
from functools import cache


@cache
def own_port(purpose: str = "") -> int:
    """A port of 127.0.0.1, one for each purpose, that nobody else is given as long as this process runs.

    The socket that has it never listens, so that whoever sets SO_REUSEADDR, as servers do, may listen there: one after another.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    atexit.register(held.close)
    return int(held.getsockname()[1])
