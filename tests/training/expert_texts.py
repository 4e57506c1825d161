"""Little texts for tests of expert training, made of sentences that a tiny model can learn."""

import numpy as np

from interconnected_ai.text import Tokenizer

SUBJECTS = ("the cat", "the dog", "a bird", "my horse", "one cow")
VERBS = ("sees", "likes", "follows", "knows")
PLACES = ("in the rain", "near the river", "after the storm", "on a cold day")


def documents(count: int, *, seed: int = 0, sentences: int = 6) -> list[str]:
    """Documents of a few sentences each."""
    random = np.random.default_rng(seed)

    def sentence() -> str:
        words = [random.choice(part) for part in (SUBJECTS, VERBS, SUBJECTS, PLACES)]
        return " ".join(words) + "."

    return [f"{number}: " + " ".join(sentence() for _ in range(sentences)) for number in range(count)]


def small_tokenizer() -> Tokenizer:
    """The bytes and some sixty words."""
    return Tokenizer.train(documents(40), 330)


def stream(texts: list[str], tokenizer: Tokenizer) -> np.ndarray:
    """The texts as one stream of tokens, an end token before each and after the last."""
    ids = [tokenizer.end_id, *(token for one in tokenizer.encode_batch(texts, end=True) for token in one)]
    return np.array(ids, dtype=np.uint16)
