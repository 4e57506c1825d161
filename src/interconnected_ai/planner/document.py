"""The document's own table (`000_…`): what it claims, what its own sizes give, and why the two differ.

A claimed figure is never a measured one. The sizes that the document lists for its parts are the inputs here; every
figure in the second column is computed from them.
"""

from dataclasses import dataclass

# Parameters of the parts, as the document's diagram lists them.
ENCODER, MOE_LAYER, NUM_MOE_LAYERS, ADAPTER, HEAD, NUM_BRANCHES = 1.2e9, 4.8e9, 2, 120e6, 50e6, 3
NUM_EXPERTS, TOP_K, D_MODEL = 8, 2, 768
DENSE, CLAIMED_TOTAL, CLAIMED_ACTIVE_LAYER = 20e9, 11.8e9, 2.4e9
STEPS_PER_EPOCH, EPOCHS = 1000, 50


@dataclass(frozen=True)
class Claim:
    """One row: what, the document's figure, the one its own sizes give, and why they differ ("" where they agree)."""

    what: str
    claimed: str
    computed: str
    why: str


def document_table() -> tuple[Claim, ...]:
    """Every figure of the document that can be computed from its own sizes."""
    return (*_parameters(), *_compute(), *_memory(), *_time(), *_real_parts())


def _parameters() -> list[Claim]:
    total = ENCODER + NUM_MOE_LAYERS * MOE_LAYER + NUM_BRANCHES * (ADAPTER + HEAD)
    active_layer = MOE_LAYER * TOP_K / NUM_EXPERTS
    active = ENCODER + NUM_MOE_LAYERS * active_layer + ADAPTER + HEAD
    return [
        Claim("parameters, MoE", "11.8B", _b(total), "the listed parts sum to less than the total printed under them"),
        Claim(
            "parameters saved against dense 20B",
            "41 %",
            f"{1 - total / DENSE:.0%}",
            "follows from the sum of the parts",
        ),
        Claim(
            "active in one MoE layer",
            "2.4B",
            _b(active_layer),
            f"top-{TOP_K} of {NUM_EXPERTS} experts of 4.8B; 2.4B is both layers together",
        ),
        Claim("active for one branch's answer", "3.8B", _b(active), ""),
        Claim(
            "active share",
            "32 % of dense",
            f"{active / DENSE:.0%} of dense 20B",
            f"32 % is the share of 11.8B ({active / CLAIMED_TOTAL:.0%}), not of the dense network",
        ),
    ]


def _compute() -> list[Claim]:
    active = NUM_MOE_LAYERS * MOE_LAYER * TOP_K / NUM_EXPERTS
    answer = ENCODER + active + ADAPTER + HEAD
    dense_layers = DENSE - ENCODER - NUM_BRANCHES * (ADAPTER + HEAD)
    # Forward 2 FLOPs a parameter and token, training 6 where weights learn; the frozen encoder runs forward only.
    dense_step = 2 * ENCODER + 6 * dense_layers
    moe_step = 2 * ENCODER + 6 * active
    return [
        Claim(
            "FLOPs against dense",
            "2.4B of 20B (−88 %)",
            f"{answer / DENSE:.0%} of dense (−{1 - answer / DENSE:.0%})",
            "2.4B leaves out the encoder and the branch, which run for every token too",
        ),
        Claim(
            "training step, dense over MoE",
            "4 ×",
            f"at most {dense_step / moe_step:.1f} × by FLOPs",
            "no machine, batch or precision is named; smaller products reach a smaller share of the peak",
        ),
        Claim(
            "latency, dense over MoE",
            "3.3 ×",
            f"at most {DENSE / answer:.1f} × by FLOPs",
            "the same; at batch 1 the weights read decide, and a batch of many tokens reads all experts",
        ),
    ]


def _memory() -> list[Claim]:
    total = ENCODER + NUM_MOE_LAYERS * MOE_LAYER + NUM_BRANCHES * (ADAPTER + HEAD)
    learnt = total - ENCODER
    expert_d_ff = MOE_LAYER / NUM_EXPERTS / (2 * D_MODEL)
    dense_d_ff = (DENSE - ENCODER - NUM_BRANCHES * (ADAPTER + HEAD)) / NUM_MOE_LAYERS / (2 * D_MODEL)
    kept = TOP_K * (2 * D_MODEL + 2 * expert_d_ff) / (2 * dense_d_ff)
    return [
        Claim("weights, dense, float32", "80 GB", _gb(4 * DENSE), ""),
        Claim("weights, MoE, float32", "47 GB", _gb(4 * total), "47 GB belongs to 11.8B parameters"),
        Claim(
            "activations, MoE over dense",
            "10 of 40 GB (25 %)",
            f"{kept:.0%}",
            f"experts {expert_d_ff:,.0f} wide against a dense layer {dense_d_ff:,.0f} wide; the document gives no batch",
        ),
        Claim(
            "training on one A100 80 GB",
            "enough",
            f"{_gb(4 * total + 12 * learnt)} before activations",
            "float32 weights, and gradients and two AdamW moments of everything that learns",
        ),
        Claim(
            "inference on one A40",
            "enough",
            f"{_gb(4 * total)} in float32, {_gb(2 * total)} in bfloat16",
            "an A40 has 48 GB: in float32 nothing is left for activations; in bfloat16 it fits",
        ),
    ]


def _time() -> list[Claim]:
    dense_hours, moe_hours = 200 * STEPS_PER_EPOCH / 3600, 50 * STEPS_PER_EPOCH / 3600
    return [
        Claim("an epoch, dense", "55.6 h", f"{dense_hours:.1f} h", ""),
        Claim("an epoch, MoE", "13.9 h", f"{moe_hours:.1f} h", ""),
        Claim("50 epochs, dense", "115.75 days", f"{dense_hours * EPOCHS / 24:.2f} days", ""),
        Claim("50 epochs, MoE", "28.9 days", f"{moe_hours * EPOCHS / 24:.1f} days", ""),
        Claim(
            "50 epochs, dense over MoE",
            "3.9 ×",
            f"{dense_hours / moe_hours:.1f} ×",
            "200 s over 50 s a batch; the same document says 4 × elsewhere",
        ),
        Claim("add a branch, time", "10 ×", f"{24 / 4:.0f}–{24 / 2:.0f} ×", "24 h against 2–4 h"),
        Claim("add a branch, cost", "20 ×", f"{4 / 0.5:.0f} ×", "4 against 0.5 GPU weeks"),
        Claim(
            "retrain in 24–48 h, 4 GPU weeks",
            "both",
            f"{4 * 7 * 24 / 48:.0f}–{4 * 7 * 24 / 24:.0f} GPUs at once",
            "the two agree only on that many GPUs; the text speaks of one or two A100",
        ),
    ]


def _real_parts() -> list[Claim]:
    adapter, head = 2 * 8 * D_MODEL, (D_MODEL + 1) * 100
    return [
        Claim(
            "encoder google/electra-base-uncased",
            "1.2B",
            "109M",
            "no model of that name is on the hub; google/electra-base-discriminator has 109M without a pooler",
        ),
        Claim("LoRA adapter, rank 8, 768 wide", "120M", f"{adapter:,}", "2 · rank · width"),
        Claim("head of 100 classes, 768 wide", "50M", f"{head:,}", "(width + 1) · classes"),
    ]


def _b(num_params: float) -> str:
    return f"{num_params / 1e9:.2f}B"


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.0f} GB"
