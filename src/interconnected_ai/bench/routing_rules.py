"""Rules as a patient person would write them after reading the requests: the words that tell experts apart, one a rule."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from interconnected_ai.routing import Example
from interconnected_ai.text import stem, words

_FEWEST = 3  # requests that a phrase stands in
_LONGEST = 2  # words of a phrase


@dataclass(frozen=True)
class _Telling:
    """A phrase, whose it mostly is, and how surely."""

    key: tuple[str, ...]
    text: str
    expert: str
    sure: float


def rules_from(examples: Sequence[Example], *, per_expert: int = 50) -> str:
    """YAML of at most so many rules an expert: a decision list (Rivest 1987) over stems and pairs of them, the surest first."""
    owned = [(each, each.expert) for each in examples if each.expert is not None]
    experts = sorted({expert for _, expert in owned})
    chosen: list[_Telling] = []
    counts: Counter[str] = Counter()
    for telling in _telling(owned, len(experts)):
        if counts[telling.expert] < per_expert and not any(_within(known.key, telling.key) for known in chosen):
            chosen.append(telling)
            counts[telling.expert] += 1
    commonest = Counter(expert for _, expert in owned).most_common(1)[0][0]
    rules = [
        {
            "name": f"{each.expert}: {each.text}",
            "to": each.expert,
            "priority": len(chosen) - place,
            "words": [each.text],
        }
        for place, each in enumerate(chosen)
    ]
    return yaml.safe_dump(
        {"experts": experts, "default": commonest, "rules": rules}, sort_keys=False, allow_unicode=True
    )


def _telling(owned: Sequence[tuple[Example, str]], num_experts: int) -> list[_Telling]:
    """Phrases with whom they point to, the surest first; sure: (requests of that expert + 1) / (all + number of experts)."""
    by_expert: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    texts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for example, expert in owned:
        said = words(example.text)
        stems = [stem(word) for word in said]
        seen = set()
        for length in range(1, _LONGEST + 1):
            for start in range(len(said) - length + 1):
                key = tuple(stems[start : start + length])
                texts[key][" ".join(said[start : start + length])] += 1
                seen.add(key)
        for key in seen:
            by_expert[key][expert] += 1
    found = []
    for key, counts in by_expert.items():
        expert, hits = counts.most_common(1)[0]
        if counts.total() >= _FEWEST:
            sure = (hits + 1) / (counts.total() + num_experts)
            found.append(_Telling(key, texts[key].most_common(1)[0][0], expert, sure))
    return sorted(found, key=lambda each: (-each.sure, len(each.key), each.key))


def _within(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    """Whether every text with the outer phrase has the inner one in it."""
    width = len(inner)
    return any(outer[start : start + width] == inner for start in range(len(outer) - width + 1))
