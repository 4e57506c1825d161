"""What 200 branches cost: on our trunk, and with PEFT, where every branch is a LoRA inside the encoder."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import torch

from interconnected_ai.bench.timing import machine, take_turns
from interconnected_ai.branches import Encoder, InterconnectedAISystem, Prediction
from interconnected_ai.config import BranchSpec
from interconnected_ai.extras import require

CLASSES, ROWS, TOKENS, RANK = 10, 32, 32, 8
TEXTS = 128  # of ordinary questions' length, answered from text to label
OTHER_WORDS = 700  # a branch's own, beside those of the texts
_QUESTION = (
    "could you please tell me why my payment at the shop near the station was declined yesterday evening and what "
    "I have to do so that the card works again before we leave for the mountains next week"
).split()


def bench_branches(*, num_branches: int = 200, repeats: int = 7) -> dict[str, Any]:
    """One batch of 32 rows of 32 tokens through 1 and through `num_branches` branches, and through as many PEFT LoRAs.

    PEFT runs the encoder once per branch, since after the first adapted layer the hidden states differ: its time is one
    pass, taken in turn with ours, times the number of branches. Switching adapters (`set_adapter`) is not counted.
    Beside the forward passes, `predict` from texts to labels, of one branch and of all, in turn on the same texts, every branch
    with a wide part that knows all terms of these texts and thousands more; the same with every answer written as JSON
    (`read_200_over_1`); and of one branch without oneDNN (`predict_speedup_by_onednn`; 1 where MKL is as fast, see
    `multiplies_by_onednn`).
    """
    texts = questions(TEXTS)
    system = many_branches(num_branches, texts)
    first = [system.branch_names[0]]
    input_ids = torch.randint(1000, 20000, (ROWS, TOKENS), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(input_ids, dtype=torch.bool)
    peft_pass = _peft_pass(num_branches, input_ids, mask)
    with torch.inference_mode():
        times = take_turns(
            {
                "ours_1": lambda: system(input_ids, mask, branches=first),
                "ours_all": lambda: system(input_ids, mask),
                "encoder": lambda: system.encoder(input_ids, mask),
            },
            repeats,
        )
        against = take_turns({"ours_all": lambda: system(input_ids, mask), "peft_one": peft_pass}, 3 * repeats)
    asked = take_turns(
        {
            "predict_1": lambda: system.predict(texts, branches=first),
            "predict_all": lambda: system.predict(texts),
            "predict_1_by_torch": lambda: _by_torch(lambda: system.predict(texts, branches=first)),
            "read_1": lambda: _read(system.predict(texts, branches=first)),
            "read_all": lambda: _read(system.predict(texts)),
        },
        repeats,
    )
    peft_seconds = against["peft_one"].median * num_branches
    return {
        "machine": machine(),
        "num_branches": num_branches,
        "cost_200_over_1": times["ours_all"].median / times["ours_1"].median,
        "speedup_vs_peft_200": peft_seconds / against["ours_all"].median,
        "predict_200_over_1": asked["predict_all"].median / asked["predict_1"].median,
        "predict_speedup_by_onednn": asked["predict_1_by_torch"].median / asked["predict_1"].median,
        "read_200_over_1": asked["read_all"].median / asked["read_1"].median,
        "num_texts": len(texts),
        "num_terms": sum(card.spec.num_terms for card in system.cards.values()) // num_branches,
        "seconds": {**{name: t.median for name, t in {**times, **asked}.items()}, "peft_all": peft_seconds},
        "spread": max(t.spread for t in (*times.values(), *asked.values(), *against.values())),
    }


def many_branches(count: int, texts: list[str]) -> InterconnectedAISystem:
    """An untrained system of so many branches, each with a wide part that knows these texts' terms and thousands more."""
    system = InterconnectedAISystem(branches=_specs(count))
    for name in system.branch_names:
        _take_words(system, name, texts)
    return system


def questions(number: int) -> list[str]:
    """Questions of 8 to 24 words, each another stretch of one long question."""
    found = []
    for place in range(number):
        start, length = place * 5 % (len(_QUESTION) - 24), 8 + place * 7 % 17
        found.append(" ".join(_QUESTION[start : start + length]))
    return found


def _take_words(system: InterconnectedAISystem, name: str, texts: list[str]) -> None:
    """Give a branch the terms of these texts and of `OTHER_WORDS` words that no text has, with weights at random."""
    branch = system.branch(name)
    branch.take_words([*texts, *(f"{name} word{number:04d}" for number in range(OTHER_WORDS))])
    assert branch.wide is not None
    torch.nn.init.normal_(branch.wide.weight, std=0.02, generator=torch.Generator().manual_seed(0))


def _peft_pass(num_branches: int, input_ids: torch.Tensor, mask: torch.Tensor) -> Callable[[], torch.Tensor]:
    """A function that runs the batch through one adapter and its head, all the other adapters being loaded too."""
    peft = require("peft", "bench", "the comparison with PEFT")
    encoder = Encoder.load()
    config = peft.LoraConfig(r=RANK, target_modules=["query", "value"], task_type="FEATURE_EXTRACTION")
    model: Any = peft.get_peft_model(encoder.model, config, adapter_name="branch-0").eval()
    for number in range(1, num_branches):
        model.add_adapter(f"branch-{number}", config)
    head = torch.nn.Linear(encoder.d_model, CLASSES)

    def one_pass() -> torch.Tensor:
        hidden = model(input_ids=input_ids, attention_mask=mask.long()).last_hidden_state
        logits: torch.Tensor = head(hidden.mean(dim=1))
        return logits

    return one_pass


def _by_torch(answer: Callable[[], list[Prediction]]) -> list[Prediction]:
    """The answers with every product by PyTorch's own choice of library."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TF32 acceleration")  # of settings that come with the one that is meant
        with torch.backends.mkldnn.flags(enabled=False):
            return answer()


def _read(predictions: list[Prediction]) -> int:
    """Every answer as the JSON that a server would send, a text after the other; how many characters these are."""
    return sum(len(json.dumps(prediction.to_dict())) for prediction in predictions)


def _specs(count: int) -> list[BranchSpec]:
    return [BranchSpec.from_mapping({"name": f"branch-{i}", "num_classes": CLASSES}) for i in range(count)]
