"""Fewer experts for nearly the same model: which may go or become one, what that costs, and what a short training repairs."""
