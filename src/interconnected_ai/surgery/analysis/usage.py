"""Which FFN experts serve which texts, counted from the routers' own choices; and which are worth training for a domain."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.extras import require
from interconnected_ai.storage import atomic_file
from interconnected_ai.surgery.analysis.texts import batches, token_rows
from interconnected_ai.surgery.anatomy.evaluation import evaluating
from interconnected_ai.surgery.routing.losses import Routed
from interconnected_ai.surgery.session import Session
from interconnected_ai.surgery.settings import need_count, need_number

Over = Literal["layer", "model"]
_PICTURES = (".png", ".svg")


@dataclass(frozen=True)
class Counts:
    """Of one domain, layer by layer: how often each expert was chosen and the sum of the weights it got.

    tokens: real ones that were routed; padding is left out.
    """

    chosen: tuple[Tensor, ...]
    gates: tuple[Tensor, ...]
    tokens: int


@dataclass(frozen=True)
class Usage:
    """Use of all experts by domain. prompt: while reading; generated: for tokens the model wrote itself, None without any."""

    layers: tuple[int, ...]
    top_k: tuple[int, ...]
    prompt: dict[str, Counts]
    generated: dict[str, Counts] | None

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains, in the order given."""
        return tuple(self.prompt)

    def share(self, domain: str) -> tuple[Tensor, ...]:
        """Each expert's share of a domain's choices, layer by layer; each sums to 1."""
        return tuple(chosen / chosen.sum().clamp_min(1) for chosen in self._counts(domain).chosen)

    def entropy(self, domain: str) -> tuple[float, ...]:
        """Layer by layer, how evenly the experts are used: 1 for all alike, 0 for one alone."""
        return tuple(
            float(-(share * share.clamp_min(1e-12).log()).sum() / math.log(max(len(share), 2)))
            for share in self.share(domain)
        )

    def imbalance(self, domain: str) -> tuple[float, ...]:
        """Layer by layer, the busiest expert's load over the mean load: 1 is even."""
        return tuple(float(share.max() * len(share)) for share in self.share(domain))

    def taken(self, domain: str) -> tuple[float, ...]:
        """Layer by layer, how many experts a token took, on average."""
        counts = self._counts(domain)
        return tuple(float(chosen.sum()) / max(counts.tokens, 1) for chosen in counts.chosen)

    def dead(self) -> dict[int, list[int]]:
        """Experts that no token of any domain was sent to, by layer."""
        totals = [sum((counts.chosen[i] for counts in self._all()), torch.zeros(())) for i in range(len(self.layers))]
        return {layer: torch.where(total == 0)[0].tolist() for layer, total in zip(self.layers, totals, strict=True)}

    def specialisation(self) -> tuple[Tensor, ...]:
        """Layer by layer, (domains, experts): of an expert's use, the share that comes from each domain, all domains
        weighing alike.
        """
        shares = [self.share(domain) for domain in self.domains]
        stacked = [torch.stack([share[i] for share in shares]) for i in range(len(self.layers))]
        return tuple(each / each.sum(dim=0, keepdim=True).clamp_min(1e-12) for each in stacked)

    def suggest(
        self,
        domain: str,
        share: float = 0.25,
        *,
        score: Literal["gate", "tokens"] = "gate",
        threshold: float | None = None,
        over: Over = "layer",
    ) -> dict[int, tuple[int, ...]]:
        """The experts worth training for a domain, best first, by layer (ESFT, Wang et al. 2024).

        score: "gate" is an expert's mean weight over the domain's tokens, "tokens" the share of choices it gets; `MoE.suggest`
        knows "gradient" too. The rest: see `best_experts`.
        """
        counts = self._counts(domain)
        if score not in ("gate", "tokens"):
            raise UnknownNameError("score", score, ("gate", "tokens"))
        values = counts.gates if score == "gate" else counts.chosen
        return best_experts(dict(zip(self.layers, values, strict=True)), share, threshold=threshold, over=over)

    def heat_map(self, target: str | Path) -> Path:
        """A picture of every domain's shares, layers down and experts across, beside which domain each expert
        serves; the suffix says as what. Needs matplotlib. Raises `ConfigError` for another suffix.
        """
        if Path(target).suffix not in _PICTURES:
            raise ConfigError(f"{target}: needs a name that ends in {', '.join(_PICTURES)}")
        require("matplotlib", "surgery", "drawing the use of experts")
        figures = require("matplotlib.figure", "surgery", "drawing the use of experts")
        most = max(len(share) for share in self.share(self.domains[0]))
        figure = figures.Figure(
            figsize=(2 + 0.16 * most * len(self.domains), 1.5 + 0.3 * len(self.layers)), layout="constrained"
        )
        panels = figure.subplots(1, len(self.domains), squeeze=False)[0]
        grids = [_grid(self.share(domain), most) for domain in self.domains]
        top = max(float(torch.nan_to_num(grid).max()) for grid in grids)
        for panel, domain, grid in zip(panels, self.domains, grids, strict=True):
            image = panel.imshow(grid.numpy(), aspect="auto", vmin=0, vmax=top, cmap="viridis")
            panel.set(title=domain, xlabel="expert", yticks=range(len(self.layers)), yticklabels=self.layers)
        panels[0].set_ylabel("layer")
        figure.colorbar(image, ax=panels, label="share of choices")
        with atomic_file(target) as scratch:
            figure.savefig(scratch, format=Path(target).suffix[1:], dpi=120)
        return Path(target)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "layers": list(self.layers),
            "domains": {
                domain: {
                    "tokens": self._counts(domain).tokens,
                    "share": [share.tolist() for share in self.share(domain)],
                    "entropy": list(self.entropy(domain)),
                    "imbalance": list(self.imbalance(domain)),
                    "generated_tokens": self.generated[domain].tokens if self.generated else 0,
                }
                for domain in self.domains
            },
            "dead": self.dead(),
        }

    def _counts(self, domain: str) -> Counts:
        if domain not in self.prompt:
            raise UnknownNameError("domain", domain, self.prompt)
        read = self.prompt[domain]
        if self.generated is None:
            return read
        wrote = self.generated[domain]
        chosen, gates = zip(
            *((a + b, c + d) for a, b, c, d in zip(read.chosen, wrote.chosen, read.gates, wrote.gates, strict=True)),
            strict=True,
        )
        return Counts(chosen, gates, read.tokens + wrote.tokens)

    def _all(self) -> list[Counts]:
        return [self._counts(domain) for domain in self.domains]


def best_experts(
    scores: Mapping[int, Tensor], share: float = 0.25, *, threshold: float | None = None, over: Over = "layer"
) -> dict[int, tuple[int, ...]]:
    """Layer → the experts with the largest scores, best first; layers without any are left out.

    share: of each layer's experts, or (over="model") of all, wherever they stand. threshold: take instead the fewest whose
    scores reach this part of the layer's sum (ESFT's p), or of the model's.
    """
    need_number("share", share, above=0, up_to=1)
    if threshold is not None:
        need_number("threshold", threshold, above=0, up_to=1)
    if over not in ("layer", "model"):
        raise UnknownNameError("range to rank over", over, ("layer", "model"))
    if over == "layer":
        return {layer: tuple(_best(values, share, threshold)) for layer, values in scores.items()}
    places = [(layer, expert) for layer, values in scores.items() for expert in range(len(values))]
    found: dict[int, tuple[int, ...]] = {}
    for place in _best(torch.cat(list(scores.values())), share, threshold):
        layer, expert = places[place]
        found[layer] = (*found.get(layer, ()), expert)
    return dict(sorted(found.items()))


def _best(values: Tensor, share: float, threshold: float | None) -> list[int]:
    best = values.argsort(descending=True, stable=True)
    if threshold is None:
        number = max(1, round(share * len(values)))
    else:
        reached = values[best].cumsum(0) / values.sum().clamp_min(1e-12)
        number = int((reached < threshold).sum()) + 1
    return best[:number].tolist()


@torch.no_grad()
def measure_usage(
    session: Session,
    texts: Mapping[str, Sequence[str]] | Sequence[str],
    *,
    max_tokens: int = 256,
    batch_size: int = 8,
    generate_tokens: int = 0,
) -> Usage:
    """Count which experts the routers choose for these texts (domain → texts, or one list).

    generate_tokens: tokens to write after each text, greedily; what a model reads and what it writes can use different experts.
    """
    domains = texts if isinstance(texts, Mapping) else {"texts": texts}
    if not domains:
        raise ConfigError("no domain was given; give domain → texts")
    need_count("generate_tokens", generate_tokens, 0)
    read, wrote = {}, {}
    with evaluating(session.model):
        for domain, some in domains.items():
            prompts, generated = _Counter(session), _Counter(session)
            for batch in batches(session, token_rows(session, some, max_tokens), batch_size, left=generate_tokens > 0):
                with session.watch(keep_graph=False) as seen:
                    if generate_tokens:
                        _generate(session, batch.ids, batch.mask, generate_tokens)
                    else:
                        session.model(batch.ids, attention_mask=batch.mask, use_cache=False)
                for routed in seen.passes:
                    (prompts if routed.prompt_tokens else generated).add(routed)
            read[domain], wrote[domain] = prompts.counts(), generated.counts()
    return Usage(
        tuple(layer.number for layer in session.layers),
        tuple(layer.top_k for layer in session.layers),
        read,
        wrote if generate_tokens else None,
    )


class _Counter:
    def __init__(self, session: Session) -> None:
        sizes = {layer.number: layer.num_experts for layer in session.layers}
        self._chosen = {number: torch.zeros(size, dtype=torch.float64) for number, size in sizes.items()}
        self._gates = {number: torch.zeros(size, dtype=torch.float64) for number, size in sizes.items()}
        self._tokens = dict.fromkeys(sizes, 0)

    def add(self, routed: Routed) -> None:
        indices, weights = routed.indices.cpu(), routed.weights.double().cpu()
        if routed.real is not None:
            real = routed.real.cpu()
            indices, weights = indices[real], weights[real]
        taken = indices < routed.logits.shape[1]  # a token may take fewer than others
        flat = indices[taken]
        self._chosen[routed.layer].index_add_(0, flat, torch.ones(len(flat), dtype=torch.float64))
        self._gates[routed.layer].index_add_(0, flat, weights[taken])
        self._tokens[routed.layer] += len(indices)

    def counts(self) -> Counts:
        tokens = max(self._tokens.values())
        return Counts(tuple(self._chosen.values()), tuple(self._gates.values()), tokens)


def _generate(session: Session, ids: Tensor, mask: Tensor, tokens: int) -> None:
    """Greedily, every row to the same length: a row that had ended would count its padding."""
    session.model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        use_cache=True,
    )


def _grid(shares: Sequence[Tensor], width: int) -> Tensor:
    grid = torch.full((len(shares), width), float("nan"), dtype=torch.float64)
    for row, share in enumerate(shares):
        grid[row, : len(share)] = share
    return grid
