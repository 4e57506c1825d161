"""`remote.json`: where a server is, what it is asked for, and how long it is waited for. Never the key itself."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from interconnected_ai.config import Record
from interconnected_ai.errors import ConfigError, NotAModelError
from interconnected_ai.storage import atomic_file, read_json

FILE = "remote.json"
_LOCAL = ("localhost", "127.0.0.1", "::1")

_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")

Seconds = Annotated[float, Field(gt=0.0, le=86_400.0, strict=False)]


class RemoteServer(Record):
    """A model behind an OpenAI-compatible server.

    base_url: what "/chat/completions" is added to, such as "https://api.example.com/v1". api: "chat" (a prompt is what the
    user says) or "completions" (a prompt is continued). api_key_env: the environment variable that holds the key; None sends
    none. A key is sent over https, or to this machine, alone.
    connect_seconds: to be connected. first_token_seconds: from the request to the first piece of the answer.
    between_tokens_seconds: from piece to piece; what a server sends to stay awake is no piece.
    retries: how often a request is made again after 429, 5xx, or a connection that failed before the first piece.
    backoff_seconds: before the first retry; twice as long before each further one, unless the server says how long.
    at_once: prompts of one call that are asked at the same time. extensions: settings beyond OpenAI's that this server knows by
    our names. context, languages, licence, examples: what the card says.
    """

    base_url: str
    model: Annotated[str, Field(min_length=1)]
    api: Literal["chat", "completions"] = "chat"
    api_key_env: str | None = None
    connect_seconds: Seconds = 10.0
    first_token_seconds: Seconds = 120.0
    between_tokens_seconds: Seconds = 30.0
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    backoff_seconds: Annotated[float, Field(ge=0.0, le=3600.0, strict=False)] = 0.5
    at_once: Annotated[int, Field(ge=1, le=64)] = 4
    extensions: Annotated[tuple[Literal["top_k", "min_p", "repetition_penalty"], ...], Field(strict=False)] = ()
    context: Annotated[int, Field(ge=1)] | None = None
    languages: Annotated[tuple[str, ...], Field(strict=False)] = ()
    licence: str | None = None
    examples: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @field_validator("base_url")
    @classmethod
    def _is_a_place(cls, url: str) -> str:
        parts = urlsplit(url)
        if "@" in parts.netloc or parts.query or parts.fragment:  # a key, perhaps: it is not repeated
            raise ValueError("an address holds no user, key or query; name the key's variable in api_key_env")
        try:
            has_place = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError as error:
            raise ValueError(f"{url!r}: {error}") from error
        if not has_place:
            raise ValueError(f"{url!r}: needed is an address such as https://api.example.com/v1")
        if any(letter.isspace() or not letter.isascii() or not letter.isprintable() for letter in url):
            raise ValueError(f"{url!r} holds a letter that no address has")
        return url.rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and not _NAME.fullmatch(name):  # somebody's key, perhaps: it is not repeated
            raise ValueError(
                "needed is the name of an environment variable, such as OPENAI_API_KEY, not the key itself"
            )
        return name

    @classmethod
    def load(cls, place: str | Path) -> "RemoteServer":
        """The server that a `remote.json`, or the folder with it, describes. Raises `NotAModelError` where there is none."""
        file = Path(place) / FILE if Path(place).is_dir() else Path(place)
        if not file.is_file():
            raise NotAModelError(f"no {FILE} at {place}; write one with base_url and model")
        return cls.from_mapping(read_json(file), source=str(file))

    def save(self, folder: str | Path) -> None:
        """Write `remote.json` into a folder."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        with atomic_file(Path(folder) / FILE) as scratch:
            scratch.write_text(json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def key(self) -> str | None:
        """The key, from the environment. Raises `ConfigError` where the variable is missing, or the key would travel openly."""
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise ConfigError(f"the environment variable {self.api_key_env} holds no key for {self.base_url}; set it")
        if not key.isascii() or not key.isprintable():
            raise ConfigError(f"the environment variable {self.api_key_env} holds letters that no key has; set it anew")
        parts = urlsplit(self.base_url)
        if parts.scheme == "http" and parts.hostname not in _LOCAL:
            raise ConfigError(
                f"{self.base_url} is not encrypted, so the key of {self.api_key_env} is not sent; use https"
            )
        return key
