"""An encoder as an `Encode`: one vector a text, for those who know nothing of tokens and tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from interconnected_ai.branches.encoder import Encoder, batches_by_length
from interconnected_ai.config import EMBEDDED_ENCODER
from interconnected_ai.nn import in_evaluation

_BATCH = 64


class TextVectors:
    """The mean of a text's token vectors, of length 1. Any number of threads may ask at once.

    model_id: the encoder's name.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.model_id = encoder.name or EMBEDDED_ENCODER

    def __call__(self, texts: Sequence[str], /) -> np.ndarray:
        """(num_texts, d_model) float32, in the order of the texts."""
        token_ids = self.encoder.tokenize(texts)
        out = torch.empty(len(texts), self.encoder.d_model)
        encoder = in_evaluation(self.encoder)
        with torch.inference_mode():
            for rows in batches_by_length([len(ids) for ids in token_ids], _BATCH):
                input_ids, mask = encoder.pad([token_ids[row] for row in rows])
                hidden = encoder(input_ids, mask).float()
                real = mask.unsqueeze(-1)
                out[rows] = ((hidden * real).sum(dim=1) / real.sum(dim=1)).cpu()
            vectors: np.ndarray = F.normalize(out, dim=-1).numpy()
        return vectors
