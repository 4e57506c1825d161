"""Words of a question that say what to do with the conversation, not what it was about: "list the order in which…"."""

from functools import cache

from interconnected_ai.text import terms

# They stand in half of all questions and in many messages that answer none.
_ENGLISH = """
    list order mention item items conversation conversations discuss discussed chat message messages session sessions tell
    explain summary summarize summarise comprehensive across throughout different brought bring walk provide give show describe
    aspect aspects ask asked question answer help please know remember recall detail details overview include including
    everything suggest recommend say said talk talked told many much could should would
"""
_RUSSIAN = (
    "перечислить перечислять упомянуть упоминать обсудить обсуждать обсуждали разговор беседа переписка подытожить"
)


def is_of_asking(term: str) -> bool:
    """Whether a term of the analyser is that of such a word.

    Russian ones are looked at for Russian terms alone: their dictionary takes 16 MB, and an English memory needs none.
    """
    return term in _terms_of(_RUSSIAN if "а" <= term[1:2] <= "я" else _ENGLISH)


@cache
def _terms_of(words: str) -> frozenset[str]:
    return frozenset(terms(words).terms)
