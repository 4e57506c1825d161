"""Messages that are made by the hundred are as those that are made one by one."""

from dataclasses import FrozenInstanceError, replace

import pytest

from interconnected_ai.memory.records import Message, message_of


def test_a_message_that_is_filled_in_is_a_message() -> None:
    message = Message("7", "user", "chat", 3, "user", "words", 5.0, 1, "current", 4, False, True, 900)
    made = message_of("7", "user", "chat", 3, "user", "words", 5.0, 1, "current", 4, False, True, 900)
    assert type(made) is Message
    assert (made, hash(made), repr(made), made.thousandths) == (message, hash(message), repr(message), 900)
    assert replace(made, place=4) == replace(message, place=4)
    with pytest.raises(FrozenInstanceError):
        made.place = 4  # type: ignore[misc]
