"""Whether the rule that is written down for a family chooses what its own routers do."""

import torch
from torch import Tensor

from interconnected_ai.surgery.anatomy.evaluation import evaluating
from interconnected_ai.surgery.model import MoE
from interconnected_ai.surgery.routing.context import dress, undress
from interconnected_ai.surgery.routing.edited_router import EditedRouter, RouterState


@torch.no_grad()
def follows_its_family(moe: MoE, ids: Tensor) -> bool:
    """Whether routers under the family's written rule give these tokens the logits of transformers' own, to the last bit.

    A programmed, closed or warming router is edited already, and compares with itself. Not beside another pass of the model.
    """
    edited = [layer.router for layer in moe.layers if not isinstance(layer.router, EditedRouter)]
    with evaluating(moe.model):
        before = moe.model(ids, use_cache=False).logits
        kept = [router.__dict__.get("surgery") for router in edited]
        try:
            for router in edited:
                router.__dict__["surgery"] = RouterState(moe.family.routing)
                dress(router, EditedRouter)
            return torch.equal(before, moe.model(ids, use_cache=False).logits)
        finally:
            for router, state in zip(edited, kept, strict=True):
                undress(router, EditedRouter)
                router.__dict__.pop("surgery", None)
                if state is not None:
                    router.__dict__["surgery"] = state
