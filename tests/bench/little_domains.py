"""Little domains with a vocabulary each, for councils that are trained in seconds."""

import numpy as np

from interconnected_ai.bench.domain_texts import Domain, domains_of
from interconnected_ai.data import Document

SUBJECTS = {
    "weather": "rain storm cloud wind frost thunder",
    "money": "coin bank loan price market trade",
    "animals": "horse bird cow cat dog mouse",
    "plants": "oak birch moss fern rose grass",
}
VERBS = "sees likes follows returns brings finds".split()


def little_modules(count: int = 40, *, names: tuple[str, ...] = tuple(SUBJECTS)) -> dict[str, list[Document]]:
    """Documents of every domain, as harvesting gives them."""
    random = np.random.default_rng(3)
    found: dict[str, list[Document]] = {}
    for name in names:
        nouns = SUBJECTS[name].split()

        def sentence(nouns: list[str] = nouns) -> str:
            first, second = random.choice(nouns, 2)
            return f"The {first} {random.choice(VERBS)} the {second}."

        found[name] = [
            Document(" ".join(sentence() for _ in range(8 + number % 5)), f"{name}.thing{number}")
            for number in range(count)
        ]
    return found


def little_domains(count: int = 40, **more: tuple[str, ...]) -> list[Domain]:
    """The same, dealt out to three sides."""
    modules = little_modules(count, **more)
    return domains_of(modules, len(modules), validation_fraction=0.1, test_fraction=0.1)
