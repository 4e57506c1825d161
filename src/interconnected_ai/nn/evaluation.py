"""Computing in evaluation mode without touching anybody's mode: a module may be used by several threads at once."""

from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def in_evaluation(module: M) -> M:
    """`module` as it computes in evaluation mode: itself when it is in that mode, else a replica of it that is.

    A replica shares every parameter, buffer and hook, so it costs no memory and follows what is learnt; it is made anew for
    each use. The mode of `module` is neither changed nor, once this returns, looked at: any number of threads may do so.
    """
    if not any(part.training for part in module.modules()):
        return module
    return _replica(module)


def _replica(module: M) -> M:
    replica = module.__new__(type(module))
    replica.__dict__ = {**module.__dict__, "training": False}
    replica.__dict__["_modules"] = {
        name: child if child is None else _replica(child) for name, child in module._modules.items()
    }
    return replica
