"""The parameter constructor: what a system takes in parameters, FLOPs, bytes, hours and money before it is built.

Imports no torch: a plan answers at once.
"""

from interconnected_ai.planner.comparison import Plan, plan
from interconnected_ai.planner.council import CouncilCurve, CouncilPlan, curve_from, plan_council, published_curve
from interconnected_ai.planner.devices import (
    DEVICES,
    Calibration,
    Device,
    calibration_path,
    find_device,
    load_calibration,
    read_devices,
    save_calibration,
    this_machine,
)
from interconnected_ai.planner.document import Claim, document_table
from interconnected_ai.planner.duration import Range, Speed
from interconnected_ai.planner.encoders import EncoderShape, encoder_shape, known_encoders
from interconnected_ai.planner.expert import (
    decode_rate,
    expert_preset,
    expert_size,
    expert_training_flops,
    kv_cache_bytes,
    pool_size,
)
from interconnected_ai.planner.fitting import free_bytes
from interconnected_ai.planner.hyperparameters import Hyperparameter, explain, hyperparameters
from interconnected_ai.planner.memory import feature_cache_bytes, inference_memory, overhead_of, training_memory
from interconnected_ai.planner.plot import draw_plan
from interconnected_ai.planner.pretrained import read_pretrained, size_ways, split_over
from interconnected_ai.planner.products import Product, backward_flops, forward_flops
from interconnected_ai.planner.request import AddedBranch, PlanRequest, request_from
from interconnected_ai.planner.search import Fit, largest_fit
from interconnected_ai.planner.system import DENSE_OVER_MOE, SystemShape, dense_twin
from interconnected_ai.planner.way import Way
from interconnected_ai.planner.workload import answer, training_step

__all__ = [
    "DENSE_OVER_MOE",
    "DEVICES",
    "AddedBranch",
    "Calibration",
    "Claim",
    "CouncilCurve",
    "CouncilPlan",
    "Device",
    "EncoderShape",
    "Fit",
    "Hyperparameter",
    "Plan",
    "PlanRequest",
    "Product",
    "Range",
    "Speed",
    "SystemShape",
    "Way",
    "answer",
    "backward_flops",
    "calibration_path",
    "curve_from",
    "decode_rate",
    "dense_twin",
    "document_table",
    "draw_plan",
    "encoder_shape",
    "expert_preset",
    "expert_size",
    "expert_training_flops",
    "explain",
    "feature_cache_bytes",
    "find_device",
    "forward_flops",
    "free_bytes",
    "hyperparameters",
    "inference_memory",
    "known_encoders",
    "kv_cache_bytes",
    "largest_fit",
    "load_calibration",
    "overhead_of",
    "plan",
    "plan_council",
    "pool_size",
    "published_curve",
    "read_devices",
    "read_pretrained",
    "request_from",
    "save_calibration",
    "size_ways",
    "split_over",
    "this_machine",
    "training_memory",
    "training_step",
]
