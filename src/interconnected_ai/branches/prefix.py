"""The text that an encoder wants before every other, as sentence-transformers keeps it in the encoder's folder."""

import json
from pathlib import Path

from interconnected_ai.errors import EncoderError
from interconnected_ai.storage import write_json

_FILE = "config_sentence_transformers.json"


def prefix_of(source: str | Path) -> str:
    """The default prompt of the encoder in this folder or hub repository; "" where none is named.

    Raises `EncoderError` for a file that names a prompt it does not hold, or that cannot be read.
    """
    from transformers.utils.hub import cached_file  # here: importing transformers costs seconds

    try:
        file = cached_file(source, _FILE)
    except OSError:  # the repository holds no such file, or none was fetched while there was a network
        return ""
    if file is None:
        return ""
    try:
        known = json.loads(Path(file).read_text(encoding="utf-8"))
        name = known.get("default_prompt_name")
        prefix = "" if name is None else known["prompts"][name]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(
            f"{file} cannot be read ({type(error).__name__}: {error}); needed is JSON with the prompt that "
            "default_prompt_name names under prompts, or no such file"
        ) from error
    if not isinstance(prefix, str):
        raise EncoderError(f"{file}: prompt {name!r} is {type(prefix).__name__}, needed is a text")
    return prefix


def write_prefix(folder: str | Path, prefix: str) -> None:
    """Write it so that `prefix_of`, and sentence-transformers, find it in this folder."""
    write_json(Path(folder) / _FILE, {"prompts": {"text": prefix}, "default_prompt_name": "text"})
