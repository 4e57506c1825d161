"""The events of a response while it is made, in OpenAI's order, each with its number."""

from collections.abc import Iterator
from typing import Any

from interconnected_ai.serving.events import event
from interconnected_ai.serving.faults import Fault
from interconnected_ai.serving.openai.chat import logprobs_of
from interconnected_ai.serving.openai.responses.items import said_item
from interconnected_ai.serving.openai.responses.record import Answer
from interconnected_ai.serving.turns import Delta, Said


class Telling:
    """The events of one answer: one item, which is a message of one part, or a call."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._number = 0
        self._item: str | None = None  # its id, once it has begun

    def begins(self) -> Iterator[bytes]:
        """Before anything is there."""
        for kind in ("created", "in_progress"):
            yield self._told(f"response.{kind}", response=self._answer.begun())

    def piece(self, delta: Delta) -> Iterator[bytes]:
        """What has come."""
        if delta.call is not None:
            self._item = self._answer.call_id
            item = self._answer.calling(delta.call, "", "in_progress")
            yield self._told("response.output_item.added", output_index=0, item=item)
        elif delta.arguments:
            yield self._of_item("response.function_call_arguments.delta", delta=delta.arguments)
        elif delta.text or delta.chances:
            yield from self._text_begins()
            chances = logprobs_of(delta.chances)["content"] if delta.chances else []
            yield self._of_part("response.output_text.delta", delta=delta.text, logprobs=chances)

    def item_ends(self, said: Said) -> Iterator[bytes]:
        """The whole of what was said or called."""
        item = self._answer.output(said)
        if said.call is not None:
            yield self._of_item("response.function_call_arguments.done", name=said.call, arguments=said.arguments)
        else:
            yield from self._text_begins()
            (part,) = item["content"]
            yield self._of_part("response.output_text.done", text=said.text, logprobs=part["logprobs"])
            yield self._of_part("response.content_part.done", part=part)
        yield self._told("response.output_item.done", output_index=0, item=item)

    def ends(self, response: dict[str, Any]) -> bytes:
        """The last: completed, or incomplete."""
        return self._told(f"response.{response['status']}", response=response)

    def failed(self, fault: Fault) -> bytes:
        """The last of an answer that could not be made to its end."""
        return self._told("response.failed", response=self._answer.failed(fault))

    def _text_begins(self) -> Iterator[bytes]:
        if self._item is not None:
            return
        self._item = self._answer.message_id
        item = said_item(self._item, [], "in_progress")
        yield self._told("response.output_item.added", output_index=0, item=item)
        (part,) = said_item("", [""])["content"]
        yield self._of_part("response.content_part.added", part=part)

    def _of_item(self, kind: str, **content: Any) -> bytes:
        return self._told(kind, item_id=self._item, output_index=0, **content)

    def _of_part(self, kind: str, **content: Any) -> bytes:
        return self._of_item(kind, content_index=0, **content)

    def _told(self, kind: str, **content: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        return event({"type": kind, "sequence_number": number, **content}, name=kind)
