"""Where a model keeps its chat template, and the names of its control tokens that the template uses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from interconnected_ai.errors import ConfigError
from interconnected_ai.experts.chat.advice import Sampling, advised_in_folder, advised_in_gguf
from interconnected_ai.storage import read_gguf, read_json

_TEMPLATE = "chat_template.jinja"
_PROCESSOR = "chat_template.json"
_CONFIG = "tokenizer_config.json"
_SPECIAL = "special_tokens_map.json"
_DEFAULT = "default"
_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
_IN_GGUF = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
    "sep_token": "seperator_token_id",  # spelled so in GGUF
}


@dataclass(frozen=True)
class TemplateSource:
    """A template, None where the model has none, and what it may call by name, such as {"bos_token": "<s>"}.

    sampling: how its makers advise to sample answers.
    """

    template: str | None
    names: Mapping[str, str]
    sampling: Sampling = field(default_factory=dict)

    @classmethod
    def of_place(cls, place: Path) -> Self:
        """Of a GGUF file, or of a folder as transformers writes it."""
        return cls.in_gguf(read_gguf(place).metadata) if place.is_file() else cls.in_folder(place)

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """Of a folder as transformers writes it. Raises `ConfigError` for a template that is no text."""
        config = read_json(folder / _CONFIG) if (folder / _CONFIG).is_file() else {}
        special = read_json(folder / _SPECIAL) if (folder / _SPECIAL).is_file() else {}
        names = {name: spelled for name in _NAMES if (spelled := _spelled({**special, **config}.get(name))) is not None}
        if (folder / _TEMPLATE).is_file():
            return cls(_read(folder / _TEMPLATE), names, advised_in_folder(folder))
        kept = config.get("chat_template")
        if kept is None and (folder / _PROCESSOR).is_file():
            kept = read_json(folder / _PROCESSOR).get("chat_template")
        return cls(_default_of(kept, folder), names, advised_in_folder(folder))

    @classmethod
    def in_gguf(cls, metadata: Mapping[str, Any]) -> Self:
        """Of a GGUF file's metadata. Raises `ConfigError` for a template that is no text."""
        ids = {name: metadata.get(f"tokenizer.ggml.{key}") for name, key in _IN_GGUF.items()}
        template, advised = (
            _default_of(metadata.get("tokenizer.chat_template"), "the GGUF file"),
            advised_in_gguf(metadata),
        )
        if not any(isinstance(token_id, int) for token_id in ids.values()):
            return cls(template, {}, advised)
        tokens = metadata.get("tokenizer.ggml.tokens", ())
        names = {n: str(tokens[i]) for n, i in ids.items() if isinstance(i, int) and 0 <= i < len(tokens)}
        return cls(template, names, advised)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}); convert it first") from error


def _default_of(kept: object, place: object) -> str | None:
    """The template for chatting; some models keep several by name."""
    if isinstance(kept, list):
        named = {one.get("name"): one.get("template") for one in kept if isinstance(one, Mapping)}
        if _DEFAULT not in named:
            raise ConfigError(
                f"{place} has chat templates named {sorted(map(str, named))}, none is named {_DEFAULT!r}; add it"
            )
        kept = named[_DEFAULT]
    if kept is not None and not isinstance(kept, str):
        raise ConfigError(f"the chat template of {place} is a {type(kept).__name__}, needed is text; repair it")
    return kept


def _spelled(token: object) -> str | None:
    """A token's text; transformers writes it alone or with its settings."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) else None
