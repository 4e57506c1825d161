"""One example becomes token ids and a mask of what is learnt, by the model's template; a long one loses its oldest turns."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from interconnected_ai.data import ChatExample, PreferencePair
from interconnected_ai.errors import DataError, PromptError
from interconnected_ai.types import ChatMessage

TooLong = Literal["truncate", "refuse"]
_ANSWERER = "assistant"


class Renders(Protocol):
    """What is asked of a chat template; `experts.chat.ChatTemplate` is one. end_ids: tokens that end an answer."""

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer."""

    def render_with_answers(self, messages: Sequence[ChatMessage], *, answers: Collection[int] | None = None) -> Any:
        """(token ids, of each whether it is learnt) of a conversation of which the answers at these places count."""


@dataclass(frozen=True, eq=False)
class TokenizedChat:
    """One conversation. ids: (n,) int64 token ids; counted: (n,) bool, which of them are to be foretold, the first never."""

    ids: np.ndarray
    counted: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_counted(self) -> int:
        """Tokens that are foretold."""
        return int(self.counted.sum())


@dataclass(frozen=True, eq=False)
class TokenizedPair:
    """A conversation with its better and with its worse answer; what counts of each are the answers after the prompt."""

    chosen: TokenizedChat
    rejected: TokenizedChat

    def __len__(self) -> int:
        return max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True)
class Fitted:
    """An example cut to a length. chats: None where even its last question with the answer is too long.

    num_tokens: of the whole example. dropped: answers to be learnt that went with the oldest turns.
    """

    chats: tuple[TokenizedChat, ...] | None
    num_tokens: int
    dropped: int = 0


def fitted_chat(example: ChatExample, template: Renders, max_tokens: int) -> Fitted:
    """The conversation within `max_tokens`: as many of its newest turns as fit, behind its system prompt."""
    messages, answers = example.messages, frozenset(example.answers)

    def rendered(start: int) -> tuple[TokenizedChat, ...]:
        return (_without(messages, start, answers, template, example.source),)

    return _newest_that_fit(rendered, _beginnings(messages, max(answers)), answers, max_tokens)


def fitted_pair(pair: PreferencePair, template: Renders, max_tokens: int) -> Fitted:
    """Both conversations of a pair within `max_tokens`, with the same part of the prompt; answers are never cut."""
    begins = len(pair.prompt)

    def rendered(start: int) -> tuple[TokenizedChat, ...]:
        return tuple(
            _without((*pair.prompt, *said), start, _answers_from(begins, said), template, pair.source)
            for said in (pair.chosen, pair.rejected)
        )

    return _newest_that_fit(rendered, _beginnings(pair.prompt, begins), (), max_tokens)


def _answers_from(begins: int, said: Sequence[ChatMessage]) -> frozenset[int]:
    return frozenset(begins + place for place, message in enumerate(said) if message.role == _ANSWERER)


class _Rendered(Protocol):
    def __call__(self, start: int) -> tuple[TokenizedChat, ...]: ...


def _newest_that_fit(rendered: _Rendered, starts: Sequence[int], answers: Iterable[int], max_tokens: int) -> Fitted:
    """The earliest of the starts from which all fits: what stands later is shorter, so halving finds it."""
    whole = rendered(0)
    size = max(map(len, whole))
    if size <= max_tokens:
        return Fitted(whole, size)
    found, low, high = None, 0, len(starts)
    while low < high:
        middle = (low + high) // 2
        tried = rendered(starts[middle])
        if max(map(len, tried)) <= max_tokens:
            found, high = tried, middle
        else:
            low = middle + 1
    if found is None:
        return Fitted(None, size)
    return Fitted(found, size, dropped=sum(place < starts[high] for place in answers))


def _beginnings(messages: Sequence[ChatMessage], last: int) -> list[int]:
    """Places of the questions that a conversation may begin with instead of its first, up to the place `last`."""
    asked = [place for place, message in enumerate(messages) if message.role == "user" and place < last]
    return [place for place in asked if place and messages[place - 1].role not in ("system", "user")]


def _without(
    messages: Sequence[ChatMessage], start: int, answers: frozenset[int], template: Renders, source: str
) -> TokenizedChat:
    """The conversation from the message `start` on, its system prompt kept."""
    head = 1 if start and messages[0].role == "system" else 0
    kept = (*messages[:head], *messages[start:])
    places = frozenset(place - start + head for place in answers if place >= start)
    try:
        ids, counted = template.render_with_answers(kept, answers=places)
    except PromptError as error:
        raise DataError(f"{source}: {error}; mend the row, or take it out") from error
    found = TokenizedChat(np.asarray(ids, dtype=np.int64), np.asarray(counted, dtype=bool))
    if len(found) and found.counted[0]:
        found.counted[0] = False  # nothing stands before it to be foretold from
    if not found.num_counted:
        raise DataError(
            f"{source}: the chat template leaves no token of the answers to be learnt; give the model's own template, or take "
            "the row out"
        )
    return found
