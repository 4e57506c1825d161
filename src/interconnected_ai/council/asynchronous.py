"""`AsyncCouncil`: the council for an event loop, which never waits: everything happens in worker threads."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from interconnected_ai.council.answers import CouncilAnswer
from interconnected_ai.council.council import Council
from interconnected_ai.types import ChatMessage, Stream


class AsyncCouncil:
    """A `Council`, awaited. council: stays its owner's. A task that is cancelled cancels its answer at the next token."""

    def __init__(self, council: Council) -> None:
        self.council = council

    async def chat(self, asked: str | Sequence[ChatMessage | Mapping[str, str]], **more: Any) -> CouncilAnswer:
        """As `Council.chat`."""
        stream = self.council.stream(asked, **more)
        async for _ in self._pieces(stream):
            pass
        return stream.result()

    async def stream(
        self, asked: str | Sequence[ChatMessage | Mapping[str, str]], **more: Any
    ) -> AsyncIterator[str | CouncilAnswer]:
        """The pieces of the answer as they come, and the `CouncilAnswer` as the last of all."""
        stream = self.council.stream(asked, **more)
        async for piece in self._pieces(stream):
            yield piece
        yield stream.result()

    async def _pieces(self, stream: Stream[str, CouncilAnswer]) -> AsyncIterator[str]:
        try:
            while True:
                reading = asyncio.ensure_future(asyncio.to_thread(next, stream, None))
                piece = await asyncio.shield(reading)
                if piece is None:
                    return
                yield piece
        except (asyncio.CancelledError, GeneratorExit):
            stream.close()  # from this thread: the one that reads ends at its next token
            raise
