"""`python -m interconnected_ai.cli` is `iai`."""

from interconnected_ai.cli import main

main()
