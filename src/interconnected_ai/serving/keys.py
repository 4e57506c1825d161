"""API keys in a file: made, listed, revoked, found. Only hashes are kept; the file is read again when it changes."""

import hmac
import secrets
import threading
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from interconnected_ai.errors import ConfigError, IntegrityError, UnknownNameError
from interconnected_ai.storage import atomic_file, locked, read_json, write_json

SCOPES = ("chat", "classify", "memory", "admin")
_PREFIX = "iai-"
_FORMAT = 1
_NAME_LENGTH = 100


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key. sha256: of the key, 256 random bits, which no dictionary holds. user: whose memory it opens.

    scopes: what it may do; "admin" is everything. requests_per_minute, tokens_per_minute, at_once (requests that are being
    answered): None is no limit.
    """

    id: str
    name: str
    sha256: str
    scopes: tuple[str, ...]
    user: str
    created: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    revoked: str | None = None
    at_once: int | None = None

    def may(self, scope: str) -> bool:
        """Whether it may do this."""
        return scope in self.scopes or "admin" in self.scopes

    def shown(self) -> dict[str, Any]:
        """What anybody may see of it."""
        return {name: value for name, value in asdict(self).items() if name != "sha256"}


class KeyFile:
    """The keys of a server.

    Threads and processes: any number at once; changes are made one after another, under a lock of the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._guard = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._keys: tuple[ApiKey, ...] = ()

    def all(self) -> tuple[ApiKey, ...]:
        """The keys, in the order of their making, those that were revoked too. Raises `IntegrityError` for a damaged file."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return ()
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        with self._guard:
            if seen != self._seen:
                self._keys, self._seen = _read(self.path), seen
            return self._keys

    @property
    def in_force(self) -> tuple[ApiKey, ...]:
        """The keys that open something."""
        return tuple(key for key in self.all() if key.revoked is None)

    def find(self, secret: str) -> ApiKey | None:
        """The key in force that this is; every one is compared, in a time that does not depend on how much of it fits."""
        given = sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
        found: ApiKey | None = None
        for key in self.in_force:
            if hmac.compare_digest(key.sha256, given):
                found = key
        return found

    def add(
        self,
        name: str,
        *,
        scopes: Collection[str] = ("chat", "classify", "memory"),
        user: str | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        at_once: int | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key, and its secret, which is told this once. user: None is a user of its own, called as the key.

        Raises `ConfigError` for a name that a key in force has, or that is empty, and `UnknownNameError` for a scope.
        """
        _require_name("a key's name", name)
        _require_name("a user", user or name)
        for scope in scopes:
            if scope not in SCOPES:
                raise UnknownNameError("scope", scope, SCOPES)
        if not scopes:
            raise ConfigError(f"a key without a scope opens nothing; give some of {', '.join(SCOPES)}")
        secret = _PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(
            secrets.token_hex(4), name, sha256(secret.encode()).hexdigest(),
            tuple(scope for scope in SCOPES if scope in scopes), user or name, _now(), requests_per_minute,
            tokens_per_minute, at_once=at_once,
        )  # fmt: skip
        with locked(self.path, purpose="adding an API key"):
            if any(other.name == name for other in self.in_force):
                raise ConfigError(
                    f"a key called {name!r} exists already, and is in force; revoke it, or take another name"
                )
            self._write((*self.all(), key))
        return key, secret

    def revoke(self, name: str) -> ApiKey:
        """The key of this name or id, which opens nothing any more, for servers that run too."""
        with locked(self.path, purpose="revoking an API key"):
            found = next((key for key in self.in_force if name in (key.name, key.id)), None)
            if found is None:
                raise UnknownNameError("key", name, [key.name for key in self.in_force])
            gone = replace(found, revoked=_now())
            self._write(tuple(gone if key == found else key for key in self.all()))
        return gone

    def _write(self, keys: tuple[ApiKey, ...]) -> None:
        with atomic_file(self.path) as scratch:
            scratch.touch(mode=0o600)
            write_json(scratch, {"format_version": _FORMAT, "keys": [asdict(key) for key in keys]})


def _read(path: Path) -> tuple[ApiKey, ...]:
    content = read_json(path)
    if content.get("format_version") != _FORMAT or not isinstance(content.get("keys"), list):
        raise IntegrityError(f"{path} is no file of API keys that this version reads; iai key add makes one")
    return tuple(_key_of(each, path) for each in content["keys"])


def _key_of(given: Any, path: Path) -> ApiKey:
    if not isinstance(given, Mapping):
        raise IntegrityError(f"{path} holds {type(given).__name__} in the place of a key")
    try:
        key = ApiKey(**{**given, "scopes": tuple(given.get("scopes", ()))})
    except TypeError as error:
        raise IntegrityError(f"{path} holds a key that is none: {error}") from error
    if not isinstance(key.sha256, str) or not set(key.scopes) <= set(SCOPES):
        raise IntegrityError(f"{path}: the key {key.name!r} is damaged; revoke it and add another")
    return key


def _require_name(what: str, name: str) -> None:
    if not name.strip() or len(name) > _NAME_LENGTH or not name.isprintable():
        raise ConfigError(f"{what} is 1 to {_NAME_LENGTH} letters that can be printed, got {name!r:.120}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
