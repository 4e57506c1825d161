"""What an adapter's training minimises, as one module, so that several processes see all of it."""

from torch import Tensor, nn

from interconnected_ai.nn import linear_cross_entropy
from interconnected_ai.training.adapter.network import AdaptedNetwork


class AdapterObjective(nn.Module):
    """Packed blocks → Σ −ln p(token | those before it in its document), over the tokens that count."""

    def __init__(self, model: AdaptedNetwork) -> None:
        super().__init__()
        self.model = model
        self._no_split_modules = model._no_split_modules  # what FSDP gathers at a time

    def forward(self, inputs: Tensor, targets: Tensor, documents: Tensor) -> Tensor:
        """Each (batch, seq) → nats. targets: −1 where nothing counts."""
        hidden = self.model.hidden(inputs, documents)
        counted = targets >= 0
        # the head's product, the dearest of all, only where something is foretold
        return linear_cross_entropy(hidden[counted], self.model.head.weight, targets[counted])
