"""`ExpertModel`: the network of an expert with what one does with it: keep it, load it, let it continue tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, overload

import torch
from torch import Tensor

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import PromptError
from interconnected_ai.experts.folder import read_files, save_expert
from interconnected_ai.experts.network import ExpertNetwork
from interconnected_ai.experts.sampling import fresh_seed
from interconnected_ai.experts.torch_engine import TorchEngine
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Generation, Stream, TokenStep


class ExpertModel(ExpertNetwork):
    """A small transformer language model: `ExpertNetwork`, which says what it computes, kept in a folder and generating.

    Threads: in evaluation mode `generate` and `stream` may be called from any number of them at once.
    """

    # Keeping

    def save_pretrained(self, folder: str | Path, *, tokenizer: Tokenizer | None = None) -> None:
        """Write config.json, model.safetensors, a README card, and the tokenizer; `folder` is replaced whole or not at all."""
        save_expert(self, folder, tokenizer)

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path) -> Self:
        """The model saved in this folder or hub repository, in evaluation mode; checksums, shapes and version are checked.

        Weights are mapped from the file and read when they are first used.
        """
        return read_files(folder_or_hub_id, tokenizer=False).network(cls)

    # Continuing

    @overload
    def generate(
        self, input_ids: Tensor, max_new_tokens: int = ..., temperature: float = ..., top_k: int | None = ...,
        top_p: float | None = ..., *, end_id: int | None = ..., generator: torch.Generator | None = ..., **settings: Any,
    ) -> Tensor: ...  # fmt: skip

    @overload
    def generate(
        self, input_ids: Sequence[Sequence[int]], max_new_tokens: int = ..., temperature: float = ...,
        top_k: int | None = ..., top_p: float | None = ..., *, end_id: int | None = ...,
        generator: torch.Generator | None = ..., **settings: Any,
    ) -> list[list[int]]: ...  # fmt: skip

    def generate(
        self,
        input_ids: Tensor | Sequence[Sequence[int]],
        max_new_tokens: int = 128,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        *,
        end_id: int | None = None,
        generator: torch.Generator | None = None,
        **settings: Any,
    ) -> Tensor | list[list[int]]:
        """Prompt and answer together: (batch, seq) ids → (batch, seq + max_new_tokens); lists of any lengths → lists.

        end_id: the token that ends an answer; it fills up what a tensor's row falls short of the longest. generator: makes
        the sampling reproducible; None is torch's own. settings: the other fields of `GenerationConfig`, such as
        `repetition_penalty` or `num_beams`. Raises `PromptError` and `ConfigError` for what cannot be.
        """
        prompts = _as_lists(input_ids)
        config = GenerationConfig.from_mapping(
            {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_k": top_k, "top_p": top_p, **settings},
            source="generate",
        )
        answers = TorchEngine(self, end_ids=end_id, layout="plain")(prompts, config, seed=fresh_seed(generator))
        whole = [[*prompt, *answer.token_ids] for prompt, answer in zip(prompts, answers, strict=True)]
        if not isinstance(input_ids, Tensor):
            return whole
        longest = max(len(row) for row in whole)
        filler = 0 if end_id is None else end_id  # without an end token all rows are of one length
        filled = [row + [filler] * (longest - len(row)) for row in whole]
        return torch.tensor(filled, dtype=input_ids.dtype, device=input_ids.device)

    def stream(
        self,
        input_ids: Tensor | Sequence[Sequence[int]],
        *,
        end_id: int | None = None,
        generator: torch.Generator | None = None,
        **settings: Any,
    ) -> Stream[TokenStep, list[Generation]]:
        """The new tokens one by one, as they come; the arguments are those of `generate`."""
        config = GenerationConfig.from_mapping(settings, source="stream")
        engine = TorchEngine(self, end_ids=end_id, layout="plain")
        return engine.stream(_as_lists(input_ids), config, seed=fresh_seed(generator))


def _as_lists(input_ids: Tensor | Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
    """Prompts as lists of token ids; what is no tensor is for the engine to check."""
    if not isinstance(input_ids, Tensor):
        return input_ids
    if input_ids.dim() != 2 or input_ids.is_floating_point():
        raise PromptError(
            f"input_ids has shape {tuple(input_ids.shape)} and dtype {input_ids.dtype}; needed are whole numbers, (batch, seq)"
        )
    rows: list[list[int]] = input_ids.tolist()
    return rows
