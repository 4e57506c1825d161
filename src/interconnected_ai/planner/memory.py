"""Bytes: weights, gradients, optimiser states, what autograd keeps, the feature cache, and the peaks they add up to.

`activations` is what autograd keeps between forward and backward, exactly, for the trunk in float32; tests compare it with
`torch.autograd.graph.saved_tensors_hooks`. Under autocast to 16 bits the products' inputs shrink by half, norms do not.
"""

from dataclasses import dataclass

from interconnected_ai.config import ROWS_OF_A_FIRST_STEP, BranchSpec
from interconnected_ai.planner.devices import Device
from interconnected_ai.planner.precision import BYTES, weight_bytes
from interconnected_ai.planner.system import SystemShape
from interconnected_ai.planner.workload import TERMS_PER_TOKEN

# AdamW keeps a first and a second moment in float32 (Loshchilov and Hutter 2019; torch.optim.AdamW).
ADAMW_BYTES_PER_PARAM = 8

TERM_BYTES = 8  # a term of a row that is learnt from: its place in the vocabulary and its weight

# An encoder whose LoRA trains keeps some two hundred blocks of a few MB each, and its gradients fit badly into the gaps that
# they leave: twice their size was measured (docs/log.md).
_SCATTERED = 2.0


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of one training step. transient: gradients of activations and buffers that live for moments.

    peak: the largest sum of what is there at once, in the backward pass or in the optimiser's step.
    """

    weights_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    transient_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class InferenceMemory:
    """Bytes of answering one batch: the weights, and the widest moment of the pass."""

    weights_bytes: int
    transient_bytes: int

    @property
    def peak_bytes(self) -> int:
        """Both together."""
        return self.weights_bytes + self.transient_bytes


def training_memory(
    shape: SystemShape,
    *,
    batch: int,
    tokens_per_text: int,
    precision: str = "float32",
    checkpointing: bool = False,
    overhead_bytes: int = 0,
    first_readings: int = 1,
    first_tokens_per_text: int | None = None,
) -> TrainingMemory:
    """The joint training: weights, gradients and AdamW in float32 (16-bit training is autocast), activations in `precision`.

    batch: rows of one forward pass (batch_size over accumulation steps and processes). checkpointing: what it would be
    if every layer kept its input alone and computed the rest again in the backward pass. overhead_bytes: see `overhead_of`.

    The peak is what is there when the backward pass ends, and what the C library has not given back by then: it keeps
    freed blocks of up to 32 MB for reuse (glibc's M_MMAP_THRESHOLD), so activations count beside the gradients; two
    buffers of the largest tensor are the optimiser's. Where the encoder learns before that and takes more, it is its peak:
    with first_readings of each row (`readings_of_a_row`), in texts of first_tokens_per_text (None: of as many).
    """
    joint = _training_memory(shape, batch, tokens_per_text, precision, checkpointing, overhead_bytes)
    if shape.before is None:
        return joint
    rows, tokens = min(batch, first_readings * ROWS_OF_A_FIRST_STEP), first_tokens_per_text or tokens_per_text
    first = _training_memory(shape.before, rows, tokens, precision, checkpointing, overhead_bytes)
    return max(joint, first, key=lambda each: each.peak_bytes)


def _training_memory(
    shape: SystemShape, batch: int, tokens_per_text: int, precision: str, checkpointing: bool, overhead_bytes: int
) -> TrainingMemory:
    num_tokens = trunk_tokens(shape, batch, tokens_per_text)
    learnt = shape.num_trainable_params
    folded = 0 if shape.encoder_learns else shape.num_folded_params
    weights = weight_bytes(shape.num_params["total"] + folded, "float32") + shape.fixed_bytes
    gradients, optimizer = weight_bytes(learnt, "float32"), ADAMW_BYTES_PER_PARAM * learnt
    layers = [layer_activation_bytes(shape, num_tokens, precision)] * shape.config.num_moe_layers
    encoder = encoder_activation_bytes(shape, batch, tokens_per_text, precision)
    fixed = branch_activation_bytes(shape, batch) + num_tokens * shape.d_model * 4
    kept = sum(layers) + encoder + fixed
    if checkpointing:
        inputs = num_tokens * shape.d_model * 4 * shape.config.num_moe_layers
        blocks = shape.num_lora_layers if shape.encoder_learns else 0
        inputs += blocks * batch * tokens_per_text * shape.d_model * 4
        kept = min(kept, inputs + max([*layers, encoder // max(1, blocks)]) + fixed)
    transient = _backward_transient(shape, num_tokens, precision)
    casts = _cast_weights(shape, precision)
    scattered = encoder * (_SCATTERED - 1)
    peak = weights + optimizer + gradients + kept + scattered + transient + casts + 8 * _largest_tensor(shape)
    return TrainingMemory(
        weights_bytes=weights,
        gradients_bytes=gradients,
        optimizer_bytes=optimizer,
        activations_bytes=kept,
        transient_bytes=transient + casts,
        peak_bytes=round(peak) + overhead_bytes,
    )


def added_branch_memory(
    shape: SystemShape, *, num_rows: int, spec: BranchSpec, batch: int, tokens_per_text: int = 0
) -> TrainingMemory:
    """Training one branch on a finished trunk: the pooled vectors and terms of all rows, and one small branch's gradients."""
    num_classes, learnt = spec.num_classes, shape.num_branch_params(spec.num_classes, spec.num_terms)
    weights = weight_bytes(shape.num_params["total"] + shape.num_folded_params + learnt, "float32") + shape.fixed_bytes
    weights += shape.num_fixed_bytes(num_classes, spec.num_terms)
    terms = TERM_BYTES * TERMS_PER_TOKEN * tokens_per_text if spec.num_terms else 0
    pooled = num_rows * (shape.d_model * 4 + terms)
    kept = batch * (3 * shape.d_model + shape.config.lora_rank + 2 * num_classes) * 4
    gradients, optimizer = 4 * learnt, ADAMW_BYTES_PER_PARAM * learnt
    widest = max(shape.d_model * max(num_classes, batch), spec.num_terms * num_classes)
    peak = weights + pooled + kept + gradients + optimizer + 8 * widest
    return TrainingMemory(weights, gradients, optimizer, kept + pooled, 0, peak)


def inference_memory(
    shape: SystemShape, *, batch: int, tokens_per_text: int, precision: str = "float32", overhead_bytes: int = 0
) -> InferenceMemory:
    """Answering `batch` texts at once. precision: of the weights; activations are in float32, or in 16 bits with them."""
    each = int(max(2, BYTES[precision]))
    positions = batch * tokens_per_text
    num_tokens = trunk_tokens(shape, batch, tokens_per_text)
    encoder = shape.encoder
    # The feed-forward's inner vectors before and after the activation, the residual stream and its two sums.
    inner = max(2 * encoder.d_ff + 2 * encoder.d_model, 6 * encoder.d_model)
    widest = positions * inner * each
    if shape.config.num_moe_layers:
        rows = num_tokens * (shape.config.top_k if shape.is_moe else 1)
        at_once = rows / shape.config.num_experts if shape.is_moe else rows
        moe = (2 * num_tokens + 3 * rows * shape.is_moe) * shape.d_model + 2 * at_once * shape.d_ff
        widest = max(widest, int(moe) * each + num_tokens * shape.d_model * each)
    params = shape.num_params["total"] + shape.num_folded_params
    weights = weight_bytes(params, precision, scales=True) + shape.fixed_bytes
    return InferenceMemory(weights, widest + overhead_bytes)


def feature_cache_bytes(shape: SystemShape, *, num_texts: int, tokens_per_text: int) -> int:
    """The frozen encoder's outputs on disk, float32; nothing where an encoder LoRA trains with the rest."""
    if shape.encoder_learns:
        return 0
    return trunk_tokens(shape, num_texts, tokens_per_text) * shape.d_model * 4


def overhead_of(device: Device) -> int:
    """Bytes that a process takes beyond its tensors and its libraries: measured by a calibration, else 0."""
    return device.calibration.overhead_bytes if device.calibration else 0


def trunk_tokens(shape: SystemShape, batch: int, tokens_per_text: int) -> int:
    """Positions that the trunk computes: all real tokens, or one for each row with "cls" pooling."""
    return batch if shape.config.pooling == "cls" else batch * tokens_per_text


def layer_activation_bytes(shape: SystemShape, num_tokens: int, precision: str = "float32") -> int:
    """What autograd keeps of one layer of the trunk, for `num_tokens` tokens.

    The norm's input, its output, mean and scale; for an MoE layer the routing, and for each of the top-k rows its input,
    the inner vector before and after the activation, and the output; the dropout's mask, a byte for each number.
    """
    each = int(BYTES[precision])
    d_model, d_ff, top_k = shape.d_model, shape.d_ff, shape.config.top_k
    norm = num_tokens * (2 * 4 * d_model + 2 * 4)
    dropout = num_tokens * d_model if shape.config.dropout else 0
    if shape.config.ffn == "dense":
        return norm + dropout + num_tokens * 2 * d_ff * each
    rows = num_tokens * top_k
    routing = rows * (8 + 4 + 8)  # indices, weights, order
    return norm + dropout + routing + rows * (2 * d_model + 2 * d_ff) * each


def encoder_activation_bytes(shape: SystemShape, batch: int, seq: int, precision: str = "float32") -> int:
    """What autograd keeps of the encoder's blocks when its LoRA trains (0 when it is frozen), with plain attention.

    Counted for BERT's block: for each wrapped layer the dropped-out input and its mask, the adapter's inner rows,
    q, k, v, three maps of attention weights, two norms and two dropouts. Other families differ by a few percent.
    """
    rank, encoder = shape.config.encoder_lora_rank, shape.encoder
    if not shape.encoder_learns:
        return 0
    positions = batch * seq
    numbers = 10 * encoder.d_model + 2 * encoder.d_ff + 3 * encoder.n_heads * seq + 6 * rank + 4
    masks = 7 * encoder.d_model + encoder.d_ff  # a byte each
    each = 4 if precision == "float32" else 2.6  # under autocast the norms' inputs stay in float32
    first = 3 * positions * encoder.d_model  # the first block's input needs no gradient: no masks are kept for it
    return int(positions * shape.num_lora_layers * (numbers * each + masks) - first)


def branch_activation_bytes(shape: SystemShape, batch: int) -> int:
    """What autograd keeps of the branches and of their losses, for `batch` pooled rows."""
    per_branch = (
        batch * (3 * shape.d_model + shape.config.lora_rank + 2 * spec.num_classes) * 4
        for spec in shape.config.branches
    )
    return sum(per_branch) + batch * (shape.d_model + 2) * 4


def _backward_transient(shape: SystemShape, num_tokens: int, precision: str) -> int:
    """Gradients of activations that live together at the widest moment of the last layer's backward pass."""
    rows = num_tokens * (shape.config.top_k if shape.is_moe else 1)
    inner = rows * shape.d_ff if shape.config.num_moe_layers else 0
    return int((inner + 2 * num_tokens * shape.d_model) * BYTES[precision])


def _cast_weights(shape: SystemShape, precision: str) -> int:
    """Autocast keeps a 16-bit copy of the weights that learn until the step ends."""
    return 0 if precision == "float32" else 2 * shape.num_trainable_params


def _largest_tensor(shape: SystemShape) -> int:
    """Parameters of the largest tensor that learns: the optimiser's step needs buffers of its size."""
    copies = shape.config.num_experts if shape.is_moe else 1
    layer = copies * shape.d_model * shape.d_ff if shape.config.num_moe_layers else 0
    heads = [spec.num_classes * max(shape.d_model, spec.num_terms) for spec in shape.config.branches]
    return max([layer, *heads, 0])
