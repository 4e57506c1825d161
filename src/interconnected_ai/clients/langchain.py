"""LangChain over a memory: the history of a chat, and a retriever of what was said. Needs the extra `langchain`."""

from collections import deque
from collections.abc import Sequence

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    message_chunk_to_message,
    message_to_dict,
)
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from interconnected_ai.errors import UnknownNameError
from interconnected_ai.memory import Message, ThreeLevelMemory


class ThreeLevelChatMessageHistory(BaseChatMessageHistory):
    """The history of one session of one user, for `RunnableWithMessageHistory` and whatever else takes a history.

    last: how many messages it gives, the newest; None: all of them, word for word. Tool calls are kept as text; the results
    of tools, whose calls LangChain would ask for, come back as quotations in a human message. Messages with an id are kept
    once. May be used by many threads at once; the asynchronous calls run in threads of LangChain's.
    """

    def __init__(
        self, memory: ThreeLevelMemory, *, session: str, user: str = "default", last: int | None = None
    ) -> None:
        self.memory, self.session, self.user, self.last = memory, session, user, last

    @property
    def messages(self) -> list[BaseMessage]:
        """What was said, oldest first; nothing for a session that is not there yet."""
        try:
            found = deque(self.memory.messages(session=self.session, user=self.user), self.last)
        except UnknownNameError:  # a session begins with its first message
            return []
        return [_as_langchain(message) for message in found]

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Remember messages: all of them or none. Those without words are left out."""
        given = [message_to_dict(message_chunk_to_message(message)) for message in messages]
        self.memory.add_messages(given, session=self.session, user=self.user)

    def clear(self) -> None:
        """Forget the session for good, with all that was made of it."""
        try:
            self.memory.forget(session=self.session, user=self.user, everything=True)
        except UnknownNameError:
            return


class ThreeLevelRetriever(BaseRetriever):
    """The messages of a user that answer a question, the best first, as documents.

    session: of one session alone; None: of all of the user's. limit: how many. neighbours: rank as for a context, where a
    message also counts for what stands beside it. A document's metadata name session, role, place, time (seconds since
    1970), score, and the legs of the search that found it.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    memory: ThreeLevelMemory
    user: str = "default"
    session: str | None = None
    limit: int = 10
    neighbours: bool = False

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        found = self.memory.search(
            query,
            session=self.session,
            user=self.user,
            limit=self.limit,
            neighbours=self.neighbours,
            scope="user" if self.session is None else "session",
        )
        return [
            Document(
                id=one.message.id,
                page_content=one.message.content,
                metadata={
                    "session": one.message.session,
                    "role": one.message.role,
                    "place": one.message.place,
                    "time": one.message.time,
                    "score": one.score,
                    "legs": list(one.legs),
                },
            )
            for one in found
        ]


def _as_langchain(message: Message) -> BaseMessage:
    if message.role == "user":
        return HumanMessage(message.content, id=message.id)
    if message.role == "assistant":
        return AIMessage(message.content, id=message.id)
    if message.role == "system":
        return SystemMessage(message.content, id=message.id)
    if message.is_reply:  # a tool's: providers take no ToolMessage without the call that it answers
        quoted = "\n".join(f"> {line}" for line in message.content.split("\n"))
        return HumanMessage(quoted, name=message.role, id=message.id)
    return HumanMessage(message.content, name=message.role, id=message.id)
