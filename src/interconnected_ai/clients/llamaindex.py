"""LlamaIndex over a memory: a block of its `Memory`, which keeps what leaves the queue and recalls what helps. Needs the extra
`llamaindex`.
"""

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemoryBlock
from pydantic import ConfigDict

from interconnected_ai.clients.asynchronous import AsyncThreeLevelMemory

_SESSION = "session_id"  # under which LlamaIndex hands a session on


class ThreeLevelMemoryBlock(BaseMemoryBlock[str]):
    """A block for `Memory.from_defaults(memory_blocks=[…])`: messages that leave its queue are remembered word for word, and
    what of them helps to answer the newest message comes back as quotations.

    The session is the one of the `Memory` that asks, else `session`. budget_tokens: how much comes back at most. May be used by
    many tasks at once; the memory is the caller's to close.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = "remembered"
    memory: AsyncThreeLevelMemory
    user: str = "default"
    session: str = "default"
    budget_tokens: int = 3_000

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        asked = next((text for one in reversed(messages or []) if one.role == "user" and (text := one.content)), "")
        session = block_kwargs.get(_SESSION) or self.session
        found = await self.memory.context(asked, session=session, user=self.user, budget_tokens=self.budget_tokens)
        return found.text

    async def _aput(self, messages: list[ChatMessage]) -> None:
        for session, said in _by_session(messages, self.session):
            await self.memory.add_messages(said, session=session, user=self.user)


def _by_session(messages: Sequence[ChatMessage], session: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """Messages as a chat API has them, those of a session together, in their order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for message in messages:
        beside = dict(message.additional_kwargs)
        named = beside.pop(_SESSION, None) or session
        parts = [block.model_dump(exclude_none=True) for block in message.blocks]
        for part in parts:
            part["type"] = part.pop("block_type")
        found.setdefault(named, []).append({**beside, "role": message.role.value, "content": parts})
    return list(found.items())
