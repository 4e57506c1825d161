"""Chats with real models: ends, windows, streams, and turns that read only what is new."""

import threading

import pytest
import torch
from tiny_llamas import tiny_adapter, tiny_llama
from tokenizers import AddedToken

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ClosedError, ConfigError, EngineError, PromptError, UnknownNameError
from interconnected_ai.experts import (
    CausalLM,
    ChatTemplate,
    Conversation,
    Expert,
    ExpertModel,
    PromptCache,
    SharedBase,
    TorchEngine,
)
from interconnected_ai.experts.chat.speaker import Speaker
from interconnected_ai.experts.torch_decoder import TorchDecoder
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import ChatMessage

ROLES = ["system", "user", "assistant"]
GREEDY = {"temperature": 0.0, "max_new_tokens": 12}


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return Tokenizer.train(["the sun is warm and the rain is cold, солнце греет"] * 3, 320, roles=ROLES)


def expert_of(words: Tokenizer, *, window: int = 256, seed: int = 0, **given) -> Expert:
    generator = torch.Generator().manual_seed(seed)
    return Expert(ExpertModel(words.vocab_size, 32, 2, 4, max_seq_len=window, generator=generator), words, **given)


@pytest.fixture
def read_tokens(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens decoders have read, a number a pass."""
    seen: list[int] = []
    original = TorchDecoder._read

    def counted(self, token_ids, **how):
        seen.append(token_ids.shape[1])
        return original(self, token_ids, **how)

    monkeypatch.setattr(TorchDecoder, "_read", counted)
    return seen


class TestAnswers:
    def test_a_chat_is_the_templates_prompt_continued(self, words):
        expert = expert_of(words)
        messages = [ChatMessage("user", "the sun")]
        answer = expert.chat(messages, **GREEDY)
        prompt = expert.template.render(messages)
        (plain,) = expert.engine([prompt], GenerationConfig(**GREEDY), seed=None)
        assert answer.generation.token_ids == plain.token_ids
        assert answer.num_prompt_tokens == len(prompt)
        assert str(answer) == (plain.text or "").strip()

    def test_pieces_joined_are_the_answer(self, words):
        expert = expert_of(words)
        messages = [ChatMessage("user", "the sun")]
        with expert.stream_chat(messages, seed=3, max_new_tokens=20) as answering:
            pieces = list(answering)
            answer = answering.result()
        assert "".join(pieces) == answer.generation.text
        assert expert.chat(messages, seed=3, max_new_tokens=20) == answer

    def test_an_answer_ends_at_the_templates_own_token(self, words):
        fast = type(words.fast).from_str(words.fast.to_str())
        fast.add_special_tokens([AddedToken("<|turn|>", special=True, normalized=False)])
        ended = Tokenizer(fast)
        source = "{% for m in messages %}{{ m.content + '<|turn|>' }}{% endfor %}"
        expert = expert_of(ended, template=ChatTemplate(source, ended.fast))
        end = ended.fast.token_to_id("<|turn|>")
        assert end not in ended.end_ids
        with torch.no_grad():  # whatever it reads, the likeliest next token is the end of the turn
            expert.model.head.weight.zero_()
            expert.model.norm.weight.zero_()
            expert.model.norm.bias.fill_(1.0)
            expert.model.head.weight[end] = 1.0
        answer = expert.chat([ChatMessage("user", "the sun")], **GREEDY)
        assert (answer.generation.ended, answer.generation.token_ids) == ("eos", ())

    def test_without_a_number_an_answer_is_a_quarter_of_a_small_window(self, words):
        answer = expert_of(words, window=64).chat([ChatMessage("user", "the")], temperature=0.0)
        assert len(answer.generation.token_ids) <= 16

    def test_a_conversation_beyond_the_window_is_refused_or_loses_its_oldest_turns(self, words):
        expert = expert_of(words, window=96)
        messages = [ChatMessage("user", "the sun is warm"), ChatMessage("assistant", "rain")] * 12
        messages = [ChatMessage("system", "cold"), *messages, ChatMessage("user", "and?")]
        with pytest.raises(PromptError, match="window of 96"):
            expert.chat(messages, **GREEDY)
        answer = expert.chat(messages, too_long="drop_oldest", **GREEDY)
        assert answer.dropped == tuple(messages[1 : 1 + len(answer.dropped)])
        assert 0 < len(answer.dropped) < 24
        kept = [messages[0], *messages[1 + len(answer.dropped) :]]
        assert answer.num_prompt_tokens == expert.template.count(kept) <= 0.75 * (96 - 12)
        assert answer.generation == expert.chat(kept, **GREEDY).generation
        with pytest.raises(UnknownNameError, match="too_long"):
            expert.chat(messages, too_long="cut", **GREEDY)

    def test_what_a_chat_cannot_be_is_said_before_its_first_piece(self, words):
        expert = expert_of(words)
        with pytest.raises(ConfigError, match="beam"):
            expert.stream_chat([ChatMessage("user", "a")], num_beams=2)
        with pytest.raises(ConfigError):
            expert.stream_chat([ChatMessage("user", "a")], temperature=-1.0)
        with pytest.raises(PromptError):
            expert.stream_chat([])
        with pytest.raises(EngineError, match=r"needs an experts\.Engine"):
            Expert(None, words, engine=lambda *_, **__: []).stream_chat([ChatMessage("user", "a")])
        expert.close()
        with pytest.raises(ClosedError):
            expert.stream_chat([ChatMessage("user", "a")])


class TestRemembering:
    def held(self, expert: Expert, texts: list[str], **settings) -> list[tuple[int, ...]]:
        talk = Conversation(expert, system="the sun is warm")
        return [talk.ask(text, **settings).generation.token_ids for text in texts]

    def from_scratch(self, expert: Expert, texts: list[str], **settings) -> list[tuple[int, ...]]:
        said, found = [ChatMessage("system", "the sun is warm")], []
        for text in texts:
            answer = expert.chat([*said, ChatMessage("user", text)], **settings)
            said += [ChatMessage("user", text), answer.message]
            found.append(answer.generation.token_ids)
        return found

    @pytest.mark.parametrize(
        "settings", [GREEDY, {"seed": 5, "max_new_tokens": 12, "top_k": 20, "repetition_penalty": 1.3}]
    )
    def test_turns_say_what_they_would_say_from_scratch(self, words, settings):
        texts = ["the rain", "is it cold?", "солнце", "and?"]
        expert = expert_of(words)
        assert self.held(expert, texts, **settings) == self.from_scratch(expert_of(words), texts, **settings)

    def test_a_turn_reads_only_what_is_new(self, words, read_tokens):
        expert = expert_of(words)
        talk = Conversation(expert)
        first = talk.ask("the sun is warm and the rain is cold", **GREEDY)
        assert (read_tokens, first.num_known_tokens) == ([first.num_prompt_tokens], 0)
        second = talk.ask("the", **GREEDY)
        assert second.num_known_tokens >= first.num_prompt_tokens
        assert read_tokens[1] == second.num_prompt_tokens - second.num_known_tokens

    def test_the_same_prompt_again_reads_its_last_token_and_says_the_same(self, words, read_tokens):
        expert, messages = expert_of(words), [ChatMessage("user", "the sun")]
        first, second = (expert.chat(messages, session="s", **GREEDY) for _ in range(2))
        assert read_tokens[1] == 1
        assert first.generation == second.generation
        shorter = expert.chat([ChatMessage("user", "the")], session="s", **GREEDY)
        assert shorter.generation == expert_of(words).chat([ChatMessage("user", "the")], **GREEDY).generation

    def test_a_changed_past_is_read_again(self, words):
        expert = expert_of(words)
        talk = Conversation(expert, system="the sun")
        talk.ask("warm", **GREEDY)
        talk.system = "the rain"
        answer = talk.ask("cold", **GREEDY)
        assert answer.generation == expert_of(words).chat(talk.messages[:-1], **GREEDY).generation

    def test_a_stopped_answer_is_remembered_as_far_as_it_came(self, words, read_tokens):
        expert = expert_of(words)
        talk = Conversation(expert)
        with talk.say("the sun is warm and the rain " * 6, temperature=0.0, max_new_tokens=40) as answering:
            next(answering)
        assert len(expert.prompt_cache) == 1
        answer = talk.ask("and?", **GREEDY)
        assert read_tokens[1] < read_tokens[0]
        assert answer.generation == expert_of(words).chat(talk.messages[:-1], **GREEDY).generation

    def test_experts_that_share_a_cache_keep_apart_and_come_back(self, words, read_tokens):
        cache, messages = PromptCache(), [ChatMessage("user", "the sun is warm")]
        experts = {seed: expert_of(words, seed=seed) for seed in (0, 1)}
        speakers = {
            seed: Speaker(expert.engine, words, expert.template, cache=cache, owner=seed)
            for seed, expert in experts.items()
        }
        said = {}
        for seed in (0, 1, 0, 1):
            answer = speakers[seed].stream(messages, session="s", **GREEDY).result()
            assert said.setdefault(seed, answer.generation) == answer.generation
        assert said[0] == experts[0].chat(messages, **GREEDY).generation
        assert said[1] == experts[1].chat(messages, **GREEDY).generation
        assert read_tokens[2:4] == [1, 1]

    def test_without_a_session_or_after_the_end_nothing_is_kept(self, words):
        expert = expert_of(words)
        before = expert.num_bytes
        expert.chat([ChatMessage("user", "the sun")], **GREEDY)
        assert len(expert.prompt_cache) == 0
        talk = Conversation(expert)
        talk.ask("the sun", **GREEDY)
        assert expert.num_bytes == before + expert.prompt_cache.num_bytes > before
        talk.reset()
        assert expert.num_bytes == before
        talk.ask("the sun", **GREEDY)
        expert.close()
        assert expert.prompt_cache.num_bytes == 0

    def test_a_sliding_window_remembers_nothing_wrong(self, words):
        expert = expert_of(words, window=48)
        messages = [ChatMessage("user", "the sun")]
        settings = {"temperature": 0.0, "max_new_tokens": 30, "window": "slide"}
        first = expert.chat(messages, session="s", **settings)
        second = expert.chat(messages, session="s", **settings)
        assert first.generation == second.generation

    def test_conversations_in_threads_say_what_each_would_alone(self, words):
        expert = expert_of(words)
        texts = [[f"the {word}", "and?", "cold"] for word in ("sun", "rain", "warm", "солнце")]
        wanted = [self.from_scratch(expert_of(words), listed, **GREEDY) for listed in texts]
        found: dict[int, list[tuple[int, ...]]] = {}

        def hold(number: int) -> None:
            found[number] = self.held(expert, texts[number], **GREEDY)

        threads = [threading.Thread(target=hold, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [found[number] for number in range(4)] == wanted

    def test_every_kind_of_layout_begins_from_what_is_known(self, words):
        model = expert_of(words).model
        for layout in ("plain", "auto"):
            expert = Expert(model, words, engine=TorchEngine(model, words, layout=layout))
            texts = ["the rain", "is it cold?"]
            assert self.held(expert, texts, **GREEDY) == self.from_scratch(expert, texts, **GREEDY)


class TestAdapters:
    @pytest.mark.parametrize("way", ["lean", "generic"])
    def test_an_adapter_that_comes_back_remembers_its_turns_and_nobody_elses(self, way):
        words = Tokenizer.train(["the sun is warm and the rain is cold"] * 3, 300, roles=ROLES)
        messages = [ChatMessage("user", "the sun is warm and the rain is cold")]
        with SharedBase(CausalLM(tiny_llama()), words, name="tiny", way=way) as base:
            adapters = {name: tiny_adapter(tiny_llama(), number) for number, name in enumerate("ab")}
            for name, weights in adapters.items():
                base.add(name, weights)
            empty = base.num_bytes
            said = {}
            for name in ("a", "b", None, "a", "b", None):
                answer = base.stream_chat(messages, adapter=name, session="s", **GREEDY).result()
                known = 0 if name not in said else answer.num_prompt_tokens - 1
                assert answer.num_known_tokens == known
                assert said.setdefault(name, answer.generation) == answer.generation
            assert len(set(said.values())) == 3
            for name, generation in said.items():
                fresh = base.stream_chat(messages, adapter=name, **GREEDY).result()
                assert fresh.generation == generation
            assert base.num_bytes == empty + base.prompt_cache.num_bytes > empty
            base.remove("a")
            base.add("a", tiny_adapter(tiny_llama(), 7))  # others of the same name know nothing of it
            assert base.stream_chat(messages, adapter="a", session="s", **GREEDY).result().num_known_tokens == 0
            base.forget("s")
            assert base.num_bytes == empty
