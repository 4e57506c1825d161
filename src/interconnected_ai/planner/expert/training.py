"""One optimiser step of an expert model, as work for a device."""

from interconnected_ai.config import ExpertConfig
from interconnected_ai.planner.expert.size import expert_size, products
from interconnected_ai.planner.workload import Workload


def expert_training_step(shape: ExpertConfig, batch: int) -> tuple[Workload, ...]:
    """A step on `batch` blocks of the whole window: forward and backward, then the optimiser's pass over the weights."""
    positions, seq = batch * shape.max_seq_len, shape.max_seq_len
    per_block = positions * (16 * shape.d_model + shape.inner) + 3 * batch * shape.n_heads * seq * seq
    passes = Workload(
        products(shape, batch, seq, trains=True),
        moved_numbers=shape.n_layers * per_block + 4 * positions * shape.d_model + 2 * positions * shape.vocab_size,
        activated_numbers=shape.n_layers * positions * shape.inner,
        num_ops=30 * shape.n_layers + 12,
        trains=True,
    )
    return passes, Workload(updated_params=expert_size(shape).num_params, num_ops=12)
