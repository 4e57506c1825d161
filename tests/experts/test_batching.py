"""Answers that are made together: each is what it would be alone, whoever joins, leaves, stops or fails beside it.

The kinds of faults are those that were reported of other programs that batch: seeds that depend on who is in the batch,
settings that slip to another row when one leaves, one row's error that ends all, places that are never given back or given back
twice, long prompts that stop everybody, answers that nobody reads.
"""

import gc
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from expert_models import ids, made, tokenizer
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tiny_llamas import tiny_adapter, tiny_llama

from interconnected_ai import GenerationConfig
from interconnected_ai.errors import ClosedError, EngineError, PromptError, QueueFullError
from interconnected_ai.experts import BatchLimits, CausalEngine, Expert, SharedBase, TorchEngine
from interconnected_ai.experts.batching import row as row_file
from interconnected_ai.experts.compiled import step_library
from interconnected_ai.experts.decoder_engine import DecoderEngine
from interconnected_ai.experts.deliberation import DeliberationEngine
from interconnected_ai.experts.torch_decoder import TorchDecoder
from interconnected_ai.types import ChatMessage, Generation, Stream, TokenStep
from properties import examples

WORDS = 330
PROMPTS = [ids(1, n, seed=n, vocab_size=WORDS)[0].tolist() for n in (3, 17, 1, 6, 30, 2)]
GREEDY = GenerationConfig(temperature=0.0, max_new_tokens=15)
SETTINGS = {
    "greedy": GREEDY,
    "sampling": GREEDY.with_changes(temperature=1.3, top_k=40, top_p=0.9),
    "penalties": GREEDY.with_changes(repetition_penalty=1.7, frequency_penalty=0.4, presence_penalty=0.2),
    "bad words": GREEDY.with_changes(temperature=0.9, bad_words=("e", "то")),
    "logprobs": GREEDY.with_changes(logprobs=3),
    "choices": GREEDY.with_changes(choices=("router", "expert", "эксперт")),
    "regex": GREEDY.with_changes(temperature=1.0, regex="[a-f]{2,9}"),
    "sliding": GREEDY.with_changes(window="slide", max_new_tokens=60),
    "look-up": GREEDY.with_changes(lookup_tokens=4),
    "beams": GREEDY.with_changes(num_beams=3, max_new_tokens=6),
    "one token": GREEDY.with_changes(max_new_tokens=1),
}
SMALL = BatchLimits(num_rows=4, prompt_tokens=5)
Tokens = Stream[TokenStep, list[Generation]]


def expert_engine(**settings: Any) -> TorchEngine:
    return TorchEngine(made(norm="pre", vocab_size=WORDS, max_seq_len=64), tokenizer(), **settings)


def llama_engine(**settings: Any) -> CausalEngine:
    return CausalEngine(tiny_llama(vocab_size=WORDS), tokenizer(), end_ids=(), **settings)


ENGINES = {
    "compiled": partial(expert_engine, step="compiled"),
    "calls": partial(expert_engine, step="calls"),
    "llama": partial(llama_engine, step="auto"),
    "generic": partial(llama_engine, way="generic"),
}
EVERY = pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, marks=pytest.mark.skipif(step_library().calls is None, reason=step_library().why_not))
        if name == "compiled"
        else make
        for name, make in ENGINES.items()
    ],
    ids=list(ENGINES),
)


@pytest.fixture(scope="module", autouse=True)
def few_threads() -> Iterator[None]:
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


def batched(engine: DecoderEngine, limits: BatchLimits = SMALL) -> DecoderEngine:
    engine.batch(limits)
    return engine


def at_once(engine: DecoderEngine, asked: Sequence[tuple[Sequence[int], GenerationConfig, int]]) -> list[Generation]:
    """Every request from a thread of its own."""
    with ThreadPoolExecutor(len(asked)) as pool:
        begin = threading.Barrier(len(asked))

        def ask(prompt: Sequence[int], config: GenerationConfig, seed: int) -> Generation:
            begin.wait()
            return engine([prompt], config, seed=seed)[0]

        return [future.result() for future in [pool.submit(ask, *one) for one in asked]]


def require_alike(found: Generation, wanted: Generation) -> None:
    """The same answer; its log probabilities up to rounding, since prompts are read in other pieces."""
    assert replace(found, steps=()) == replace(wanted, steps=())
    shares, others = ([step.logprob for step in answer.steps if step.logprob is not None] for answer in (found, wanted))
    torch.testing.assert_close(torch.tensor(shares), torch.tensor(others), atol=1e-4, rtol=0)


def require_nothing_left(engine: DecoderEngine) -> None:
    """What an engine's answers took is given back, and its thread has gone."""
    batcher = engine.batcher
    assert batcher is not None
    while (worker := batcher._worker) is not None:
        worker.join()
    stats = batcher.stats()
    assert (stats.num_rows, stats.num_waiting, stats.used_bytes) == (0, 0, 0)
    assert (batcher._calls, batcher._rows) == (set(), [])


# Alike


@EVERY
def test_answers_made_together_are_those_made_alone(make: Any) -> None:
    alone, together = make(), batched(make())
    asked = [
        (prompt, config.with_changes(max_new_tokens=max(1, config.max_new_tokens - number % 3)), 7 * number)
        for number, (prompt, config) in enumerate(
            (prompt, config) for config in SETTINGS.values() for prompt in PROMPTS[::2]
        )
    ]
    found = at_once(together, asked)
    for answer, (prompt, config, seed) in zip(found, asked, strict=True):
        require_alike(answer, alone([prompt], config, seed=seed)[0])
    require_nothing_left(together)


@EVERY
@pytest.mark.parametrize("name", ["greedy", "sampling", "penalties", "logprobs", "sliding"])
def test_a_call_of_several_prompts_has_the_answers_and_the_steps_of_one_by_itself(make: Any, name: str) -> None:
    alone, together, config = make(), batched(make()), SETTINGS[name]
    prompts = [*PROMPTS[:3], PROMPTS[0]]  # one of them twice, which is answered twice
    wanted = alone.stream(prompts, config, seed=5)
    found = together.stream(prompts, config, seed=5)
    of_row: dict[int, list[TokenStep]] = {}
    for step in found:
        of_row.setdefault(step.row, []).append(step)
    wanted_of_row: dict[int, list[TokenStep]] = {}
    for step in wanted:
        wanted_of_row.setdefault(step.row, []).append(step)
    assert [[step.token_id for step in of_row[row]] for row in sorted(of_row)] == [
        [step.token_id for step in wanted_of_row[row]] for row in sorted(wanted_of_row)
    ]
    assert [answer.token_ids for answer in found.result()] == [answer.token_ids for answer in wanted.result()]


def test_logits_are_the_same_bits_whoever_is_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the compiled step, and for pieces of the prompt that are always cut alike."""
    if step_library().calls is None:
        pytest.skip(step_library().why_not)
    config = GREEDY.with_changes(logprobs=5)
    for make in (partial(expert_engine, step="compiled"), llama_engine):
        asked = [(prompt, config, 0) for prompt in PROMPTS]
        engine = batched(make())
        alone = [engine([prompt], config)[0] for prompt in PROMPTS]
        for _ in range(3):
            assert at_once(engine, asked) == alone
        close = make()([PROMPTS[1]], config)[0]
        torch.testing.assert_close(
            torch.tensor([step.logprob for step in alone[1].steps]),
            torch.tensor([step.logprob for step in close.steps]),
            atol=1e-4,
            rtol=0,
        )


def test_rows_share_the_passes() -> None:
    engine = batched(expert_engine(), BatchLimits(num_rows=8))
    engine([PROMPTS[0]] * 8, GREEDY)
    stats = engine.batcher.stats()  # type: ignore[union-attr]
    assert stats.num_tokens == 8 * (GREEDY.max_new_tokens - 1)
    if step_library().calls is not None:
        assert stats.num_passes < stats.num_tokens / 3


def test_an_unseeded_row_beside_a_seeded_one_changes_nothing_for_it() -> None:
    alone, together, config = expert_engine(), batched(expert_engine()), SETTINGS["sampling"]
    wanted = alone([PROMPTS[0]], config, seed=42)[0]
    with together.stream([PROMPTS[1]] * 2, config.with_changes(max_new_tokens=40)) as unseeded:
        next(unseeded)
        assert [together([PROMPTS[0]], config, seed=42)[0] for _ in range(3)] == [wanted] * 3
    torch.manual_seed(3)
    first = [alone([PROMPTS[0]], config) for _ in range(2)]
    torch.manual_seed(3)
    assert [together([PROMPTS[0]], config) for _ in range(2)] == first


def test_settings_stay_with_their_row_when_others_leave() -> None:
    """A row without rules leaves before one with a form: the form must not slip."""
    together = batched(expert_engine())
    asked = [
        (PROMPTS[0], GREEDY.with_changes(max_new_tokens=2), 0),
        (PROMPTS[1], SETTINGS["choices"], 0),
        (PROMPTS[2], GREEDY.with_changes(max_new_tokens=4), 0),
        (PROMPTS[3], SETTINGS["regex"], 0),
        (PROMPTS[4], SETTINGS["bad words"], 0),
    ]
    for _ in range(5):
        answers = at_once(together, asked)
        assert (answers[1].satisfied, answers[3].satisfied) == (True, True)
        assert "e" not in (answers[4].text or "")


def test_a_stop_string_across_tokens_ends_its_row_alone() -> None:
    alone, together = expert_engine(), batched(expert_engine())
    text = max((alone([PROMPTS[1]], GREEDY)[0].text or "").split("\ufffd"), key=len)
    assert len(text) > 3
    stopping = GREEDY.with_changes(stop=(text[1:4],))
    found = at_once(together, [(PROMPTS[1], stopping, 0), (PROMPTS[1], GREEDY, 0), (PROMPTS[0], stopping, 0)])
    assert found == [
        alone([p], c)[0] for p, c in [(PROMPTS[1], stopping), (PROMPTS[1], GREEDY), (PROMPTS[0], stopping)]
    ]
    assert found[0].ended == "stop"


# Adapters


@pytest.mark.parametrize("way", ["lean", "generic"])
def test_adapters_of_one_base_are_answered_together_each_as_alone(way: Any) -> None:
    model = tiny_llama(vocab_size=WORDS)
    engine = CausalEngine(model, tokenizer(), end_ids=(), way=way)
    calls = CausalEngine(model, tokenizer(), end_ids=(), way=way, step="calls" if way == "lean" else "auto")
    names, prompts = ["a", "b", None, "a", "c"], [*PROMPTS[:4], PROMPTS[5]]
    with (
        SharedBase(None, tokenizer(), name="tiny", engine=engine) as shared,
        SharedBase(None, tokenizer(), name="tiny", engine=calls) as other,
    ):
        for name, rank in (("a", 4), ("b", 16), ("c", 21)):
            for each in (shared, other):
                each.add(name, tiny_adapter(model, ord(name), rank=rank))
        wanted = [
            other.engine_with([name])([prompt], GREEDY)[0].token_ids
            for name, prompt in zip(names, prompts, strict=True)
        ]
        assert len(set(wanted)) == len(wanted)
        shared.batch(SMALL)
        engines = [shared.engine_with([name]) for name in names]
        with ThreadPoolExecutor(len(names)) as pool:
            asked = [pool.submit(one, [prompt], GREEDY) for one, prompt in zip(engines, prompts, strict=True)]
            found = [future.result()[0].token_ids for future in asked]
        assert found == wanted
        mixed = shared.engine_with(names)(prompts, GREEDY)
        assert [answer.token_ids for answer in mixed] == wanted
        require_nothing_left(engine)


def test_an_expert_says_whether_its_answers_are_made_together() -> None:
    expert = Expert(made(norm="pre", vocab_size=WORDS), tokenizer())
    wanted = expert.generate("The router", GREEDY)
    assert expert.batch()
    assert expert.batch(SMALL)  # once for all
    assert expert.engine.batcher.limits == BatchLimits()  # type: ignore[attr-defined]
    assert expert.generate("The router", GREEDY) == wanted
    assert "".join(expert.stream("The router", GREEDY)) == str(wanted)
    mixed = DeliberationEngine({"one": expert.engine}, tokenizer())
    with pytest.raises(EngineError, match="by itself"):
        mixed.batch()
    assert not Expert(None, tokenizer(), engine=mixed).batch()


# Conversations


def test_a_conversations_next_turn_reads_only_what_is_new() -> None:
    model = made(norm="pre", vocab_size=WORDS, max_seq_len=400)
    alone, together = Expert(model, tokenizer()), Expert(model, tokenizer())
    assert together.batch(SMALL)
    said = [ChatMessage("user", "The router?")]
    for expert in (alone, together):
        first = expert.stream_chat(said, GREEDY, session="s").result()
        turns = [*said, first.message, ChatMessage("user", "And?")]
        second = expert.stream_chat(turns, GREEDY, session="s").result()
        fresh = expert.stream_chat(turns, GREEDY).result()
        assert second.generation == fresh.generation
        assert second.num_known_tokens > 0
        wanted = second.num_known_tokens if expert is alone else wanted  # noqa: F821
    assert second.num_known_tokens == wanted


def test_a_turn_that_is_stopped_keeps_what_it_has_read_and_no_more() -> None:
    model = made(norm="pre", vocab_size=WORDS, max_seq_len=400)
    expert = Expert(model, tokenizer())
    assert expert.batch(SMALL)
    said = [ChatMessage("user", "The router gives every token to two experts.")]
    with expert.stream_chat(said, GREEDY.with_changes(max_new_tokens=100), session="s") as stream:
        next(stream)
    require_nothing_left(expert.engine)  # type: ignore[arg-type]
    again = expert.stream_chat(said, GREEDY, session="s").result()
    assert again.num_known_tokens == again.num_prompt_tokens - 1
    assert again.generation == expert.stream_chat(said, GREEDY).result().generation


# Leaving


@EVERY
def test_a_stream_is_closed_at_any_token_and_gives_everything_back(make: Any) -> None:
    engine, alone = batched(make()), make()
    wanted = alone([PROMPTS[1]], GREEDY)[0]
    for number in range(GREEDY.max_new_tokens):
        with engine.stream([PROMPTS[0], PROMPTS[4]], GREEDY) as stream, engine.stream([PROMPTS[1]], GREEDY) as other:
            for _ in range(number):
                next(stream)
            stream.close()
            assert other.result() == [wanted]
    require_nothing_left(engine)


def test_a_stream_that_was_never_read_or_was_dropped_costs_nothing() -> None:
    engine = batched(expert_engine())
    engine.stream([PROMPTS[0]], GREEDY)
    dropped = engine.stream([PROMPTS[0]], GREEDY.with_changes(max_new_tokens=40))
    next(dropped)
    del dropped
    gc.collect()
    require_nothing_left(engine)


def test_who_waits_for_a_place_may_leave_from_another_thread() -> None:
    engine = batched(expert_engine(), BatchLimits(num_rows=1, num_unread=4))
    with engine.stream([PROMPTS[0]], GREEDY.with_changes(max_new_tokens=40)) as first:
        next(first)
        waiting = engine.stream([PROMPTS[1]], GREEDY)
        reader = threading.Thread(target=lambda: list(waiting))
        reader.start()
        while engine.batcher.stats().num_waiting != 1:  # type: ignore[union-attr]
            threading.Event().wait(0.001)
        waiting.close()
        reader.join()
        assert engine.batcher.stats().num_waiting == 0  # type: ignore[union-attr]
        first.close()
    require_nothing_left(engine)


def test_an_answer_that_nobody_reads_rests_and_others_go_on() -> None:
    limits = BatchLimits(num_rows=2, num_unread=3)
    engine, wanted = batched(expert_engine(), limits), expert_engine()
    long = GREEDY.with_changes(max_new_tokens=45)
    with engine.stream([PROMPTS[0]], long) as slow:
        first = next(slow)
        assert [engine([prompt], GREEDY) for prompt in PROMPTS] == [wanted([prompt], GREEDY) for prompt in PROMPTS]
        (row,) = engine.batcher._rows  # type: ignore[union-attr]
        assert row.call._messages.qsize() <= limits.num_unread + 1
        rest = list(slow)
        assert [first.token_id, *(step.token_id for step in rest)] == list(wanted([PROMPTS[0]], long)[0].token_ids)
    require_nothing_left(engine)


# Waiting


def test_rows_wait_for_bytes_and_one_that_never_fits_is_refused_at_once() -> None:
    engine = expert_engine()
    per_token = engine.decoder_of_row(0).cache_bytes(1)
    limits = BatchLimits(cache_bytes=50 * per_token)
    batched(engine, limits)
    most = 0
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(engine, [PROMPTS[1]], GREEDY) for _ in range(6)]  # 17 + 15 tokens each
        while not all(answer.done() for answer in answers):
            most = max(most, engine.batcher.stats().used_bytes)  # type: ignore[union-attr]
    assert most <= 32 * per_token
    assert len({answer.result()[0] for answer in answers}) == 1
    with pytest.raises(EngineError, match=r"30 tokens and an answer of 30 need .* cache_bytes of BatchLimits"):
        engine.stream([PROMPTS[4]], GREEDY.with_changes(max_new_tokens=30))
    with pytest.raises(EngineError, match="cache_bytes of"):
        engine([PROMPTS[0]], GREEDY.with_changes(num_beams=4, max_new_tokens=20))
    with pytest.raises(PromptError):
        engine([[WORDS]], GREEDY)
    require_nothing_left(engine)


def test_more_than_may_wait_are_refused_and_nothing_is_begun() -> None:
    engine = batched(expert_engine(), BatchLimits(num_rows=1, num_waiting=2, num_unread=2))
    with engine.stream([PROMPTS[0]], GREEDY) as first, engine.stream([PROMPTS[1]] * 2, GREEDY) as second:
        next(first)
        reader = threading.Thread(target=second.result)
        reader.start()
        while engine.batcher.stats().num_waiting != 2:  # type: ignore[union-attr]
            threading.Event().wait(0.001)
        with pytest.raises(QueueFullError, match=r"2 answers .* wait already, and 2 may"):
            engine([PROMPTS[2]], GREEDY)
        first.result()
        reader.join()
    assert engine([PROMPTS[2]] * 5, GREEDY) == expert_engine()([PROMPTS[2]] * 5, GREEDY)  # alone it may be any number
    require_nothing_left(engine)


def test_a_long_prompt_is_read_in_pieces_between_the_steps_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a short one that comes after it is answered before the long one has been read."""
    happened: list[tuple[str, int]] = []
    read, together = TorchDecoder.read, row_file.step_together

    def note_read(self: TorchDecoder, most_tokens: int) -> Any:
        happened.append(("read", len(self._token_ids[0])))
        return read(self, most_tokens)

    def note_step(decoders: Any, token_ids: Any) -> Any:
        while not happened.count(("step", 1)) and asked() < 3:  # so that all are there from the first step on
            threading.Event().wait(0.001)
        happened.append(("step", len(decoders)))
        return together(decoders, token_ids)

    monkeypatch.setattr(TorchDecoder, "read", note_read)
    monkeypatch.setattr(row_file, "step_together", note_step)
    if step_library().calls is None:
        pytest.skip(step_library().why_not)
    engine = batched(expert_engine(), BatchLimits(prompt_tokens=2, num_unread=100))

    def asked() -> int:
        stats = engine.batcher.stats()  # type: ignore[union-attr]
        return stats.num_rows + stats.num_waiting

    long = GREEDY.with_changes(max_new_tokens=2)
    with engine.stream([PROMPTS[0]], GREEDY.with_changes(max_new_tokens=40)) as going:
        next(going)
        found = at_once(engine, [(PROMPTS[4], long, 0), (PROMPTS[5], long, 0)])
        going.result()
    reads = [place for place, (kind, size) in enumerate(happened) if kind == "read" and size == 32]
    assert len(reads) == 15
    between = [happened[first + 1 : second] for first, second in pairwise(reads)]
    assert sum(("step", 1) in each or ("step", 2) in each for each in between) >= 13
    assert all(sum(kind == "read" for kind, _ in each) <= 1 for each in between)
    assert found == [expert_engine()([prompt], long)[0] for prompt in (PROMPTS[4], PROMPTS[5])]


# Failing


def test_a_row_that_fails_ends_for_its_caller_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, engine = expert_engine(), batched(expert_engine())
    forbidding = GREEDY.with_changes(bad_words=tuple({tokenizer().fast.decode([n]) or "x" for n in range(WORDS)}))
    broken = GREEDY.with_changes(choices=("a",), bad_words=("a",))
    wanted = [alone([prompt], GREEDY)[0] for prompt in PROMPTS[:3]]
    with ThreadPoolExecutor(5) as pool:
        good = [pool.submit(engine, [prompt], GREEDY) for prompt in PROMPTS[:3]]
        bad = [pool.submit(engine, [PROMPTS[0], PROMPTS[1]], broken), pool.submit(engine, [PROMPTS[2]], forbidding)]
        assert [future.result()[0] for future in good] == wanted
        for future in bad[:1]:
            with pytest.raises(EngineError, match="no token is left"):
                future.result()
        bad[1].exception()
    require_nothing_left(engine)


@pytest.mark.skipif(step_library().calls is None, reason=step_library().why_not)
def test_a_pass_that_fails_fails_for_who_is_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose head knows more tokens than its embedding: who says one of them cannot go on, everybody else can."""
    model = made(norm="pre", vocab_size=WORDS, max_seq_len=64)
    engine = batched(TorchEngine(model, tokenizer(), step="compiled", end_ids=()))
    wanted = TorchEngine(model, tokenizer(), step="compiled", end_ids=())([PROMPTS[0]], GREEDY)
    step_token = row_file.WaitingDecoder.step

    def say_an_unknown_one(self: Any, token_ids: torch.Tensor) -> torch.Tensor:
        found = step_token(self, token_ids)
        if len(self.decoder._token_ids[0]) == 40 + len(PROMPTS[2]):
            self.token_id = WORDS
        return found

    monkeypatch.setattr(row_file.WaitingDecoder, "step", say_an_unknown_one)
    with (
        engine.stream([PROMPTS[0]], GREEDY) as good,
        engine.stream([PROMPTS[2]], GREEDY.with_changes(max_new_tokens=40)) as bad,
    ):
        next(good)
        with pytest.raises(IndexError, match=f"{WORDS} is outside the embedding"):
            bad.result()
        assert good.result() == wanted
    require_nothing_left(engine)


def test_a_fault_of_the_batcher_itself_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = batched(expert_engine())
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with monkeypatch.context() as patched:
        patched.setattr(type(engine.batcher), "_step", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine([PROMPTS[0]], GREEDY)
    assert engine([PROMPTS[0]], GREEDY) == expert_engine()([PROMPTS[0]], GREEDY)
    require_nothing_left(engine)


# An end


def test_a_closed_batcher_ends_everybody_with_a_reason() -> None:
    engine = batched(expert_engine(), BatchLimits(num_rows=1, num_unread=2))
    with engine.stream([PROMPTS[0]], GREEDY) as going:
        next(going)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(engine, [PROMPTS[1]], GREEDY)
            while engine.batcher.stats().num_waiting != 1:  # type: ignore[union-attr]
                threading.Event().wait(0.001)
            engine.batcher.close()  # type: ignore[union-attr]
            with pytest.raises(ClosedError, match="batcher was closed"):
                waiting.result()
        with pytest.raises(ClosedError, match="batcher was closed"):
            going.result()
    with pytest.raises(ClosedError, match="batcher was closed"):
        engine([PROMPTS[0]], GREEDY)
    require_nothing_left(engine)


def test_an_engine_that_is_closed_brings_its_answers_to_their_end() -> None:
    engine = batched(expert_engine())
    stream = engine.stream([PROMPTS[0]], GREEDY)
    next(stream)
    engine.close()
    assert stream.result() == expert_engine()([PROMPTS[0]], GREEDY)
    with pytest.raises(ClosedError, match="engine torch is closed"):
        engine([PROMPTS[0]], GREEDY)
    assert engine.num_bytes == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_has_a_batcher_of_its_own() -> None:
    engine = batched(expert_engine())
    wanted = engine([PROMPTS[0]], GREEDY)
    with engine.stream([PROMPTS[1]], GREEDY.with_changes(max_new_tokens=40)) as going:
        next(going)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a process with threads
            child = os.fork()
        if not child:
            os._exit(0 if engine([PROMPTS[0]], GREEDY) == wanted else 1)
        assert os.waitpid(child, 0)[1] == 0


# Whatever comes and goes

PLACES = 6


class Callers(RuleBasedStateMachine):
    """Streams that are opened, read, left and closed in any order, on one engine: each says what it says alone."""

    alone = expert_engine()

    def __init__(self) -> None:
        super().__init__()
        self.engine = batched(expert_engine(), BatchLimits(num_rows=PLACES, prompt_tokens=4, num_unread=3))
        self.streams: list[tuple[Tokens, list[int]]] = []

    @precondition(lambda self: len(self.streams) < PLACES - 1)
    @rule(
        prompt=st.sampled_from(PROMPTS),
        name=st.sampled_from(["greedy", "sampling", "choices", "penalties", "one token"]),
    )
    def open(self, prompt: list[int], name: str) -> None:
        config, seed = SETTINGS[name], len(prompt)
        wanted = list(self.alone([prompt], config, seed=seed)[0].token_ids)
        self.streams.append((self.engine.stream([prompt], config, seed=seed), wanted))

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), number=st.integers(1, 6))
    def read(self, data: st.DataObject, number: int) -> None:
        place = data.draw(st.integers(0, len(self.streams) - 1))
        stream, wanted = self.streams[place]
        for _ in range(number):
            step = next(stream, None)
            if step is None:
                assert not wanted
                self.streams.pop(place)
                return
            assert step.token_id == wanted.pop(0)

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.streams) - 1))
        stream, _ = self.streams.pop(place)
        stream.close()

    @precondition(lambda self: self.streams)
    @rule()
    def fail(self) -> None:
        broken = GREEDY.with_changes(choices=("a",), bad_words=("a",))
        with pytest.raises(EngineError, match="no token is left"):
            self.engine([PROMPTS[0]], broken)

    @invariant()
    def room_is_kept(self) -> None:
        stats = self.engine.batcher.stats()  # type: ignore[union-attr]
        assert stats.num_rows <= PLACES

    def teardown(self) -> None:
        for stream, wanted in self.streams:
            rest = [step.token_id for step in stream]
            assert rest == wanted
        require_nothing_left(self.engine)


Callers.TestCase.settings = examples(25, stateful_step_count=20)
TestCallers = Callers.TestCase
