"""The experts of a pretrained mixture: seeing, changing, keeping; over its layers, its experts and the texts it reads."""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from interconnected_ai.bench.growth.inputs import SPECIAL, texts
from interconnected_ai.bench.growth.verb import Verb
from interconnected_ai.bench.tiny_moes import make
from interconnected_ai.surgery import Checkpoint, MoE
from interconnected_ai.surgery import open as open_moe

Call = Callable[[], object]


@cache
def _tokenizer() -> Any:
    """Ninety words, as the tiny models have."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = sorted({word for text in texts(40) for word in text.rstrip(".").split()})[:90]
    fast = Tokenizer(models.WordLevel({word: n for n, word in enumerate((*SPECIAL, *known))}, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=fast, unk_token="[UNK]", pad_token="[PAD]", eos_token="[SEP]")


def _moe(*, layers: int = 2, experts: int = 8) -> MoE:
    return MoE(make("qwen3_moe", num_hidden_layers=layers, num_experts=experts), _tokenizer())


def _saved(folder: Path, *, layers: int = 2, experts: int = 8) -> Path:
    make("qwen3_moe", num_hidden_layers=layers, num_experts=experts).save_pretrained(folder / "model")
    return folder / "model"


def _open(layers: int, folder: Path) -> Call:
    model = make("qwen3_moe", num_hidden_layers=layers)
    return lambda: MoE(model, _tokenizer()).description()


def _load(layers: int, folder: Path) -> Call:
    place = _saved(folder, layers=layers)
    return lambda: open_moe(place, _tokenizer())


def _save(layers: int, folder: Path) -> Call:
    moe = _moe(layers=layers)
    return lambda: moe.save(folder / "saved")


def _insert(layers: int, folder: Path) -> Call:
    """A clone in every layer."""
    moe = _moe(layers=layers)
    return lambda: [moe.clone(layer, 0) for layer in range(layers)]


def _remove(layers: int, folder: Path) -> Call:
    moe = _moe(layers=layers)

    def remove() -> None:
        for layer in range(layers):
            moe.remove(layer, (0, 1))

    return remove


def _insert_many(count: int, folder: Path) -> Call:
    """One after the other into one layer of as many."""
    moe = _moe(experts=count)
    return lambda: [moe.insert(0, [moe.layers[0].read(0)]) for _ in range(count)]


def _replace(experts: int, folder: Path) -> Call:
    moe = _moe(experts=experts)
    return lambda: moe.replace(0, 1, moe.layers[0].read(0))


def _undo(count: int, folder: Path) -> Call:
    moe = _moe()
    for number in range(count):
        moe.reorder(number % 2, range(7, -1, -1))
    return lambda: [moe.undo() for _ in range(count)]


def _recipe(count: int, folder: Path) -> Call:
    source, target = _moe(), _moe()
    for number in range(count):
        source.reorder(number % 2, range(7, -1, -1))
    recipe = source.recipe()
    return lambda: target.apply(recipe)


def _usage(count: int, folder: Path) -> Call:
    moe, given = _moe(), texts(count)
    return lambda: moe.usage({"all": given})


def _perplexity(count: int, folder: Path) -> Call:
    moe, given = _moe(), texts(count)
    return lambda: moe.perplexity(given)


def _pack(layers: int, folder: Path) -> Call:
    moe = _moe(layers=layers)

    def pack() -> None:
        with warnings.catch_warnings(action="ignore"):  # four bits move the logits of a random model by much
            moe.pack_experts()

    return pack


def _checkpoint(layers: int, folder: Path) -> Call:
    place = _saved(folder, layers=layers)

    def edit() -> None:
        checkpoint = Checkpoint(place)
        for layer in range(layers):
            checkpoint.remove(layer, (0,))
        checkpoint.save(folder / "edited")

    return edit


VERBS = (
    Verb("surgery", "inspect", "layers", 8, _open),
    Verb("surgery", "open", "layers", 8, _load),
    Verb("surgery", "save", "layers", 8, _save),
    Verb("surgery", "insert", "layers", 4, _insert, once=True),
    Verb("surgery", "remove", "layers", 4, _remove, once=True),
    Verb("surgery", "insert", "experts of a layer, one after the other", 8, _insert_many, once=True),
    Verb("surgery", "replace", "experts of a layer", 32, _replace),
    Verb("surgery", "undo", "steps", 8, _undo, once=True),
    Verb("surgery", "apply a recipe", "steps", 8, _recipe, once=True),
    Verb("surgery", "usage", "texts", 32, _usage),
    Verb("surgery", "perplexity", "texts", 32, _perplexity),
    Verb("surgery", "pack experts", "layers", 4, _pack, once=True),
    Verb("surgery", "edit a checkpoint", "layers", 8, _checkpoint),
)
