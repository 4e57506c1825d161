"""Building a context: what comes along always, what was found, in order of time, and never a token over the budget."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from interconnected_ai.memory.compression import cut_to
from interconnected_ai.memory.facts import read_facts
from interconnected_ai.memory.log import last_messages, read_messages
from interconnected_ai.memory.numbering import number_of
from interconnected_ai.memory.questions import Question
from interconnected_ai.memory.ranking import best_first
from interconnected_ai.memory.records import Fact, Message, Pin, Portions, Summary
from interconnected_ai.memory.rendering import Words, fact_line, message_lines, quoted, summary_line, words_for
from interconnected_ai.memory.search import Candidate, Hits, SearchWeights, find_evidence, word_hits
from interconnected_ai.memory.speakers import part_of
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.memory.times import day_at
from interconnected_ai.text import language_of, sentences, terms
from interconnected_ai.types import CountTokens

_LINE_TOKENS, _DAY_TOKENS = 7, 7  # `> #1234 user: ` and `[2024-03-01]`, about; the whole is counted at the end
_LEAST_MESSAGE_TOKENS = 8
_NUM_RECENT_FACTS, _NUM_FOUND_FACTS = 24, 24
_CANDIDATES_FOR_ONE = 5
_MOST_EXCERPTS = 4  # of messages too long to come in full
_SPARE = 0.02  # of the budget: what the estimates of single lines may be wrong by together


@dataclass(slots=True)
class Parts:
    """What a context will hold. Lists are in the order in which they are shown; evidence and timeline also have a rank."""

    words: Words
    zone: tzinfo | None = None  # of the days that are printed
    pins: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    timeline: list[tuple[int, Summary]] = field(default_factory=list)
    evidence: list[tuple[int, Message, str]] = field(default_factory=list)
    last: list[tuple[Message, str]] = field(default_factory=list)
    has_frame: bool = True

    def block(self) -> str:
        """Everything but the last messages."""
        lines = [*self._section(self.words.pinned, self.pins), *self._section(self.words.facts, self.facts)]
        lines += self._section(self.words.timeline, [summary_line(summary, self.zone) for _, summary in self.timeline])
        lines += self._section(
            self.words.evidence, list(message_lines([(m, shown) for _, m, shown in self.evidence], self.zone))
        )
        return "\n".join(lines)

    def text(self, block: str) -> str:
        """The block and the last messages, all as quotations."""
        last = self._section(self.words.last, list(message_lines(self.last, self.zone)))
        return self._framed("\n".join(part for part in (block, *last) if part))

    def messages(self, block: str) -> tuple[dict[str, str], ...]:
        """The block as one user message, then the last messages. Whatever the log calls system comes as a quotation."""
        block = self._framed(block)
        shown = [{"role": "user", "content": block}] if block else []
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

    def _framed(self, text: str) -> str:
        return f"{self.words.preface}\n{text}" if text and self.has_frame else text

    def _section(self, title: str, lines: list[str]) -> list[str]:
        return [title, *lines] if lines and self.has_frame else lines


@dataclass(frozen=True, slots=True)
class Order:
    """What a context is asked for."""

    question: Question
    budget_tokens: int
    portions: Portions
    weights: SearchWeights
    count_tokens: CountTokens


def gather(store: Store, rows: Rows, session: int | None, pins: Sequence[Pin], order: Order) -> Parts:
    """Choose what comes along. A session that is not there yet has nothing but the user's pins."""
    recent = last_messages(rows, session, order.portions.num_last) if session is not None else []
    language = language_of(order.question.text)
    if language == "none" and recent:
        language = language_of(recent[-1].content)
    parts = Parts(words_for(language), order.question.zone)
    room = _Room(order.budget_tokens - int(_SPARE * order.budget_tokens), order.count_tokens)
    room.take(order.count_tokens(parts.words.preface) + order.count_tokens(parts.words.evidence) + 4)
    _add_pins(parts, room, pins)
    _add_last(parts, room, recent, order)
    if session is None:
        return parts
    hits = word_hits(store, rows, [session], order.question.text, order.weights)
    _add_facts(parts, room, rows, session, hits, order)
    _add_timeline(parts, room, rows, session, hits, order)
    shown = {message.number for message, _ in parts.last}
    if room.left > _LEAST_MESSAGE_TOKENS:
        limit = _num_candidates(rows, session, room.left)
        found = find_evidence(store, rows, [session], order.question, hits, order.weights, limit)
        _add_evidence(parts, room, rows, [c for c in found if c.number not in shown], order)
    return parts


def fit(parts: Parts, budget_tokens: int, count_tokens: CountTokens) -> tuple[str, tuple[dict[str, str], ...], int]:
    """(text, messages, tokens of the larger of the two), after dropping what is over the budget."""
    while True:
        block = parts.block()
        text, messages = parts.text(block), parts.messages(block)
        apart = sum(count_tokens(message["content"]) for message in messages)
        num_tokens = max(count_tokens(text), apart) if text else 0
        if num_tokens <= budget_tokens:
            return text, messages, num_tokens
        over = num_tokens - budget_tokens
        # far over means that single lines were counted too low: drop many, not one a round
        for _ in range(max(1, over // 40)):
            if not parts.drop_least():
                return "", (), 0


def ids_of(parts: Parts, rows: Rows, session: int | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(ids of messages that stand there in full, ids of those that stand there only cut or summarised)."""
    shown = [*((m, said) for _, m, said in parts.evidence), *parts.last]
    full = dict.fromkeys(message.id for message, said in shown if said == message.content)
    partly = dict.fromkeys(message.id for message, said in shown if said != message.content)
    for _, summary in parts.timeline:
        assert session is not None, "a summary is of a session"
        partly.update(
            dict.fromkeys(
                id
                for (id,) in rows.all(
                    "SELECT id FROM messages WHERE number >= ? AND number <= ? ORDER BY number",
                    number_of(session, summary.first_place), number_of(session, summary.last_place),
                )
            )
        )  # fmt: skip
    return tuple(full), tuple(id for id in partly if id not in full)


def _num_candidates(rows: Rows, session: int, room_tokens: int) -> int:
    """How many messages to rank: several times what fits, since many of them are longer than those that are wanted."""
    found = rows.one(
        "SELECT current_tokens + stale_tokens + long_tokens, num_messages FROM sessions WHERE number = ?", session
    )
    num_tokens, num_messages = (int(value) for value in found or (0, 0))
    mean_tokens = max(1, num_tokens // max(1, num_messages))
    return max(256, min(1_000, _CANDIDATES_FOR_ONE * room_tokens // mean_tokens))


class _Room:
    """The tokens that are left."""

    def __init__(self, tokens: int, count_tokens: CountTokens) -> None:
        self.left = tokens
        self._count = count_tokens

    def take(self, tokens: int) -> None:
        self.left -= tokens

    def fill(self, lines: Iterable[str], most: int) -> list[str]:
        """The lines that fit into `most` and into what is left, in order, too long ones passed over."""
        kept = []
        most = min(most, self.left)
        for line in lines:
            cost = self._count(line) + 1
            if cost <= most:
                kept.append(line)
                most -= cost
                self.left -= cost
        return kept


def _add_pins(parts: Parts, room: _Room, pins: Sequence[Pin]) -> None:
    parts.pins = room.fill((quoted(pin.text) for pin in pins), room.left)


def _add_last(parts: Parts, room: _Room, recent: Sequence[Message], order: Order) -> None:
    """The last messages, the newest first, as long as half the budget holds them; the long ones cut with a mark."""
    longest = max(1, int(order.portions.longest_share * order.budget_tokens))
    most = min(order.budget_tokens // 2, room.left)
    kept: list[tuple[Message, str]] = []
    for message in reversed(recent):
        shown = _capped(message, longest, parts.words, order.count_tokens)
        cost = (message.num_tokens if shown is message.content else order.count_tokens(shown)) + _LINE_TOKENS
        if cost > most:
            break
        kept.append((message, shown))
        most -= cost
        room.take(cost)
    parts.last = kept[::-1]


def _capped(message: Message, longest: int, words: Words, count_tokens: CountTokens) -> str:
    if message.num_tokens <= longest:
        return message.content
    mark = f" … {words.cut.format(num_tokens=message.num_tokens)}"
    # counting a megabyte again and again would take seconds: no token is longer than this
    return cut_to(message.content[: longest * 24], longest, count_tokens, mark)


def _add_facts(parts: Parts, room: _Room, rows: Rows, session: int, hits: Hits, order: Order) -> None:
    most = min(order.portions.facts_tokens, order.budget_tokens // 10)
    if most <= 0:
        return
    found = best_first(hits.facts, _NUM_FOUND_FACTS)
    held = "SELECT number FROM facts WHERE session = ? AND superseded_by IS NULL"
    newest = "ORDER BY number DESC LIMIT ?"
    standing = [n for (n,) in rows.all(f"{held} AND kind = 'instruction' {newest}", session, _NUM_RECENT_FACTS)]
    recent = [n for (n,) in rows.all(f"{held} {newest}", session, _NUM_RECENT_FACTS)]
    wanted = list(dict.fromkeys([*standing[: _NUM_RECENT_FACTS // 2], *found, *recent, *standing]))
    if not wanted:
        return
    facts = {fact.number: fact for fact in read_facts(rows, session, numbers=wanted)}
    chosen = [facts[number] for number in wanted if number in facts]
    old = _values_of(rows, session, chosen)
    lines = {
        fact.number: fact_line(fact, ", ".join(old[n] for n in fact.contradicts if n in old), parts.words, parts.zone)
        for fact in chosen
    }
    kept = set(room.fill(lines.values(), most - order.count_tokens(parts.words.facts)))
    parts.facts = [lines[f.number] for f in sorted(chosen, key=lambda f: (f.time, f.number)) if lines[f.number] in kept]


def _values_of(rows: Rows, session: int, facts: Sequence[Fact]) -> dict[int, str]:
    """What the superseded facts said: a contradiction is shown, not hidden."""
    old = sorted({number for fact in facts for number in fact.contradicts})
    return {fact.number: fact.value for fact in read_facts(rows, session, superseded=True, numbers=old)} if old else {}


def _add_timeline(parts: Parts, room: _Room, rows: Rows, session: int, hits: Hits, order: Order) -> None:
    """The summaries that were hit, the best first, then the newest, in the order of time."""
    most = min(order.portions.timeline_tokens, order.budget_tokens // 6, room.left)
    if most <= 0:
        return
    made = rows.all(
        "SELECT number, num_tokens FROM summaries WHERE session = ? AND method <> 'pending' AND num_tokens > 0 "
        "ORDER BY first_place DESC",
        session,
    )
    if not made:
        return
    sizes = dict(made)
    ranked = [n for n in best_first(hits.summaries) if n in sizes]
    ranked += [n for n in sizes if n not in hits.summaries]
    chosen: list[int] = []
    most -= order.count_tokens(parts.words.timeline)
    for number in ranked:
        cost = sizes[number] + 2 * _LINE_TOKENS
        if cost <= most:
            chosen.append(number)
            most -= cost
            room.take(cost)
        if most < 2 * _LINE_TOKENS:
            break
    if not chosen:
        return
    found = rows.all(
        "SELECT number, level, first_place, last_place, first_time, last_time, source_tokens, text, num_tokens, method "
        f"FROM summaries WHERE number IN ({', '.join('?' * len(chosen))}) ORDER BY first_place",
        *chosen,
    )
    rank = {number: place for place, number in enumerate(chosen)}
    parts.timeline = [(rank[row[0]], Summary(*row)) for row in found]


def _add_evidence(parts: Parts, room: _Room, rows: Rows, found: Sequence[Candidate], order: Order) -> None:
    packed, too_long = _pack(found, room, parts.zone)
    excerpted = too_long[:_MOST_EXCERPTS]
    messages = read_messages(rows, [c.number for c in (*packed, *excerpted)])
    shown = [
        (rank, messages[c.number], messages[c.number].content) for rank, c in enumerate(packed) if c.number in messages
    ]
    for rank, candidate in enumerate(excerpted, start=len(packed)):
        if candidate.number in messages and room.left > 4 * _LINE_TOKENS:
            text = _excerpt(messages[candidate.number], order, min(room.left, order.budget_tokens // 8), parts.words)
            if text:
                shown.append((rank, messages[candidate.number], text))
                room.take(order.count_tokens(text) + _LINE_TOKENS)
    parts.evidence = sorted(shown, key=lambda item: (item[1].time, item[1].number))


def _pack(found: Sequence[Candidate], room: _Room, zone: tzinfo | None) -> tuple[list[Candidate], list[Candidate]]:
    """The best candidates that fit, too large ones passed over; and those that could not have come in full at all."""
    packed, too_long, days = [], [], set()
    whole = room.left
    for candidate in found:
        day = day_at(candidate.time, zone)
        cost = candidate.num_tokens + _LINE_TOKENS + (0 if day in days else _DAY_TOKENS)
        if cost <= room.left:
            packed.append(candidate)
            days.add(day)
            room.take(cost)
        elif candidate.num_tokens > whole // 2:
            too_long.append(candidate)
        if room.left < _LEAST_MESSAGE_TOKENS:
            break
    return packed, too_long


def _excerpt(message: Message, order: Order, most: int, words: Words) -> str:
    """The sentences of a very long message that speak of what was asked, with a mark that they are not all."""
    asked = set(terms(order.question.text).terms)
    mark = words.cut.format(num_tokens=message.num_tokens)
    left = most - order.count_tokens(mark) - _LINE_TOKENS
    kept = []
    for sentence in sentences(message.content[:200_000]):
        cost = order.count_tokens(sentence) + 1
        if cost <= left and asked & set(terms(sentence).terms):
            kept.append(sentence)
            left -= cost
    return " … ".join([*kept, mark]) if kept else ""


def _as_turn(message: Message, shown: str) -> dict[str, str]:
    part = part_of(message.role)
    if part in ("user", "assistant"):
        return {"role": part, "content": shown}
    return {"role": "user", "content": quoted(shown, f"{message.role}: ")}
