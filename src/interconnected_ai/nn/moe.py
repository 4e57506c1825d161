"""The mixture-of-experts layer: FFN experts as stacked tensors, dropless, tokens sorted by expert.

Dropless and without batch statistics: what a token gets depends on that token alone, up to float rounding, in
training and at inference (MegaBlocks, Gale et al. 2022, for dropless; Shazeer et al. 2017 for the layer).
"""

from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.nn.feed_forward import ACTIVATIONS
from interconnected_ai.nn.grouped import BackendName, Groups, choose_backend, grouped_linear
from interconnected_ai.nn.router import Routing, TokenRouter

MIN_EXPERTS, MAX_EXPERTS = 2, 128


class FFNExperts(nn.Module):
    """`num_experts` feed-forward blocks in stacked tensors.

    Plain: y = act(x · W_in + b_in) · W_out + b_out. Gated (SwiGLU with activation "silu", Shazeer 2020):
    y = (act(x · W_gate) * (x · W_up)) · W_out, with W_in = [W_gate | W_up] side by side.
    Stored (num_experts, d_in, d_out), the layout in which both the loop and `grouped_mm` read rows without a transpose.

    backend: "loop", "grouped_mm", or None to probe the device (see `nn.grouped`).
    """

    def __init__(
        self,
        num_experts: int,
        d_model: int,
        d_ff: int,
        *,
        activation: str = "gelu",
        gated: bool = False,
        bias: bool = True,
        backend: BackendName | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not MIN_EXPERTS <= num_experts <= MAX_EXPERTS:
            raise ValueError(f"num_experts={num_experts}: needs {MIN_EXPERTS} to {MAX_EXPERTS}")
        self.num_experts, self.gated, self.backend = num_experts, gated, backend
        self.activation = ACTIVATIONS[activation]
        d_in = 2 * d_ff if gated else d_ff
        self.w_in = nn.Parameter(torch.empty(num_experts, d_model, d_in))
        self.w_out = nn.Parameter(torch.empty(num_experts, d_ff, d_model))
        self.b_in = nn.Parameter(torch.zeros(num_experts, d_in)) if bias else None
        self.b_out = nn.Parameter(torch.zeros(num_experts, d_model)) if bias else None
        nn.init.normal_(self.w_in, std=d_model**-0.5, generator=generator)
        nn.init.normal_(self.w_out, std=d_ff**-0.5, generator=generator)

    def forward(self, rows: Tensor, tokens_per_expert: Tensor) -> Tensor:
        """rows: (num_rows, d_model) sorted by expert; tokens_per_expert: (num_experts,) → (num_rows, d_model)."""
        w_in, w_out, b_in, b_out = self._in_compute_dtype(rows)
        rows = rows.to(w_in.dtype)
        backend = self.backend or self._backend_for(rows)
        groups = Groups.from_counts(tokens_per_expert)
        if backend == "loop" and not torch.is_grad_enabled():
            return self._one_expert_at_a_time(rows, groups)
        inner = self._activate(grouped_linear(rows, w_in, b_in, groups, backend))  # (num_rows, d_ff)
        return grouped_linear(inner, w_out, b_out, groups, backend)

    def _one_expert_at_a_time(self, rows: Tensor, groups: Groups) -> Tensor:
        """Both products of an expert before the next expert: the inner rows stay in the cache, none are kept."""
        w_in, w_out, b_in, b_out = self._in_compute_dtype(rows)
        out = torch.empty_like(rows)
        for expert, (start, end) in enumerate(groups.bounds()):
            if start == end:
                continue
            part, here = rows[start:end], out[start:end]
            inner = part @ w_in[expert] if b_in is None else torch.addmm(b_in[expert], part, w_in[expert])
            inner = self._activate(inner)
            if b_out is None:
                torch.mm(inner, w_out[expert], out=here)
            else:
                torch.addmm(b_out[expert], inner, w_out[expert], out=here)
        return out

    def _backend_for(self, rows: Tensor) -> BackendName:
        """The faster backend; the loop where a width is one that grouped_mm cannot take (rows of 16-byte multiples)."""
        widths = (self.w_in.shape[1], self.w_in.shape[2], self.w_out.shape[1])
        if any(width * rows.element_size() % 16 for width in widths):
            return "loop"
        return choose_backend(rows.device, rows.dtype).name

    def _activate(self, inner: Tensor) -> Tensor:
        if not self.gated:
            return self.activation(inner)
        gate, up = inner.chunk(2, dim=-1)
        return self.activation(gate) * up

    def _in_compute_dtype(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """The parameters in the dtype of the products: autocast's where it is on, else their own."""
        device = rows.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.w_in.dtype
        b_in = None if self.b_in is None else self.b_in.to(dtype)
        b_out = None if self.b_out is None else self.b_out.to(dtype)
        return self.w_in.to(dtype), self.w_out.to(dtype), b_in, b_out


class MoELayer(nn.Module):
    """Token router + FFN experts: y = Σ over the chosen k of weight · expert(x) (Shazeer et al. 2017, eq. 1)."""

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        num_experts: int = 8,
        top_k: int = 2,
        *,
        activation: str = "gelu",
        gated: bool = False,
        bias: bool = True,
        normalize: bool | None = None,
        backend: BackendName | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.experts = FFNExperts(
            num_experts,
            d_model,
            d_ff,
            activation=activation,
            gated=gated,
            bias=bias,
            backend=backend,
            generator=generator,
        )
        self.router = TokenRouter(d_model, num_experts, top_k, normalize=normalize, generator=generator)

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Routing]:
        """The layer's output, and what its router decided.

        hidden: (…, d_model). mask: (…,) True where a token is real; padding is not computed, its output is zero and
        it counts in no figure of the `Routing`.
        """
        if mask is not None:
            kept, routing = self(hidden[mask])
            return torch.zeros_like(hidden).masked_scatter(mask.unsqueeze(-1), kept.to(hidden.dtype)), routing
        tokens = hidden.reshape(-1, hidden.shape[-1])  # (num_tokens, d_model)
        routing = self.router(tokens)
        return self._dispatch(tokens, routing).view_as(hidden), routing

    def _dispatch(self, tokens: Tensor, routing: Routing) -> Tensor:
        num_tokens, d_model = tokens.shape
        top_k = self.router.top_k
        order = routing.indices.flatten().argsort(stable=True)  # (num_tokens · top_k,) assignments, by expert
        rows = _TakeRows.apply(tokens, order, top_k)
        rows = self.experts(rows, routing.tokens_per_expert)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        # A gather and a weighted sum over k: in a fixed order, where index_add_ would depend on the device's whim.
        per_choice = _PutBack.apply(rows, order, back).view(num_tokens, top_k, d_model)
        mixed = torch.bmm(routing.weights.to(per_choice.dtype).unsqueeze(1), per_choice)  # (num_tokens, 1, d_model)
        return mixed.squeeze(1).to(tokens.dtype)


class _TakeRows(torch.autograd.Function):
    """tokens[order // top_k], whose backward is a gather and a sum over k instead of a scatter with collisions."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, order: Tensor, top_k: int) -> Tensor:
        ctx.save_for_backward(order)
        ctx.top_k = top_k
        return tokens.index_select(0, order.div(top_k, rounding_mode="floor"))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (order,) = ctx.saved_tensors
        per_choice = torch.empty_like(grad)
        per_choice[order] = grad
        return per_choice.view(-1, ctx.top_k, grad.shape[-1]).sum(1), None, None


class _PutBack(torch.autograd.Function):
    """rows[back], a permutation, whose backward is the inverse permutation: a gather as well."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return rows.index_select(0, back)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (order,) = ctx.saved_tensors
        return grad.index_select(0, order), None, None
