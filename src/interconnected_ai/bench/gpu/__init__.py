"""The day on a GPU: what can be measured there alone, in one command that tells what it knows even when it is cut."""

from interconnected_ai.bench.gpu.day import Outcome, bench_gpu, page, run_part
from interconnected_ai.bench.gpu.parts import PARTS, Part, Place

__all__ = ["PARTS", "Outcome", "Part", "Place", "bench_gpu", "page", "run_part"]
