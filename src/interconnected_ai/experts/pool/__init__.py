"""Experts lent within a budget of bytes: `Ledger` decides, `ExpertPool` does it. No torch."""

from interconnected_ai.experts.pool.actions import Action, Deny, Grant, Load, Unload
from interconnected_ai.experts.pool.entries import State
from interconnected_ai.experts.pool.ledger import Ledger
from interconnected_ai.experts.pool.loans import ExpertStats, Lendable, Loan, PoolStats
from interconnected_ai.experts.pool.pool import Borrowing, ExpertPool

__all__ = [
    "Action",
    "Borrowing",
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
