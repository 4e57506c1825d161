"""`python -m interconnected_ai`: the command `iai`, where its script is not on the path."""

from interconnected_ai.cli import main

if __name__ == "__main__":
    main()
