"""Small language models: generating, streaming, scoring, training, keeping."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from interconnected_ai.bench.growth.inputs import expert, texts, tokenizer
from interconnected_ai.bench.growth.verb import Verb
from interconnected_ai.config import ExpertTrainingConfig
from interconnected_ai.experts import Expert, ExpertModel
from interconnected_ai.training import fit_expert

Call = Callable[[], object]
_GREEDY: dict[str, Any] = {"temperature": 0.0}


def _generate(num_prompts: int, num_tokens: int, **settings: Any) -> Call:
    made, given = expert(), texts(num_prompts)
    return lambda: made.generate(given, max_new_tokens=num_tokens, **{**_GREEDY, **settings})


def _read(num_texts: int) -> Call:
    """A prompt of that many sentences, and one new token."""
    made, given = expert(max_seq_len=4096), " ".join(texts(num_texts))
    return lambda: made.generate(given, max_new_tokens=1, **_GREEDY)


def _stream(num_tokens: int) -> Call:
    made = expert(max_seq_len=1024)
    return lambda: list(made.stream(texts(1)[0], max_new_tokens=num_tokens, **_GREEDY))


def _in_turn(num_experts: int) -> Call:
    """Experts with a tokenizer each answer one after the other, twice."""
    made = [expert(seed=number) for number in range(num_experts)]
    return lambda: [one.generate("ba", max_new_tokens=4, stop=("zu zu",), **_GREEDY) for one in made * 2]


def _score(num_texts: int) -> Call:
    made, given = expert(), texts(num_texts, words=30)
    return lambda: made.score(given)


def _score_one(num_texts: int) -> Call:
    made, given = expert(max_seq_len=128), " ".join(texts(num_texts))
    return lambda: made.score(given)


def _fit(num_texts: int, folder: Path) -> Call:
    words, model = tokenizer(), expert(max_seq_len=64).model
    assert isinstance(model, ExpertModel)
    tokens = np.concatenate(words.encode_batch(texts(num_texts, words=30), end=True)).astype(np.uint16)
    settings = {"epochs": 1, "batch_size": 8, "device": "cpu", "precision": "float32", "monitors": [], "patience": None}
    config = ExpertTrainingConfig.from_mapping(settings)
    return lambda: fit_expert(model, tokens, None, config, folder)


def _save(num_layers: int, folder: Path) -> Call:
    made = expert(n_layers=num_layers)
    return lambda: made.save_pretrained(folder / "expert")


def _load(num_layers: int, folder: Path) -> Call:
    _save(num_layers, folder)()
    return lambda: Expert.from_pretrained(folder / "expert")


VERBS = (
    Verb("experts", "generate", "prompts", 16, lambda n, to: _generate(n, 24)),
    Verb("experts", "generate", "tokens", 100, lambda n, to: _generate(2, n)),
    Verb("experts", "generate with penalties", "tokens", 60,
         lambda n, to: _generate(2, n, repetition_penalty=1.2, stop=("zu zu zu",))),
    Verb("experts", "generate with beams", "tokens", 40, lambda n, to: _generate(1, n, num_beams=3)),
    Verb("experts", "read a prompt", "length of the prompt", 25, lambda n, to: _read(n)),
    Verb("experts", "stream", "tokens", 80, lambda n, to: _stream(n)),
    Verb("experts", "answer in turn", "experts", 4, lambda n, to: _in_turn(n)),
    Verb("experts", "score", "texts", 60, lambda n, to: _score(n)),
    Verb("experts", "score", "length of one text", 100, lambda n, to: _score_one(n)),
    Verb("experts", "train", "tokens", 200, _fit, once=True),
    Verb("experts", "save", "layers", 10, _save),
    Verb("experts", "load", "layers", 10, _load),
)  # fmt: skip
