"""Our settings in the words of OpenAI's HTTP interface; what it cannot say is refused by name."""

import json
from collections.abc import Sequence
from typing import Any

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import Blame, EngineError
from interconnected_ai.experts.remote.description import RemoteServer
from interconnected_ai.types import ChatMessage

# Setting → the value under which it does nothing.
_BEYOND: dict[str, Any] = {"top_k": None, "min_p": None, "repetition_penalty": 1.0}  # known to some servers
_NEVER: dict[str, Any] = {
    "num_beams": 1,
    "bad_words": (),
    "logit_bias": (),  # token ids are the server's own
    "logprobs": None,
    "window": "error",
    "regex": None,
    "choices": (),
}
_MOST_SEED = 2**63


def refuse_unknown(server: RemoteServer, config: GenerationConfig) -> None:
    """Raise `EngineError` for a setting that this server does not know."""
    for setting, nothing in {**_NEVER, **_BEYOND}.items():
        value = getattr(config, setting)
        if value in (nothing, None) or setting in server.extensions:
            continue
        remedy = (
            "name it in the extensions of remote.json if the server has it" if setting in _BEYOND else "leave it out"
        )
        raise EngineError(f"a remote server has no {setting}={value!r}; {remedy}").blaming(
            Blame(setting, "the server that this expert stands on does not do it; leave it out, or ask another expert")
        )


def asked_of(
    server: RemoteServer, prompt: str | Sequence[ChatMessage], config: GenerationConfig, seed: int | None
) -> tuple[str, dict[str, Any]]:
    """Where to send a request, below the server's address, and its body.

    A prompt is what the user says where the api is "chat"; messages go to the chat in any case.
    """
    body = {"model": server.model, "stream": True, **_settings(server, config, seed)}
    if isinstance(prompt, str) and server.api == "completions":
        return "/completions", {**body, "prompt": prompt}
    messages = [ChatMessage("user", prompt)] if isinstance(prompt, str) else prompt
    return "/chat/completions", {**body, "messages": [{"role": m.role, "content": m.content} for m in messages]}


def _settings(server: RemoteServer, config: GenerationConfig, seed: int | None) -> dict[str, Any]:
    said: dict[str, Any] = {"max_tokens": config.max_new_tokens, "temperature": config.temperature}
    if config.top_p is not None:
        said["top_p"] = config.top_p
    for penalty in ("presence_penalty", "frequency_penalty"):
        if value := getattr(config, penalty):
            said[penalty] = value
    if config.stop:
        said["stop"] = list(config.stop)
    if seed is not None:
        said["seed"] = seed % _MOST_SEED
    if config.json_schema is not None:
        form = {"name": "answer", "schema": json.loads(config.json_schema), "strict": True}
        said["response_format"] = {"type": "json_schema", "json_schema": form}
    return {**said, **{name: value for name in server.extensions if (value := getattr(config, name)) is not None}}
