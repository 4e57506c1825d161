"""What an adapter's training begins with: matrices that change nothing, or those of another adapter of the same base."""

from pathlib import Path

import torch

from interconnected_ai.config import AdapterRunConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.experts import AdapterFiles, Base, read_adapter
from interconnected_ai.training.adapter.network import AdaptedNetwork, is_target
from interconnected_ai.training.start import Start, has_checkpoints, keep_start


def require_fitting(config: AdapterRunConfig, base: Base) -> Start:
    """What the config's training would begin with.

    Raises `ConfigError` for an adapter of another base or rank and for one of layers that are not adapted here, `StorageError`
    for what is no adapter.
    """
    if config.init is None:
        return Start()
    files = read_adapter(config.init)
    own = files.card.base_sha256
    if own is not None and own != base.sha256:
        raise ConfigError(
            f"the adapter {config.init} that the training begins with stands on another base (SHA-256 {own[:12]}…; "
            f"{base.name} has {base.sha256[:12]}…); name its own base, or leave init out"
        )
    for name, part in files.weights.named():
        if part.rank != config.adapter.rank:
            raise ConfigError(
                f"adapter.rank={config.adapter.rank}, and the adapter {config.init} that the training begins with has rank "
                f"{part.rank} at {name}; set it so, or leave init out"
            )
        if not is_target(name, config.adapter.targets):
            raise ConfigError(
                f"the adapter {config.init} that the training begins with changes {name}, which adapter.targets leaves out; "
                "name it there, or leave init out"
            )
    return Start(files.card.name or Path(config.init).name, files.key)


def begun_from(folder: Path, config: AdapterRunConfig, base: Base, *, resume: bool) -> None:
    """Keep what the training begins with; see `keep_start`."""
    keep_start(folder, config.init, lambda: require_fitting(config, base), resume=resume)


def fill(model: AdaptedNetwork, folder: Path, config: AdapterRunConfig, *, resume: bool) -> None:
    """Give the model the matrices that its training begins with; a resumed one is filled from its checkpoint afterwards.

    Raises `ConfigError` for layers that the base lacks or has in other sizes.
    """
    if config.init is None or (resume and has_checkpoints(folder)):
        return
    files = read_adapter(config.init)
    _require_layers(model, files, config.init)
    with torch.no_grad():
        for name, part in files.weights.named():
            a, b = model.matrices(name)
            a.copy_(part.a)
            b.copy_(part.b.float() * (part.scale / model.scale))


def _require_layers(model: AdaptedNetwork, files: AdapterFiles, place: str) -> None:
    for name, part in files.weights.named():
        if name not in model.names:
            raise ConfigError(f"the adapter {place} changes {name}, which the base has not; it is one of another base")
        shapes = tuple(matrix.shape for matrix in model.matrices(name))
        if shapes != (part.a.shape, part.b.shape):
            raise ConfigError(
                f"the adapter {place} has matrices {tuple(part.a.shape)} and {tuple(part.b.shape)} at {name}, needed are "
                f"{tuple(shapes[0])} and {tuple(shapes[1])}; it is one of another base"
            )
