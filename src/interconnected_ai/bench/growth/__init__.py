"""How the work of every public verb grows with its input: an exponent each, none above 1.2."""

from interconnected_ai.bench.growth.sweep import ROOMS, all_verbs, bench_growth
from interconnected_ai.bench.growth.verb import LIMIT, Growth, Verb, exponent, grow

__all__ = ["LIMIT", "ROOMS", "Growth", "Verb", "all_verbs", "bench_growth", "exponent", "grow"]
