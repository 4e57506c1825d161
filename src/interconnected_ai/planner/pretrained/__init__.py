"""A pretrained MoE language model sized from its `config.json` alone: counts, bytes of each way to use it, split over devices.

`families` and `parts` say what each architecture builds, `blueprint` lists its tensors, `reading` makes a `PretrainedMoE`
(`model`) of a file; `memory` sizes every way to run or train it (`load`, `adapters`, `activations`), `split` deals it out.
"""

from interconnected_ai.planner.pretrained.families import FAMILIES
from interconnected_ai.planner.pretrained.memory import TrainingWay, size_ways
from interconnected_ai.planner.pretrained.model import PretrainedMoE
from interconnected_ai.planner.pretrained.reading import read_pretrained
from interconnected_ai.planner.pretrained.split import MOST_DEVICES, Split, SplitPlan, split_over

__all__ = [
    "FAMILIES",
    "MOST_DEVICES",
    "PretrainedMoE",
    "Split",
    "SplitPlan",
    "TrainingWay",
    "read_pretrained",
    "size_ways",
    "split_over",
]
