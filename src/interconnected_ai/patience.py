"""How the threads that share a product wait for each other: OpenMP's, under PyTorch, llama.cpp and scikit-learn."""

from collections.abc import Mapping

_SAYING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def says_how_threads_wait(environment: Mapping[str, str]) -> bool:
    """Whether the person has said it, so that nothing of ours is wanted."""
    return any(name in environment for name in _SAYING)


def with_sleeping_threads(environment: Mapping[str, str]) -> dict[str, str]:
    """For a process that works beside others: its threads sleep where they wait, unless the environment says how they do.

    Beside others that take the processors they would otherwise burn several times what the work itself needs.
    """
    return {**({} if says_how_threads_wait(environment) else {"OMP_WAIT_POLICY": "PASSIVE"}), **environment}
