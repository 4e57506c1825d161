"""A pool of expert models in a RAM budget."""

from dataclasses import dataclass

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.checks import known_precision, require_count, require_positive
from interconnected_ai.planner.expert.size import expert_size, kv_cache_bytes
from interconnected_ai.planner.precision import BYTES, weight_bytes


@dataclass(frozen=True)
class PoolSize:
    """What a pool of experts takes: RAM for those that stay in it, working memory for those that answer, disk for all.

    expert_bytes: one expert's tensors, in RAM as on disk. copied_bytes: what its engine holds of them a second time, in another
    layout. working_bytes: what one expert that answers needs besides.
    load_seconds: one expert from the disk; cached_load_seconds: when the system still has the file in its page cache
    (a copy in memory, which reads and writes every byte). None where no bandwidth was given.
    """

    num_experts: int
    num_active: int
    num_resident: int
    ram_bytes: int
    reserve_bytes: int
    expert_bytes: int
    working_bytes: int
    load_seconds: float | None
    cached_load_seconds: float | None
    copied_bytes: int = 0

    @property
    def held_bytes(self) -> int:
        """One expert in RAM, its engine's copies included."""
        return self.expert_bytes + self.copied_bytes

    @property
    def fits(self) -> bool:
        """Whether the experts that answer at the same time have room at all."""
        return self.num_resident >= self.num_active

    @property
    def all_resident(self) -> bool:
        """Whether no expert ever has to be loaded again."""
        return self.num_resident == self.num_experts

    @property
    def disk_bytes(self) -> int:
        """All experts on disk."""
        return self.num_experts * self.expert_bytes

    @property
    def used_bytes(self) -> int:
        """RAM in use when every place is taken and `num_active` experts answer."""
        return self.reserve_bytes + self.num_resident * self.held_bytes + self.num_active * self.working_bytes

    @property
    def needed_bytes(self) -> int:
        """The least RAM that works: the reserve, and the experts that answer at the same time."""
        return self.reserve_bytes + self.num_active * (self.held_bytes + self.working_bytes)

    @property
    def needed_for_all_bytes(self) -> int:
        """RAM in which every expert stays."""
        return self.needed_bytes + (self.num_experts - self.num_active) * self.held_bytes

    @property
    def mean_load_seconds(self) -> float | None:
        """Loading time a request waits for on average, if all experts are asked for alike and none is in the page cache."""
        if self.load_seconds is None:
            return None
        return self.load_seconds * (1 - self.num_resident / self.num_experts)


def _expert_bytes(expert: ExpertConfig | int, precision: str) -> int:
    if isinstance(expert, ExpertConfig):
        return expert_size(expert).state_dict_bytes(precision)
    require_count("num_params", expert)
    return weight_bytes(expert, known_precision(precision), scales=precision in ("int8", "int4"))


def _seconds(name: str, num_bytes: int, bandwidth: float | None) -> float | None:
    if bandwidth is None:
        return None
    require_positive(name, bandwidth)
    return num_bytes / bandwidth


def expert_working_bytes(
    shape: ExpertConfig, num_context_tokens: int | None = None, *, batch: int = 1, precision: str = "float16"
) -> int:
    """What an expert that answers needs besides its weights: keys and values, and the widest moment of reading a prompt.

    That moment is the feed-forward block's, with the residual before and after attention, its norm (none with post-norm)
    and the hidden layer before and after the activation: 3·d + 2·f numbers a token; or attention's, with the residual, its
    norm, q, k, v and the mixed values twice while they change their layout: 7·d (fused attention keeps no scores). Then the
    last position's logits.
    Quantised experts keep all of that in 16 bits.
    """
    num_tokens = shape.max_seq_len if num_context_tokens is None else num_context_tokens
    require_count("num_context_tokens", num_tokens)
    kept = "float16" if known_precision(precision) in ("int8", "int4") else precision
    widest = max(3 * shape.d_model + 2 * shape.inner, 7 * shape.d_model)
    passing = round(batch * num_tokens * widest * BYTES[kept])
    logits = batch * shape.vocab_size * 4
    return kv_cache_bytes(shape, num_tokens, batch=batch, precision=kept) + passing + logits


def pool_size(
    expert: ExpertConfig | int,
    num_experts: int,
    ram_bytes: int,
    precision: str = "float16",
    *,
    num_active: int = 1,
    num_context_tokens: int | None = None,
    batch: int = 1,
    reserve_bytes: int = 0,
    working_bytes: int | None = None,
    disk_bandwidth: float | None = None,
    memory_bandwidth: float | None = None,
) -> PoolSize:
    """How many of `num_experts` experts stay in a RAM budget, and what loading one of the others takes.

    expert: a shape, or a number of parameters, of which the working memory cannot be told: give `working_bytes`, or none
    is counted. num_active: experts that answer at the same time. num_context_tokens: of each row, None is max_seq_len.
    reserve_bytes: what the process takes besides (Python and PyTorch take some hundred MB). Bandwidths: bytes per second.
    Engines' second copies are counted for a shape, as the torch engine makes them on an x86 CPU.
    Raises `ConfigError` for counts that cannot be.
    """
    require_count("num_experts", num_experts)
    require_count("num_active", num_active)
    require_count("ram_bytes", ram_bytes)
    if num_active > num_experts:
        raise ConfigError(f"num_active={num_active} of num_experts={num_experts}: more than there are cannot answer")
    if reserve_bytes < 0 or (working_bytes or 0) < 0:
        raise ConfigError(f"reserve_bytes={reserve_bytes}, working_bytes={working_bytes}: need 0 or more")
    expert_bytes = _expert_bytes(expert, precision)
    if working_bytes is None:
        working_bytes = 0
        if isinstance(expert, ExpertConfig):
            working_bytes = expert_working_bytes(expert, num_context_tokens, batch=batch, precision=precision)
    copied_bytes = expert_size(expert).copied_bytes(precision) if isinstance(expert, ExpertConfig) else 0
    free = ram_bytes - reserve_bytes - num_active * working_bytes
    return PoolSize(
        num_experts=num_experts,
        num_active=num_active,
        num_resident=min(num_experts, max(0, free // (expert_bytes + copied_bytes))),
        ram_bytes=ram_bytes,
        reserve_bytes=reserve_bytes,
        expert_bytes=expert_bytes,
        working_bytes=working_bytes,
        load_seconds=_seconds("disk_bandwidth", expert_bytes, disk_bandwidth),
        cached_load_seconds=_seconds("memory_bandwidth", 2 * expert_bytes, memory_bandwidth),
        copied_bytes=copied_bytes,
    )
