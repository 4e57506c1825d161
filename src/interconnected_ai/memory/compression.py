"""Messages made 5 to 40 times shorter: by choosing their weightiest sentences, or by a summariser that is checked."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from interconnected_ai.text import language_of, normalize, sentences, terms
from interconnected_ai.types import CountTokens

# Represented tokens over those of the summary: the document's "5 to 10 ×", and its "ultra".
STALE_RATIO, LONG_RATIO = 7, 35
_MOST_PASSAGES = 200  # the weightiest, which are weighed against each other
_CHARS_READ = 40_000  # of one message
_LEAST_TOKENS = 24  # below this, a sentence would have to be cut

_DECISION = re.compile(
    r"\b(?:decid\w+|agreed?|must|will|should|need to|plan\w*|deadline|promis\w+|remember|always|never|important|instead|"
    r"chose\w*|because|result\w*|finally|прошу|реши\w+|договор\w+|нужно|надо|долж\w+|будет|будем|буду|план\w*|срок\w*|обеща\w+|запомн\w+|"
    r"всегда|никогда|важно|вместо|выбра\w+|потому|итог\w*|наконец)\b",
    re.IGNORECASE,
)
# A number with what belongs to it: 15:30, 3.5, 12 000, 2024-05-01, 45 %, $1,200
_NUMBER = re.compile(r"\d+(?:[.,:/\-]\d+|[\u00a0 ]\d{3}(?!\d))*")
# A capital letter inside a sentence. At its beginning it says nothing.
_NAME = re.compile(r"(?<![.!?…:;\n\"'«“(*#>\-–—])(?<=\s)[A-ZА-ЯЁ][\w'’-]+(?:\s+[A-ZА-ЯЁ][\w'’-]+)*")
_NO_NAMES = frozenset("i i'm i'd i'll i've ok okay".split())


@dataclass(frozen=True, slots=True)
class Passage:
    """A sentence with where it stands and what it weighs."""

    text: str
    order: int
    weight: float
    num_tokens: int
    keys: frozenset[str]
    terms: frozenset[str]


def key_items(text: str) -> frozenset[str]:
    """Names, numbers and dates in a text: what a summary must not lose."""
    numbers = {re.sub(r"[\u00a0 ]", "", match.group()) for match in _NUMBER.finditer(text)}
    return frozenset(numbers | set(_names(text)))


def extract_summary(messages: Sequence[tuple[str, bool]], max_tokens: int, count_tokens: CountTokens) -> str:
    """The sentences that say most, in their order, within `max_tokens`; each message is (content, whether it is a reply).

    A sentence gains by names, numbers, dates, decisions and by words that are rare here; it loses by what the chosen ones
    say already (maximal marginal relevance, Carbonell & Goldstein 1998), and by being an assistant's.
    """
    chosen = choose_passages(messages, max_tokens, count_tokens)
    return " ".join(passage.text for passage in chosen)


def choose_passages(
    messages: Sequence[tuple[str, bool]],
    max_tokens: int,
    count_tokens: CountTokens,
    breathe: Callable[[], None] = lambda: None,
) -> list[Passage]:
    """The passages of `extract_summary`, in the order of the text. Never none, unless there are no words at all.

    breathe is called between small pieces of work, for a thread that others wait for.
    """
    every = _passages(messages, count_tokens, breathe)
    rest = sorted(every, key=lambda p: -p.weight / math.sqrt(p.num_tokens))[:_MOST_PASSAGES]
    if not rest:
        return []
    chosen: list[Passage] = []
    covered: Counter[str] = Counter()
    room = max_tokens
    while rest:
        breathe()
        best = max(rest, key=lambda passage: _gain(passage, covered))
        rest.remove(best)
        if best.num_tokens <= room:
            chosen.append(best)
            covered.update(best.terms)
            room -= best.num_tokens
        rest = [passage for passage in rest if passage.num_tokens <= room]
    if not chosen:
        weightiest = max(every, key=lambda p: p.weight / math.sqrt(p.num_tokens))
        chosen = [_cut(weightiest, max_tokens, count_tokens)]
    return sorted(chosen, key=lambda passage: passage.order)


def cut_to(text: str, max_tokens: int, count_tokens: CountTokens, mark: str = " …") -> str:
    """The longest beginning of a text that, with the mark, takes at most `max_tokens`; the text itself when it fits."""
    if count_tokens(text) <= max_tokens:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens(text[:middle].rstrip() + mark) <= max_tokens:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + mark if low else ""


def fault_of(summary: str, source: str, required: frozenset[str], count_tokens: CountTokens) -> str:
    """Why a summariser's answer cannot stand for its source; empty when it can.

    required: names, numbers and dates that a summary of this length can hold, since the extractive one holds them.
    """
    text = summary.strip()
    if not text:
        return "it is empty"
    if count_tokens(text) >= count_tokens(source):
        return "it is no shorter than what it replaces"
    language, wanted = language_of(text), language_of(source)
    if language != wanted and wanted in ("Russian", "English"):
        return f"it is in another language ({language}) than its source ({wanted})"
    said = normalize(text)
    said_numbers = re.sub(r"[\u00a0 ](?=\d{3}(?!\d))", "", said)
    lost = sorted(item for item in required if not _stands_in(item, said, said_numbers))
    return f"it drops {', '.join(map(repr, lost[:5]))}" if lost else ""


def _stands_in(item: str, said: str, said_numbers: str) -> bool:
    if item[0].isdigit():
        return re.search(rf"(?<!\d){re.escape(item)}(?!\d)", said_numbers) is not None
    # Names bend: "Москвы" is there when "Москва" is. Each of its words must begin alike.
    return all(re.search(rf"\b{re.escape(_trunk(word))}", said) for word in item.split())


def _trunk(word: str) -> str:
    return word[: max(3, len(word) - 2)] if len(word) > 3 else word


def _names(text: str) -> Iterator[str]:
    for match in _NAME.finditer(text):
        name = normalize(match.group()).removesuffix("'s")
        if name not in _NO_NAMES and len(name) > 1:
            yield name


def _passages(
    messages: Sequence[tuple[str, bool]], count_tokens: CountTokens, breathe: Callable[[], None]
) -> list[Passage]:
    found: list[tuple[str, bool, frozenset[str]]] = []
    for content, is_reply in messages:
        breathe()
        for sentence in sentences(content[:_CHARS_READ]):
            found.append((sentence, is_reply, frozenset(terms(sentence).terms)))
    frequency = Counter(term for _, _, ones in found for term in ones)
    passages = []
    for order, (sentence, is_reply, ones) in enumerate(found):
        keys = key_items(sentence)
        rarity = sum(math.log(1 + len(found) / frequency[term]) for term in ones) / max(1, len(ones)) ** 0.5
        weight = rarity + 1.5 * min(len(keys), 6) + 2.0 * bool(_DECISION.search(sentence))
        weight *= (0.5 if is_reply else 1.0) * (0.3 if sentence.endswith("?") else 1.0)
        if ones or keys:
            passages.append(Passage(sentence, order, weight, max(1, count_tokens(sentence)), keys, ones))
    return passages


def _gain(passage: Passage, covered: Counter[str]) -> float:
    """Weight for its length, less what is said already. The root lets long sentences stand against short ones."""
    fresh = sum(1 for term in passage.terms if term not in covered) / max(1, len(passage.terms))
    return passage.weight * (0.25 + 0.75 * fresh) / math.sqrt(passage.num_tokens)


def _cut(passage: Passage, max_tokens: int, count_tokens: CountTokens) -> Passage:
    text = cut_to(passage.text, max(max_tokens, 1), count_tokens)
    return Passage(text, passage.order, passage.weight, count_tokens(text), key_items(text), passage.terms)


def target_tokens(source_tokens: int, ratio: int) -> int:
    """How long a summary of so many tokens may be: short sources are compressed less, so that a sentence fits."""
    return max(min(_LEAST_TOKENS, -(-source_tokens // 5)), source_tokens // ratio)
