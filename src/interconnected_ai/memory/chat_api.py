"""One question over HTTP to any server that speaks the OpenAI chat API (llama.cpp, vLLM, Ollama, our own `iai serve`)."""

import json
from dataclasses import dataclass

from interconnected_ai.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class ChatServer:
    """Asks POST {base_url}/chat/completions. base_url: such as http://127.0.0.1:8000/v1. Many threads may ask at once."""

    base_url: str
    model: str
    api_key: str | None = None
    timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ConfigError(f"base_url={self.base_url!r}: needed is an address such as http://127.0.0.1:8000/v1")

    @property
    def address(self) -> str:
        """What is asked."""
        return self.base_url.rstrip("/") + "/chat/completions"

    def ask(self, task: str, text: str, *, max_tokens: int) -> str:
        """The answer to a text under a task. Raises `DataError` for an answer that is none, `OSError` when nobody answers."""
        import urllib.error  # here: TLS alone takes 8 MB, and few memories ask a server
        import urllib.request

        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": task}, {"role": "user", "content": text}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        request = urllib.request.Request(self.address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_seconds) as answer:
                content = json.load(answer)["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError, json.JSONDecodeError) as error:
            raise DataError(f"{self.address} answered with no chat completion: {error!r}") from error
        except urllib.error.HTTPError as error:
            raise DataError(
                f"{self.address} answered {error.code} {error.reason}; check the model's name and the key"
            ) from error
        if not isinstance(content, str):
            raise DataError(f"{self.address} answered without text")
        return content
