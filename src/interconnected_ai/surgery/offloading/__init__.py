"""Mixtures of experts larger than memory, to be run: the experts in use are held, the others wait on disk or in main memory."""
