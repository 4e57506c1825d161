"""A GGUF file as a language model: what it says of itself, and why some of them are none. No weights, no torch."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from interconnected_ai.errors import EngineError, IntegrityError, nearest_first
from interconnected_ai.storage import GgufHead, GgufTensor, read_gguf
from interconnected_ai.text import GgufVocabulary

_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_EMBEDDERS = frozenset(
    "bert modern-bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 eurobert gemma-embedding llama-embed "
    "t5encoder".split()
)
_OTHERS = {  # architectures that llama.cpp opens and its server does not continue texts with
    "clip": "is the part of a model that looks at pictures (mmproj); give the language model's own file",
    "wavtokenizer-dec": "makes sound of tokens; give a language model",
    "t5": "reads one text and writes another (encoder and decoder); give a model that continues texts",
    **dict.fromkeys(
        ["dream", "llada", "llada-moe", "rnd1"],
        "writes by diffusion, not token by token; give a model that continues texts",
    ),
}
_REPACKED = ("Q4_0", "Q4_K", "IQ4_NL")  # llama.cpp lays these matrices out anew beside the mapped file
_HALF_BYTES, _FLOAT_BYTES = 2, 4
_WORD_BYTES = 250  # of a token or a merge in llama.cpp's maps, measured on 49,152 tokens and 48,900 merges


@dataclass(frozen=True)
class GgufModel:
    """What a GGUF file of a language model says of itself.

    head: of the file, or of the first of its shards. tensors: of all shards.
    """

    head: GgufHead
    tensors: tuple[GgufTensor, ...]
    size_bytes: int

    @classmethod
    def read(cls, path: str | Path) -> "GgufModel":
        """The model in this file, or in this first of several shards.

        Raises as `storage.read_gguf` does, and `EngineError` for a file of another kind (adapter, importance matrix, pictures,
        vocabulary alone, embeddings), an architecture that is unknown, a shard that is not the first, or missing ones.
        """
        head = read_gguf(path)
        _refuse_other_kinds(head)
        heads = [head, *(read_gguf(shard) for shard in _other_shards(head))]
        tensors = tuple(tensor for one in heads for tensor in one.tensors)
        if not tensors:
            raise EngineError(f"{path} holds a vocabulary alone, no weights; give the file of the model")
        model = cls(head, tensors, sum(one.size_bytes for one in heads))
        if model.context < 1:
            raise IntegrityError(
                f"{path} does not say how many tokens its window holds; convert it anew with llama.cpp"
            )
        return model

    @property
    def path(self) -> Path:
        """The file, or the first shard."""
        return self.head.path

    @property
    def metadata(self) -> Mapping[str, Any]:
        """All entries."""
        return self.head.metadata

    @property
    def architecture(self) -> str:
        """llama.cpp's name of it, such as "llama" or "qwen3"."""
        return str(self.metadata["general.architecture"])

    @property
    def name(self) -> str:
        """What its makers call it, or the file's name."""
        return str(self.metadata.get("general.name") or self.path.stem)

    @property
    def licence(self) -> str:
        """As the file states it, "" where it does not."""
        return str(self.metadata.get("general.license", ""))

    @property
    def languages(self) -> tuple[str, ...]:
        """As the file states them, none where it does not."""
        stated = self.metadata.get("general.languages", ())
        return (stated,) if isinstance(stated, str) else tuple(map(str, stated))

    @property
    def context(self) -> int:
        """Tokens that the model can read and write together."""
        return self._number("context_length")

    @property
    def chat_template(self) -> str | None:
        """Jinja, as the model's makers wrote it."""
        found = self.metadata.get("tokenizer.chat_template")
        return found if isinstance(found, str) else None

    @cached_property
    def vocabulary(self) -> GgufVocabulary:
        """Its tokens; raises `TokenizerError` for a file without."""
        return GgufVocabulary.of(self.metadata)

    @cached_property
    def vocab_size(self) -> int:
        """Rows of the embedding: tokens that the model knows, named or not."""
        rows = next((tensor.shape[0] for tensor in self.tensors if tensor.name == "token_embd.weight"), None)
        return self.vocabulary.vocab_size if rows is None else rows

    @property
    def num_params(self) -> int:
        """Numbers in all tensors."""
        sizes = [1] * len(self.tensors)
        for place, tensor in enumerate(self.tensors):
            for side in tensor.shape:
                sizes[place] *= side
        return sum(sizes)

    @property
    def precision(self) -> str:
        """The type that most bytes of its weights have, such as "Q4_1"."""
        shares: Counter[str] = Counter()
        for tensor in self.tensors:
            shares[tensor.type_name] += tensor.num_bytes
        return shares.most_common(1)[0][0]

    # What serving it takes

    @property
    def place_bytes(self) -> int:
        """Keys and values of one token in float16; 0 for a model without attention."""
        layers, heads = self._number("block_count"), self._number("attention.head_count")
        if not heads:
            return 0
        width = self._number("embedding_length") // max(heads, 1)
        both = self._number("attention.key_length", width) + self._number("attention.value_length", width)
        kv_heads = self.metadata.get(f"{self.architecture}.attention.head_count_kv", heads)
        total = sum(kv_heads) if isinstance(kv_heads, tuple) else layers * kv_heads
        return int(total) * both * _HALF_BYTES

    @property
    def passing_bytes(self) -> int:
        """Of buffers, for every token that is read at once."""
        return (8 * self._number("embedding_length") + self._number("feed_forward_length")) * _FLOAT_BYTES

    @property
    def copied_bytes(self) -> int:
        """Of the matrices that llama.cpp copies beside the mapped file."""
        return sum(
            t.num_bytes for t in self.tensors if t.type_name in _REPACKED and not t.name.startswith("token_embd")
        )

    @property
    def vocabulary_bytes(self) -> int:
        """Of what llama.cpp makes of the file's tokens and merges."""
        return _WORD_BYTES * (self.vocabulary.vocab_size + len(self.vocabulary.merges))

    def _number(self, name: str, otherwise: int = 0) -> int:
        """An entry of the architecture; the largest where every layer has its own."""
        value = self.metadata.get(f"{self.architecture}.{name}", otherwise)
        if isinstance(value, tuple):
            value = max(value, default=otherwise)
        return value if isinstance(value, int) else otherwise


def _refuse_other_kinds(head: GgufHead) -> None:
    metadata, kind = head.metadata, head.metadata.get("general.type", "model")
    name = metadata.get("general.architecture")
    if kind == "adapter":
        raise EngineError(
            f"{head.path} is a {metadata.get('adapter.type', 'lora')} adapter for a {name} and no model; give its base's file"
        )
    if kind == "imatrix":
        raise EngineError(f"{head.path} is an importance matrix, made to quantise a model with; give the model's file")
    if kind == "mmproj" or name == "clip":
        raise EngineError(f"{head.path} {_OTHERS['clip']}")
    if not isinstance(name, str):
        raise IntegrityError(f"{head.path} names no architecture; convert it anew with llama.cpp")
    if name in _OTHERS:
        raise EngineError(f"{head.path} {_OTHERS[name]}")
    if name in _EMBEDDERS:
        raise EngineError(f"{head.path} ({name}) makes vectors of texts and continues none; give a language model")
    known = _known_architectures()
    if known and name not in known:
        near = ", ".join(nearest_first(name, known)[:5])
        raise EngineError(
            f"{head.path} has the architecture {name!r}, which the installed llama.cpp packages do not know (nearest: {near}); "
            "update xllamacpp and gguf, or give another file"
        )


def _known_architectures() -> frozenset[str]:
    """Those of the package gguf, which knows what llama.cpp knew when it was made; none without it."""
    if find_spec("gguf") is None:
        return frozenset()
    from gguf import MODEL_ARCH_NAMES

    return frozenset(MODEL_ARCH_NAMES.values())


def _other_shards(head: GgufHead) -> list[Path]:
    """The files that hold the rest of a split model."""
    count, number = head.metadata.get("split.count", 1), head.metadata.get("split.no", 0)
    if not isinstance(count, int) or count < 2:
        return []
    found = _SHARD.fullmatch(head.path.name)
    if found is None:
        raise EngineError(
            f"{head.path} is one of {count} parts, and its name does not say which; call it "
            f"NAME-{int(number) + 1:05}-of-{count:05}.gguf"
        )
    places = [head.path.with_name(f"{found[1]}-{other:05}-of-{count:05}.gguf") for other in range(1, count + 1)]
    if number:
        raise EngineError(f"{head.path} is part {int(number) + 1} of {count}; give the first, {places[0].name}")
    missing = [place.name for place in places if not place.is_file()]
    if missing:
        raise EngineError(
            f"{head.path} is the first of {count} parts, and {missing[0]} is missing beside it; fetch it too"
        )
    return places[1:]
