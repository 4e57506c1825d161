"""How much a key has left: buckets of requests and of tokens that fill again over a minute, and answers at once."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from interconnected_ai.serving.faults import RETRY_SECONDS, Refusal
from interconnected_ai.serving.keys import ApiKey

_SECONDS = 60.0


@dataclass
class _Bucket:
    """Holds `limit` at most, and fills at `limit` a minute. What is taken may leave a debt."""

    limit: int
    left: float
    at: float

    def fill(self, limit: int, now: float) -> None:
        elapsed = max(0.0, now - self.at)
        self.left = min(float(limit), self.left + elapsed * limit / _SECONDS)
        self.limit, self.at = limit, now

    def seconds_until(self, amount: float) -> float:
        return max(0.0, (amount - self.left) * _SECONDS / self.limit)


class Quotas:
    """Who may ask once more.

    clock: seconds that only grow, whatever happens to the clock on the wall. Used in the event loop's thread alone.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._inside: dict[str, int] = {}  # by the key's id

    def enter(self, key: ApiKey) -> None:
        """One more of the key's is being answered, until `leave`. Raises `Refusal`, 429, where as many as may be are."""
        inside = self._inside.get(key.id, 0)
        if key.at_once is not None and inside >= key.at_once:
            raise Refusal(
                429, f"{inside} requests of the key {key.name!r} are being answered, and {key.at_once} may be; wait for one",
                code="too_many_at_once", retry_seconds=RETRY_SECONDS,
            )  # fmt: skip
        self._inside[key.id] = inside + 1

    def leave(self, key: ApiKey) -> None:
        """One of the key's is answered, or its client has left."""
        self._inside[key.id] -= 1
        if not self._inside[key.id]:
            del self._inside[key.id]

    def take_request(self, key: ApiKey) -> dict[str, str]:
        """One request of this key's; headers that say what is left. Raises `Refusal`, 429, where nothing is."""
        headers: dict[str, str] = {}
        if key.tokens_per_minute is not None:
            tokens = self._bucket(key, "tokens", key.tokens_per_minute)
            if tokens.left <= 0:
                raise _too_many(key, "tokens", key.tokens_per_minute, tokens.seconds_until(1.0))
            headers |= _told("tokens", tokens)
        if key.requests_per_minute is not None:
            requests = self._bucket(key, "requests", key.requests_per_minute)
            if requests.left < 1:
                raise _too_many(key, "requests", key.requests_per_minute, requests.seconds_until(1.0))
            requests.left -= 1
            headers |= _told("requests", requests)
        return headers

    def take_tokens(self, key: ApiKey, number: int) -> None:
        """An answer took so many; more than were left is a debt, which the next requests wait for."""
        if key.tokens_per_minute is not None:
            self._bucket(key, "tokens", key.tokens_per_minute).left -= number

    def _bucket(self, key: ApiKey, what: str, limit: int) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault((key.id, what), _Bucket(limit, float(limit), now))
        bucket.fill(limit, now)
        return bucket


def _told(what: str, bucket: _Bucket) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(bucket.limit),
        f"x-ratelimit-remaining-{what}": str(max(0, int(bucket.left))),
        f"x-ratelimit-reset-{what}": f"{bucket.seconds_until(bucket.limit):.3f}s",
    }


def _too_many(key: ApiKey, what: str, limit: int, seconds: float) -> Refusal:
    return Refusal(
        429, f"the key {key.name!r} has had its {limit:,} {what} of a minute; wait {seconds:.1f} s",
        code="rate_limit_exceeded", retry_seconds=seconds,
    )  # fmt: skip
