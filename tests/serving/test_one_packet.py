"""An answer's head goes out with its body, never later than the event loop's next turn, and never behind the end."""

import asyncio

import pytest

pytest.importorskip("uvicorn", reason='needs the extra "serving"')

from interconnected_ai.serving.connections import HeadsWithBodies

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"a body"


class Recorder(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": "somebody"})
        self.sent: list[bytes] = []

    def write(self, data: object) -> None:
        self.sent.append(bytes(data))  # type: ignore[call-overload]

    def close(self) -> None:
        self.sent.append(b"closed")


@pytest.mark.parametrize(
    ("writes", "sent"),
    [
        ([HEAD, BODY, b"more"], [HEAD + BODY, b"more"]),
        ([HEAD, b""], [HEAD]),
        ([BODY, HEAD, HEAD], [BODY, HEAD + HEAD]),
        ([HEAD, None], [HEAD]),
        ([HEAD, None, BODY], [HEAD, BODY]),
        ([HEAD, "close"], [HEAD, b"closed"]),
        ([HEAD, BODY, None, "close"], [HEAD + BODY, b"closed"]),
    ],
)
def test_a_head_is_kept_for_a_moment(writes: list[bytes | str | None], sent: list[bytes]) -> None:
    recorder = Recorder()

    async def write() -> None:
        transport = HeadsWithBodies(recorder, asyncio.get_running_loop())
        assert transport.get_extra_info("peername") == "somebody"
        for each in writes:
            if isinstance(each, bytes):
                transport.write(each)
            elif each is None:
                await asyncio.sleep(0)
            else:
                transport.close()
        await asyncio.sleep(0)

    asyncio.run(write())
    assert recorder.sent == sent
