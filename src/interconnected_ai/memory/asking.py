"""Words of a question that say what to do with the conversation, not what it was about: "list the order in which…"."""

from functools import cache

from interconnected_ai.text import terms

# They stand in half of all questions and in many messages that answer none..
_WORDS = """
    list order mention item items conversation conversations discuss discussed chat message messages session sessions tell
    explain summary summarize summarise comprehensive across throughout different brought bring walk provide give show describe
    aspect aspects ask asked question answer help please know remember recall detail details overview include including
    everything suggest recommend say said talk talked told many much could should would
    перечислить перечислять упомянуть упоминать обсудить обсуждать обсуждали разговор беседа переписка подытожить
"""


@cache
def terms_of_asking() -> frozenset[str]:
    """The terms of such words."""
    return frozenset(terms(_WORDS).terms)
