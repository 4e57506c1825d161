"""Building a context: what comes along always, what was found, in order of time, and never a token over the budget."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import cached_property

from interconnected_ai.memory.facts import Told, newest_facts, said_values, told_facts
from interconnected_ai.memory.filling import (
    LEAST_MESSAGE_TOKENS,
    Room,
    Sized,
    counts_of_lines,
    neighbours,
    newest,
    pack,
)
from interconnected_ai.memory.levels import summaries_of
from interconnected_ai.memory.log import last_messages, messages_in
from interconnected_ai.memory.numbering import number_of
from interconnected_ai.memory.passages import ends_of, passages_of
from interconnected_ai.memory.questions import Question
from interconnected_ai.memory.quoting import quoted
from interconnected_ai.memory.ranking import best_first
from interconnected_ai.memory.records import Message, Pin, Portions, Summary
from interconnected_ai.memory.rendering import (
    Line,
    Words,
    estimate_of,
    fact_line,
    joined,
    message_lines,
    summary_line,
    words_for,
)
from interconnected_ai.memory.scope import Scope
from interconnected_ai.memory.search import Hits, SearchWeights, rank_evidence, word_hits
from interconnected_ai.memory.shares import Shares, shares_of
from interconnected_ai.memory.speakers import part_of
from interconnected_ai.memory.store import Outline, Rows, Store, for_in
from interconnected_ai.memory.times import day_at
from interconnected_ai.text import estimate_tokens, language_of, terms
from interconnected_ai.types import CountTokens

_NUM_RECENT_FACTS, _NUM_FOUND_FACTS = 24, 24
_CANDIDATES_FOR_ONE = 5
_LONGEST_EVIDENCE = 0.25  # of the room for evidence: a message that takes more comes by its passages
_MOST_EXCERPTS = 4
_FEW_SUMMARIES = 32  # more than fit, mostly
_LEAST_LINE_TOKENS = 3  # `> #1 user: `, by whatever counter
_LEAST_SECTION_TOKENS = 40  # with less, no more facts and summaries are looked for
_LEAST_FILLING_TOKENS = 16  # with less, no more messages are looked for
_SUMMARY_FRAME = "\n> 2024-03-01 – 2024-03-04 #1001–#1057: "


@dataclass(slots=True)
class Parts:
    """What a context will hold. Lists are in the order in which they are shown; evidence and timeline also have a rank.

    session: the one that is being spoken in; what comes from others says so.
    """

    words: Words
    zone: tzinfo | None = None  # of the days that are printed
    session: str | None = None
    pins: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    timeline: list[tuple[int, Summary]] = field(default_factory=list)
    evidence: list[tuple[int, Message, str]] = field(default_factory=list)
    last: list[tuple[Message, str]] = field(default_factory=list)
    has_frame: bool = True

    def block(self) -> list[Line]:
        """Everything but the last messages."""
        told = ((self.words.pinned, self.pins), (self.words.facts, self.facts), (self.words.timeline, self._timeline()))
        lines = [line for title, texts in told for line in self._section(title, [(text, None) for text in texts])]
        evidence = self.lines_of([(m, shown) for _, m, shown in self.evidence])
        return [*lines, *self._section(self.words.evidence, evidence)]

    def lines(self, block: list[Line]) -> list[Line]:
        """The block and the last messages, all as quotations."""
        return self._framed([*block, *self._section(self.words.last, self.lines_of(self.last))])

    def text(self, block: list[Line]) -> str:
        """The same as a text."""
        return joined(self.lines(block))

    def messages(self, block: list[Line]) -> tuple[dict[str, str], ...]:
        """The block as one user message, then the last messages. Whatever the log calls system comes as a quotation."""
        shown = [{"role": "user", "content": joined(self._framed(block))}] if block else []
        return (*shown, *(_as_turn(message, said) for message, said in self.last))

    def drop_least(self) -> bool:
        """Take out what is missed least; False when nothing is left."""
        for ranked in (self.evidence, self.timeline):
            if ranked:
                ranked.remove(max(ranked, key=lambda item: item[0]))  # type: ignore[arg-type]
                return True
        for plain in (self.facts, self.last, self.pins):
            if plain:
                plain.pop(0 if plain is self.last else -1)
                return True
        if self.has_frame:
            self.has_frame = False
            return True
        return False

    def lines_of(self, messages: Sequence[tuple[Message, str]]) -> list[Line]:
        """Messages in order, (message, words to show), as they are shown."""
        return list(message_lines(messages, self.zone, self.words, self.session))

    def _timeline(self) -> list[str]:
        return [summary_line(summary, self.zone, self.words, self.session) for _, summary in self.timeline]

    def _framed(self, lines: list[Line]) -> list[Line]:
        return self._section(self.words.preface, lines)

    def _section(self, title: str, lines: list[Line]) -> list[Line]:
        return [(title, None), *lines] if lines and self.has_frame else lines


@dataclass(frozen=True, slots=True)
class Order:
    """What a context is asked for."""

    question: Question
    budget_tokens: int
    portions: Portions
    weights: SearchWeights
    count_tokens: CountTokens
    now: float | None = None  # at which facts are to hold; default: this moment


def gather(store: Store, rows: Rows, scope: Scope, pins: Sequence[Pin], order: Order) -> Parts:
    """Choose what comes along: the last messages of the present session, all else from what is in scope."""
    recent = last_messages(rows, scope.present, order.portions.num_last) if scope.present is not None else []
    language = language_of(order.question.text)
    if language == "none" and recent:
        language = language_of(recent[-1].content)
    parts = Parts(words_for(language), order.question.zone, scope.session)
    shares = shares_of(order.budget_tokens, order.portions, is_estimated=order.count_tokens is estimate_tokens)
    room = Room(shares.all_tokens, order.count_tokens, parts.zone)
    room.take(room.count_line(parts.words.preface) + room.count_line(parts.words.evidence) + 4)
    _add_pins(parts, room, pins)
    if not scope.sessions:
        return parts
    hits = word_hits(store, rows, scope, order.question.text, order.weights)
    told = _Teller(rows, scope, hits, order, parts)
    if order.portions.fills and _add_everything(parts, room, rows, scope, recent):
        _add_facts(parts, room, told, order.portions.facts_tokens)
        return parts
    _add_last(parts, room, recent, shares)
    _add_facts(parts, room, told, shares.facts_tokens)
    summaries = _choose_summaries(parts, room, told, shares.timeline_tokens)
    known: Mapping[int, Outline] = {}
    if room.left > LEAST_MESSAGE_TOKENS:
        shown = {message.number for message, _ in parts.last}
        limit = _num_candidates(rows, scope, room.left)
        found = rank_evidence(store, rows, scope, order.question, hits, order.weights, limit)
        known = found.known
        _add_evidence(parts, room, rows, found.sizes(but=shown), order)
    if order.portions.fills:
        _fill(parts, room, store, rows, scope, known)
        if room.left > _LEAST_SECTION_TOKENS:
            _add_facts(parts, room, told, order.portions.facts_tokens)
            room.take(-sum(summaries.values()))
            summaries = _choose_summaries(parts, room, told, order.portions.timeline_tokens)
    rank = {number: place for place, number in enumerate(summaries)}
    parts.timeline = [(rank[one.number], one) for one in summaries_of(rows, [*summaries])] if summaries else []
    parts.evidence.sort(key=lambda item: (item[1].time, item[1].number))
    _join_last(parts, recent)
    return parts


def fit(parts: Parts, budget_tokens: int, count_tokens: CountTokens) -> tuple[str, tuple[dict[str, str], ...], int]:
    """(text, messages, tokens of the larger of the two), after dropping what is over the budget."""
    while True:
        block = parts.block()
        lines = parts.lines(block)
        text, messages = joined(lines), parts.messages(block)
        if count_tokens is estimate_tokens:  # it adds up: the parts take what the whole takes
            num_tokens = estimate_of(lines)
        else:
            counts = (count_tokens(text), sum(count_tokens(message["content"]) for message in messages))
            num_tokens = max(counts) if text else 0
        if num_tokens <= budget_tokens:
            return text, messages, num_tokens
        over = num_tokens - budget_tokens
        # far over means that single lines were counted too low: drop many, not one a round
        for _ in range(max(1, over // 40)):
            if not parts.drop_least():
                return "", (), 0


def ids_of(parts: Parts, rows: Rows) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(ids of messages that stand there in full, ids of those that stand there only cut or summarised)."""
    shown = [*((m, said) for _, m, said in parts.evidence), *parts.last]
    full = dict.fromkeys([message.id for message, said in shown if said == message.content])
    partly = dict.fromkeys([message.id for message, said in shown if said != message.content])
    for ids in _ids_under(rows, [summary.number for _, summary in parts.timeline]):
        partly.update(dict.fromkeys(ids))
    return tuple(full), tuple([id for id in partly if id not in full])


def _ids_under(rows: Rows, summaries: Sequence[int]) -> list[list[str]]:
    """The ids of the messages that each of the summaries speaks of, in order."""
    if not summaries:
        return []
    marks = ", ".join("?" * len(summaries))
    found = rows.all(
        f"SELECT u.number, m.number, m.id FROM summaries u CROSS JOIN messages m WHERE u.number IN ({marks}) "
        "AND m.number >= u.session * ? + u.first_place AND m.number <= u.session * ? + u.last_place",
        *summaries, number_of(1, 0), number_of(1, 0),
    )  # fmt: skip
    ids: dict[int, list[str]] = {number: [] for number in summaries}
    for number, _, id in sorted(found):
        ids[number].append(id)
    return list(ids.values())


def _num_candidates(rows: Rows, scope: Scope, room_tokens: int) -> int:
    """How many messages to rank: several times what fits, since many of them are longer than those that are wanted."""
    num_tokens, num_messages = _size_of(rows, scope)
    mean_tokens = max(1, num_tokens // max(1, num_messages))
    return max(256, min(1_000, _CANDIDATES_FOR_ONE * room_tokens // mean_tokens))


def _size_of(rows: Rows, scope: Scope) -> tuple[int, int]:
    """(tokens, messages) of all that is in scope."""
    where, whose = scope.where("number")
    found = rows.one(
        "SELECT coalesce(sum(current_tokens + stale_tokens + long_tokens), 0), coalesce(sum(num_messages), 0) FROM sessions "
        f"WHERE {where}",
        whose,
    )
    num_tokens, num_messages = (int(value) for value in found or (0, 0))
    return num_tokens, num_messages


def _add_pins(parts: Parts, room: Room, pins: Sequence[Pin]) -> None:
    parts.pins = room.fill((quoted(pin.text) for pin in pins), room.left)


def _add_everything(parts: Parts, room: Room, rows: Rows, scope: Scope, recent: Sequence[Message]) -> bool:
    """All messages in full, where they fit; False, and nothing added, where they do not."""
    num_tokens, num_messages = _size_of(rows, scope)
    if num_tokens + num_messages * _LEAST_LINE_TOKENS > room.left:
        return False
    every = [message for session in scope.sessions for message in messages_in(rows, session)]
    last = [(message, message.content) for message in recent]
    shown = {message.number for message in recent}
    every.sort(key=lambda message: (message.time, message.number))
    earlier = [(message, message.content) for message in every if message.number not in shown]
    lines = [*parts.lines_of(earlier), *parts.lines_of(last), (parts.words.last, None)]
    num_needed = estimate_of(lines) if room.count_tokens is estimate_tokens else room.count_tokens(joined(lines))
    if num_needed > room.left:
        return False
    room.take(num_needed)
    parts.last = last
    parts.evidence = [(len(earlier) - number, *one) for number, one in enumerate(earlier)]
    return True


def _add_last(parts: Parts, room: Room, recent: Sequence[Message], shares: Shares) -> None:
    """The last messages, the newest first, as long as their share holds them; of the long ones beginning and end."""
    most = min(shares.last_tokens, room.left)
    kept: list[tuple[Message, str]] = []
    for message in reversed(recent):
        before = room.left
        shown = ends_of(message, shares.longest_tokens, parts.words, room.count_tokens)
        if not shown or not room.take_message(message, shown, most):
            break
        most -= before - room.left
        kept.append((message, shown))
    parts.last = kept[::-1]


class _Teller:
    """Facts and summaries as they are wanted. They are shown twice, in their share and in what is left, and looked up once."""

    def __init__(self, rows: Rows, scope: Scope, hits: Hits, order: Order, parts: Parts) -> None:
        self._rows, self._scope, self._hits = rows, scope, hits
        self._order, self._words, self._zone = order, parts.words, parts.zone

    @cached_property
    def facts(self) -> list[tuple[Told, str, int]]:
        """(fact, its line, tokens of that): standing instructions, facts that were hit, the newest."""
        rows, scope, now = self._rows, self._scope, self._order.now
        found = best_first(self._hits.facts, _NUM_FOUND_FACTS)
        standing = newest_facts(rows, scope, _NUM_RECENT_FACTS, now=now, kind="instruction")
        recent = newest_facts(rows, scope, _NUM_RECENT_FACTS, now=now)
        wanted = list(dict.fromkeys([*standing[: _NUM_RECENT_FACTS // 2], *found, *recent, *standing]))
        facts = told_facts(rows, scope, wanted, now=now)
        chosen = [facts[number] for number in wanted if number in facts]
        # a contradiction is shown, not hidden
        old = said_values(rows, scope, sorted({number for fact in chosen for number in fact.contradicts}))
        days: dict[int, str] = {}
        lines = [
            fact_line(
                fact, ", ".join([old[n] for n in fact.contradicts if n in old]), self._words, self._day(fact, days)
            )
            for fact in chosen
        ]
        count = counts_of_lines(self._order.count_tokens)
        return [(fact, line, count(line)) for fact, line in zip(chosen, lines, strict=True)]

    def _day(self, fact: Told, days: dict[int, str]) -> str:
        """The day of a fact; many are of one minute, in which no day of a calendar ends."""
        minute = int(fact.time // 60)
        if minute not in days:
            days[minute] = day_at(fact.time, self._zone)
        return days[minute]

    def summaries_in(self, most: int) -> dict[int, int]:
        """Number → tokens, with what stands before it, of the summaries that fit into so many: in the order in which they are
        wanted, those that were hit, the best first, then the newest, too long ones passed over."""
        chosen: dict[int, int] = {}
        left = self._take_hit_summaries(chosen, most)
        newest = self._newest_summaries(left, _FEW_SUMMARIES)
        left = _take_fitting(chosen, newest, left)
        if len(newest) == _FEW_SUMMARIES:
            _take_fitting(chosen, self._newest_summaries(left), left)
        return chosen

    def _take_hit_summaries(self, chosen: dict[int, int], most: int) -> int:
        """Put those that were hit and fit among the chosen; what is left. Behind the best, most are too long by then."""
        ranked = self._hit_summaries
        for part in (ranked[:_FEW_SUMMARIES], ranked[_FEW_SUMMARIES:]):
            if part and most > self.frame_tokens:
                marks, numbers = for_in(part)
                short = self._summaries(
                    f"AND number IN ({marks}) AND num_tokens <= ?", *numbers, most - self.frame_tokens
                )
                sizes = dict(short)
                most = _take_fitting(chosen, [(number, sizes[number]) for number in part if number in sizes], most)
        return most

    @cached_property
    def _hit_summaries(self) -> list[int]:
        """The summaries that were hit, the best first."""
        return best_first(self._hits.summaries)

    def _newest_summaries(self, most: int, limit: int | None = None) -> list[Sized]:
        """The newest that are no longer."""
        if most <= self.frame_tokens:
            return []
        at_most = "" if limit is None else f" LIMIT {limit}"
        return self._summaries(
            f"AND num_tokens <= ? ORDER BY last_time DESC, number DESC{at_most}", most - self.frame_tokens
        )

    def _summaries(self, clause: str, *values: int) -> list[Sized]:
        where, whose = self._scope.where()
        query = f"SELECT number, num_tokens FROM summaries WHERE {where} AND method <> 'pending' AND num_tokens > 0 {clause}"
        return [
            (number, num_tokens + self.frame_tokens) for number, num_tokens in self._rows.all(query, whose, *values)
        ]

    @cached_property
    def frame_tokens(self) -> int:
        """What stands before a summary."""
        return counts_of_lines(self._order.count_tokens)(_SUMMARY_FRAME)


def _add_facts(parts: Parts, room: Room, told: _Teller, most: int) -> None:
    """Facts, as many as fit; in place of those there are, where there is more room now."""
    if parts.facts:
        tokens = {line: num_tokens for _, line, num_tokens in told.facts}
        room.take(-sum(tokens[line] + 1 for line in parts.facts))
    parts.facts = []
    if most <= 0 or not told.facts:
        return
    lines = [(line, num_tokens) for _, line, num_tokens in told.facts]
    kept = set(room.fill_counted(lines, most - room.count_line(parts.words.facts)))
    shown = sorted((fact.time, fact.number, line) for fact, line, _ in told.facts if line in kept)
    parts.facts = [line for _, _, line in shown]


def _choose_summaries(parts: Parts, room: Room, told: _Teller, most: int) -> dict[int, int]:
    """The summaries that fit, in the order in which they are wanted, and the tokens of each, which are taken."""
    most = min(most, room.left)
    if most <= 0:
        return {}
    chosen = told.summaries_in(most - room.count_line(parts.words.timeline))
    room.take(sum(chosen.values()))
    return chosen


def _take_fitting(chosen: dict[int, int], sizes: Iterable[Sized], most: int) -> int:
    """Put those that fit among the chosen, each once; what is left of so many tokens."""
    for number, cost in sizes:
        if cost <= most and number not in chosen:
            chosen[number] = cost
            most -= cost
    return most


def _add_evidence(parts: Parts, room: Room, rows: Rows, found: Sequence[Sized], order: Order) -> None:
    """The best messages; of those that would take too much of the room only the passages that speak of what was asked."""
    longest = max(1, int(_LONGEST_EVIDENCE * room.left))
    excerpted = frozenset([number for number, num_tokens in found if num_tokens > longest][:_MOST_EXCERPTS])
    asked = terms(order.question.text).terms if excerpted else ()

    def shorten(message: Message, most: int) -> str:
        if message.num_tokens <= longest:
            return message.content
        return passages_of(message, asked, min(most, longest // 2), parts.words, room.count_tokens)

    wanted = [one for one in found if one[1] <= longest or one[0] in excerpted] if excerpted else found
    packed = pack(rows, wanted, room, longest, shorten)
    parts.evidence += [(rank, message, shown) for rank, (message, shown) in enumerate(packed)]


def _fill(parts: Parts, room: Room, store: Store, rows: Rows, scope: Scope, known: Mapping[int, Outline]) -> None:
    """What the hits left free: in full what came in part, then the neighbours of what is shown, then the newest.

    known: outlines of what was looked at for the hits, by number.
    """
    parts.last = [(m, _in_full(m, shown, room)) for m, shown in reversed(parts.last)][::-1]
    parts.evidence = [(rank, m, _in_full(m, shown, room)) for rank, m, shown in parts.evidence]
    if room.left < _LEAST_FILLING_TOKENS:
        return
    hits = [message.number for _, message, _ in parts.evidence]
    _add_more(parts, room, rows, neighbours(store, rows, hits, room, known))
    _add_more(parts, room, rows, newest(rows, scope, room))


def _add_more(parts: Parts, room: Room, rows: Rows, places: Sequence[Sized]) -> None:
    if not places:
        return
    there = {message.number for _, message, _ in parts.evidence} | {message.number for message, _ in parts.last}
    rank = max((rank for rank, _, _ in parts.evidence), default=-1) + 1
    for message, content in pack(rows, [one for one in places if one[0] not in there], room):
        parts.evidence.append((rank, message, content))
        rank += 1


def _in_full(message: Message, shown: str, room: Room) -> str:
    """The whole of what was shown in part, where there is room for it."""
    content = message.content
    if shown is content:
        return shown
    more = message.num_tokens + content.count("\n") - room.count_tokens(shown) - shown.count("\n")
    if more > room.left:
        return shown
    room.take(more)
    return content


def _join_last(parts: Parts, recent: Sequence[Message]) -> None:
    """What stands just before the last messages, and came along as evidence, is one of them."""
    found = {message.number: (message, shown) for _, message, shown in parts.evidence}
    joined: list[tuple[Message, str]] = []
    for message in reversed(recent[: len(recent) - len(parts.last)]):
        if message.number not in found:
            break
        joined.append(found[message.number])
    moved = {message.number for message, _ in joined}
    parts.last = [*reversed(joined), *parts.last]
    parts.evidence = [item for item in parts.evidence if item[1].number not in moved]


def _as_turn(message: Message, shown: str) -> dict[str, str]:
    part = part_of(message.role)
    if part in ("user", "assistant"):
        return {"role": part, "content": shown}
    return {"role": "user", "content": quoted(shown, f"{message.role}: ")}
