"""The kinds of experts: a file a kind, each a row of one table. What only looks at experts loads no torch."""

from interconnected_ai.experts.kinds.kind import ExpertKind, Exporter
from interconnected_ai.experts.kinds.table import (
    KINDS,
    all_formats,
    embedded_card,
    expert_card,
    experts_in,
    kind_of,
    mapped_num_bytes,
)

__all__ = [
    "KINDS",
    "ExpertKind",
    "Exporter",
    "all_formats",
    "embedded_card",
    "expert_card",
    "experts_in",
    "kind_of",
    "mapped_num_bytes",
]
