"""What an expert writes while it learns, for people to read: samples.jsonl in the run's folder."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from interconnected_ai.arguments import checked
from interconnected_ai.experts import ExpertModel
from interconnected_ai.text import Tokenizer

logger = logging.getLogger(__name__)

_TEMPERATURE, _TOP_P = 0.8, 0.95


class Samples:
    """Continues the same prompts at every evaluation, with the same random numbers, and keeps what came out."""

    def __init__(self, path: Path, tokenizer: Tokenizer, prompts: Sequence[str], num_tokens: int) -> None:
        self.path, self.tokenizer, self.prompts, self.num_tokens = path, tokenizer, prompts, num_tokens

    def __call__(self, model: ExpertModel, step: int) -> None:
        """Write one line for each prompt: {"step": …, "prompt": …, "text": …}."""
        lines = []
        for prompt in self.prompts:
            text = sample_text(model, self.tokenizer, prompt, self.num_tokens)
            logger.info("  %s|%s", prompt, " ".join(text.split()))
            lines.append(json.dumps({"step": step, "prompt": prompt, "text": text}, ensure_ascii=False) + "\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(lines)


@checked
def sample_text(model: ExpertModel, tokenizer: Tokenizer, prompt: str, num_tokens: int, *, seed: int = 0) -> str:
    """How the model continues a prompt at temperature 0.8, top-p 0.95, up to the end token or the end of its window."""
    ids = [tokenizer.end_id, *tokenizer.encode(prompt)]
    room = min(num_tokens, model.config.max_seq_len - len(ids))
    if room < 1:
        return ""
    generator = torch.Generator().manual_seed(seed)
    whole = model.generate([ids], room, _TEMPERATURE, top_p=_TOP_P, end_id=tokenizer.end_id, generator=generator)[0]
    return tokenizer.decode(whole[len(ids) :])
