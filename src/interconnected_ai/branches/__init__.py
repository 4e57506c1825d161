"""Many classifiers on one trunk: a frozen encoder, shared MoE layers, and an adapter and head for each branch."""

from interconnected_ai.branches.batched import BatchedPredictor, PredictorStats
from interconnected_ai.branches.branch import Branch
from interconnected_ai.branches.calibration import Answered, calibration
from interconnected_ai.branches.changes import save_change
from interconnected_ai.branches.convex import scale_beside_learnt_vectors
from interconnected_ai.branches.encoder import (
    Encoder,
    batches_by_length,
    embedded_encoder_folder,
    known_as,
)
from interconnected_ai.branches.exchange import export_branch, import_branch
from interconnected_ai.branches.familiarity import class_directions, rows_for_directions
from interconnected_ai.branches.features import TextFeatures
from interconnected_ai.branches.fingerprint import BranchCheck
from interconnected_ai.branches.growth import (
    BranchFit,
    class_indices,
    class_weights,
    fit_branch,
    solve_on_pooled,
    train_on_pooled,
)
from interconnected_ai.branches.inference import inference
from interconnected_ai.branches.multilingual import multilingual_encoder_file
from interconnected_ai.branches.naming import ClassNames, readable_names
from interconnected_ai.branches.prediction import (
    AnswerPart,
    AnswerTable,
    BranchPrediction,
    Prediction,
    probabilities,
)
from interconnected_ai.branches.system import DenseSystem, InterconnectedAISystem, SystemOutput
from interconnected_ai.branches.trunk import Trunk
from interconnected_ai.branches.vectors import TextVectors
from interconnected_ai.config import EMBEDDED_ENCODER, MULTILINGUAL_ENCODER, BranchCard

__all__ = [
    "EMBEDDED_ENCODER",
    "MULTILINGUAL_ENCODER",
    "AnswerPart",
    "AnswerTable",
    "Answered",
    "BatchedPredictor",
    "Branch",
    "BranchCard",
    "BranchCheck",
    "BranchFit",
    "BranchPrediction",
    "ClassNames",
    "DenseSystem",
    "Encoder",
    "InterconnectedAISystem",
    "Prediction",
    "PredictorStats",
    "SystemOutput",
    "TextFeatures",
    "TextVectors",
    "Trunk",
    "batches_by_length",
    "calibration",
    "class_directions",
    "class_indices",
    "class_weights",
    "embedded_encoder_folder",
    "export_branch",
    "fit_branch",
    "import_branch",
    "inference",
    "known_as",
    "multilingual_encoder_file",
    "probabilities",
    "readable_names",
    "rows_for_directions",
    "save_change",
    "scale_beside_learnt_vectors",
    "solve_on_pooled",
    "train_on_pooled",
]
