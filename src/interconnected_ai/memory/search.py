"""Which messages answer a question, without asking a model: BM25 legs, facts, time, vectors, fused by reciprocal rank."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from interconnected_ai.memory.asking import is_of_asking
from interconnected_ai.memory.numbering import Kind, number_of, place_of, session_of
from interconnected_ai.memory.questions import Question
from interconnected_ai.memory.ranking import K1, B, best_first, bm25, fuse, lend
from interconnected_ai.memory.scope import Scope
from interconnected_ai.memory.speakers import is_named
from interconnected_ai.memory.store import Outline, Rows, Store
from interconnected_ai.memory.times import Window
from interconnected_ai.text import terms, words


@dataclass(frozen=True, slots=True)
class SearchWeights:
    """How much each leg of the search counts. The defaults were chosen on the even dialogues of LoCoMo and BEAM.

    reply: of what assistants said, against what users said. stem: of a Russian stem beside its dictionary form.
    neighbour, reach: what share of its score a message lends to those beside it, and how far. stretch: what share of the mean
    score of the 24 messages about it a message gains. asking: of words such as "list" or "conversation", which speak of the
    asking, against those that speak of what is asked. speaker: added to the share of 1 for messages of somebody whom the
    question names. facts, time: legs against the words' leg of 1. vectors: what a standard deviation of likeness adds, as a
    share of the best score by words. closeness: what a word in the question's very form adds, beside its stem, in `search`.
    k1, b: of BM25.
    """

    reply: float = 0.3
    stem: float = 0.5
    neighbour: float = 0.6
    reach: int = 3
    stretch: float = 2.0
    asking: float = 0.25
    speaker: float = 0.5
    facts: float = 0.3
    time: float = 0.5
    vectors: float = 0.15
    closeness: float = 2.0
    k1: float = K1
    b: float = B


class Candidate(NamedTuple):
    """A message that may answer, without its words yet."""

    number: int
    is_reply: bool
    num_tokens: int
    time: float
    role: str
    score: float
    legs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Messages that may answer, the best first, their outlines and scores, those that words found and (by leg) others."""

    numbers: Sequence[int]
    known: Mapping[int, Outline]
    scores: Mapping[int, float]
    by_words: Container[int]
    by_others: Mapping[str, Container[int]]

    def sizes(self, but: Container[int] = frozenset()) -> list[tuple[int, int]]:
        """(number, tokens) of each, some left out."""
        known = self.known
        return [(number, known[number][2]) for number in self.numbers if number not in but]

    def candidates(self) -> list[Candidate]:
        """All that is known of each."""
        found = []
        for number in self.numbers:
            _, is_reply, num_tokens, time, role = self.known[number]
            legs = _BY_WORDS[is_reply] if number in self.by_words else ()
            legs += tuple(name for name, numbers in self.by_others.items() if number in numbers)
            found.append(Candidate(number, bool(is_reply), num_tokens, time, role, self.scores[number], legs))
        return found


@dataclass(slots=True)
class Hits:
    """What the words of a question hit in one session: scores by number."""

    messages: dict[int, float] = field(default_factory=dict)
    summaries: dict[int, float] = field(default_factory=dict)
    facts: dict[int, float] = field(default_factory=dict)

    @property
    def are_none(self) -> bool:
        """Whether nothing was hit."""
        return not (self.messages or self.summaries or self.facts)

    def add(self, scores: Mapping[int, float]) -> None:
        """Put scores of index entries where their kind belongs."""
        # `kind_in` and `number_in`, written out: this is asked for every hit, and nearly all are messages
        self.messages.update({entry >> 10: score for entry, score in scores.items() if not entry & _OF_NO_MESSAGE})
        for entry in scores:
            if entry & _OF_NO_MESSAGE:
                others = self.summaries if (entry >> 8) & 3 == Kind.SUMMARY else self.facts
                others[place_of(entry >> 10)] = scores[entry]


_BY_WORDS: tuple[tuple[str, ...], ...] = (
    ("speech",),
    ("replies",),
)  # the leg that a message is in, by whether it is a reply
_OF_NO_MESSAGE = 1 << 9  # the bit of an entry that summaries and facts have, and speech and replies have not
# Beyond so many postings the most frequent terms are left out: they tell little and cost the most.
_MOST_POSTINGS, _FEWEST_TERMS = 12_000, 3
_LONGEST_QUERY_TERMS = 64
_number_of_outline, _time_of_outline = itemgetter(0), itemgetter(3)
_LEAST_LIKENESS = 0.3  # of two words' trigrams, below which they have nothing to do with each other
_FEW_TRIGRAMS = 4  # of a word, of which one is enough to be like another
_MOST_LIKE = 4  # words of the vocabulary that stand in for one of the question
_NUM_REFINED = 30
_WINDOW_MESSAGES = 60


def word_hits(store: Store, rows: Rows, scope: Scope, text: str, weights: SearchWeights) -> Hits:
    """BM25 of everything in scope that shares a word with the text, or, when nothing does, a word like one of it."""
    asked = [term for term, _ in Counter(terms(text).terms).most_common(_LONGEST_QUERY_TERMS)]
    hits = Hits()
    hits.add(_scores(store, rows, scope, {term: _weight_of(term, weights) for term in asked}, weights))
    if asked and hits.are_none:
        hits.add(_scores(store, rows, scope, _like_words(store, rows, scope, asked), weights))
    return hits


def find_evidence(
    store: Store, rows: Rows, scope: Scope, question: Question, hits: Hits, weights: SearchWeights, limit: int
) -> list[Candidate]:
    """The best messages for a context, neighbours included, the best first."""
    return rank_evidence(store, rows, scope, question, hits, weights, limit).candidates()


def rank_evidence(
    store: Store, rows: Rows, scope: Scope, question: Question, hits: Hits, weights: SearchWeights, limit: int
) -> Ranked:
    """The same, with no more than their sizes put together."""
    dense = _vector_hits(store, rows, scope, question, limit)
    fact_sources, in_time = _fact_sources(rows, hits.facts), _in_window(rows, scope, question.window)
    also = [*dense, *fact_sources, *in_time]
    lent: Mapping[int, float] = lend(
        hits.messages, weights.neighbour, weights.reach, weights.stretch, limit=limit, also=also
    )
    known = store.outlines(rows, [*best_first(lent, limit), *also])
    blended = _blend(lent, dense, weights.vectors)
    found = {number: blended[number] for number in known if number in blended}
    scores = _favour_the_named(found, known, question.text, weights.speaker)
    return _fused(scores, dense, fact_sources, in_time, known, weights, limit, scope.present)


def find_messages(
    store: Store, rows: Rows, scope: Scope, question: Question, weights: SearchWeights, limit: int
) -> list[Candidate]:
    """The messages that say themselves what was asked for, the best first: a result list for people, no neighbours."""
    scores = word_hits(store, rows, scope, question.text, weights).messages
    refined = max(limit, _NUM_REFINED)
    scores = _refine(rows, scores, question.text, weights.closeness, refined)
    dense = _vector_hits(store, rows, scope, question, refined)
    in_time = _in_window(rows, scope, question.window)
    known = store.outlines(rows, [*best_first(scores, refined), *dense, *in_time])
    blended = _blend(scores, dense, weights.vectors)
    return _fused(blended, dense, [], in_time, known, weights, limit, scope.present).candidates()


def _scores(
    store: Store, rows: Rows, scope: Scope, term_weights: Mapping[str, float], weights: SearchWeights
) -> dict[int, float]:
    where, whose = scope.where("number")
    counts = rows.one(
        f"SELECT coalesce(sum(num_messages), 0), coalesce(sum(num_words), 0) FROM sessions WHERE {where}", whose
    )
    if not term_weights or counts is None or not counts[0]:
        return {}
    num_messages, num_words = int(counts[0]), int(counts[1])
    postings = _affordable(_postings(store, rows, scope, list(term_weights)))
    return bm25(
        postings,
        term_weights,
        num_entries=num_messages,
        mean_length=num_words / num_messages,
        k1=weights.k1,
        b=weights.b,
    )


def _postings(store: Store, rows: Rows, scope: Scope, asked: Sequence[str]) -> dict[str, Sequence[int]]:
    """For each term that stands in scope: the entries that have it."""
    found: dict[str, Sequence[int]] = {}
    for owner in scope.owners:
        for term, entries in store.postings(rows, owner, asked).items():
            if inside := scope.of_it(entries):
                found[term] = [*found[term], *inside] if term in found else inside
    return found


def _fused(
    scores: Mapping[int, float],
    dense: Mapping[int, float],
    fact_sources: Sequence[int],
    in_time: Sequence[int],
    known: Mapping[int, Outline],
    weights: SearchWeights,
    limit: int,
    present: int | None,
) -> Ranked:
    latest = _latest_first(known, present)
    by_score = sorted([n for n in latest if n in scores], key=scores.__getitem__, reverse=True)
    legs = {
        "speech": (1.0, [n for n in by_score if not known[n][1]]),
        "replies": (weights.reply, [n for n in by_score if known[n][1]]),
    }
    if fact_sources:
        legs["facts"] = (weights.facts, [n for n in fact_sources if n in known])
    if in_time:
        inside = set(in_time)
        legs["time"] = (
            weights.time,
            sorted([n for n in latest if n in inside], key=lambda number: scores.get(number, 0.0), reverse=True),
        )
    fused = fuse(legs.values())
    ranked = sorted([n for n in latest if n in fused], key=fused.__getitem__, reverse=True)
    others = {name: frozenset(numbers) for name, (_, numbers) in legs.items() if name in ("facts", "time")}
    if dense:
        others["vectors"] = frozenset(dense)
    return Ranked(ranked[:limit], known, fused, scores.keys(), others)


def _latest_first(known: Mapping[int, Outline], present: int | None) -> list[int]:
    """Messages in the order in which those of equal scores go: of the present session before others, the later before the
    earlier. Sorting keeps the order of equals, so that whoever sorts these by scores has that settled."""
    outlines = sorted(known.values(), key=_number_of_outline, reverse=True)
    outlines.sort(key=_time_of_outline, reverse=True)
    latest = [outline[0] for outline in outlines]
    if latest and session_of(min(latest)) != session_of(max(latest)):
        latest.sort(key=lambda number: session_of(number) == present, reverse=True)
    return latest


def _blend(scores: Mapping[int, float], dense: Mapping[int, float], share: float) -> Mapping[int, float]:
    """Scores by words as shares of the best, plus `share` for each standard deviation of likeness.

    Ranks alone lose too much here: by vectors every message has a rank, however little it has to do with the question
    (LoCoMo, evidence in 1k / 2k / 4k tokens: ranks fused .835 / .880 / .925, scores blended .841 / .886 / .929).
    """
    if not dense:
        return scores
    best = max(scores.values(), default=1.0)
    blended = {number: score / best for number, score in scores.items()}
    for number, likeness in dense.items():
        blended[number] = blended.get(number, 0.0) + share * likeness
    return blended


def _affordable(postings: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    """The rarest terms, as many as can be scored in time."""
    ordered = sorted(postings, key=lambda term: len(postings[term]))
    kept: dict[str, Sequence[int]] = {}
    total = 0
    for term in ordered:
        total += len(postings[term])
        if total > _MOST_POSTINGS and len(kept) >= _FEWEST_TERMS:
            break
        kept[term] = postings[term]
    return kept


def _like_words(store: Store, rows: Rows, scope: Scope, asked: Sequence[str]) -> dict[str, float]:
    """Terms of the user that share the most trigrams with the question's: misspellings, pet names, parts of words."""
    known = [(kind, _Words(text)) for owner in scope.owners for kind, text in store.vocabulary(rows, owner).items()]
    weights: dict[str, float] = {}
    for wanted in asked:
        like = {kind + word: likeness for kind, those in known for word, likeness in those.like(wanted[1:]).items()}
        for likeness, term in sorted(((value, term) for term, value in like.items()), reverse=True)[:_MOST_LIKE]:
            weights[term] = max(weights.get(term, 0.0), likeness)
    return weights


class _Words:
    """Words in one text, each between two line breaks; there may be a hundred thousand, and none is looked at by itself."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._having: dict[str, set[int]] = {}  # trigram → the line breaks before the words that have it

    def like(self, word: str) -> dict[str, float]:
        """Words by how like a word they are, the most alike among them: twice the trigrams that both have over those that each
        has."""
        ours = _trigrams(word)
        # a tenth of all words have the first letter, which alone makes none of them like a word of four letters or more
        first = {f"  {word[0]}"} if len(ours) > _FEW_TRIGRAMS else set()
        shared = Counter(chain.from_iterable(map(self._with, ours - first)))
        found: dict[str, float] = {}
        most: list[float] = []  # the greatest likenesses, the least of them first
        for begin, alike in shared.most_common():
            number = alike + len(first)
            least = most[0] if len(most) == _MOST_LIKE else _LEAST_LIKENESS
            if 2 * number / (len(ours) + number) < least:  # it has at least these trigrams, and what comes has fewer
                break
            other = self._text[begin + 1 : self._text.index("\n", begin + 1)]
            number = alike + bool(first and other[:1] == word[0])
            likeness = 2 * number / (len(ours) + len(_trigrams(other)))
            if likeness >= _LEAST_LIKENESS:
                found[other] = likeness
                most = sorted([*most, likeness])[-_MOST_LIKE:]
        return found

    def _with(self, trigram: str) -> set[int]:
        if trigram not in self._having:
            self._having[trigram] = self._places(trigram)
        return self._having[trigram]

    def _places(self, trigram: str) -> set[int]:
        """The line breaks before the words that have a trigram."""
        find, find_back = self._text.find, self._text.rfind
        places: set[int] = set()
        begins = trigram.startswith(" ")
        sought = "\n" * begins + trigram.strip(" ") + "\n" * trigram.endswith(" ")
        place = find(sought)
        while place >= 0:
            places.add(place if begins else find_back("\n", 0, place))
            place = find(sought, place + 1)
        return places


def _trigrams(word: str) -> set[str]:
    padded = f"  {word} "
    return {padded[i : i + 3] for i in range(len(padded) - 2)}


def _refine(rows: Rows, scores: dict[int, float], query: str, closeness: float, num_refined: int) -> dict[int, float]:
    """Of messages with the same stems, first the one with the question's own forms: for останется, останусь before остался."""
    asked = {word for word in words(query) if len(word) > 2}
    best = best_first(scores, num_refined)
    if not best or not asked or not closeness:
        return scores
    contents = rows.all(f"SELECT number, content FROM messages WHERE number IN ({', '.join('?' * len(best))})", *best)
    refined = dict(scores)
    for number, content in contents:
        refined[number] += closeness * _likeness_of_forms(asked, set(words(content[:4000])))
    return refined


def _likeness_of_forms(asked: set[str], said: set[str]) -> float:
    """Σ over the asked words of the longest common beginning with a said one, as a share of the longer word."""
    total = 0.0
    for word in asked:
        if word in said:
            total += 1.0
            continue
        shares = [_num_alike(word, other) / max(len(word), len(other)) for other in said if other[:3] == word[:3]]
        total += max(shares, default=0.0)
    return total


def _num_alike(word: str, other: str) -> int:
    """How many letters two words begin with alike."""
    pairs = zip(word, other, strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(word), len(other)))


def _favour_the_named(
    scores: Mapping[int, float], known: Mapping[int, Outline], query: str, extra: float
) -> Mapping[int, float]:
    """ "What did Caroline say": what Caroline said counts more. Only for roles that are names of speakers."""
    speakers = set(filter(is_named, {row[4] for row in known.values()}))
    if not extra or not speakers:
        return scores
    asked = set(words(query))
    named = {role for role in speakers if asked & set(words(role))}
    return {
        number: score * (1 + extra) if number in known and known[number][4] in named else score
        for number, score in scores.items()
    }


def _vector_hits(store: Store, rows: Rows, scope: Scope, question: Question, limit: int) -> dict[int, float]:
    return {} if question.vector is None else dict(store.nearest(rows, scope.sessions, question.vector, limit))


def _fact_sources(rows: Rows, facts: Mapping[int, float]) -> list[int]:
    """The messages that the best of the facts that were hit come from, in their order."""
    best = best_first(facts, 20)
    if not best:
        return []
    found = dict(rows.all(f"SELECT number, source FROM facts WHERE number IN ({', '.join('?' * len(best))})", *best))
    return list(dict.fromkeys(found[number] for number in best if number in found))


def _in_window(rows: Rows, scope: Scope, window: Window | None) -> list[int]:
    if window is None:
        return []
    where, whose = scope.where()
    query = f"SELECT number FROM messages WHERE {where} AND time >= ? AND time < ? ORDER BY time, number LIMIT ?"
    return [number for (number,) in rows.all(query, whose, window.start, window.end, _WINDOW_MESSAGES)]


def _weight_of(term: str, weights: SearchWeights) -> float:
    weight = weights.stem if _is_russian_stem(term) else 1.0
    return weight * weights.asking if is_of_asking(term) else weight


def _is_russian_stem(term: str) -> bool:
    return term[0] == "s" and "а" <= term[1:2] <= "я"


def session_range(session: int) -> tuple[int, int]:
    """The numbers between which all messages of a session lie."""
    return number_of(session, 0), number_of(session + 1, 0)
