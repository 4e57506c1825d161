"""LlamaIndex's memory hands what leaves its queue to a block, and gets back what helps, through the real package."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("llama_index.core", reason='needs the extra "llamaindex"')
pytest.importorskip("Stemmer", reason='needs the extra "memory"')

from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.memory import Memory
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from interconnected_ai.clients import AsyncThreeLevelMemory, ThreeLevelMemoryBlock
from interconnected_ai.memory import ThreeLevelMemory


@asynccontextmanager
async def aclosing_engine(engine: AsyncEngine) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await engine.dispose()


def test_a_block_remembers_each_session_apart_and_recalls_what_was_asked(tmp_path: Path) -> None:
    async def talk() -> None:
        async with AsyncThreeLevelMemory(tmp_path / "memory.db") as memory:
            block = ThreeLevelMemoryBlock(memory=memory, user="anna", session="a")
            parts = [TextBlock(text="My sister studies volcanoes."), ImageBlock(url="https://example.org/x.png")]
            await block.aput([ChatMessage(role="user", blocks=parts), ChatMessage(role="assistant", content="Nice.")])
            asked = [
                ChatMessage(role="user", content="Who studies volcanoes?"),
                ChatMessage(role="assistant", content="Hm."),
            ]
            assert "My sister studies volcanoes." in await block.aget(asked)
            assert "volcanoes" not in await ThreeLevelMemoryBlock(memory=memory, user="bob").aget(asked)
            await block.aput([ChatMessage(role="user", content="Elsewhere.")], session_id="b")

    asyncio.run(talk())
    with ThreeLevelMemory(tmp_path / "memory.db") as memory:
        assert [(m.role, m.content) for m in memory.messages(session="a", user="anna")] == [
            ("user", "My sister studies volcanoes.\n[image]"),
            ("assistant", "Nice."),
        ]
        assert [m.content for m in memory.messages(session="b", user="anna")] == ["Elsewhere."]


def test_what_leaves_the_queue_of_llamaindex_s_memory_comes_back_when_it_is_asked_for(tmp_path: Path) -> None:
    async def talk() -> str:
        engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)  # ours to close
        async with AsyncThreeLevelMemory(tmp_path / "memory.db") as memory, aclosing_engine(engine):
            theirs = Memory.from_defaults(
                async_engine=engine,
                session_id="s1",
                token_limit=60,
                token_flush_size=10,
                chat_history_token_ratio=0.5,
                tokenizer_fn=str.split,
                memory_blocks=[ThreeLevelMemoryBlock(memory=memory)],
            )
            await theirs.aput(ChatMessage(role="user", content="My sister studies volcanoes in Iceland."))
            await theirs.aput(ChatMessage(role="assistant", content="How interesting."))
            for number in range(12):
                await theirs.aput(ChatMessage(role="user", content=f"Something else, number {number}, to talk about."))
                await theirs.aput(ChatMessage(role="assistant", content="I see, go on."))
            shown = await theirs.aget(input="Who studies volcanoes?")
            kept = [m.content async for m in memory.messages(session="s1")]
            assert kept[:2] == ["My sister studies volcanoes in Iceland.", "How interesting."]
            return "\n".join(str(one.content) for one in shown)

    assert "> #1 user: My sister studies volcanoes in Iceland." in asyncio.run(talk())
