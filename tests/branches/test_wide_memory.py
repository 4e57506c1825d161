"""A hundred thousand rows: what is kept of their words stays within what the rows need."""

import subprocess
import sys

import pytest

PROGRAM = """
import random, resource
from interconnected_ai.branches.vocabulary import bags_of
from interconnected_ai.text import Vocabulary, count_ngrams

luck = random.Random(0)
words = [f"word{number:05d}" for number in range(20_000)]
texts = [" ".join(luck.choices(words, k=12)) for _ in range(100_000)]
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
known = Vocabulary.of(texts, 30_000)
bags = bags_of(known, count_ngrams(texts))
print(len(known), len(bags.terms), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) * 1024)
"""


@pytest.mark.slow
def test_words_of_a_hundred_thousand_rows_take_bounded_memory() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    num_terms, num_entries, num_bytes = map(int, done.stdout.split())
    assert num_terms == 30_000
    assert num_entries > 100_000
    assert num_bytes < 1.5 * 2**30
