"""What 200 branches cost: on our trunk, and with PEFT, where every branch is a LoRA inside the encoder."""

from typing import Any

import torch

from interconnected_ai.bench.timing import machine, take_turns
from interconnected_ai.branches import Encoder, InterconnectedAISystem
from interconnected_ai.config import BranchSpec
from interconnected_ai.extras import require

CLASSES, ROWS, TOKENS, RANK = 10, 32, 32, 8


def bench_branches(*, num_branches: int = 200, repeats: int = 7, peft_repeats: int = 2) -> dict[str, Any]:
    """One batch of 32 rows of 32 tokens through 1 and through `num_branches` branches, and through as many PEFT LoRAs.

    PEFT runs the encoder once per branch, since after the first adapted layer the hidden states differ; switching
    adapters (`set_adapter`) is not counted.
    """
    system = InterconnectedAISystem(branches=_specs(num_branches))
    first = [system.branch_names[0]]
    input_ids = torch.randint(1000, 20000, (ROWS, TOKENS), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(input_ids, dtype=torch.bool)
    with torch.inference_mode():
        times = take_turns(
            {
                "ours_1": lambda: system(input_ids, mask, branches=first),
                "ours_all": lambda: system(input_ids, mask),
                "encoder": lambda: system.encoder(input_ids, mask),
            },
            repeats,
        )
    peft_seconds = _peft_seconds(num_branches, input_ids, mask, peft_repeats)
    ours = times["ours_all"].median
    return {
        "machine": machine(),
        "num_branches": num_branches,
        "cost_200_over_1": ours / times["ours_1"].median,
        "speedup_vs_peft_200": peft_seconds / ours,
        "seconds": {**{name: t.median for name, t in times.items()}, "peft_all": peft_seconds},
    }


def _peft_seconds(num_branches: int, input_ids: torch.Tensor, mask: torch.Tensor, repeats: int) -> float:
    """Median seconds of one batch through every adapter and its head, adapter after adapter."""
    peft = require("peft", "bench", "the comparison with PEFT")
    encoder = Encoder.load()
    config = peft.LoraConfig(r=RANK, target_modules=["query", "value"], task_type="FEATURE_EXTRACTION")
    model: Any = peft.get_peft_model(encoder.model, config, adapter_name="branch-0").eval()
    for number in range(1, num_branches):
        model.add_adapter(f"branch-{number}", config)
    heads = [torch.nn.Linear(encoder.d_model, CLASSES) for _ in range(num_branches)]

    def one_round() -> float:
        total = 0.0
        for number, head in enumerate(heads):
            model.set_adapter(f"branch-{number}")

            def forward(head: torch.nn.Linear = head) -> torch.Tensor:
                hidden = model(input_ids=input_ids, attention_mask=mask.long()).last_hidden_state
                return head(hidden.mean(dim=1))  # type: ignore[no-any-return]

            total += take_turns({"forward": forward}, 1, warmup=0)["forward"].median
        return total

    with torch.inference_mode():
        rounds = sorted(one_round() for _ in range(repeats))
    return rounds[len(rounds) // 2]


def _specs(count: int) -> list[BranchSpec]:
    return [BranchSpec.from_mapping({"name": f"branch-{i}", "num_classes": CLASSES}) for i in range(count)]
