"""What of the evidence whole contexts hold, beside facts, timeline, last messages and headings, and over how long chats."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from interconnected_ai.bench.memory_data import Dialogue, Turn, read_beam, read_locomo
from interconnected_ai.bench.memory_peers import PEERS, our_memory, packed
from interconnected_ai.memory import Portions
from interconnected_ai.text import estimate_tokens

BUDGETS = (4_000, 8_000, 12_000)
JOINED_TOKENS = (100_000, 200_000, 500_000, 1_000_000)
JOINED_BUDGET = 12_000
_PLAIN = "bm25s + Snowball"
_NUM_RANKED = 1_000
_SMALL_TOKENS, _SMALL_BUDGET = 4_500, 13_000
_NUM_SMALL_QUESTIONS = 3


def context_figures(folder: Path) -> dict[str, float]:
    """Evidence in whole contexts of LoCoMo and BEAM by budget, and the share of a small chat that a context holds."""
    locomo, beam = read_locomo(folder), read_beam(folder)
    in_locomo, in_beam = context_recall(locomo, BUDGETS), context_recall(beam, (*BUDGETS, 13_000))
    return {
        **{f"beam100k_context_recall_{budget // 1000}k": in_beam[budget] for budget in BUDGETS},
        **{f"locomo_context_recall_{budget // 1000}k": in_locomo[budget] for budget in BUDGETS},
        "beam100k_recall_whole_context_13k": in_beam[13_000],
        "context_everything_fits": everything_fits([*beam, *locomo]),
    }


def context_recall(dialogues: Sequence[Dialogue], budgets: Sequence[int]) -> dict[int, float]:
    """Budget → mean over questions of the share of evidence turns that stand in the whole context word for word."""
    shares: dict[int, list[float]] = {budget: [] for budget in budgets}
    for dialogue in dialogues:
        for budget, found in _contexts(dialogue, budgets):
            shares[budget].extend(found)
    return {budget: mean(values) for budget, values in shares.items()}


def everything_fits(dialogues: Sequence[Dialogue]) -> float:
    """Share of messages that stand in full in contexts of 13,000 tokens, of chats that take 4,500."""
    shares = []
    for dialogue in dialogues:
        turns = _beginning(dialogue.turns, _SMALL_TOKENS)
        _, memory = our_memory(Dialogue(turns), None, neighbours=True)
        with memory:
            for question in dialogue.questions[:_NUM_SMALL_QUESTIONS]:
                found = memory.context(question.text, budget_tokens=_SMALL_BUDGET, portions=Portions())
                shares.append(len(found.source_ids) / len(turns))
    return mean(shares)


def joined_recall(dialogues: Sequence[Dialogue], sizes: Sequence[int] = JOINED_TOKENS) -> list[dict[str, Any]]:
    """One row a size: evidence in whole contexts of 12k tokens when chats are joined to about so many tokens, all asked about.

    plain: BM25 over stems by the package bm25s, with the whole budget for turns alone.
    """
    rows = []
    for size in sizes:
        ours, plain, tokens = [], [], []
        for dialogue in joined(dialogues, size):
            tokens.append(sum(estimate_tokens(turn.content) for turn in dialogue.turns))
            ours += [share for _, found in _contexts(dialogue, (JOINED_BUDGET,)) for share in found]
            plain += _plain_shares(dialogue)
        rows.append(
            {
                "num_tokens": round(mean(tokens)),
                "num_chats": len(tokens),
                "num_questions": len(ours),
                "context_recall_12k": mean(ours),
                "plain_bm25_recall_12k": mean(plain),
            }
        )
    return rows


def joined(dialogues: Sequence[Dialogue], num_tokens: int) -> Iterator[Dialogue]:
    """The dialogues one after the other, as many as come nearest to so many tokens; a rest that is too small is left out."""
    sizes = [sum(estimate_tokens(turn.content) for turn in dialogue.turns) for dialogue in dialogues]
    together = max(1, round(num_tokens / mean(sizes)))
    for first in range(0, len(dialogues) - together + 1, together):
        chats = dialogues[first : first + together]
        turns = [replace(t, id=f"{n} {t.id}", time=None) for n, chat in enumerate(chats) for t in chat.turns]
        questions = [
            replace(asked, evidence=tuple(f"{n} {id}" for id in asked.evidence))
            for n, chat in enumerate(chats)
            for asked in chat.questions
        ]
        yield Dialogue(turns, questions)


def _contexts(dialogue: Dialogue, budgets: Sequence[int]) -> Iterator[tuple[int, list[float]]]:
    """(budget, for every question the share of its evidence that stands in the context in full)."""
    place = {turn.id: str(number) for number, turn in enumerate(dialogue.turns)}
    now = dialogue.turns[-1].time or float(len(dialogue.turns))
    _, memory = our_memory(dialogue, None, neighbours=True)
    with memory:
        for budget in budgets:
            shares = []
            for question in dialogue.questions:
                found = memory.context(question.text, budget_tokens=budget, now=now, portions=Portions())
                shares.append(mean(place[id] in found.source_ids for id in question.evidence))
            yield budget, shares


def _plain_shares(dialogue: Dialogue) -> list[float]:
    rank = PEERS[_PLAIN](dialogue)
    place = {turn.id: number for number, turn in enumerate(dialogue.turns)}
    sizes = [estimate_tokens(turn.content) for turn in dialogue.turns]
    shares = []
    for question in dialogue.questions:
        kept = packed(rank(question.text, _NUM_RANKED), sizes, JOINED_BUDGET)
        shares.append(mean(place[id] in kept for id in question.evidence))
    return shares


def _beginning(turns: Sequence[Turn], num_tokens: int) -> list[Turn]:
    kept: list[Turn] = []
    for turn in turns:
        num_tokens -= estimate_tokens(turn.content)
        if num_tokens < 0:
            break
        kept.append(turn)
    return kept
