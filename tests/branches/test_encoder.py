"""The encoder: loading, padding, batches of like length, and a batch of mostly padding computed in parts."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from conftest import make_encoder, make_system
from interconnected_ai.branches import Encoder, encoder
from interconnected_ai.branches.encoder import batches_by_length
from interconnected_ai.errors import MissingExtraError

SHORT, LONG = "bank", "the cat will show me the money in my bank account today please tell me now of rain and snow"


def test_a_loaded_encoder_keeps_its_name_and_its_limit(encoder_folder: Path) -> None:
    loaded = Encoder.load(str(encoder_folder), max_seq_len=7)
    assert (loaded.name, loaded.max_seq_len) == (str(encoder_folder), 7)
    assert [len(ids) for ids in loaded.tokenize([LONG, SHORT])] == [7, 3]
    assert Encoder.load(str(encoder_folder)).tokenize([LONG])[0] == make_encoder(max_seq_len=64).tokenize([LONG])[0]


def test_padding_stands_on_the_right_and_the_mask_is_on_real_tokens() -> None:
    tiny = make_encoder()
    input_ids, mask = tiny.pad([[5, 6, 7], [8]])
    assert input_ids.tolist() == [[5, 6, 7], [8, tiny.pad_token_id, tiny.pad_token_id]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]


def test_batches_hold_rows_of_like_length_longest_first_and_every_row_once() -> None:
    assert list(batches_by_length([3, 9, 4, 9, 1], 2)) == [[1, 3], [2, 0], [4]]
    assert list(batches_by_length([2, 1], 5)) == [[0, 1]]
    assert list(batches_by_length([], 5)) == []


class Calls:
    """Shapes of the batches that the encoder's model gets."""

    def __init__(self, encoder: Encoder) -> None:
        self.shapes: list[tuple[int, ...]] = []
        encoder.model.register_forward_pre_hook(self._see, with_kwargs=True)

    def _see(self, module: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        self.shapes.append(tuple(named["input_ids"].shape))


@torch.no_grad()
def test_a_batch_of_mostly_padding_is_computed_in_parts_each_as_wide_as_its_longest_row() -> None:
    tiny = make_encoder()
    assert tiny.computes_in_parts
    calls = Calls(tiny)
    input_ids, mask = tiny.pad(tiny.tokenize([LONG, *[SHORT] * 20]))
    found = tiny(input_ids, mask)
    width = input_ids.shape[1]
    assert calls.shapes == [(16, width), (5, 3)]
    assert found.shape == (21, width, 32)
    for row in range(21):
        alone = tiny(input_ids[row : row + 1], mask[row : row + 1])[0]
        torch.testing.assert_close(found[row][mask[row]], alone[mask[row]], atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("texts", [[LONG] * 20, [LONG, *[SHORT] * 15]], ids=["full of text", "one part"])
def test_other_batches_are_computed_at_once(texts: list[str]) -> None:
    tiny = make_encoder()
    calls = Calls(tiny)
    tiny(*tiny.pad(tiny.tokenize(texts)))
    assert len(calls.shapes) == 1


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_batch_size_is_that_of_the_encoder_and_changes_no_answer(batch_size: int) -> None:
    texts = [LONG, SHORT, "cat dog horse", "rain", "the money"]
    tiny = make_encoder()
    system = make_system("a", encoder=tiny)
    wanted = [system.encode([text])[0] for text in texts]
    calls = Calls(tiny)
    found = system.encode(texts, batch_size=batch_size)
    assert [shape[0] for shape in calls.shapes] == [batch_size] * (5 // batch_size) + [1] * (5 % batch_size)
    torch.testing.assert_close(found, torch.stack(wanted), atol=1e-5, rtol=1e-4)
    calls.shapes.clear()
    predictions = system.predict(texts, batch_size=batch_size)
    assert len(calls.shapes) == -(-5 // batch_size)
    assert [prediction.text for prediction in predictions] == texts


def test_without_the_embedded_encoder_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "interconnected-ai\[branches\]"'):
        Encoder.load()
