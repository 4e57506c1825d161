"""Expert: text to text, streams that never cut a character or show a stop string, scores, engines by name."""

import math
import weakref
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_parameters import parameter
from expert_models import TEXTS, made, tokenizer
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai import Expert, ExpertModel, GenerationConfig
from interconnected_ai.errors import (
    ClosedError,
    ConfigError,
    DataError,
    EngineError,
    PromptError,
    UnknownNameError,
)
from interconnected_ai.experts import HeldOut, Perplexity, TorchEngine, measure, save_expert
from interconnected_ai.experts.engines import ENGINES
from interconnected_ai.experts.streaming import TextFeed
from interconnected_ai.experts.text_rules import TextRules
from interconnected_ai.text import Tokenizer, byte_level, token_bytes
from interconnected_ai.types import Generation, Stream, TokenStep
from properties import examples

few = examples(80)


def expert() -> Expert:
    return Expert(made(vocab_size=tokenizer().vocab_size, max_seq_len=256), tokenizer())


# Tokens and their bytes


@few
@given(st.lists(st.integers(0, 329), max_size=30))
def test_the_bytes_of_tokens_are_what_decoding_gives(token_ids: list[int]) -> None:
    pieces = token_bytes(tokenizer())
    assert len(pieces) == tokenizer().vocab_size
    joined = b"".join(pieces[token] for token in token_ids)
    assert joined.decode("utf-8", errors="replace") == tokenizer().decode(token_ids)


def test_special_tokens_stand_for_no_bytes_and_roles_added_later_are_known() -> None:
    words = Tokenizer.train(TEXTS, 300, roles=["code"])
    before = token_bytes(words)
    assert before[words.end_id] == before[words.role_id("code")] == b""
    words.add_roles(["chat"])
    assert token_bytes(words)[words.role_id("chat")] == b""


def test_tables_of_many_tokenizers_are_made_once_each_and_go_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    num_made = 0

    def counted(token: str) -> bytes:
        nonlocal num_made
        num_made += 1
        return make(token)

    make = byte_level._spelled
    monkeypatch.setattr(byte_level, "_spelled", counted)
    many = [Tokenizer.train(TEXTS, 290) for _ in range(20)]
    for _ in range(3):
        for words in many:
            token_bytes(words)
    num_ordinary = many[0].vocab_size - 1
    assert num_made == 20 * num_ordinary
    first = weakref.ref(many[0])
    del many, words
    assert first() is None


def test_an_ordinary_token_that_was_added_stands_for_its_own_text() -> None:
    words = Tokenizer.train(TEXTS, 300)
    words._fast.add_tokens(["слово"])  # not written in byte letters, as the vocabulary is
    (token_id,) = words.encode("слово")
    assert token_bytes(words)[token_id].decode() == words.decode([token_id]) == "слово"


# Streams


@few
@given(
    st.lists(st.integers(0, 329), max_size=25),
    st.lists(st.text(alphabet="the xpt, ркт\ufffd", min_size=1, max_size=4), max_size=2),
)
def test_pieces_joined_are_the_text_and_no_stop_string_ever_shows(token_ids: list[int], stop: list[str]) -> None:
    feed, whole = TextFeed(tokenizer(), stop), tokenizer().decode(token_ids)
    shown = ""
    for token in token_ids:
        shown += feed.add(token)
        assert not any(one in shown for one in stop if "\ufffd" not in one)
    shown += feed.finish()
    if not any(one in whole for one in stop):
        assert shown == whole


@few
@given(
    st.lists(st.integers(0, 339), max_size=40),
    st.lists(st.integers(0, 329), max_size=6),
    st.lists(st.text(alphabet="the xpt, ркт", min_size=1, max_size=4), max_size=3),
    st.lists(st.text(alphabet="the xpt, ркт", min_size=1, max_size=5), max_size=3),
)
def test_rules_look_at_the_last_bytes_alone_and_find_what_a_look_at_all_of_them_finds(
    token_ids: list[int], prompt: list[int], stop: list[str], bad: list[str]
) -> None:
    rules = TextRules.of(GenerationConfig(stop=tuple(stop), bad_words=tuple(bad)), tokenizer())
    if rules is None:
        return
    pieces = token_bytes(tokenizer())
    written, answer = rules.begin(prompt), b""
    before = b"".join(pieces[token] for token in prompt)
    for token in token_ids:
        banned = [other for other, piece in enumerate(pieces) if _completes(before + answer, piece, bad)]
        assert sorted(set(written.banned())) == banned
        written = written.plus(token)
        answer += pieces[token] if token < len(pieces) else b""
        places = [place for one in stop if (place := answer.find(one.encode())) >= 0]
        assert written.stop_at == min(places, default=None)
        assert len(written.tail) <= rules.reach < 20
        assert written.text() == answer[: written.stop_at].decode("utf-8", errors="replace")
        if places:
            break


def _completes(text: bytes, piece: bytes, words: list[str]) -> bool:
    """Whether a bad word ends, or stands, in this piece after this text."""
    whole = text + piece
    return any(whole.find(word.encode(), max(0, len(text) - len(word.encode()) + 1)) >= 0 for word in words if piece)


def test_a_feed_keeps_what_waits_and_nothing_else() -> None:
    feed = TextFeed(tokenizer(), ("zzzz",))
    for number in range(20_000):
        feed.add(5 + number % 300)
        assert len(feed._waiting) < 4


def test_after_a_stop_string_nothing_shows() -> None:
    feed = TextFeed(tokenizer(), ("pt",))
    shown = [feed.add(token) for token in tokenizer().encode("expert x pt answer answer")]
    assert "".join(shown) == "expert x "
    assert feed.finish() == ""


def test_half_a_character_waits_for_its_other_half() -> None:
    euro = next(tokenizer().encode(letter) for letter in "€")
    assert len(euro) == 3  # a token a byte: the tokenizer has not met it
    feed = TextFeed(tokenizer())
    assert [feed.add(token) for token in euro] == ["", "", "€"]
    cut = TextFeed(tokenizer())
    assert [cut.add(token) for token in euro[:2]] == ["", ""]
    assert cut.finish() == "\ufffd"


@pytest.mark.parametrize("seed", range(5))
def test_a_stream_is_what_generate_gives_with_the_same_seed(seed: int) -> None:
    asked = {"max_new_tokens": 40, "top_k": 30, "seed": seed}
    whole = expert().generate(TEXTS[1], **asked)
    pieces = list(expert().stream(TEXTS[1], **asked))
    assert "".join(pieces) == whole.text == str(whole)
    assert len(pieces) > 3
    assert all(pieces)
    stop = max((whole.text or "").split("\ufffd"), key=len)[:2]
    cut = expert().generate(TEXTS[1], stop=(stop,), **asked)
    assert cut.ended == "stop"
    assert "".join(expert().stream(TEXTS[1], stop=(stop,), **asked)) == cut.text


def test_what_an_engine_raises_is_raised_where_the_stream_is_read() -> None:
    with pytest.raises(PromptError, match="more than the window"):
        list(expert().stream(TEXTS[0], max_new_tokens=1000))
    with pytest.raises(ConfigError, match="no answer before its end"):
        expert().stream(TEXTS[0], num_beams=2)


class Counting:
    """An engine in ten lines: it counts, and notes what it was asked for."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.has_given_back = False

    def __call__(
        self, prompts: Sequence[Sequence[int]], config: GenerationConfig, *, seed: int | None = None
    ) -> list[Generation]:
        return [Generation((1,), "length", f"{len(prompt)} tokens!") for prompt in prompts]

    def stream(
        self, prompts: Sequence[Sequence[int]], config: GenerationConfig, *, seed: int | None = None
    ) -> Stream[TokenStep, list[Generation]]:
        return Stream(self._steps())

    def _steps(self) -> Generator[TokenStep, None, list[Generation]]:
        try:
            for number in range(1, 10**9):
                self.told.append(number)
                yield TokenStep(0, 40 + number % 40)
        finally:
            self.has_given_back = True
        return []


def test_whoever_stops_reading_stops_the_engine() -> None:
    engine = Counting()
    pieces = Expert(None, tokenizer(), engine=engine).stream("x")
    assert not engine.told
    assert next(pieces)
    pieces.close()
    assert engine.has_given_back
    assert len(engine.told) <= 2
    assert list(pieces) == []
    with pytest.raises(EngineError, match="no whole answer"):
        pieces.result()


# Text to text


def test_one_prompt_gives_one_answer_and_several_give_several() -> None:
    one, (two, three) = (
        expert().generate("The router", max_new_tokens=5, seed=3),
        expert().generate(["The router", "Эксперт"], max_new_tokens=5, seed=3),
    )
    assert one.token_ids == two.token_ids
    assert one.text == tokenizer().decode(one.token_ids)
    assert three.text != one.text


def test_an_empty_prompt_begins_a_new_text() -> None:
    found = expert().generate("", max_new_tokens=4, temperature=0.0)
    (wanted,) = generate_ids(expert().model, [tokenizer().end_id], 4)
    assert list(found.token_ids) == wanted


def generate_ids(model: ExpertModel, prompt: list[int], max_new_tokens: int) -> list[list[int]]:
    config = GenerationConfig(max_new_tokens=max_new_tokens, temperature=0.0)
    return [list(a.token_ids) for a in TorchEngine(model, tokenizer())([prompt], config)]


def test_settings_come_as_words_as_a_config_or_as_both() -> None:
    config = GenerationConfig(max_new_tokens=7, temperature=0.0)
    assert len(expert().generate("x", config).token_ids) == 7
    assert len(expert().generate("x", config, max_new_tokens=3).token_ids) == 3
    with pytest.raises(ConfigError, match="max_new_tokens"):
        expert().generate("x", max_new_token=3)
    with pytest.raises(PromptError, match="a prompt is text, got int"):
        expert().generate([3])  # type: ignore[list-item]


def test_an_expert_comes_back_from_its_folder(tmp_path: Path) -> None:
    expert().save_pretrained(tmp_path / "docs")
    again = Expert.from_pretrained(tmp_path / "docs")
    asked = {"max_new_tokens": 12, "seed": 1}
    assert again.generate("The", **asked) == expert().generate("The", **asked)
    assert again.card.tokenizer_sha256 == tokenizer().sha256
    assert again.config == expert().config
    named = Expert.from_pretrained(tmp_path / "docs", engine="torch", device="cpu")
    assert named.generate("The", **asked) == again.generate("The", **asked)
    with pytest.raises(UnknownNameError, match="unknown engine 'troch'; known, nearest first: 'torch'"):
        Expert.from_pretrained(tmp_path / "docs", engine="troch")


@pytest.mark.parametrize("engine", [parameter(name) for name in ENGINES if name not in ("torch", "llamacpp")])
def test_on_another_engine_the_model_is_loaded_when_it_is_asked_for(engine: str, tmp_path: Path) -> None:
    expert().save_pretrained(tmp_path / "docs")
    with Expert.from_pretrained(tmp_path / "docs", engine=engine) as opened:
        assert opened.config == expert().config
        wanted = opened.generate("The", max_new_tokens=12, temperature=0.0)
        assert opened._model is None
        taken = opened.num_bytes
        save_expert(made(seed=9, vocab_size=tokenizer().vocab_size, max_seq_len=256), tmp_path / "docs", tokenizer())
        model = opened.model  # the weights that the expert was opened with
        assert model is opened.model
        assert opened.num_bytes > taken > 0
        assert [list(wanted.token_ids)] == generate_ids(model, tokenizer().encode("The"), 12)
        assert opened.score(TEXTS[0]) == expert().score(TEXTS[0])
    for ask in (
        lambda: opened.model,
        lambda: opened.generate("x"),
        lambda: opened.stream("x"),
        lambda: opened.score("x"),
    ):
        with pytest.raises(ClosedError, match="closed; open it again"):
            ask()


def test_an_expert_without_its_model_says_so() -> None:
    spoken = Expert(None, tokenizer(), engine=Counting())
    for ask in (lambda: spoken.model, lambda: spoken.config, lambda: spoken.score("x")):
        with pytest.raises(EngineError, match=r"made without its model; open it with Expert\.from_pretrained"):
            ask()
    with pytest.raises(EngineError, match="needs an engine"):
        Expert(None, tokenizer())


def test_sixteen_threads_ask_one_expert_and_have_what_each_would_have_alone() -> None:
    shared = expert()
    wanted = [(shared.generate(text, seed=n, max_new_tokens=12), shared.score(text)) for n, text in enumerate(TEXTS)]

    def ask(number: int) -> tuple[Generation, Generation, Perplexity]:
        n = number % len(TEXTS)
        settings: dict[str, Any] = {"seed": n, "max_new_tokens": 12}
        return (
            shared.generate(TEXTS[n], **settings), shared.stream(TEXTS[n], **settings).result(), shared.score(TEXTS[n])
        )  # fmt: skip

    with ThreadPoolExecutor(16) as pool:
        for number, found in enumerate(pool.map(ask, range(32))):
            answer, score = wanted[number % len(TEXTS)]
            assert found == (answer, answer, score)


# Scores


def test_a_score_is_the_cross_entropy_of_every_token() -> None:
    model, text = expert().model, TEXTS[1]
    row = torch.tensor([[tokenizer().end_id, *tokenizer().encode(text)]])
    with torch.no_grad():
        shares = model(row[:, :-1]).log_softmax(dim=-1)[0]
    nats = -shares[torch.arange(row.shape[1] - 1), row[0, 1:]].double().sum().item()
    found = expert().score(text)
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert (found.num_tokens, found.num_bytes) == (row.shape[1] - 1, len(text.encode()))
    assert found.perplexity == pytest.approx(math.exp(nats / found.num_tokens))
    assert found.bits_per_byte == pytest.approx(nats / math.log(2) / found.num_bytes)


@pytest.mark.parametrize(("window", "stride"), [(8, None), (8, 1), (8, 8), (5, 3), (1, None), (200, None)])
def test_a_text_beyond_the_window_is_scored_token_for_token_in_windows(window: int, stride: int | None) -> None:
    model = made(vocab_size=tokenizer().vocab_size, max_seq_len=window)
    row = [tokenizer().end_id, *tokenizer().encode(TEXTS[2])]
    step, nats, first = stride or max(1, window // 2), 0.0, 0
    with torch.no_grad():
        for place in range(1, len(row)):
            while place > first + window:
                first += step
            shares = model(torch.tensor([row[first:place]])).log_softmax(dim=-1)
            nats -= shares[0, -1, row[place]].item()
    found = measure(model, HeldOut.of([TEXTS[2]], tokenizer()), stride=stride)
    assert found.nats == pytest.approx(nats, rel=1e-4)
    assert found.num_tokens == len(row) - 1


def test_texts_are_scored_together_and_nothing_to_score_is_an_error() -> None:
    parts = [expert().score(text) for text in TEXTS]
    whole = expert().score([*TEXTS, ""])
    assert whole.nats == pytest.approx(sum(part.nats for part in parts))
    assert whole.num_bytes == sum(part.num_bytes for part in parts)
    with pytest.raises(DataError, match="no text to measure on"):
        expert().score(["", ""])


def test_anything_of_the_right_form_is_an_engine() -> None:
    spoken = Expert(expert().model, tokenizer(), engine=Counting())
    assert str(spoken.generate("The router")) == f"{len(tokenizer().encode('The router'))} tokens!"


def test_a_model_in_training_is_scored_without_dropout_and_stays_in_training() -> None:
    learning = Expert(made(vocab_size=tokenizer().vocab_size, max_seq_len=256, dropout=0.5).train(), tokenizer())
    modes = []
    learning.model.blocks[0].register_forward_pre_hook(lambda *_: modes.append(learning.model.training))
    assert learning.score(TEXTS) == expert().score(TEXTS)
    assert modes
    assert all(modes)
