"""The loop: transformers' `generate` is the reference; batches, endings, seeds, stop strings, the window."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from expert_models import TEXTS, VOCABULARY, ids, made, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

from interconnected_ai import ExpertModel, GenerationConfig
from interconnected_ai.errors import ConfigError, EngineError, PromptError, UnknownNameError
from interconnected_ai.experts import TorchEngine, generate
from interconnected_ai.experts.torch_decoder import DecoderParts, TorchDecoder
from interconnected_ai.experts.torch_products import LAYOUTS, can_pack
from properties import examples

few = examples(15)
GREEDY = GenerationConfig(temperature=0.0, max_new_tokens=12)
PROMPTS = [ids(1, n, seed=n)[0].tolist() for n in (3, 7, 1, 5)]


class Recomputing:
    """A decoder in ten lines: any function from ids to logits, run on everything again at every token."""

    def __init__(self, logits_of: Any, vocab_size: int, max_seq_len: int) -> None:
        self.logits_of, self.vocab_size, self.max_seq_len = logits_of, vocab_size, max_seq_len
        self.rows: list[list[int]] = []
        self.num_reads = 0

    def start(self, prompts: Sequence[Sequence[int]], capacity: int) -> Tensor:
        self.rows, self.num_reads = [list(p) for p in prompts], self.num_reads + 1
        return self._logits()

    def step(self, token_ids: Tensor) -> Tensor:
        for row, token in zip(self.rows, token_ids.tolist(), strict=True):
            row.append(token)
        return self._logits()

    def select(self, rows: Sequence[int]) -> None:
        self.rows = [list(self.rows[row]) for row in rows]

    @torch.inference_mode()
    def _logits(self) -> Tensor:
        assert all(len(row) <= self.max_seq_len for row in self.rows)
        return torch.stack([self.logits_of(torch.tensor([row]))[0, -1].float() for row in self.rows])


def recomputing(model: ExpertModel) -> Recomputing:
    return Recomputing(model, model.config.vocab_size, model.config.max_seq_len)


def fast(model: ExpertModel, layout: str = "plain") -> TorchDecoder:
    return TorchDecoder(DecoderParts.of(model, LAYOUTS[layout]()))


def gpt2(seed: int = 0) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    shape = {"vocab_size": VOCABULARY, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
    return GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=None, eos_token_id=None, initializer_range=0.3)).eval()


def transformers_answer(model: GPT2LMHeadModel, prompt: list[int], **settings: Any) -> list[int]:
    settings = {"do_sample": False, "pad_token_id": 0, "max_new_tokens": 12, **settings}
    found = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), **settings)
    answer: list[int] = found[0, len(prompt) :].tolist()
    return answer


def answers(decoder: Any, prompts: Sequence[Sequence[int]], config: GenerationConfig, **more: Any) -> list[list[int]]:
    return [list(answer.token_ids) for answer in generate(decoder, prompts, config, **more)]


# Parity


@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_greedy_answers_are_transformers(penalty: float) -> None:
    model = gpt2()
    decoder = Recomputing(lambda rows: model(rows).logits, VOCABULARY, 64)
    config = GREEDY.with_changes(repetition_penalty=penalty)
    wanted = [transformers_answer(model, prompt, repetition_penalty=penalty) for prompt in PROMPTS]
    assert answers(decoder, PROMPTS, config) == wanted
    assert len({tuple(answer) for answer in wanted}) > 1


@pytest.mark.parametrize("end_id", [None, 5])
@pytest.mark.parametrize(("num_beams", "length_penalty"), [(2, 1.0), (4, 1.0), (3, 0.0), (3, 2.0), (3, -0.5)])
def test_beams_are_transformers(num_beams: int, length_penalty: float, end_id: int | None) -> None:
    config = GREEDY.with_changes(num_beams=num_beams, length_penalty=length_penalty)
    for seed in range(2):
        model = gpt2(seed)
        model.transformer.wte.weight.data[5] *= 2.0  # so that answers do end
        decoder = Recomputing(lambda rows, m=model: m(rows).logits, VOCABULARY, 64)
        asked = {"num_beams": num_beams, "length_penalty": length_penalty, "eos_token_id": end_id}
        wanted = [transformers_answer(model, prompt, **asked) for prompt in PROMPTS]
        wanted = [row[: row.index(end_id)] if end_id in row else row for row in wanted]
        assert answers(decoder, PROMPTS, config, end_ids=end_id) == wanted


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS, [PROMPTS[1]] * 3], ids=["one", "several", "alike"])
def test_the_engine_gives_forwards_logits_token_by_token(norm: str, layout: str, prompts: list[list[int]]) -> None:
    if layout == "packed" and not can_pack(torch.zeros(1)):
        pytest.skip("oneDNN's operators are not there")
    model = made(norm=norm)
    ours, slow = fast(model, layout), recomputing(model)
    logits, wanted = ours.start(prompts, 30), slow.start(prompts, 30)
    for number in range(15):
        torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=1e-5)
        if number in (4, 9):
            rows = [len(logits) - 1, 0, len(logits) - 1][: max(1, 3 - number // 4)]
            ours.select(rows)
            slow.select(rows)
            wanted = wanted[rows]
        token_ids = wanted.argmax(dim=-1)
        logits, wanted = ours.step(token_ids), slow.step(token_ids)


@pytest.mark.parametrize(
    "changes", [{"num_beams": 3}, {"num_beams": 3, "repetition_penalty": 1.5}, {"temperature": 0.0}]
)
def test_the_engine_answers_as_the_slow_way_does(changes: dict[str, Any]) -> None:
    model = made()
    config = GenerationConfig(max_new_tokens=12, **changes)
    assert answers(fast(model), PROMPTS, config) == answers(recomputing(model), PROMPTS, config)


@few
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 99))
def test_what_a_prompt_is_answered_does_not_depend_on_its_neighbours(lengths: list[int], seed: int) -> None:
    prompts = [ids(1, n, seed=seed + n * 31 + i)[0].tolist() for i, n in enumerate(lengths)]
    config = GenerationConfig(max_new_tokens=8, top_p=0.9)
    together = answers(recomputing(made()), prompts, config, seed=seed, end_ids=3)
    for prompt, answer in zip(prompts, together, strict=True):
        if prompts.count(prompt) == 1:
            assert answers(recomputing(made()), [prompt], config, seed=seed, end_ids=3) == [answer]


@pytest.mark.parametrize("layout", ["auto", "plain"])
def test_an_engine_follows_a_model_that_learns(layout: Any) -> None:
    model = made()
    engine = TorchEngine(model, layout=layout)
    first = engine(PROMPTS, GREEDY)
    assert engine(PROMPTS, GREEDY) == first
    with torch.no_grad():
        model.head.weight.mul_(-1.0)
    changed = engine(PROMPTS, GREEDY)
    assert changed != first
    assert changed == TorchEngine(model, layout="plain")(PROMPTS, GREEDY)


def test_half_precision_generates_too() -> None:
    found = TorchEngine(made().to(torch.bfloat16))(PROMPTS, GREEDY)
    assert [len(answer.token_ids) for answer in found] == [12] * 4
    with pytest.raises(EngineError, match="needs float32 weights"):
        TorchEngine(made().half(), layout="packed")
    with pytest.raises(UnknownNameError, match="nearest first: 'packed'"):
        TorchEngine(made(), layout="pack")  # type: ignore[arg-type]


# Endings


def test_rows_end_by_themselves_and_leave_the_batch() -> None:
    model, widths = made(), []
    decoder = recomputing(model)
    free = answers(decoder, PROMPTS, GREEDY)
    end_id = free[0][4]
    select = decoder.select

    def watched(rows: Sequence[int]) -> None:
        widths.append(len(rows))
        select(rows)

    decoder.select = watched  # type: ignore[method-assign]
    ended = generate(decoder, PROMPTS, GREEDY, end_ids=end_id)
    assert widths
    for answer, whole in zip(ended, free, strict=True):
        cut = whole.index(end_id) if end_id in whole else len(whole)
        assert list(answer.token_ids) == whole[:cut]
        assert answer.ended == ("eos" if end_id in whole else "length")
    assert {answer.ended for answer in ended} == {"eos", "length"}


def test_every_token_is_told_as_it_comes() -> None:
    with TorchEngine(made()).stream(PROMPTS, GREEDY) as stream:
        seen = list(stream)
        found = stream.result()
    for row, answer in enumerate(found):
        assert tuple(step.token_id for step in seen if step.row == row) == answer.token_ids
    assert [step.row for step in seen[:8]] == [0, 1, 2, 3] * 2
    assert found == TorchEngine(made())(PROMPTS, GREEDY)


def test_log_probabilities_are_the_models_own() -> None:
    model, config = made(), GenerationConfig(max_new_tokens=4, temperature=0.5, top_k=5, logprobs=3)
    (answer,) = generate(fast(model), [PROMPTS[0]], config, seed=1)
    row = torch.tensor([[*PROMPTS[0], *answer.token_ids]])
    with torch.no_grad():
        shares = model(row).log_softmax(dim=-1)[0, len(PROMPTS[0]) - 1 :]
    assert len(answer.steps) == 4
    for step, wanted in zip(answer.steps, shares, strict=False):
        assert step.logprob == pytest.approx(wanted[step.token_id].item(), abs=1e-4)
        best = wanted.topk(3)
        assert [token for token, _ in step.top] == best.indices.tolist()
        assert [share for _, share in step.top] == pytest.approx(best.values.tolist(), abs=1e-4)
    beam = generate(fast(model), [PROMPTS[0]], GREEDY.with_changes(num_beams=2, logprobs=0))[0]
    assert [step.token_id for step in beam.steps] == list(beam.token_ids)
    assert all(step.logprob is not None and step.logprob < 0 for step in beam.steps)


# Seeds


def test_a_seed_gives_the_same_answer_and_another_seed_another() -> None:
    engine, config = TorchEngine(made()), GenerationConfig(max_new_tokens=10)
    first, again, other = (engine(PROMPTS, config, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    torch.manual_seed(3)
    one = engine(PROMPTS, config)
    torch.manual_seed(3)
    assert engine(PROMPTS, config) == one


# The document's call


def test_the_documents_call_gives_prompt_and_answer() -> None:
    model, prompt = made(), ids(2, 5)
    for strategy in (
        {"temperature": 1.0}, {"temperature": 0.5}, {"temperature": 1.5}, {"temperature": 0.8, "top_k": 20},
        {"temperature": 0.8, "top_p": 0.9}, {"temperature": 0.7, "top_k": 50, "top_p": 0.9},
    ):  # fmt: skip
        found = model.generate(prompt, max_new_tokens=10, generator=torch.Generator().manual_seed(0), **strategy)
        assert found.shape == (2, 15)
        assert found.dtype == torch.long
        assert torch.equal(found[:, :5], prompt)
        again = model.generate(prompt, 10, generator=torch.Generator().manual_seed(0), **strategy)
        assert torch.equal(found, again)


def test_prompts_of_several_lengths_come_as_lists_and_go_as_lists() -> None:
    model = made()
    found = model.generate(PROMPTS, 6, temperature=0.0)
    assert [row[: len(prompt)] for row, prompt in zip(found, PROMPTS, strict=True)] == PROMPTS
    assert [len(row) - len(prompt) for row, prompt in zip(found, PROMPTS, strict=True)] == [6] * 4
    end_id = found[0][-2]
    filled = model.generate(torch.tensor(PROMPTS[:1] * 2), 6, temperature=0.0, end_id=end_id)
    assert filled.shape[1] == len(PROMPTS[0]) + found[0][len(PROMPTS[0]) :].index(end_id)


def test_a_stream_yields_what_generate_gives_and_a_training_model_stays_one() -> None:
    model = made(dropout=0.4).train()
    wanted = model.generate([PROMPTS[1]], 6, generator=torch.Generator().manual_seed(4))[0][len(PROMPTS[1]) :]
    steps = model.stream([PROMPTS[1]], max_new_tokens=6, generator=torch.Generator().manual_seed(4))
    assert [step.token_id for step in steps] == wanted
    assert model.training


# The window


def test_beyond_the_window_is_an_error_that_says_what_fits() -> None:
    model = made()
    with pytest.raises(PromptError, match=r"prompt of 30 tokens and an answer of 11 .* max_new_tokens of 10 at most"):
        model.generate(ids(1, 30), 11)
    with pytest.raises(PromptError, match="give a shorter prompt"):
        model.generate(ids(1, 40), 1)
    assert model.generate(ids(1, 30), 10).shape == (1, 40)


def test_a_sliding_window_forgets_the_oldest_half_and_goes_on() -> None:
    model = made(max_seq_len=12)
    config = GenerationConfig(temperature=0.0, max_new_tokens=40, window="slide")
    (found,) = answers(fast(model), [PROMPTS[0]], config)
    read, wanted = list(PROMPTS[0]), []
    with torch.no_grad():
        for _ in range(40):
            if len(read) > 12:
                read = read[-6:]
            wanted.append(int(model(torch.tensor([read]))[0, -1].argmax()))
            read.append(wanted[-1])
    assert found == wanted


@pytest.mark.parametrize("changes", [{"temperature": 0.0}, {"num_beams": 2}, {"repetition_penalty": 1.2}])
def test_rows_slide_each_in_its_own_time(changes: dict[str, Any]) -> None:
    model = made(max_seq_len=12)
    config = GenerationConfig(max_new_tokens=30, window="slide", **changes)
    prompts = [ids(1, n, seed=n)[0].tolist() for n in (2, 30, 9)]
    together = answers(fast(model), prompts, config, seed=5)
    assert together == [answers(fast(model), [prompt], config, seed=5)[0] for prompt in prompts]


def test_a_window_of_one_token_slides_too() -> None:
    model = made(max_seq_len=1)
    found = model.generate([[3]], 5, temperature=0.0, window="slide")[0]
    with torch.no_grad():
        for before, after in itertools.pairwise(found):
            assert int(model(torch.tensor([[before]]))[0, -1].argmax()) == after


# Text


def text_model() -> ExpertModel:
    return made(vocab_size=tokenizer().vocab_size, max_seq_len=128)


class Saying:
    """A decoder that says the same text whatever it reads, and then ends."""

    max_seq_len = 1000

    def __init__(self, text: str) -> None:
        self.vocab_size = tokenizer().vocab_size
        self.token_ids = [*tokenizer().encode(text), tokenizer().end_id]
        self.said = self.num_rows = 0

    def start(self, prompts: Sequence[Sequence[int]], capacity: int) -> Tensor:
        self.num_rows = len(prompts)
        return self.step(torch.zeros(self.num_rows))

    def step(self, token_ids: Tensor) -> Tensor:
        self.said += 1
        row = F.one_hot(torch.tensor(self.token_ids[min(self.said, len(self.token_ids)) - 1]), self.vocab_size)
        return 100.0 * row.expand(self.num_rows, -1)

    def select(self, rows: Sequence[int]) -> None:
        self.num_rows = len(rows)


LETTERS = st.text(alphabet="abthe трёй😀\n", min_size=1, max_size=3)


@few
@given(st.text(alphabet="abthe трёй😀\n", max_size=12), st.lists(LETTERS, max_size=3), st.sampled_from([1, 2]))
def test_a_stop_string_is_found_across_tokens_and_ends_the_answer_before_it(
    text: str, stop: list[str], num_beams: int
) -> None:
    config = GenerationConfig(temperature=0.0, max_new_tokens=200, stop=tuple(stop), num_beams=num_beams)
    (found,) = generate(Saying(text), [[5]], config, tokenizer=tokenizer())
    places = [text.index(one) for one in stop if one in text]
    # The first to be complete ends the answer; of several complete at once, the first to begin.
    assert found.ended == ("stop" if places else "eos")
    if not places:
        assert found.text == text
        return
    assert found.text is not None
    assert text.startswith(found.text)
    assert any(text[len(found.text) :].startswith(one) for one in stop)
    assert not any(one in found.text for one in stop)
    assert tokenizer().decode(found.token_ids).startswith(found.text)


def test_bad_words_never_appear_and_the_rest_is_drawn_as_before() -> None:
    engine, prompt = TorchEngine(text_model(), tokenizer()), tokenizer().encode(TEXTS[1])
    config = GenerationConfig(max_new_tokens=24, top_k=20)
    free = [engine([prompt], config, seed=seed)[0].text or "" for seed in range(6)]
    said = sorted({letter for text in free for letter in text if letter.isalpha() and letter.isascii()})
    assert len(said) > 3
    pairs = {text[i : i + 2] for text in free for i in range(0, 8, 2)}
    words = (said[0], said[1], *(pair for pair in sorted(pairs) if "\ufffd" not in pair))
    for changes in ({}, {"num_beams": 2, "top_k": None}, {"temperature": 0.0, "top_k": None}):
        kept = config.with_changes(bad_words=words, **changes)
        for seed in range(6):
            text = engine([prompt], kept, seed=seed)[0].text or ""
            assert text
            assert not [word for word in words if word in text]


def test_a_bad_word_is_not_completed_across_the_end_of_the_prompt() -> None:
    model = text_model()
    prompt = tokenizer().encode("the exper")
    with torch.no_grad():
        model.head.weight[tokenizer().encode("t")[0]] = 50 * model.norm.bias  # "t" comes next
        model.norm.weight.zero_()
    engine, config = TorchEngine(model, tokenizer()), GenerationConfig(max_new_tokens=1, temperature=0.0)
    assert engine([prompt], config)[0].text == "t"
    assert engine([prompt], config.with_changes(bad_words=("expert",)))[0].text != "t"
    assert engine([tokenizer().encode("the ex")], config.with_changes(bad_words=("expert",)))[0].text == "t"


# Wrong input


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        ([], "no prompt given"),
        ([[1], []], "prompt 1 is empty"),
        ([[1, VOCABULARY]], f"token id {VOCABULARY} is outside the vocabulary"),
        ([[-1]], "token id -1 is outside"),
    ],
)
def test_prompts_that_cannot_be_read_are_refused(prompts: list[list[int]], says: str) -> None:
    with pytest.raises(PromptError, match=says):
        made().generate(prompts, 3)


def test_tensors_that_hold_no_rows_of_ids_are_refused() -> None:
    for wrong in (torch.tensor([1, 2]), torch.rand(1, 3)):
        with pytest.raises(PromptError, match=r"needed are whole numbers, \(batch, seq\)"):
            made().generate(wrong, 3)


def test_text_rules_need_a_tokenizer_and_unknown_settings_are_named() -> None:
    for wrong in ({"stop": ("x",)}, {"bad_words": ("x",)}):
        with pytest.raises(ConfigError, match="there is no tokenizer"):
            made().generate([[1]], 3, **wrong)
    with pytest.raises(ConfigError, match="repetition_penalty"):
        made().generate([[1]], 3, repetition_penalti=1.1)


def test_a_model_that_gives_no_numbers_is_named() -> None:
    model = made()
    with torch.no_grad():
        model.norm.bias.fill_(float("nan"))
    for settings_ in ({"temperature": 0.0}, {}, {"top_p": 0.5}, {"num_beams": 2}):
        with pytest.raises(EngineError, match="NaN"):
            model.generate([[1, 2]], 3, **settings_)


def test_words_that_leave_no_token_are_named() -> None:
    engine = TorchEngine(text_model(), tokenizer(), end_ids=-1)
    with torch.no_grad():
        engine.model.head.weight[[tokenizer().end_id, *(tokenizer().role_id(r) for r in tokenizer().roles)]] = 0.0
    config = GenerationConfig(max_new_tokens=3, bad_words=tuple(chr(n) for n in range(128)))
    found = engine([[5]], config)[0]
    assert not [letter for letter in found.text or "" if letter.isascii()]


def test_padding_in_logits_beyond_the_tokenizer_has_no_text() -> None:
    wide = made(vocab_size=tokenizer().vocab_size + 50)
    found = TorchEngine(wide, tokenizer())([[5, 6]], GenerationConfig(max_new_tokens=25, stop=("zzzz",)), seed=0)[0]
    assert max(found.token_ids) >= tokenizer().vocab_size
    assert found.text is not None


def test_equal_rows_stay_equal() -> None:
    found = made().generate(ids(1, 4).expand(3, -1), 6, temperature=0.0)
    assert torch.equal(found, found[:1].expand(3, -1))
    assert F.one_hot(found).sum() == found.numel()
