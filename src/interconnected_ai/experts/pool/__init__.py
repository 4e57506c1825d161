"""Experts lent within a budget of bytes: `Ledger` decides, `ExpertPool` does it. No torch."""

from interconnected_ai.experts.pool.ledger import Deny, Grant, Ledger, Load, State, Unload
from interconnected_ai.experts.pool.pool import ExpertPool, ExpertStats, Lendable, Loan, PoolStats

__all__ = [
    "Deny",
    "ExpertPool",
    "ExpertStats",
    "Grant",
    "Ledger",
    "Lendable",
    "Load",
    "Loan",
    "PoolStats",
    "State",
    "Unload",
]
