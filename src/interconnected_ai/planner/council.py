"""A council of experts that branched from one seed, or one dense model: which serves better, from what was measured.

`iai bench council --part seed` measures the curve; here is what it says of other sizes, and how far it can be trusted.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from statistics import fmean
from typing import Annotated, Any, Literal

from pydantic import Field

from interconnected_ai.config import ExpertConfig, Record
from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.checks import require_count, require_positive
from interconnected_ai.planner.devices import Device
from interconnected_ai.planner.duration import Assumption, Range, Speed
from interconnected_ai.planner.expert import PoolSize, expert_size, expert_training_step, pool_size
from interconnected_ai.planner.expert.size import ExpertSize

_FILE = "council_curve.json"
_LEAST_SEED = 0.4  # of all tokens; a smaller seed is measured, and not what is planned
_BATCH = 8
_LEAST_MARGIN = 0.01  # of ln ratio: what another seed of the random numbers changes
WIDTH = 2  # the expert that is chosen, and the seed
Verdict = Literal["council", "dense", "either"]
_Positive = Annotated[float, Field(gt=0)]


class CouncilPoint(Record):
    """One council beside one dense model of as many active parameters that read as many tokens.

    num_params: of one expert. text_tokens: that there are to learn from; dense_tokens: that were read of them, some several
    times. council_over_dense_bpb: bits per byte of held-out text over the dense model's.
    """

    what: str
    num_domains: Annotated[int, Field(ge=2)]
    seed_share: Annotated[float, Field(ge=0, lt=1)]
    num_params: Annotated[int, Field(ge=1)]
    text_tokens: Annotated[int, Field(ge=1)]
    dense_tokens: Annotated[int, Field(ge=1)]
    council_over_dense_bpb: _Positive

    @property
    def tokens_per_param(self) -> float:
        """Read in training for each active parameter."""
        return self.dense_tokens / self.num_params


class CouncilCurve(Record):
    """What was measured, and when. points: at least three with a seed that read .4 of all tokens or more."""

    measured: str
    points: Annotated[tuple[CouncilPoint, ...], Field(strict=False, min_length=3)]

    @property
    def known(self) -> tuple[CouncilPoint, ...]:
        """The points that a plan rests on."""
        return tuple(point for point in self.points if point.seed_share >= _LEAST_SEED)

    def ratio(self, tokens_per_param: float) -> tuple[Range, bool]:
        """(council's bits per byte over the dense model's, whether it lies outside of what was measured).

        ln ratio = a + b · ln(tokens per parameter), least squares; the range is twice the spread of the points around it and
        holds all of them, never less than 1 % to each side, and as much more for every e-fold beyond the measured ones.
        """
        known = self.known
        if len(known) < 3:
            raise ConfigError(
                f"{len(known)} points of the curve have a seed of {_LEAST_SEED:.0%} or more; 3 are needed"
            )
        xs = [math.log(point.tokens_per_param) for point in known]
        ys = [math.log(point.council_over_dense_bpb) for point in known]
        middle, height = fmean(xs), fmean(ys)
        spread = sum((x - middle) ** 2 for x in xs)
        slope = sum((x - middle) * (y - height) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0
        left = [y - height - slope * (x - middle) for x, y in zip(xs, ys, strict=True)]
        error = math.sqrt(sum(each * each for each in left) / max(1, len(known) - 2))
        asked = math.log(tokens_per_param)
        beyond = max(0.0, min(xs) - asked, asked - max(xs))
        nearest = min(max(asked, min(xs)), max(xs))
        # beyond the measured ones no further gain is taken for granted: the line ends there
        expected = height + slope * (nearest - middle)
        margin = max(2 * error, _LEAST_MARGIN, *map(abs, left)) * (1 + beyond)
        return Range(math.exp(expected - margin), math.exp(expected), math.exp(expected + margin)), beyond > 0


@dataclass(frozen=True)
class CouncilPlan:
    """A council beside a dense model of as many active parameters, trained for as long.

    tokens_read: in the minutes, by either. ratio: the council's bits per byte over the dense model's. is_beyond: nothing like
    it was measured. pool: the experts and their seed within the RAM.
    """

    shape: ExpertConfig
    num_domains: int
    text_tokens: int
    minutes: float
    tokens_read: Range
    ratio: Range
    is_beyond: bool
    pool: PoolSize
    assumption: Assumption
    measured: str

    @cached_property
    def size(self) -> ExpertSize:
        """Of one expert, and of the dense model."""
        return expert_size(self.shape)

    @property
    def passes(self) -> float:
        """How often the text is read."""
        return self.tokens_read.expected / self.text_tokens

    @property
    def verdict(self) -> Verdict:
        """What serves better; "either" where what was measured cannot tell them apart."""
        if not self.pool.fits or self._too_little_text:
            return "dense"
        if self.ratio.high < 1:
            return "council"
        return "dense" if self.ratio.low > 1 else "either"

    @property
    def reason(self) -> str:
        """The verdict in words."""
        if not self.pool.fits:
            return "the expert and the seed do not fit into the RAM together; one dense model does with half of it"
        if self._too_little_text:
            return "a domain's text fills no batch of an expert's training"
        percent = f"{100 * (self.ratio.expected - 1):+.1f} % bits per byte ({100 * (self.ratio.low - 1):+.1f} to "
        percent += f"{100 * (self.ratio.high - 1):+.1f} %) against the dense model"
        told = {
            "council": f"the council foretells text better: {percent}",
            "dense": f"the dense model foretells text better: the council has {percent}",
            "either": f"what was measured does not tell them apart: {percent}. One model is the simpler thing to serve; a "
            "council is easier to grow, since a domain that comes later trains one more expert and changes no other",
        }[self.verdict]
        return f"{told}. Nothing like it was measured, so the range is wide" if self.is_beyond else told

    @property
    def _too_little_text(self) -> bool:
        return self.text_tokens // self.num_domains <= self.shape.max_seq_len

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "num_params": self.size.num_params,
            "num_domains": self.num_domains,
            "tokens_read": vars(self.tokens_read),
            "passes": self.passes,
            "tokens_per_param": self.tokens_read.expected / self.size.num_params,
            "bits_per_byte_ratio": vars(self.ratio),
            "is_beyond": self.is_beyond,
            "dense_bytes": self.pool.expert_bytes,
            "council_bytes": self.pool.disk_bytes,
            "num_resident": self.pool.num_resident,
            "measured": self.measured,
            "assumption": self.assumption.text,
        }


def published_curve() -> CouncilCurve:
    """The curve that this package was measured with (docs/results/council.md)."""
    text = (files("interconnected_ai.planner") / _FILE).read_text(encoding="utf-8")
    return curve_from(json.loads(text), source=_FILE)


def curve_from(content: Mapping[str, Any], *, source: str) -> CouncilCurve:
    """The curve in what `iai bench council --part seed --json` gave, or in what was kept of it. Raises `ConfigError`."""
    if "curve" in content:
        machine = content.get("machine", {})
        content = {
            "measured": f"{machine.get('date', 'some day')} on {machine.get('processor', 'some processor')}",
            "points": [
                {key: point[key] for key in CouncilPoint.model_fields if key in point} for point in content["curve"]
            ],
        }
    return CouncilCurve.from_mapping(dict(content), source=source)


def plan_council(
    shape: ExpertConfig,
    *,
    text_tokens: int,
    num_domains: int,
    minutes: float,
    ram_bytes: int,
    device: Device,
    precision: str = "float32",
    curve: CouncilCurve | None = None,
) -> CouncilPlan:
    """Whether a council of `num_domains` experts of this shape and their seed serves better than one dense model of it.

    shape: its max_seq_len is the window of the training. text_tokens: of all domains together. minutes: of training on
    `device`, for either. ram_bytes: while it answers, in float32, `WIDTH` experts at a time. curve: None is the published one.
    Raises `ConfigError` for counts that cannot be.
    """
    require_count("text_tokens", text_tokens)
    require_positive("minutes", minutes)
    if num_domains < 2:
        raise ConfigError(f"num_domains={num_domains}: a council has two experts or more; name at least two domains")
    speed = Speed.on(device, precision)
    step = speed.seconds(expert_training_step(shape, _BATCH))
    per_step = _BATCH * shape.max_seq_len
    seconds = 60 * minutes
    read = Range(*(max(1.0, seconds / each) * per_step for each in (step.high, step.expected, step.low)))
    measured = curve or published_curve()
    ratio, is_beyond = _ratio(measured, read, expert_size(shape).num_params)
    pool = pool_size(
        shape, num_domains + 1, ram_bytes, "float32", num_active=WIDTH,
        num_context_tokens=shape.max_seq_len, memory_bandwidth=device.bandwidth,
    )  # fmt: skip
    return CouncilPlan(
        shape, num_domains, text_tokens, minutes, read, ratio, is_beyond, pool, speed.assumption, measured.measured
    )


def _ratio(curve: CouncilCurve, read: Range, num_params: int) -> tuple[Range, bool]:
    """As the curve has it, over all that may be read in the time."""
    slow, (expected, is_beyond), fast = (curve.ratio(tokens / num_params) for tokens in vars(read).values())
    found = (slow[0], expected, fast[0])
    return Range(min(one.low for one in found), expected.expected, max(one.high for one in found)), is_beyond
