"""What an answer took, in OpenAI's words, in the log, in the figures and on the key's account."""

from collections.abc import Sequence
from typing import Any

from fastapi import Request

from interconnected_ai.serving.door import Caller, Door, entry_of
from interconnected_ai.serving.hall import COUNCIL
from interconnected_ai.serving.turns import Said
from interconnected_ai.serving.voices import CouncilVoice, Voice


def usage_of(said: Sequence[Said], num_choices: int = 0) -> dict[str, Any]:
    """What an answer took. num_choices: of each prompt, which counts once for all of its choices; 0: there is one prompt."""
    prompts = said[:: num_choices or len(said)]
    prompt, written = sum(one.num_prompt_tokens for one in prompts), sum(one.num_tokens for one in said)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": sum(one.num_cached_tokens for one in prompts)},
    }


def account(
    request: Request, door: Door, caller: Caller, voice: Voice, said: Sequence[Said], num_choices: int = 0
) -> None:
    """Write down what an answer took."""
    usage = usage_of(said, num_choices)
    prompt, written = usage["prompt_tokens"], usage["completion_tokens"]
    name = COUNCIL if isinstance(voice, CouncilVoice) else voice.name
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    door.counters.tokens(name, prompt=prompt, cached=cached, answer=written)
    if caller.key is not None:
        door.quotas.take_tokens(caller.key, prompt + written)
    entry = entry_of(request)
    entry.prompt_tokens, entry.answer_tokens = prompt, written
    entry.experts = tuple(said[0].told.get("experts", ()))
