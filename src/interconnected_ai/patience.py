"""How the threads that share a product wait for each other: OpenMP's, under PyTorch, llama.cpp and scikit-learn."""

from collections.abc import Mapping

# Threads that share a product look 300,000 times whether the others are done before they sleep: milliseconds that are whoever
# else's where processors are busy, at every product. So many are as fast alone, and several times as fast beside others.
OF_COMMANDS = {"GOMP_SPINCOUNT": "10000"}
_SAYING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def says_how_threads_wait(environment: Mapping[str, str]) -> bool:
    """Whether the person has said it, so that nothing of ours is wanted."""
    return any(name in environment for name in _SAYING)


def with_sleeping_threads(environment: Mapping[str, str]) -> dict[str, str]:
    """For a process that works beside others: its threads sleep where they wait, unless the environment says how they do.

    Beside others that take the processors they would otherwise burn several times what the work itself needs. What a command
    has set by itself says nothing.
    """
    said = {name: value for name, value in environment.items() if OF_COMMANDS.get(name) != value}
    return dict(environment) if says_how_threads_wait(said) else {**said, "OMP_WAIT_POLICY": "PASSIVE"}
