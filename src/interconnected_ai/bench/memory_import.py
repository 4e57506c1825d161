"""How fast a memory imports: a ChatGPT export of so many tokens, made from real chats, read, written and indexed."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interconnected_ai.bench.memory_data import Turn
from interconnected_ai.memory import ThreeLevelMemory
from interconnected_ai.text import estimate_tokens

_TURNS_IN_CHAT = 200


def import_rate(turns: Iterator[Turn], num_tokens: int) -> dict[str, Any]:
    """Seconds and tokens per second of one import, durable, and of the compression and facts after it."""
    with tempfile.TemporaryDirectory(prefix="iai-bench-memory-") as scratch:
        export, total = Path(scratch) / "conversations.json", 0
        chosen = []
        for turn in turns:
            if total >= num_tokens:
                break
            chosen.append(turn)
            total += estimate_tokens(turn.content)
        chats = [chosen[start : start + _TURNS_IN_CHAT] for start in range(0, len(chosen), _TURNS_IN_CHAT)]
        export.write_text(json.dumps([_chat(number, chat) for number, chat in enumerate(chats)]), encoding="utf-8")
        with ThreeLevelMemory(Path(scratch) / "memory.db", background=False) as memory:
            started = time.perf_counter()
            moved = memory.import_file(export)
            imported = time.perf_counter()
            memory.catch_up()
            compressed = time.perf_counter()
    return {
        "import_messages": moved.num_messages,
        "import_tokens": total,
        "import_seconds": imported - started,
        "import_tokens_per_s": total / (imported - started),
        "import_catch_up_seconds": compressed - imported,
    }


def _chat(number: int, turns: list[Turn]) -> dict[str, Any]:
    """A conversation as ChatGPT exports it: a tree, here without branches."""
    mapping: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None, "children": ["0"]}}
    for place, turn in enumerate(turns):
        message = {
            "id": f"{number}-{place}",
            "author": {"role": turn.role, "name": None, "metadata": {}},
            "create_time": 1_700_000_000.0 + 1_000 * number + place,
            "content": {"content_type": "text", "parts": [turn.content]},
            "metadata": {},
        }
        mapping[str(place)] = {
            "id": str(place),
            "message": message,
            "parent": str(place - 1) if place else "root",
            "children": [str(place + 1)] if place + 1 < len(turns) else [],
        }
    return {
        "title": f"Chat {number}",
        "conversation_id": f"chat-{number}",
        "current_node": str(len(turns) - 1),
        "mapping": mapping,
    }
