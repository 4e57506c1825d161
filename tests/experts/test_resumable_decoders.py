"""Decoders that read several tokens at once, go back, and begin from what was read before: the same as token by token."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from causal_networks import network
from expert_models import VOCABULARY, ids, made

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.causal import GenericDecoder, LeanDecoder, LlamaParts
from interconnected_ai.experts.causal.generic_decoder import AdapterHooks
from interconnected_ai.experts.decoder import ResumableDecoder, can_adapt, can_extend, can_resume
from interconnected_ai.experts.torch_decoder import DecoderParts, TorchDecoder
from interconnected_ai.experts.torch_products import LAYOUTS

PROMPTS = [ids(1, n, seed=n)[0].tolist() for n in (3, 9, 1, 6)]


def expert(norm: str = "pre") -> Callable[[], ResumableDecoder]:
    parts = DecoderParts.of(made(norm=norm), LAYOUTS["plain"]())
    return lambda: TorchDecoder(parts)


def lean(name: str) -> Callable[[], ResumableDecoder]:
    parts = LlamaParts.of(network(name), LAYOUTS["plain"]())
    return lambda: LeanDecoder(parts, 64)


def generic(name: str) -> Callable[[], ResumableDecoder]:
    model = network(name)
    hooks = AdapterHooks(model)
    return lambda: GenericDecoder(model, hooks, VOCABULARY, 64)


DECODERS: dict[str, Callable[[], Callable[[], ResumableDecoder]]] = {
    "expert": expert,
    "lean llama": partial(lean, "llama"),
    "lean mistral, window of 5": partial(lean, "mistral, window of 5"),
    "generic gpt2": partial(generic, "gpt2"),
    "generic gemma3, windows of 5": partial(generic, "gemma3, windows of 5"),
}


@pytest.fixture(params=DECODERS, scope="module")
def new(request: Any) -> Callable[[], ResumableDecoder]:
    """Makes decoders of one model."""
    return DECODERS[request.param]()


def close(ours: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(ours, wanted, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("prompts", [PROMPTS[1:2], PROMPTS], ids=["one", "several"])
def test_several_tokens_at_once_are_as_many_steps(
    new: Callable[[], ResumableDecoder], prompts: list[list[int]]
) -> None:
    slow, ours = new(), new()
    assert can_extend(ours)
    slow.start(prompts, 30)
    close(ours.start(prompts, 30), slow.start(prompts, 30))
    more = ids(len(prompts), 7, seed=4)
    wanted = torch.stack([slow.step(column).clone() for column in more.T], dim=1)
    close(ours.extend(more[:, :4]), wanted[:, :4])
    close(ours.extend(more[:, 4:5]), wanted[:, 4:5])
    close(ours.extend(more[:, 5:]), wanted[:, 5:])
    assert wanted.std() > 0.1


@pytest.mark.parametrize("prompts", [PROMPTS[1:2], PROMPTS], ids=["one", "several"])
def test_what_is_rewound_was_never_read(new: Callable[[], ResumableDecoder], prompts: list[list[int]]) -> None:
    slow, ours = new(), new()
    for decoder in (slow, ours):
        decoder.start(prompts, 30)
    ours.extend(ids(len(prompts), 6, seed=5))
    ours.rewind(4)
    ours.step(ids(len(prompts), seed=6))
    ours.rewind(3)
    ours.rewind(0)
    for seed in range(3):
        close(ours.step(ids(len(prompts), seed=seed)), slow.step(ids(len(prompts), seed=seed)))


def test_a_rewound_prompt_is_no_longer_shared_by_its_beams(new: Callable[[], ResumableDecoder]) -> None:
    ours, slow = new(), new()
    ours.start([PROMPTS[1]] * 2, 30)
    ours.rewind(5)
    tails = ids(2, 6, seed=8)
    ours.extend(tails)
    ours.select([1, 0])
    slow.start([PROMPTS[1][:4] + row for row in tails.tolist()[::-1]], 30)
    token = ids(2, seed=9)
    close(ours.step(token), slow.step(token))


@pytest.mark.parametrize("num_known", [1, 4, 8, 9, 12])
def test_a_prompt_goes_on_from_what_was_read_before(new: Callable[[], ResumableDecoder], num_known: int) -> None:
    first, ours, slow = new(), new(), new()
    assert can_resume(first)
    text = ids(1, 14, seed=7)[0].tolist()
    first.start([PROMPTS[3], text[:9]], 30)
    for token in text[9:12]:
        first.step(torch.tensor([1, token]))
    state = first.state(1, num_known)
    assert state.token_ids == tuple(text[:num_known])
    assert state.num_bytes == sum(tensor.nbytes for tensor in state.tensors) > 0
    first.step(torch.tensor([5, 5]))  # a state is a copy
    close(ours.start([text], 30, states=[state]), slow.start([text], 30))
    token = ids(1, seed=2)
    close(ours.step(token), slow.step(token))


def test_rows_go_on_each_from_its_own_state_and_strangers_from_none(new: Callable[[], ResumableDecoder]) -> None:
    first, ours, slow = new(), new(), new()
    first.start(PROMPTS, 30)
    states = [first.state(row, len(prompt)) for row, prompt in enumerate(PROMPTS)]
    prompts = [
        PROMPTS[0] + [4, 5, 6],
        [*PROMPTS[1][:5], (PROMPTS[1][5] + 1) % VOCABULARY, 2],
        PROMPTS[2],
        PROMPTS[3] + [1],
    ]
    assert states[1].num_shared(prompts[1]) == 5
    for given in (states, [states[0], states[1], None, states[3]], [None, states[1], states[2], states[0]]):
        close(ours.start(prompts, 30, states=given), slow.start(prompts, 30))
        token = ids(4, seed=3)
        close(ours.step(token), slow.step(token))


def test_a_state_after_rows_have_changed_places_is_that_of_the_row(new: Callable[[], ResumableDecoder]) -> None:
    first, ours, slow = new(), new(), new()
    first.start(PROMPTS, 30)
    first.select([2, 1, 1])
    first.step(torch.tensor([3, 4, 5]))
    state = first.state(2, 10)
    assert state.token_ids == (*PROMPTS[1], 5)
    prompt = [*PROMPTS[1], 5, 6]
    close(ours.start([prompt], 30, states=[state]), slow.start([prompt], 30))


def test_padding_beside_a_state_holds_no_stray_numbers(
    new: Callable[[], ResumableDecoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, ours, slow = new(), new(), new()
    first.start([PROMPTS[1]], 30)
    state, empty = first.state(0, 9), torch.empty
    wanted = slow.start([[*PROMPTS[1], 1], PROMPTS[0][:2]], 30)
    monkeypatch.setattr(torch, "empty", lambda *shape, **more: empty(*shape, **more).fill_(float("nan")))
    close(ours.start([[*PROMPTS[1], 1], PROMPTS[0][:2]], 30, states=[state, None]), wanted)


def test_an_expert_model_says_that_it_takes_no_adapters() -> None:
    class Nothing:
        def add(self, name: str, hidden: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
            return out

        def select(self, rows: Any) -> None: ...

    decoder = expert()()
    assert not can_adapt(decoder)
    with pytest.raises(EngineError, match="without adapters"):
        decoder.start(PROMPTS, 30, adapters=Nothing())
