"""What every engine promises, whatever computes: streams, cancelling, stop strings, seeds, threads, bytes, an end."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from engine_parameters import parameter
from expert_models import TEXTS, made, tokenizer

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ClosedError, ConfigError, EngineError, PromptError
from interconnected_ai.experts import Engine, Expert, save_expert
from interconnected_ai.experts.engines import ENGINES, open_engine
from interconnected_ai.types import Generation, TokenStep

PROMPTS = [[1, 2, 3], [4, 5, 6, 7, 8], [9], [3, 4, 5]]
WINDOW = 120
EVERY = pytest.mark.parametrize("engine", [parameter(name) for name in ENGINES], indirect=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-norm expert, which every engine can run, with its tokenizer."""
    place = tmp_path_factory.mktemp("contract") / "expert"
    save_expert(made(norm="pre", vocab_size=330, d_model=64, d_ff=128, max_seq_len=WINDOW), place, tokenizer())
    return place


@pytest.fixture(scope="module")
def engines(folder: Path) -> Iterator[Callable[[str], Engine]]:
    """Every engine on it, opened once."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(open_engine(name, folder, threads=1)))


@pytest.fixture
def engine(request: pytest.FixtureRequest, engines: Callable[[str], Engine]) -> Engine:
    return engines(request.param)


@pytest.fixture
def own_engine(request: pytest.FixtureRequest, folder: Path) -> Iterator[Engine]:
    """One that a test may close."""
    with open_engine(request.param, folder, threads=1) as opened:
        yield opened


OWN = pytest.mark.parametrize("own_engine", [parameter(name) for name in ENGINES], indirect=True)


def asked(**settings: Any) -> GenerationConfig:
    return GenerationConfig.from_mapping({"max_new_tokens": 15, "temperature": 0.0, **settings}, source="test")


SAMPLING = asked(temperature=1.5, top_k=60)


def spoken(engine: Engine) -> str:
    """The longest part, in whole characters, of what follows the first prompt."""
    return max((engine([PROMPTS[0]], asked())[0].text or "").split("\ufffd"), key=len)


# Streams


@EVERY
@pytest.mark.parametrize("config", [asked(), SAMPLING], ids=["greedy", "sampling"])
def test_a_stream_has_the_tokens_of_the_call_and_its_answers(engine: Engine, config: GenerationConfig) -> None:
    stream = engine.stream(PROMPTS, config, seed=3)
    steps = list(stream)
    wanted = engine(PROMPTS, config, seed=3)
    assert stream.result() == wanted
    for row, answer in enumerate(wanted):
        assert tuple(step.token_id for step in steps if step.row == row) == answer.token_ids


@EVERY
def test_tokens_come_before_the_answer_is_whole(engine: Engine) -> None:
    """A stream that is closed after its first token made no answer: had it waited for the whole, it would have one."""
    stream = engine.stream([[1, 2, 3]], asked(max_new_tokens=WINDOW - 3))
    assert next(stream).token_id == engine([[1, 2, 3]], asked(max_new_tokens=1))[0].token_ids[0]
    stream.close()
    with pytest.raises(EngineError, match="no whole answer"):
        stream.result()


@EVERY
def test_nothing_is_computed_before_the_first_token_is_asked_for_but_wrong_requests_are_told(engine: Engine) -> None:
    for prompts, said in (
        ([[1, 330]], "token id 330 is outside"),
        ([[]], "prompt 0 is empty"),
        ([], "no prompt given"),
        ([[1] * WINDOW], "are more than the window"),
        ([["a"]], "needed is a list of token ids"),
        ([[1.5]], "needed is a list of token ids"),
        (7, "prompts are a list"),
    ):
        for ask in (engine, engine.stream):
            with pytest.raises(PromptError, match=said):
                ask(prompts, asked())  # type: ignore[arg-type]
    for ask in (engine, engine.stream):
        with pytest.raises(ConfigError, match="seed='a'"):
            ask(PROMPTS, asked(), seed="a")  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="GenerationConfig, got dict"):
            ask(PROMPTS, {"max_new_tokens": 3})  # type: ignore[arg-type]
    engine.stream(PROMPTS, asked())  # never read: nothing to give back
    assert len(engine(PROMPTS, asked())) == len(PROMPTS)


@EVERY
def test_a_context_that_would_overflow_is_refused_and_one_that_just_fits_is_not(engine: Engine) -> None:
    prompt = [1 + n % 9 for n in range(WINDOW - 5)]
    (answer,) = engine([prompt], asked(max_new_tokens=5))
    assert len(answer.token_ids) == 5
    with pytest.raises(PromptError, match=r"max_new_tokens of 5 at most"):
        engine([prompt], asked(max_new_tokens=6))


@EVERY
def test_an_async_program_reads_in_worker_threads(engine: Engine) -> None:
    async def read() -> list[TokenStep]:
        stream = engine.stream([[1, 2, 3]], asked())
        found = []
        while (step := await asyncio.to_thread(next, stream, None)) is not None:
            found.append(step)
        return found

    assert tuple(step.token_id for step in asyncio.run(read())) == engine([[1, 2, 3]], asked())[0].token_ids


# Cancelling


@EVERY
@pytest.mark.parametrize("settings", [{}, {"temperature": 1.5, "top_k": 60}], ids=["greedy", "sampling"])
@pytest.mark.parametrize("number", [1, 7])
def test_a_stream_can_be_closed_at_any_token_and_the_engine_goes_on(
    engine: Engine, number: int, settings: dict[str, Any]
) -> None:
    config = asked(max_new_tokens=60, **settings)
    wanted = engine(PROMPTS, config, seed=2)
    for _ in range(5):
        with engine.stream(PROMPTS, config, seed=2) as stream:
            found = [next(stream) for _ in range(number)]
        assert list(stream) == []
        for row, answer in enumerate(wanted):
            tokens = tuple(step.token_id for step in found if step.row == row)
            assert tokens == answer.token_ids[: len(tokens)]
    assert not engine._answering
    assert engine(PROMPTS, config, seed=2) == wanted


@EVERY
def test_another_thread_can_close_a_stream_while_it_is_read(engine: Engine) -> None:
    stream = engine.stream(PROMPTS, asked(max_new_tokens=100))
    has_begun, found = threading.Event(), []

    def read() -> None:
        for step in stream:
            found.append(step)
            has_begun.set()

    reader = threading.Thread(target=read)
    reader.start()
    has_begun.wait(60)
    stream.close()
    reader.join(60)
    assert not reader.is_alive()
    assert found
    assert not engine._answering


@EVERY
def test_a_stream_that_nobody_holds_any_more_gives_everything_back(engine: Engine) -> None:
    stream = engine.stream(PROMPTS, asked(max_new_tokens=100))
    next(stream)
    assert engine._answering
    gc.disable()
    try:
        del stream
        assert not engine._answering
    finally:
        gc.enable()


@EVERY
def test_a_beam_search_can_be_closed_too(engine: Engine) -> None:
    if engine.name == "llamacpp":
        pytest.skip("llama.cpp has no beam search")
    config = asked(num_beams=3)
    stream = engine.stream(PROMPTS, config)
    assert list(stream) == []
    assert stream.result() == engine(PROMPTS, config)
    closed = engine.stream(PROMPTS, config)
    closed.close()
    with pytest.raises(EngineError, match="no whole answer"):
        closed.result()


# Stop strings


@EVERY
def test_an_answer_ends_before_a_stop_string(engine: Engine, engines: Callable[[str], Engine]) -> None:
    config = asked(stop=(spoken(engine)[:2],))
    answers = engine(PROMPTS, config)
    assert answers == engines("torch")(PROMPTS, config)
    assert answers[0].ended == "stop"
    stream = engine.stream(PROMPTS, config)
    steps = list(stream)
    assert stream.result() == answers
    for row, answer in enumerate(answers):
        tokens = tuple(step.token_id for step in steps if step.row == row)
        assert tokens[: len(answer.token_ids)] == answer.token_ids


@EVERY
@pytest.mark.parametrize("seed", range(3))
def test_pieces_of_text_joined_are_the_text(engine: Engine, seed: int) -> None:
    expert = Expert(None, tokenizer(), engine=engine)
    settings: dict[str, Any] = {"max_new_tokens": 60, "temperature": 1.2, "top_k": 40, "seed": seed}
    pieces = expert.stream(TEXTS[0][:20], **settings)
    shown = list(pieces)
    whole = expert.generate(TEXTS[0][:20], **settings)
    assert "".join(shown) == whole.text
    assert pieces.result() == whole
    assert len(shown) > 5


# Seeds


@EVERY
def test_a_seed_gives_the_same_answers_again_and_another_seed_others(engine: Engine) -> None:
    first = engine(PROMPTS, SAMPLING, seed=7)
    assert engine(PROMPTS, SAMPLING) != engine(PROMPTS, SAMPLING)
    assert engine(PROMPTS, SAMPLING, seed=7) == first
    assert engine(PROMPTS, SAMPLING, seed=8) != first
    assert engine(PROMPTS, SAMPLING, seed=-1) == engine(PROMPTS, SAMPLING, seed=-1)
    assert len(engine(PROMPTS, SAMPLING, seed=2**200)) == len(PROMPTS)


# Threads


@EVERY
def test_sixteen_threads_have_the_answers_that_each_would_have_alone(engine: Engine) -> None:
    stop = spoken(engine)[:1]
    requests: list[tuple[list[list[int]], GenerationConfig, int]] = [
        ([[1 + n, 2, 3 + n][: 1 + n % 3]], (asked(), SAMPLING, asked(stop=(stop,)))[n % 3], n) for n in range(16)
    ]
    alone = [engine(prompts, config, seed=seed) for prompts, config, seed in requests]
    together = threading.Barrier(16)

    def ask(number: int) -> list[list[Generation]]:
        prompts, config, seed = requests[number]
        together.wait()
        found = []
        for turn in range(3):
            if turn == 1:
                with engine.stream(prompts, config.with_changes(max_new_tokens=60), seed=seed) as stream:
                    next(stream)  # and closed
            way = engine.stream(prompts, config, seed=seed).result() if turn % 2 else engine(prompts, config, seed=seed)
            found.append(way)
        return found

    with ThreadPoolExecutor(16) as pool:
        for wanted, found in zip(alone, pool.map(ask, range(16)), strict=True):
            assert found == [wanted] * 3
    assert not engine._answering


# An end


@OWN
def test_a_closed_engine_says_so_and_an_answer_under_way_comes_to_its_end(own_engine: Engine) -> None:
    wanted = own_engine(PROMPTS, asked())
    stream = own_engine.stream(PROMPTS, asked())
    steps = [next(stream)]
    own_engine.close()
    own_engine.close()
    for ask in (own_engine, own_engine.stream):
        with pytest.raises(ClosedError, match=f"the engine {own_engine.name} is closed; open it again"):
            ask(PROMPTS, asked())
    steps += stream
    assert stream.result() == wanted
    assert own_engine.num_bytes == 0


@EVERY
def test_caches_of_an_answer_are_gone_without_the_garbage_collector(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(engine, "decoder"):
        pytest.skip("its caches are the library's")
    decoders: list[weakref.ref[Any]] = []
    make = engine.decoder

    def watched() -> Any:
        decoder = make()
        decoders.append(weakref.ref(decoder))
        return decoder

    monkeypatch.setattr(engine, "decoder", watched)
    gc.disable()
    try:
        engine(PROMPTS, asked())
        engine(PROMPTS, asked(num_beams=2))
        engine(PROMPTS, SAMPLING)
        with engine.stream(PROMPTS, asked()) as stream:
            next(stream)
        assert [decoder() for decoder in decoders] == [None] * 4
    finally:
        gc.enable()
