"""Models on disk: byte ranges, saving and opening, plans for many devices."""
