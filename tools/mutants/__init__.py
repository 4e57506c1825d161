"""Mutation testing: how many small faults, put into a room's source one at a time, its own tests notice.

`make mutants`, or `python -m tools.mutants --help` from the root of the checkout.
"""
