"""The long level's timeline made shorter: which neighbouring summaries become one, and its words. Rows are left to others."""

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

from interconnected_ai.memory.compression import extract_summary
from interconnected_ai.memory.records import Summary
from interconnected_ai.types import CountTokens


def merged(
    timeline: Sequence[Summary], limit: int, count_tokens: CountTokens, breathe: Callable[[], None]
) -> list[tuple[list[Summary], str]]:
    """(summaries, the text of them all) of those that go together so that all take at most `limit` tokens, or one is left.

    timeline: a session's long summaries in order. Of neighbours those go together first that stand for the fewest summaries,
    the oldest of these first. A summary that is not made yet stays by itself, and no group reaches across it. breathe is
    called before each merge.
    """
    made = [place for place, summary in enumerate(timeline) if summary.method != "pending"]
    groups = {place: [timeline[place]] for place in made}  # by the place of their first
    texts = {place: timeline[place].text for place in made}
    after = {left: right for left, right in pairwise(made) if right == left + 1}
    before = {right: left for left, right in after.items()}
    pairs = [(2, left, right) for left, right in after.items()]  # (summaries, first of one, first of the other)
    heapify(pairs)
    stored = sum(timeline[place].num_tokens for place in made)
    while stored > limit and pairs:
        size, left, right = heappop(pairs)
        if after.get(left) != right or len(groups[left]) + len(groups[right]) != size:
            continue  # one of the two has grown since, and stands with its new size further down
        breathe()
        both = [(texts[left], False), (texts.pop(right), False)]
        num_tokens = sum(count_tokens(text) for text, _ in both)
        texts[left] = extract_summary(both, max(1, num_tokens // 2), count_tokens)
        stored += count_tokens(texts[left]) - num_tokens
        groups[left] += groups.pop(right)
        del after[left]
        if (following := after.pop(right, None)) is not None:
            after[left], before[following] = following, left
            heappush(pairs, (len(groups[left]) + len(groups[following]), left, following))
        if (preceding := before.get(left)) is not None:
            heappush(pairs, (len(groups[preceding]) + len(groups[left]), preceding, left))
    return [(group, texts[place]) for place, group in groups.items() if len(group) > 1]
