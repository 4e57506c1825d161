"""What PEFT and the trainers around it write beside an adapter's weights of its chats: a template, and tokens that were added.

An adapter's own template goes before its base's. Tokens that the base lacks have no rows in it, and are refused.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from interconnected_ai.errors import AdapterError, IntegrityError
from interconnected_ai.experts.chat import ChatTemplate
from interconnected_ai.experts.chat.sources import TemplateSource
from interconnected_ai.storage import read_json
from interconnected_ai.text import TextTokenizer

TEMPLATE = "chat_template.jinja"
_TOKENIZER, _CONFIG, _ADDED = "tokenizer.json", "tokenizer_config.json", "added_tokens.json"
FILES = (TEMPLATE, "chat_template.json", _TOKENIZER, _CONFIG, _ADDED, "special_tokens_map.json")


def added_tokens(folder: Path) -> dict[str, int]:
    """The special and added tokens that an adapter's tokenizer names, with their ids; empty where it brings none.

    Raises `IntegrityError` for files that hold something else.
    """
    found: dict[str, int] = {}
    try:
        if (folder / _TOKENIZER).is_file():
            listed = json.loads((folder / _TOKENIZER).read_text(encoding="utf-8")).get("added_tokens") or ()
            found |= {str(token["content"]): int(token["id"]) for token in listed}
        decoder = _content(folder / _CONFIG).get("added_tokens_decoder") or {}
        found |= {str(token["content"]): int(token_id) for token_id, token in decoder.items()}
        found |= {str(content): int(token_id) for content, token_id in _content(folder / _ADDED).items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            f"{folder}: the files of its tokenizer cannot be read ({type(error).__name__}: {error}); restore them from a copy, "
            "or delete them: the base's tokenizer is used"
        ) from error
    return found


def require_known_tokens(added: Mapping[str, int], tokenizer: TextTokenizer, *, adapter: Path, base: str) -> None:
    """Raise `AdapterError` where an adapter's tokenizer has tokens that its base has not, or has them elsewhere."""
    foreign = [token for token, token_id in added.items() if tokenizer.fast.token_to_id(token) != token_id]
    if foreign:
        shown = ", ".join(f"{token!r} ({added[token]})" for token in foreign[:5])
        raise AdapterError(
            f"{adapter}: its tokenizer has {len(foreign)} tokens that {base} has not under these ids: {shown}"
            f"{', …' if len(foreign) > 5 else ''}. A LoRA adapter brings no rows for them; merge it into a base that has them"
        )


def chat_template(own: TemplateSource, base: Path, tokenizer: TextTokenizer) -> ChatTemplate:
    """How an adapter reads conversations: its own template, else that of the base at this place. Raises as `ChatTemplate`.

    Answers are sampled as the base's makers advise where nobody of the adapter's does.
    """
    of_base = TemplateSource.of_place(base)
    if own.template is None:
        return ChatTemplate.of_source(of_base, tokenizer)
    return ChatTemplate.of_source(replace(own, sampling=own.sampling or of_base.sampling), tokenizer)


def _content(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
