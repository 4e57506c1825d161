"""The causal LM's balance loss where layers differ or experts are closed: transformers' own adds up layers of one width."""

from inspect import signature
from typing import Any

import torch
from torch import nn

from interconnected_ai.surgery.routing.losses import balance


class EditedCausalLM(nn.Module):
    """A causal LM that computes `aux_loss` layer by layer.

    The mean over layers of E · Σ fₑ · Pₑ, on transformers' scale, where even use gives top-k.
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the family's causal LM."""
        known: Any = self
        given = signature(super().forward).bind_partial(*args, **kwargs).arguments
        given |= given.pop("kwargs", {})
        wanted = given.pop("output_router_logits", None)
        if not (known.config.output_router_logits if wanted is None else wanted):
            return super().forward(**given, output_router_logits=False)
        as_tuple = given.pop("return_dict", True) is False
        with known.surgery_watch() as seen:
            out = super().forward(**given, output_router_logits=False)
        out["router_logits"] = tuple(routed.logits for routed in seen.passes)
        losses = [balance(seen.routing, routed) * routed.indices.shape[1] for routed in seen.passes]
        out["aux_loss"] = torch.stack(losses).mean()
        if out.loss is not None:
            out["loss"] = out.loss + known.router_aux_loss_coef * out.aux_loss.to(out.loss.device)
        return out.to_tuple() if as_tuple else out
