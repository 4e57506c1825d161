"""A conversation that is longer than the model's window: refused, or without its oldest turns, and then that is said."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from interconnected_ai.errors import FullWindowError
from interconnected_ai.types import ChatMessage

TooLong = Literal["refuse", "drop_oldest"]
TOO_LONG: tuple[TooLong, ...] = ("refuse", "drop_oldest")
_KEPT_SHARE = (
    0.75  # of the room, once something goes: the next turns then keep their beginning, which need not be read again
)


@dataclass(frozen=True)
class Fitted:
    """What of a conversation is read. dropped: the messages that are left out, oldest first; mostly none."""

    messages: tuple[ChatMessage, ...]
    num_tokens: int
    dropped: tuple[ChatMessage, ...] = ()


def fit(
    messages: Sequence[ChatMessage],
    count: Callable[[Sequence[ChatMessage]], int],
    *,
    window: int,
    max_new_tokens: int,
    too_long: TooLong,
) -> Fitted:
    """The messages that fit the window beside an answer of `max_new_tokens`.

    count: messages → tokens of the prompt. too_long: "refuse", or "drop_oldest": whole turns go, a user's message with what
    answered it, until three quarters of the room are taken; system messages and the last turn stay.
    Raises `FullWindowError` for what is to be refused, and for a last turn that does not fit alone, with the numbers.
    """
    room = window - max_new_tokens
    num_tokens = count(messages)
    if num_tokens <= room:
        return Fitted(tuple(messages), num_tokens)
    if too_long == "refuse":
        raise FullWindowError(
            f"the conversation takes {num_tokens:,} tokens, which with an answer of {max_new_tokens:,} is more than the "
            f"window of {window:,}",
            "begin anew, ask for a shorter answer (max_new_tokens), or let the oldest turns go (too_long='drop_oldest')",
            room=window - num_tokens,
            can_drop=True,
        )
    spoken = [place for place, message in enumerate(messages) if message.role != "system"]
    starts = [place for place in spoken[1:] if messages[place].role == "user"]

    def without(place: int) -> list[ChatMessage]:
        return [message for at, message in enumerate(messages) if at >= place or message.role == "system"]

    number = bisect_left(starts, True, key=lambda place: count(without(place)) <= room * _KEPT_SHARE)
    first = starts[min(number, len(starts) - 1)] if starts else 0
    kept = without(first)
    num_tokens = count(kept)
    if num_tokens > room:
        raise FullWindowError(
            f"the last turn alone takes {num_tokens:,} tokens, which with an answer of {max_new_tokens:,} is more than the "
            f"window of {window:,}",
            "give a shorter message, or ask for a shorter answer (max_new_tokens)",
            room=window - num_tokens,
        )
    dropped = tuple(message for message in messages[:first] if message.role != "system")
    return Fitted(tuple(kept), num_tokens, dropped)
