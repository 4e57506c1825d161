"""Adapters: LoRA matrices of some MB, each with a base that many of them share. `card` and `settings` import no torch."""
