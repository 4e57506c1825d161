"""Settings as plain values: from YAML and JSON, from KEY=VALUE, laid over one another, and back to YAML.

What they mean is the records' affair.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from interconnected_ai.errors import ConfigError


class _Yaml(yaml.SafeLoader):
    """YAML as people write it: 1e-3 is a number (PyYAML follows YAML 1.1, where it is a string)."""


class _YamlOut(yaml.SafeDumper):
    """The same rules for writing: a label such as "1e5" gets quotes, or it would come back as a number."""


for _way in (_Yaml, _YamlOut):
    _way.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
    )


def settings_in(
    path: str | Path, *, what: str = "config", remedy: str = "write one, or start from configs/ in the repository"
) -> Any:
    """What a YAML or JSON file holds; `ConfigError` when it is absent, not UTF-8, or not valid.

    what: the kind of file, for the message; remedy: what to do where there is none.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_Yaml)
    except FileNotFoundError as error:
        raise ConfigError(f"no {what} at {path}; {remedy}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}; a {what} is a YAML or JSON file in UTF-8") from error
    except (json.JSONDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid {'JSON' if path.suffix == '.json' else 'YAML'}: {error}") from error


def settings_of(assignments: Iterable[str]) -> dict[str, Any]:
    """Settings written one by one: `system.d_ff=768` is {"system": {"d_ff": 768}}; values are read as YAML.

    Raises `ConfigError` for what is no KEY=VALUE, and for a key that stands both for a value and for a section.
    """
    found: dict[str, Any] = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not separator or not all(parts):
            raise ConfigError(f"{assignment!r} is no setting; write KEY=VALUE, such as system.d_ff=768")
        section = found
        for part in parts[:-1]:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise ConfigError(f"{assignment!r}: {part!r} is set to {section!r} already, and cannot hold other keys")
        section[parts[-1]] = _value(text, assignment)
    return found


def _value(text: str, assignment: str) -> Any:
    try:
        return yaml.load(text, Loader=_Yaml)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{assignment!r}: the value is not valid YAML: {error}") from error


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the changes laid over them, section by section; lists are replaced whole."""
    out = dict(settings)
    for key, value in changes.items():
        kept = out.get(key)
        out[key] = merged(kept, value) if isinstance(kept, Mapping) and isinstance(value, Mapping) else value
    return out


def as_yaml(settings: Any) -> str:
    """Plain values as YAML, keys in their own order; `settings_in` reads the text back to equal values."""
    return yaml.dump(settings, Dumper=_YamlOut, sort_keys=False, allow_unicode=True)
