"""A memory of texts finds what was alike and what followed, as looking through all of them does."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from expert_models import TEXTS, made, tokenizer
from expert_models import VOCABULARY as EXPERT_VOCABULARY
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ConfigError, DataError, EngineError
from interconnected_ai.experts import Expert, TorchEngine
from interconnected_ai.experts.deliberation import RecallingEngine, Recollection
from interconnected_ai.experts.deliberation.recollection import LONGEST
from interconnected_ai.types import ChatMessage, Generation
from properties import examples

VOCABULARY, END = 5, 0
documents = st.lists(st.lists(st.integers(1, VOCABULARY - 1), min_size=1, max_size=30), min_size=1, max_size=6)


def run_of(texts: list[list[int]]) -> list[int]:
    return [token for text in texts for token in (*text, END)]


def by_looking(run: list[int], context: list[int]) -> tuple[list[float], int]:
    """What follows and how long the likeness is, found by looking everywhere."""
    counts = Counter(run)
    told = [(counts[token] + 1) / (len(run) + VOCABULARY) for token in range(VOCABULARY)]
    longest = 0
    for length in range(1, min(len(context), LONGEST) + 1):
        wanted = context[-length:]
        found = Counter(run[at + length] for at in range(len(run) - length) if run[at : at + length] == wanted)
        if not found:
            break
        total, distinct = sum(found.values()), len(found)
        told = [(found[token] + distinct * told[token]) / (total + distinct) for token in range(VOCABULARY)]
        longest = length
    return told, longest


@examples(60)
@given(documents, st.lists(st.integers(0, VOCABULARY - 1), max_size=20), st.booleans())
def test_what_may_follow_is_what_followed_wherever_it_was_alike(
    texts: list[list[int]], context: list[int], large: bool
) -> None:
    vocab_size = 70_000 if large else VOCABULARY  # ids of 32 and of 16 bits
    memory = Recollection.of(texts, vocab_size=vocab_size, end_id=END)
    told, longest = memory.foretell(context)
    assert told.sum() == pytest.approx(1.0)
    if not large:
        expected, length = by_looking(run_of(texts), context)
        np.testing.assert_allclose(told, expected)
        assert longest == length
    else:
        assert longest == by_looking(run_of(texts), context)[1]


def test_a_text_that_is_remembered_is_foretold_almost_surely() -> None:
    drawn = np.random.default_rng(0)
    texts = [drawn.integers(1, 900, 40).tolist() for _ in range(50)]
    memory = Recollection.of(texts, vocab_size=900, end_id=END)
    told, longest = memory.foretell([END, *texts[7][:20]])
    assert told.argmax() == texts[7][20]
    assert longest == LONGEST
    assert told[texts[7][20]] > 0.5
    strange, none = memory.foretell([])
    assert none == 0
    assert strange.sum() == pytest.approx(1.0)
    assert memory.num_bytes < 100 * len(memory.tokens) + 8 * 900


def test_an_engine_that_recalls_mixes_what_it_expects_with_what_followed(tmp_path: Path) -> None:
    engine, remembered = TorchEngine(made(1)), [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26]
    weights = [0.0] * 3 + [0.9] * (LONGEST - 2)
    Recollection.of([remembered], vocab_size=EXPERT_VOCABULARY, end_id=0, weights=weights).save_pretrained(
        tmp_path / "kept"
    )
    memory = Recollection.from_pretrained(tmp_path / "kept")
    assert memory.weights == tuple(weights)
    recalling = RecallingEngine(engine, memory)
    settings = GenerationConfig(max_new_tokens=5, temperature=0.0)
    prompts = [[7, 8], remembered[:6]]
    plain, quoted = recalling(prompts, settings)
    assert list(quoted.token_ids) == remembered[6:11]  # three in common and more: it goes on as the text did
    assert plain.token_ids == engine([prompts[0]], settings)[0].token_ids  # nothing in common: as without
    assert recalling([prompts[1]], settings.with_changes(num_beams=2))[0].token_ids == quoted.token_ids
    told = RecallingEngine(engine, memory).decoder().start([remembered[:6]], 20)[0].double().exp()
    own = engine.decoder().start([remembered[:6]], 20)[0].double().softmax(-1)
    expected = 0.1 * own + 0.9 * torch.from_numpy(memory.foretell(remembered[:6])[0])
    torch.testing.assert_close(told, expected, rtol=1e-3, atol=1e-6)
    with pytest.raises(EngineError, match="own tokenizer"):
        RecallingEngine(engine, Recollection.of([[1]], vocab_size=EXPERT_VOCABULARY + 1, end_id=0))
    recalling.close()
    assert not engine.is_closed


def test_what_cannot_be_remembered_is_refused() -> None:
    with pytest.raises(DataError, match="no text to remember"):
        Recollection.of([[]], vocab_size=5, end_id=END)
    with pytest.raises(ConfigError, match="token id 7"):
        Recollection.of([[7]], vocab_size=5, end_id=END)


STRONG = (0.0, *(0.95,) * LONGEST)


def talker(seed: int = 2) -> Expert:
    return Expert(made(seed, vocab_size=tokenizer().vocab_size, max_seq_len=256), tokenizer())


def told_texts() -> Recollection:
    words = tokenizer()
    texts = [words.encode(text) for text in TEXTS]
    return Recollection.of(
        texts, vocab_size=words.vocab_size, end_id=words.end_id, tokenizer_sha256=words.sha256, weights=STRONG
    )


def test_an_expert_that_recollects_says_what_its_engine_and_the_texts_say_until_it_is_told_to_stop() -> None:
    settings = GenerationConfig(max_new_tokens=12, temperature=0.0)
    with talker() as expert:
        memory = told_texts()
        alone = expert.generate(TEXTS[0][:12], settings)
        expert.recall(memory)
        prompts = [[*expert.tokenizer.lead_ids, *expert.tokenizer.encode(TEXTS[0][:12])]]
        engine = expert.engine
        assert isinstance(engine, TorchEngine)
        (expected,) = RecallingEngine(engine, memory)(prompts, settings)
        assert expert.generate(TEXTS[0][:12], settings).token_ids == expected.token_ids != alone.token_ids
        assert str(expert.stream(TEXTS[0][:12], settings).result()) == str(expert.generate(TEXTS[0][:12], settings))
        assert expert.num_bytes < memory.num_bytes + engine.num_bytes, "whose it is counts it"
        expert.recall(None)
        assert expert.generate(TEXTS[0][:12], settings).token_ids == alone.token_ids


def test_the_next_turn_of_a_chat_reads_only_what_is_new_and_says_what_it_would_from_scratch() -> None:
    settings = {"max_new_tokens": 8, "temperature": 0.0}
    messages = [ChatMessage("user", TEXTS[0])]
    with talker() as expert, talker() as anew:
        expert.recall(told_texts())
        anew.recall(told_texts())
        first = expert.stream_chat(messages, session="s", **settings).result()
        messages += [first.message, ChatMessage("user", TEXTS[1][:10])]
        second = expert.stream_chat(messages, session="s", **settings).result()
        assert second.num_known_tokens >= first.num_prompt_tokens
        assert second.message == anew.stream_chat(messages, **settings).result().message


def test_looking_ahead_says_the_same_with_a_recollection() -> None:
    settings = GenerationConfig(max_new_tokens=24, temperature=0.0)
    with talker() as expert:
        expert.recall(told_texts())
        plain = expert.generate(TEXTS[0], settings)
        ahead = expert.generate(TEXTS[0], settings.with_changes(lookup_tokens=4))
        assert ahead.token_ids == plain.token_ids


def test_a_recollection_of_another_tokenizer_and_an_engine_without_logits_are_refused() -> None:
    words = tokenizer()
    other = Recollection.of([[1, 2, 3]], vocab_size=words.vocab_size, end_id=0, tokenizer_sha256="0" * 64)

    class Silent:
        def __call__(self, prompts: object, config: object, *, seed: object = None) -> list[Generation]:
            raise AssertionError("nobody asks it")

        def stream(self, prompts: object, config: object, *, seed: object = None) -> object:
            raise AssertionError("nobody asks it")

    with talker() as expert:
        with pytest.raises(EngineError, match="of the tokenizer 000000000000"):
            expert.recall(other)
        assert expert.recollection is None
    silent = Expert(None, words, engine=Silent())  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="gives no logits to mix"):
        silent.recall(told_texts())
