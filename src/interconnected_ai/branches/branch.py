"""One branch: an adapter on the pooled vector, a linear head, and a wide part beside them, under its card."""

import copy
import math
from collections.abc import Iterator, MutableMapping, Sequence

import torch
from torch import Tensor, nn

from interconnected_ai.branches.familiarity import familiarity
from interconnected_ai.branches.features import TextFeatures
from interconnected_ai.branches.side_by_side import logits_of
from interconnected_ai.branches.wide import WidePart
from interconnected_ai.config import MOST_WIDE_WEIGHTS, BranchCard, BranchSpec, SystemConfig
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.extras import require
from interconnected_ai.nn import Bags, Dropout, LoRA, require_own_threads
from interconnected_ai.text import KnownTexts, Vocabulary


class Branch(nn.Module):
    """logits = W · (x + Δ(x)) + b + wide(text), with Δ the branch's own LoRA. (768-wide, rank 8, 100 classes: 12,288 + 76,900.)

    wide: None until the branch knows terms, see `take_words`. card: what is known of it. probe: its logits on the system's
    probe texts when its training ended, None before. directions: (num_classes, d_model) of the classes' mean vectors, None
    before its training.
    learnt: the texts that it was trained, stopped and calibrated on, None where no record was kept.
    Any number of threads may compute with a branch at once, as long as none trains it or changes its mode.
    """

    def __init__(
        self, spec: BranchSpec, config: SystemConfig, d_model: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.adapter = LoRA(d_model, d_model, config.lora_rank, alpha=config.lora_alpha, generator=generator)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(d_model, spec.num_classes)
        nn.init.normal_(self.head.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.head.bias)
        self.most_terms = config.wide_terms
        self.wide = WidePart(Vocabulary.unread(spec.num_terms), spec.num_classes) if spec.num_terms else None
        self.card = BranchCard(spec=spec)
        self.directions: Tensor | None
        self.register_buffer("directions", None, persistent=False)
        self.probe: Tensor | None = None  # on the CPU, wherever the weights are
        self.learnt: KnownTexts | None = None

    def forward(self, pooled: Tensor, bags: Bags | None = None) -> Tensor:
        """(batch, d_model), and the terms of the same texts → (batch, num_classes). Without bags the wide part is silent."""
        logits: Tensor = self.head(self.dropout(pooled + self.adapter(pooled)))
        return logits if self.wide is None or bags is None else logits + self.wide(bags)

    def evaluate(self, features: TextFeatures | Tensor) -> Tensor:
        """`forward` in evaluation mode and without gradients, whatever the branch's own mode, which stays as it is.

        features: of some texts. For a branch without a wide part their pooled vectors alone (num_texts, d_model) will do; one
        with it raises `ConfigError`.
        """
        require_own_threads()
        with torch.inference_mode():
            logits = self.logits(features)
        return logits.clone()  # a plain tensor: inference tensors cannot be learnt from

    def logits(self, features: TextFeatures | Tensor) -> Tensor:
        """`evaluate` for who asks many branches: within his own `torch.inference_mode`, and an inference tensor.

        `forward` up to rounding, and to the last bit what `logits_of` gives of this branch among others.
        """
        if not isinstance(features, TextFeatures):
            features = TextFeatures(self.read(features)[0], [""] * len(features))
        return logits_of([self], features)[0]

    def familiarity(self, features: TextFeatures | Tensor) -> Tensor:
        """(num_texts,), 0 to 1: how near texts lie to a class that was learnt, by their pooled vectors; no gradients."""
        with torch.inference_mode():
            near = self.nearness(features)
        return near.clone()

    def nearness(self, features: TextFeatures | Tensor, lengths: Tensor | None = None) -> Tensor:
        """`familiarity` for who asks many branches, see `logits`; lengths: `lengths_of` the pooled vectors."""
        pooled = features.pooled if isinstance(features, TextFeatures) else features
        return familiarity(pooled, self.directions, lengths)

    def read(self, features: TextFeatures | Tensor) -> tuple[Tensor, Bags | None]:
        """What `forward` takes of some texts. Raises `ConfigError` for pooled vectors alone, where the branch knows terms."""
        if not isinstance(features, TextFeatures):
            if self.wide is not None:
                raise ConfigError(
                    f"branch {self.card.name!r} answers by words beside meaning, and got pooled vectors alone; give it "
                    "system.features_of(texts) in place of system.encode(texts)"
                )
            return features, None
        if self.wide is None:
            return features.pooled, None
        return features.pooled, features.bags(self.wide.vocabulary).to(features.pooled.device)

    @property
    def wide_digest(self) -> bytes:
        """What the fingerprint says of the wide part; nothing without one."""
        return b"" if self.wide is None else self.wide.digest

    @property
    def words(self) -> dict[str, Tensor]:
        """The vocabulary as tensors to keep: terms (num_terms,) int64 and rarity (num_terms,) float32."""
        if self.wide is None:
            return {}
        known = self.wide.vocabulary
        return {"terms": torch.from_numpy(known.terms), "rarity": torch.from_numpy(known.rarity)}

    def take_words(self, texts: Sequence[str], *, scale: float = 1.0) -> None:
        """Begin a wide part anew with the terms of the rows to learn from: at most the config's `wide_terms`, 0 being none.

        scale: how long a text's words are beside its pooled vector, whose length is √d_model. The terms are a function of the
        texts alone. The branch is changed in place: nobody computes with it meanwhile.
        """
        self.wide, num_terms = None, 0
        if self.most_terms:
            require("Stemmer", "branches", "words beside meaning (system.wide_terms: 0 does without)")
            vocabulary = Vocabulary.of(texts, min(self.most_terms, MOST_WIDE_WEIGHTS // self.head.out_features))
            num_terms = len(vocabulary)
        if num_terms:
            self.wide = WidePart(vocabulary, self.head.out_features).to(self.head.weight.device)
            self.wide.scale.fill_(self.length_of_words(scale))
        self.card = self.card.with_changes(spec=self.card.spec.with_changes(num_terms=num_terms))

    def length_of_words(self, scale: float) -> float:
        """What the wide part multiplies with, so that a text's words are `scale` times as long as its pooled vector."""
        return scale * math.sqrt(self.head.in_features / 2)  # words have length 1, and characters too

    def with_card(self, card: "BranchCard", probe: Tensor | None) -> "Branch":
        """The same weights under another card and another stored probe."""
        branch = copy.copy(self)
        branch.card, branch.probe = card, probe
        return branch


class Cards(MutableMapping[str, BranchCard]):
    """The cards of a system's branches by name, as the branches were when this was asked for.

    Setting one replaces the card of that branch, whose classes must stay as they are. Threads may read and set at once.
    """

    def __init__(self, branches: nn.ModuleDict) -> None:
        self._branches = branches

    def __getitem__(self, name: str) -> BranchCard:
        return self.branch(name).card

    def __setitem__(self, name: str, card: BranchCard) -> None:
        if name not in self:
            raise UnknownNameError("branch", name, self)
        if card.spec != self[name].spec:
            raise ConfigError(
                f"branch {name!r} cannot get the name or classes of another: {card.spec.name!r}; add that one"
            )
        self.branch(name).card = card

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"a branch is taken out with remove_branch({name!r})")

    def __iter__(self) -> Iterator[str]:
        return (branch.card.name for branch in self._branches.values() if isinstance(branch, Branch))

    def __len__(self) -> int:
        return len(self._branches)

    def __repr__(self) -> str:
        return repr(dict(self))

    def branch(self, name: str) -> Branch:
        """The branch itself; `KeyError` when there is none."""
        branch = self._branches[key_of(name)]
        assert isinstance(branch, Branch)
        return branch


def key_of(name: str) -> str:
    """A branch's key in the system's ModuleDict, which refuses names of its own methods such as "keys" or "type"."""
    return f"branch_{name}"
