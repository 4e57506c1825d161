"""A pretrained model's `config.json`, read key by key, with complaints that name the key, the rule and the remedy."""

from collections.abc import Mapping
from typing import Any

from interconnected_ai.errors import ConfigError


class Settings:
    """A `config.json` being read: each value is checked, and a complaint names the key, the rule and the remedy."""

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        self.values, self.source = values, source

    def has(self, key: str) -> bool:
        """Whether the file says something other than null for this key."""
        return self.values.get(key) is not None

    def count(self, *keys: str, at_least: int = 1, default: int | None = None) -> int:
        """The whole number under the first of these names (transformers renames some keys when it saves)."""
        given = {key: self.values[key] for key in keys if self.has(key)}
        if not given and default is None:
            others = f" (also read as {', '.join(keys[1:])})" if keys[1:] else ""
            raise self.error(f"key {keys[0]!r} is missing{others}; copy the config.json that belongs to the weights")
        key, value = next(iter(given.items()), (keys[0], default))
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise self.wrong(key, f"needs a whole number of at least {at_least}")
        if any(other != value for other in given.values()):
            raise self.error(f"{given} contradict each other; keep the one that the weights have")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """The true or false under this name; transformers' own default where the file is silent."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "needs true or false")
        return value

    def names(self, key: str, num_layers: int, known: tuple[str, ...]) -> list[str] | None:
        """A list of one known name for each layer, or None where the file has none."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != num_layers or any(name not in known for name in value):
            raise self.wrong(key, f"needs {num_layers} names, one a layer, out of {', '.join(known)}")
        return value

    def layers(self, key: str) -> list[int]:
        """A list of layer numbers; empty where the file has none."""
        value = self.values.get(key)
        value = [] if value is None else value
        if not isinstance(value, list) or any(isinstance(n, bool) or not isinstance(n, int) for n in value):
            raise self.wrong(key, "needs a list of layer numbers")
        return value

    def wrong(self, key: str, rule: str) -> ConfigError:
        """The error for a value that breaks a rule."""
        return self.error(f"{key} = {self.values.get(key)!r}: {rule}; correct it, or take the model's own config.json")

    def error(self, text: str) -> ConfigError:
        """An error that names the file."""
        return ConfigError(f"{self.source}: {text}")
