"""Settings in YAML or JSON: how they are read and written. What they mean is the records' affair."""

import json
import re
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


def as_yaml(settings: Any) -> str:
    """Plain values as YAML, keys in their own order; `settings_in` reads the text back to equal values."""
    return yaml.dump(settings, Dumper=_YamlOut, sort_keys=False, allow_unicode=True)
