"""LangChain keeps its chats in a memory and asks it, through the real package."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core", reason='needs the extra "langchain"')
pytest.importorskip("Stemmer", reason='needs the extra "memory"')

from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory

from interconnected_ai.clients import ThreeLevelChatMessageHistory, ThreeLevelRetriever
from interconnected_ai.errors import UnknownNameError
from interconnected_ai.memory import ThreeLevelMemory


@pytest.fixture
def memory(tmp_path: Path) -> Any:
    with ThreeLevelMemory(tmp_path / "memory.db", background=False) as made:
        yield made


def test_a_history_gives_back_what_it_was_told_in_the_types_of_langchain(memory: ThreeLevelMemory) -> None:
    history = ThreeLevelChatMessageHistory(memory, session="a", user="anna")
    assert history.messages == []
    history.add_messages([SystemMessage("Be brief."), HumanMessage("I live in Riga.", id="h1")])
    history.add_user_message("And you?")
    history.add_ai_message(AIMessageChunk(content="Nowhere."))  # type: ignore[arg-type]
    found = history.messages
    assert [(type(one), one.content) for one in found] == [
        (SystemMessage, "Be brief."),
        (HumanMessage, "I live in Riga."),
        (HumanMessage, "And you?"),
        (AIMessage, "Nowhere."),
    ]
    assert found[1].id == "h1"
    history.add_messages([HumanMessage("I live in Riga.", id="h1")])
    assert len(history.messages) == 4
    assert [message.user for message in memory.messages(session="a", user="anna")] == ["anna"] * 4


def test_tools_and_named_speakers_come_back_as_what_every_provider_takes(memory: ThreeLevelMemory) -> None:
    history = ThreeLevelChatMessageHistory(memory, session="a")
    call = {"name": "weather", "args": {"city": "Riga"}, "id": "c1", "type": "tool_call"}
    history.add_messages(
        [
            HumanMessage(
                [{"type": "text", "text": "Rain?"}, {"type": "image_url", "image_url": {"url": "https://x"}}],
                name="Bob",
            ),
            AIMessage("", tool_calls=[call]),  # type: ignore[list-item]
            ToolMessage("sun\nall day", tool_call_id="c1"),
        ]
    )
    asked, called, told = history.messages
    assert (type(asked), asked.name, asked.content) == (HumanMessage, "Bob", "Rain?\n[image]")
    assert (type(called), called.content) == (AIMessage, '[call of weather] {"city": "Riga"}')
    assert (type(told), told.content) == (HumanMessage, "> sun\n> all day")


def test_a_history_may_give_the_newest_alone(memory: ThreeLevelMemory) -> None:
    ThreeLevelChatMessageHistory(memory, session="a").add_messages([HumanMessage(f"n{n}") for n in range(5)])
    assert [one.content for one in ThreeLevelChatMessageHistory(memory, session="a", last=2).messages] == ["n3", "n4"]
    assert ThreeLevelChatMessageHistory(memory, session="a", last=0).messages == []


def test_clearing_forgets_that_session_of_that_user_and_no_other(memory: ThreeLevelMemory) -> None:
    for user, session in (("anna", "a"), ("anna", "b"), ("bob", "a")):
        memory.add("user", "I live in Riga.", user=user, session=session)
    history = ThreeLevelChatMessageHistory(memory, session="a", user="anna")
    history.clear()
    history.clear()
    assert history.messages == []
    assert [(info.user, info.session) for info in memory.sessions(everyone=True) if info.num_messages] == [
        ("anna", "b"),
        ("bob", "a"),
    ]


@pytest.mark.filterwarnings(
    "ignore:RunnableWithMessageHistory was deprecated", "ignore:RunnableWithMessageHistory is deprecated"
)
def test_langchain_s_own_history_runs_on_it(memory: ThreeLevelMemory) -> None:
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{question}")])
    chain = RunnableWithMessageHistory(
        prompt | FakeListChatModel(responses=["Nice.", "In Riga."]),
        lambda session_id: ThreeLevelChatMessageHistory(memory, session=session_id),
        input_messages_key="question",
        history_messages_key="history",
    )
    config: Any = {"configurable": {"session_id": "a"}}
    assert chain.invoke({"question": "I live in Riga."}, config).content == "Nice."
    assert asyncio.run(chain.ainvoke({"question": "Where do I live?"}, config)).content == "In Riga."
    assert [(message.role, message.content) for message in memory.messages(session="a")] == [
        ("user", "I live in Riga."),
        ("assistant", "Nice."),
        ("user", "Where do I live?"),
        ("assistant", "In Riga."),
    ]


def test_a_retriever_gives_the_messages_of_its_user_as_documents(memory: ThreeLevelMemory) -> None:
    memory.add("user", "I live in Riga.", id="m1", session="a", user="anna", time=1_700_000_000)
    memory.add("user", "I live in Riga too.", id="m2", session="b", user="anna")
    memory.add("user", "Riga is a secret.", id="m3", user="bob")
    retriever = ThreeLevelRetriever(memory=memory, user="anna")
    found = retriever.invoke("Who lives in Riga?")
    assert {one.id for one in found} == {"m1", "m2"}
    (document,) = [one for one in found if one.id == "m1"]
    assert isinstance(document, Document)
    assert document.page_content == "I live in Riga."
    assert {**document.metadata, "score": 0} == {
        "session": "a", "role": "user", "place": 1, "time": 1_700_000_000, "score": 0, "legs": ["speech"],
    }  # fmt: skip
    assert [
        one.id for one in asyncio.run(ThreeLevelRetriever(memory=memory, user="anna", session="b").ainvoke("Riga"))
    ] == ["m2"]
    assert len(ThreeLevelRetriever(memory=memory, user="anna", limit=1).invoke("Riga")) == 1


def test_an_error_of_the_memory_is_not_hidden(memory: ThreeLevelMemory) -> None:
    memory.add("user", "x", id="m1")
    with pytest.raises(UnknownNameError):
        memory.forget("m2")
    with pytest.raises(Exception, match="user=''"):
        ThreeLevelChatMessageHistory(memory, session="a", user="").messages  # noqa: B018
