"""Proof that a branch still answers as it did: a hash of its outputs on texts that never change."""

import hashlib
import platform
from dataclasses import dataclass

import torch
from torch import Tensor

# Kept with every saved system, so that a later version of this list cannot invalidate older fingerprints.
PROBE_TEXTS: tuple[str, ...] = (
    "Return the sum of array elements over a given axis.",
    "How do I change the PIN of my card?",
    "What is the weather like tomorrow in Paris?",
    "Пациент жалуется на головную боль и высокую температуру.",
    "Какая сегодня погода в Москве?",
    "import torch; x = torch.randn(4, 8)",
    "!",
    "The electrode records the activity of single neurons while the subject moves the cursor on the screen.",
)


@dataclass(frozen=True)
class BranchCheck:
    """What `verify` found for one branch.

    identical: the outputs on the probe texts are the stored ones to the last bit. max_abs_diff: largest difference of
    a logit. Another machine or library version rounds differently: then `identical` is false, `same_machine` is false
    too, and a small `max_abs_diff` (about 1e-5) is rounding.
    """

    branch: str
    identical: bool
    max_abs_diff: float
    same_machine: bool


def fingerprint_of(logits: Tensor, wide: bytes = b"") -> str:
    """SHA-256 of the logits' bytes in float32, and of the digest of a wide part: probe texts have but few of its terms."""
    return hashlib.sha256(logits.detach().cpu().float().contiguous().numpy().tobytes() + wide).hexdigest()


def compare_with_stored(
    branch: str, logits: Tensor, stored: Tensor, fingerprint: str, environment: str, wide: bytes = b""
) -> BranchCheck:
    """Logits computed now against the stored ones; `environment` is where those were computed, wide: see `fingerprint_of`."""
    return BranchCheck(
        branch=branch,
        identical=fingerprint_of(logits, wide) == fingerprint,
        max_abs_diff=float((logits.cpu().float() - stored.cpu().float()).abs().max()),
        same_machine=environment == this_environment(logits.device),
    )


def this_environment(device: torch.device) -> str:
    """What the last bits of a float32 result depend on: library, instruction set or GPU, threads."""
    if device.type == "cuda":
        return f"torch {torch.__version__}, {torch.cuda.get_device_name(device)}"
    capability = torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__}, {platform.machine()} {capability}, {torch.get_num_threads()} threads"
