"""What is served where all of it is needed: a council of two experts with a memory, and a system of three branches."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from interconnected_ai.bench.branches import many_branches, questions
from interconnected_ai.bench.serving.generation import ExpertSizes, asked_of, saved_expert, streamed
from interconnected_ai.bench.serving.wire import request

_BRANCHES = 3


@dataclass(frozen=True)
class Household:
    """Where everything stands. places: what `iai serve` is given. experts: of the council, by name."""

    home: Path
    experts: tuple[str, ...] = ("expert", "other")

    @property
    def places(self) -> list[Path]:
        """The council and the system."""
        return [self.home / "council.yaml", self.home / "system"]

    @property
    def memory(self) -> Path:
        """The council's memory."""
        return self.home / "memory.db"

    def weights(self, expert: str) -> Path:
        """The file of an expert's weights."""
        return next((self.home / expert).glob("*.safetensors"))


def household(home: Path, sizes: ExpertSizes) -> Household:
    """Made anew in this folder; where it stands already it stays."""
    made = Household(home)
    if not made.places[0].exists():
        small = replace(sizes, num_tokens=max(512, sizes.num_tokens))  # room for what is recalled
        for name in made.experts:
            saved_expert(home / name, small)
        many_branches(_BRANCHES, questions(8)).save_pretrained(home / "system")
        council = {
            "experts": {name: {"place": name} for name in made.experts}, "fallback": "expert", "semantic": False,
            "memory": made.memory.name, "memory_tokens": 200, "max_new_tokens": 16,
        }  # fmt: skip
        made.places[0].write_text(yaml.safe_dump(council), encoding="utf-8")
    return made


def chat(text: str, *, model: str = "expert", num_tokens: int = 16, **more: Any) -> bytes:
    """A turn of a conversation."""
    messages = [{"role": "user", "content": text}]
    return request("/v1/chat/completions", {"model": model, "messages": messages, "max_tokens": num_tokens, **more})


def everyday() -> Iterator[bytes]:
    """Requests of every kind, for ever, those that cannot be among them: they are refused."""
    for number in itertools.count():
        yield from (
            chat(f"question {number}"),
            streamed(number, 24),
            request("/v1/classify", {"input": questions(8)[number % 8]}),
            chat(f"what was said of {number % 100}?", model="council", session=f"session {number % 20}"),
            asked_of(number, 8),
            request("/v1/memory/context", {"query": "what was asked?", "session": f"session {number % 20}"}),
            request("/v1/feedback", {"rating": "up", "answer": f"chatcmpl-{number}"}),
            request("/v1/chat/completions", {"model": "nobody", "messages": []}),
            request("/v1/experts"),
            request("/nowhere"),
        )
