"""Requests of three made-up experts, and an encoder that knows words alone."""

import hashlib
import random
from collections.abc import Sequence

import numpy as np

from interconnected_ai.routing import Example

SUBJECTS = {
    "kitchen": {"bake": "bake oven dough flour", "fry": "fry pan oil onion"},
    "money": {"card": "card bank limit payment", "loan": "loan interest debt credit"},
    "travel": {"fly": "flight ticket airport plane", "stay": "hotel room night booking"},
}
FILLERS = "please how do i can you tell me about my the a now today".split()
FOREIGN = "quasar nebula molecule theorem violin sonata glacier fossil parliament senate".split()


class WordVectors:
    """The sum of fixed random directions, one a word: any number of threads may ask."""

    def __init__(self, dimension: int = 48, model_id: str = "words") -> None:
        self.dimension, self.model_id = dimension, model_id

    def __call__(self, texts: Sequence[str], /) -> np.ndarray:
        return np.stack([np.sum([self._of(word) for word in ["", *text.lower().split()]], axis=0) for text in texts])

    def _of(self, word: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.blake2b(f"{self.model_id}{word}".encode(), digest_size=4).digest(), "little")
        return np.random.default_rng(seed).normal(size=self.dimension).astype(np.float32)


def requests(count: int, *, seed: int = 0, foreign: int = 0) -> list[Example]:
    """So many requests of every topic, and so many that are nobody's business."""
    draw = random.Random(seed)

    def said(words: Sequence[str]) -> str:
        return " ".join(draw.sample([*draw.choices(words, k=3), *draw.choices(FILLERS, k=3)], k=6))

    own = [
        Example(said(words.split()), expert, topic)
        for expert, topics in SUBJECTS.items()
        for topic, words in topics.items()
        for _ in range(count)
    ]
    return [*own, *(Example(said(FOREIGN), None) for _ in range(foreign))]
