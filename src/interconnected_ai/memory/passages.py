"""Long messages in part: their beginning and end, or the passages that speak of what was asked. The whole goes by reference."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from interconnected_ai.memory.records import Message
from interconnected_ai.memory.rendering import Words
from interconnected_ai.text import estimate_tokens, normalize, sentences, terms
from interconnected_ai.types import CountTokens

_CHARS_READ = 200_000  # of one message
_LEAST_PREFIX = 3
_FIRST_PART = re.compile(r"[^\W_]+")  # of a term that stands for `v2.13.0` or an address
_LEAST_END_TOKENS = 2
_REMEMBERED_CHARS = 20_000
_GAP, _GAPS_TOKENS = " … ", 2


def ends_of(message: Message, most_tokens: int, words: Words, count_tokens: CountTokens) -> str:
    """A message's beginning and end with a mark between them, in `most_tokens`; the message itself when it takes no more.

    Where beside the mark there is no room for two ends it is the beginning and a short mark, or nothing.
    """
    content = message.content
    if message.num_tokens <= most_tokens:
        return content
    # the last messages come with every context, and their estimates need not be made anew
    is_known = count_tokens is estimate_tokens and len(content) <= _REMEMBERED_CHARS
    cut = _remembered_ends if is_known else _ends
    return cut(content, message.num_tokens, most_tokens, _mark(message, words), count_tokens)


def _ends(content: str, num_tokens: int, most_tokens: int, mark: str, count_tokens: CountTokens) -> str:
    left = most_tokens - count_tokens(mark) - _GAPS_TOKENS
    if left < 2 * _LEAST_END_TOKENS:
        head = _beginning(content, num_tokens, most_tokens - 1, count_tokens)
        return f"{head} …" if head else ""
    head = _beginning(content, num_tokens, left - left // 2, count_tokens)
    tail = _end(content, num_tokens, left // 2, count_tokens)
    return _GAP.join(part for part in (head, mark, tail) if part)


_remembered_ends = lru_cache(maxsize=32)(_ends)


def passages_of(
    message: Message, asked: Sequence[str], most_tokens: int, words: Words, count_tokens: CountTokens
) -> str:
    """The sentences of a message that speak of what was asked, with those beside them, and a mark that they are not all.

    asked: terms of the question. Sentences are taken by the rarity of the terms that they share with it, then what stands
    beside them: the answer often does. Empty when no sentence shares a term or nothing fits.
    """
    mark = _mark(message, words)
    left = most_tokens - count_tokens(mark) - _GAPS_TOKENS
    every = sentences(message.content[:_CHARS_READ])
    kept: set[int] = set()
    for place in _best_first(every, asked):
        for beside in (place, place + 1, place - 1):
            if beside in kept or not 0 <= beside < len(every):
                continue
            cost = count_tokens(every[beside]) + 2
            if cost <= left:
                kept.add(beside)
                left -= cost
            elif beside == place:
                break  # what stands beside a sentence that is not there says nothing
    if not kept:
        return ""
    return "".join(_joined(every, sorted(kept))) + _GAP + mark


def _mark(message: Message, words: Words) -> str:
    return words.cut.format(num_tokens=message.num_tokens) + words.whole.format(place=message.place)


def _best_first(every: Sequence[str], asked: Sequence[str]) -> list[int]:
    """Places of the sentences that share terms with the question, those with the rarest first."""
    wanted = set(asked)
    if not wanted:
        return []
    # taking stems of every sentence of a book would take seconds: only of those in which a wanted word can stand
    begins = re.compile("|".join(sorted({re.escape(_prefix(term[1:])) for term in wanted})))
    shared = {
        place: wanted & set(terms(sentence).terms)
        for place, sentence in enumerate(every)
        if begins.search(normalize(sentence))
    }
    frequency = Counter(term for found in shared.values() for term in found)
    weights = {
        place: sum(math.log1p(len(every) / frequency[term]) for term in found)
        for place, found in shared.items()
        if found
    }
    return sorted(weights, key=lambda place: (-weights[place], place))


def _prefix(stem: str) -> str:
    """What every form of a word begins with, nearly always: stems differ from their words at the end."""
    first = _FIRST_PART.match(stem)
    part = first.group() if first else stem
    return part[: max(_LEAST_PREFIX, len(part) - 2)]


def _joined(every: Sequence[str], places: Sequence[int]) -> Iterable[str]:
    before = None
    for place in places:
        if before is not None:
            yield " " if place == before + 1 else _GAP
        yield every[place]
        before = place


def _beginning(text: str, num_tokens: int, most_tokens: int, count_tokens: CountTokens) -> str:
    """A beginning that takes about so many tokens and not more, to its last whole word."""
    size = _that_fits(text, num_tokens, most_tokens, lambda size: count_tokens(text[:size]))
    return _without_half_a_word(text, size)


def _end(text: str, num_tokens: int, most_tokens: int, count_tokens: CountTokens) -> str:
    """An end that takes about so many tokens and not more, from its first whole word."""
    size = _that_fits(text, num_tokens, most_tokens, lambda size: count_tokens(text[len(text) - size :]))
    return _without_half_a_word(text[::-1], size)[::-1]


def _that_fits(text: str, num_tokens: int, most_tokens: int, tokens_of: Callable[[int], int]) -> int:
    """How many characters take so many tokens: the share of the whole, and less while that is too much.

    The longest that fits would be found by halving, at a dozen counts a message; this takes one or two.
    """
    if most_tokens < 1:
        return 0
    size = min(len(text), len(text) * most_tokens // max(1, num_tokens))
    while size > 0 and (taken := tokens_of(size)) > most_tokens:
        size = min(size - 1, size * most_tokens // taken)
    return size


def _without_half_a_word(text: str, size: int) -> str:
    kept = text[:size]
    if size < len(text) and not text[size].isspace():
        last = max(kept.rfind(" "), kept.rfind("\n"))
        if last > size // 2:  # else it is one long word, and half of it is better than nothing
            kept = kept[:last]
    return kept.rstrip()
