"""The server in one file: where it listens, who may come in, and how much of everything it takes on at once."""

from functools import cached_property
from ipaddress import ip_address
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from interconnected_ai.config.record import Place, Record

Seconds = Annotated[float, Field(gt=0.0, le=86_400.0, strict=False)]
Megabytes = Annotated[float, Field(gt=0.0, le=1_000_000.0, strict=False)]


class ServingConfig(Record):
    """A server.

    host, port: where it listens; port 0 is a free one. keys: the file of the API keys that `iai key` writes; where it holds one
    that is in force, every request but /healthz and /readyz needs a key, and any address but this machine's own needs that
    file. hosts: names that requests may give in their Host header, beside those of this machine, such as the name of a proxy;
    "*" is any. origins: pages of other servers that may send requests ("https://example.com"); they read no answers (CORS).
    max_at_once: answers made at the same time; max_waiting: requests that wait for their turn, beyond which they are told to
    come again (503); one key has half of these places at most. max_seconds: of one answer. max_connections: that may be open.
    head_seconds: until a request's line and headers have come; body_seconds: until its body has.
    max_body_mb, max_upload_mb: of JSON, and of files (MB, 10⁶ bytes). max_prompt_tokens, max_new_tokens, max_choices: of one
    request; max_new_tokens is also what a request may ask for at most.
    stall_seconds: for a client to take what is sent to it, after which its connection is closed.
    ping_seconds: of silence in a stream, after which a comment says that all is well. drain_seconds: how long answers may go on
    after the server was told to end.
    state: the folder of what outlives the server: jobs with their uploads, conversations, feedback, responses; None keeps
    nothing longer than the server runs. kept_responses, kept_responses_mb: of each key (MB, 10⁶ bytes), beyond which those used
    longest ago leave.
    log_prompts: whether the log holds what people write. metrics: whether /metrics is there.
    tls_certificate, tls_key: PEM files, both or none; with them the server speaks HTTPS.
    """

    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    keys: Place | None = None
    state: Place | None = None
    hosts: Annotated[tuple[str, ...], Field(strict=False)] = ()
    origins: Annotated[tuple[str, ...], Field(strict=False)] = ()
    max_at_once: Annotated[int, Field(ge=1, le=1024)] = 8
    max_waiting: Annotated[int, Field(ge=0, le=100_000)] = 64
    max_seconds: Seconds = 600.0
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 512
    head_seconds: Seconds = 20.0
    body_seconds: Seconds = 30.0
    max_body_mb: Megabytes = 4.0
    max_upload_mb: Megabytes = 100.0
    max_prompt_tokens: Annotated[int, Field(ge=1)] = 131_072
    max_new_tokens: Annotated[int, Field(ge=1)] = 16_384
    max_choices: Annotated[int, Field(ge=1, le=128)] = 8
    stall_seconds: Seconds = 60.0
    ping_seconds: Seconds = 15.0
    drain_seconds: Seconds = 20.0
    kept_responses: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    kept_responses_mb: Megabytes = 50.0
    log_prompts: bool = False
    metrics: bool = True
    tls_certificate: Place | None = None
    tls_key: Place | None = None

    @cached_property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @field_validator("origins")
    @classmethod
    def _schemes_and_hosts(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            scheme, _, rest = origin.partition("://")
            if scheme not in ("http", "https") or not rest or "/" in rest:
                raise ValueError(f"{origin!r} is no origin; needed is scheme, host and port alone: https://example.com")
        return origins

    @model_validator(mode="after")
    def _both_of_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together; give both, or none")
        return self
