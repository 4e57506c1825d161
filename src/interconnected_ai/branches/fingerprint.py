"""Proof that a branch still answers as it did: a hash of its outputs on texts that never change."""

import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interconnected_ai.nn import multiplies_by_onednn

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


# What tokenizers treat differently: case, accents, forms of letters, spaces, digits, scripts.
_REVEALING = (
    *PROBE_TEXTS,
    "UPPER lower MiXeD İstanbul Straße",
    "café cafe\u0301 naïve ёлка елка й и\u0306",
    "ﬁne ① ２０２６ ｗｉｄｅ … “quoted” ‘it’s’ – — №",
    " two  spaces\tand\na line\r\nor two ",
    "12345 3.14 1,000,000 2026-11-28 a1b2",
    "don't, e-mail: a@b.c; https://example.org/x?y=1 #tag snake_case camelCase",
    "北京市 日本語 한국어 العربية עברית हिन्दी ไทย",
    "nul\u0000 zero\u200bwidth soft\u00adhyphen \u00a0 no break",
)
_PIECES, _PIECES_A_TEXT = 1024, 16


def tokenizer_fingerprint(vocabulary: Mapping[str, int], tokenize: Callable[[Sequence[str]], list[list[int]]]) -> str:
    """SHA-256 of what a tokenizer does: its vocabulary, and the ids of texts that show how it reads.

    Its files are not compared: libraries of other versions write the same tokenizer otherwise. tokenize: with prefix and
    special tokens, as the encoder gets them. The texts hold pieces from all over the vocabulary, run together, so that
    other merges or scores show too.
    """
    in_order = sorted((number, token) for token, number in vocabulary.items())
    some = [token.strip("▁Ġ#") for _, token in in_order[:: max(1, len(in_order) // _PIECES)]]
    run_together = ["".join(some[start : start + _PIECES_A_TEXT]) for start in range(0, len(some), _PIECES_A_TEXT)]
    digest = hashlib.sha256()
    for number, token in in_order:
        digest.update(f"{number} {token}\n".encode("utf-8", "surrogatepass"))
    for ids in tokenize([*_REVEALING, *run_together]):
        digest.update(f"{ids}\n".encode())
    return digest.hexdigest()


def compare_with_stored(
    branch: str,
    logits: Tensor,
    stored: Tensor,
    fingerprint: str,
    environment: str,
    wide: bytes = b"",
    *,
    folded: bool = False,
) -> BranchCheck:
    """Logits computed now against the stored ones; `environment` is where those were computed, wide: see `fingerprint_of`,
    folded: see `this_environment`."""
    return BranchCheck(
        branch=branch,
        identical=fingerprint_of(logits, wide) == fingerprint,
        max_abs_diff=float((logits.cpu().float() - stored.cpu().float()).abs().max()),
        same_machine=environment == this_environment(logits.device, folded=folded),
    )


def this_environment(device: torch.device, *, folded: bool = False) -> str:
    """What the last bits of a float32 result depend on: library, instruction set or GPU, threads, whose GELU and whose products
    they are, whether padding is computed, and whether the encoder's LoRA is folded into its weights."""
    lora = ", LoRA folded in" if folded else ""
    if device.type == "cuda":
        return f"torch {torch.__version__}, {torch.cuda.get_device_name(device)}{lora}"
    capability = torch.backends.cpu.get_cpu_capability()
    threads = f"{torch.get_num_threads()} threads"
    products = ", oneDNN's products" if multiplies_by_onednn(device) else ""
    cpu = f"{platform.machine()} {capability}, {threads}"
    return f"torch {torch.__version__}, {cpu}, PyTorch's GELU, unpadded{products}{lora}"
