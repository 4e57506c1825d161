"""The engine llama.cpp on files from elsewhere, with their tokenizers in them: what it says is what PyTorch says."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ClosedError, ConfigError, EngineError, UnknownNameError
from interconnected_ai.storage import read_gguf

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")

from tests.experts import gguf_files as tiny

from interconnected_ai.experts.engines.llamacpp import LlamaCppEngine, LlamaFile
from interconnected_ai.experts.export.gguf_lora import write_gguf_lora
from interconnected_ai.experts.gguf_model import GgufModel

PROMPTS = [tiny.PROMPT, tiny.OWN.encode("Привет, 日本語"), tiny.OWN.encode("two"), tiny.OWN.encode("日")]


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny.network()


@pytest.fixture(scope="module")
def file(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(model, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def adapters(model: Any, file: Path) -> dict[str, Path]:
    found = {}
    for number, name in enumerate(["first", "second"]):
        found[name] = file.with_name(f"{name}.gguf")
        write_gguf_lora(tiny.adapter(model, number + 1), read_gguf(file), found[name], name=name)
    return found


@pytest.fixture(scope="module")
def engine(file: Path) -> Iterator[LlamaCppEngine]:
    with opened(file) as engine:
        yield engine


def opened(file: Path, **settings: Any) -> LlamaCppEngine:
    return LlamaCppEngine(LlamaFile.of_model(GgufModel.read(file)), tiny.OWN, threads=1, **settings)


def asked(**settings: Any) -> GenerationConfig:
    return GenerationConfig.from_mapping({"max_new_tokens": 24, "temperature": 0.0, **settings}, source="test")


def test_greedy_answers_are_pytorchs(engine: LlamaCppEngine, model: Any) -> None:
    for prompt, answer in zip(PROMPTS, engine(PROMPTS, asked()), strict=True):
        assert tiny.is_greedy(model, prompt, list(answer.token_ids))
        assert answer.text == tiny.OWN.decode(answer.token_ids)


@pytest.mark.parametrize("settings", [{"temperature": 1.5}, {"temperature": 1.0, "top_k": 40, "top_p": 0.95}, {}])
def test_a_stream_has_every_token_also_those_that_end_within_a_character(
    engine: LlamaCppEngine, settings: dict[str, Any]
) -> None:
    for seed in range(8):
        whole = engine(PROMPTS, asked(**settings), seed=seed)
        stream = engine.stream(PROMPTS, asked(**settings), seed=seed)
        told: dict[int, list[int]] = {row: [] for row in range(len(PROMPTS))}
        for step in stream:
            told[step.row].append(step.token_id)
        assert stream.result() == whole
        assert [tuple(tokens) for tokens in told.values()] == [answer.token_ids for answer in whole]


def test_without_a_seed_each_call_draws_its_own(engine: LlamaCppEngine) -> None:
    answers = {engine(PROMPTS[:1], asked(temperature=2.0))[0].token_ids for _ in range(4)}
    assert len(answers) == 4


def test_a_stop_string_ends_an_answer_wherever_tokens_end(engine: LlamaCppEngine) -> None:
    (whole,) = engine(PROMPTS[:1], asked())
    assert whole.text is not None
    stop = next(letter for letter in whole.text[3:] if letter.isprintable() and letter != "\ufffd")
    (answer,) = engine(PROMPTS[:1], asked(stop=[stop]))
    assert (answer.ended, answer.text) == ("stop", whole.text[: whole.text.index(stop)])


def test_log_probabilities_are_the_models_own(engine: LlamaCppEngine, model: Any) -> None:
    (answer,) = engine(PROMPTS[:1], asked(logprobs=3, temperature=0.7, top_k=20), seed=1)
    shares = tiny.logprobs(model, [*PROMPTS[0], *answer.token_ids])[len(PROMPTS[0]) - 1 :]
    assert [step.token_id for step in answer.steps] == list(answer.token_ids)
    noted = [(place, step) for place, step in enumerate(answer.steps) if step.logprob is not None]
    assert len(noted) > 4
    for place, step in noted:
        assert step.logprob == pytest.approx(shares[place, step.token_id].item(), abs=0.05)
        assert [share for _, share in step.top] == pytest.approx(shares[place].topk(3).values.tolist(), abs=0.05)
    (plain,) = engine(PROMPTS[:1], asked(logprobs=0, temperature=0.7, top_k=20), seed=1)
    assert (plain.token_ids, {step.top for step in plain.steps}) == (answer.token_ids, {()})
    assert engine(PROMPTS[:1], asked())[0].steps == ()


def test_an_answer_ends_at_the_end_tokens_that_were_named(file: Path, engine: LlamaCppEngine) -> None:
    (whole,) = engine(PROMPTS[:1], asked())
    end = whole.token_ids[5]
    with opened(file, end_ids=[tiny.OWN.end_id, end]) as ended:
        (answer,) = ended(PROMPTS[:1], asked())
        assert answer.ended == "eos"
        assert answer.token_ids == whole.token_ids[: whole.token_ids.index(end)]
        stream = ended.stream(PROMPTS[:1], asked())
        assert [step.token_id for step in stream] == list(answer.token_ids)
        assert stream.result() == [answer]


def test_rows_of_one_call_have_adapters_of_their_own(file: Path, adapters: dict[str, Path], model: Any) -> None:
    changed = {None: model} | {n: tiny.merged(model, tiny.adapter(model, k + 1)) for k, n in enumerate(adapters)}
    with opened(file, adapters=adapters) as engine:
        names = [None, "first", "second", "first", None, "second", "second", "first"]
        prompts = [PROMPTS[row % 3] for row in range(len(names))]
        mixed = engine(prompts, asked(), adapters=names)
        stream = engine.stream(prompts, asked(), adapters=names)
        rows = {step.row for step in stream}
        assert (stream.result(), rows) == (mixed, set(range(len(names))))
        for name, prompt, answer in zip(names, prompts, mixed, strict=True):
            assert tiny.is_greedy(changed[name], prompt, list(answer.token_ids))
            assert engine([prompt], asked(), adapters=[name])[0].token_ids == answer.token_ids
        assert engine(prompts[:1], asked()) == mixed[:1]  # without adapters: the base
        assert set(engine.adapter_bytes) == {"first", "second"}


def test_adapters_come_and_go_while_others_answer(file: Path, adapters: dict[str, Path]) -> None:
    with opened(file, adapters={"first": adapters["first"]}) as engine:
        (wanted,) = engine(PROMPTS[:1], asked(max_new_tokens=100), adapters=["first"])
        stream = engine.stream(PROMPTS[:1], asked(max_new_tokens=100), adapters=["first"])
        begun = next(stream)
        before = engine.num_bytes
        engine.add_adapter("second", adapters["second"])
        assert engine.num_bytes == before + adapters["second"].stat().st_size
        engine.remove_adapter("first")
        assert (begun.token_id, *(step.token_id for step in stream)) == wanted.token_ids
        with pytest.raises(UnknownNameError, match="unknown adapter 'first'; known, nearest first: 'second'"):
            engine(PROMPTS[:1], asked(), adapters=["first"])
        with pytest.raises(UnknownNameError, match="unknown adapter 'first'"):
            engine.remove_adapter("first")
        with pytest.raises(ConfigError, match="for 1 prompts"):
            engine(PROMPTS[:1], asked(), adapters=["second", None])
        with pytest.raises(EngineError, match="cannot serve"):
            engine.add_adapter("broken", file)  # a model is no adapter
        assert engine(PROMPTS[:1], asked(), adapters=["second"])[0].token_ids != wanted.token_ids


def test_threads_with_adapters_of_their_own_get_what_each_would_alone(file: Path, adapters: dict[str, Path]) -> None:
    names = [None, "first", "second"]
    with opened(file, adapters=adapters) as engine:
        alone = {name: engine(PROMPTS[:2], asked(), adapters=[name] * 2) for name in names}
        found: list[tuple[str | None, Any]] = []

        def ask(name: str | None) -> None:
            for _ in range(3):
                found.append((name, engine(PROMPTS[:2], asked(), adapters=[name] * 2)))

        threads = [threading.Thread(target=ask, args=(name,)) for name in names * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 18
        assert all(answers == alone[name] for name, answers in found)


def test_a_conversations_next_turn_reads_only_what_is_new(
    file: Path, adapters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from interconnected_ai.experts.engines.llama_server import LlamaServer

    read: list[int] = []
    complete = LlamaServer.complete

    def counted(self: LlamaServer, request: dict[str, Any]) -> list[dict[str, Any]]:
        answers = complete(self, request)
        read.extend(int(answer["timings"]["prompt_n"]) for answer in answers)
        return answers

    with opened(file, adapters=adapters, keeps_prompts=True) as keeping, opened(file, adapters=adapters) as plain:
        first = PROMPTS[0] * 2
        (answer,) = keeping([first], asked())
        second = [*first, *answer.token_ids, *tiny.OWN.encode("and the mat")]
        monkeypatch.setattr(LlamaServer, "complete", counted)
        (again,) = keeping([second], asked())
        assert read.pop() <= len(second) - len(first) - len(answer.token_ids) + 1
        assert (answer.num_known_tokens, again.num_known_tokens) == (0, len(first) + len(answer.token_ids) - 1)
        with keeping.stream([second], asked()) as stream:
            assert stream.result().pop().num_known_tokens == len(second) - 1
        assert keeping([second], asked(bad_words=["\u2603"]))[0].num_known_tokens == len(second) - 1
        assert plain([second], asked())[0].num_known_tokens == 0
        assert read.pop() == len(second)
        assert again.token_ids == plain([second], asked())[0].token_ids
        assert read.pop() == len(second)
        assert keeping([second], asked(), adapters=["first"]) == plain([second], asked(), adapters=["first"])


def test_its_own_token_ids_are_the_tokenizers(engine: LlamaCppEngine) -> None:
    fast = GgufModel.read(engine._file.path).vocabulary.tokenizer()
    for text in [*tiny.TEXT[:3], "a<|end|>b", "é e\u0301 ½ \u2028 x", " \n \t ", ""]:
        ids = fast.encode(text, add_special_tokens=False).ids
        assert engine.tokenize(text) == ids
    assert engine.tokenize("a<|end|>", special=True)[-1] == tiny.OWN.end_id


def test_settings_that_the_server_lacks_are_refused_by_name(engine: LlamaCppEngine) -> None:
    with pytest.raises(EngineError, match="llamacpp has no num_beams=2"):
        engine(PROMPTS, asked(num_beams=2))
    with pytest.raises(EngineError, match=r"llamacpp has no presence_penalty=0\.5; the engines torch and onnx have it"):
        engine(PROMPTS, asked(presence_penalty=0.5))


def test_a_closed_engine_says_so(file: Path) -> None:
    engine = opened(file)
    assert engine.num_bytes > file.stat().st_size
    engine.close()
    assert engine.num_bytes == 0
    with pytest.raises(ClosedError):
        engine(PROMPTS, asked(), adapters=[None] * 4)
    with pytest.raises(ClosedError):
        engine.tokenize("a")
    with pytest.raises(ClosedError):
        engine.add_adapter("first", file)
