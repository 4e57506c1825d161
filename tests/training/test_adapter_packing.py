"""Examples in blocks: nothing lost, nothing twice, the same for every resume."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.data import TokenSide
from interconnected_ai.errors import DataError
from interconnected_ai.training.adapter import Conversations, DocumentPieces, Example, Packing
from properties import examples


def conversations(lengths: list[int]) -> Conversations:
    """Tokens that are never twice the same; of each conversation the second half counts."""
    first = 0
    made = []
    for length in lengths:
        counted = np.arange(length) >= max(1, length // 2)
        made.append(Example(np.arange(first, first + length, dtype=np.int64), counted))
        first += length
    return Conversations(made)


def test_the_bytes_of_conversations_are_those_of_their_answers() -> None:
    one = Example(np.array([0, 2, 1, 2]), np.array([False, True, False, True]))
    assert Conversations([one, one], [b"", b"abc", b"de"]).num_bytes == 8
    assert Conversations([one]).num_bytes is None


@examples(40)
@given(st.lists(st.integers(2, 17), min_size=1, max_size=40), st.integers(1, 5), st.integers(0, 9))
def test_an_epoch_foretells_every_token_that_counts_once(lengths: list[int], batch_size: int, seed: int) -> None:
    given_ones = conversations(lengths)
    plan = Packing(given_ones, 16, batch_size, seed)
    assert sorted(number for block in plan.blocks for number in block) == list(range(len(lengths)))
    read = [plan.read(np.array([block])) for block in range(len(plan.blocks))]
    found = np.sort(np.concatenate([one.targets[one.targets >= 0] for one in read]))
    wanted = np.concatenate([given_ones[n].ids[given_ones[n].counted] for n in range(len(lengths))])
    assert found.tolist() == wanted.tolist()
    for one in read:
        assert one.inputs.shape[1] <= 16
        known = one.targets >= 0
        assert (one.targets[known] == one.inputs[known] + 1).all()
        assert (np.diff(one.documents) >= 0).all()
    assert sum(plan.num_counted(np.array([block])) for block in range(len(plan.blocks))) == len(wanted)


def test_every_batch_is_whole_and_a_later_start_gives_the_rest_of_the_same_epoch() -> None:
    plan = Packing(conversations([10] * 7), 16, 3, seed=4)
    epoch = [batch.tolist() for batch in plan.epoch(2)]
    assert [len(batch) for batch in epoch] == [3, 3, 3]
    assert {number for batch in epoch for number in batch} == set(range(7))
    assert [batch.tolist() for batch in plan.epoch(2, 1)] == epoch[1:]
    assert epoch != [batch.tolist() for batch in plan.epoch(3)]


def test_few_blocks_are_not_computed_twice_in_a_batch_but_every_process_gets_one() -> None:
    few = conversations([10] * 2)
    assert [sorted(batch.tolist()) for batch in Packing(few, 16, 8, seed=0).epoch(0)] == [[0, 1]]
    assert [len(batch) for batch in Packing(few, 16, 8, seed=0, smallest_batch=3).epoch(0)] == [3]


def test_short_examples_fill_blocks_well() -> None:
    lengths = np.random.default_rng(0).integers(5, 200, 500).tolist()
    assert Packing(conversations(lengths), 512, 4, seed=0).filled > 0.97


def test_examples_longer_than_a_block_and_none_at_all_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"example 2 has 18 tokens, a block of seq_len=16 holds 17; raise training\.seq_len"
    ):
        Packing(conversations([5, 18]), 16, 1, seed=0)
    with pytest.raises(DataError, match="nothing to learn from"):
        Packing(conversations([]), 16, 1, seed=0)


def side(documents: list[list[int]], end: int = 0) -> TokenSide:
    tokens, offsets = [end], []
    for document in documents:
        offsets.append(len(tokens))
        tokens += [*document, end]
    return TokenSide(np.array(tokens, dtype=np.uint16), np.array(offsets), sum(map(len, documents)))


def test_documents_are_read_after_a_start_token_and_long_ones_in_pieces() -> None:
    found = DocumentPieces(side([[5, 6, 7], [11, 12, 13, 14, 15, 16]]), 4, 1, ends=True)
    assert [found[n].ids.tolist() for n in range(3)] == [[1, 5, 6, 7, 0], [1, 11, 12, 13, 14], [1, 15, 16, 0]]
    assert found.lengths.tolist() == [5, 5, 4]
    assert not found[0].counted[0]
    assert found[0].counted[1:].all()
    measured = DocumentPieces(side([[5, 6, 7], [11, 12, 13, 14, 15, 16]]), 4, 1, ends=False)
    assert [measured[n].ids.tolist() for n in range(3)] == [[1, 5, 6, 7], [1, 11, 12, 13, 14], [1, 15, 16]]
    assert measured.num_bytes == 9


def test_some_of_the_documents_stand_for_their_share_of_the_bytes() -> None:
    whole = side([[3] * 10] * 20)
    some = DocumentPieces(whole, 10, 1, ends=False, most_tokens=60)
    assert len(some.lengths) == 5
    assert some.num_bytes == 50
    assert some.facts() == DocumentPieces(whole, 10, 1, ends=False, most_tokens=60).facts()
    assert some.facts() != DocumentPieces(whole, 10, 1, ends=False, most_tokens=50).facts()
