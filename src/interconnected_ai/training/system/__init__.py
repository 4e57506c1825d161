"""Training systems of branches: the learner, its loss and figures, measuring, and whole runs from rows to a model."""

from interconnected_ai.nn import macro_f1
from interconnected_ai.training.system.answers import (
    KeptAnswers,
    RowAnswers,
    answer_rows,
    kept_answers,
    likely_mislabelled,
)
from interconnected_ai.training.system.baseline import BASELINE, Baseline, WordCounts, measure_baselines
from interconnected_ai.training.system.calibration import calibrate
from interconnected_ai.training.system.comparison import Comparison, compare_answers, compare_systems
from interconnected_ai.training.system.encoder_choice import (
    EncoderChoice,
    encoder_by_language,
    encoder_of_run,
    language_remark,
    learning_first_where_it_pays,
    reads_english_only,
    with_encoder,
)
from interconnected_ai.training.system.epoch import train_epoch
from interconnected_ai.training.system.features import FeatureCache
from interconnected_ai.training.system.fit import FitResult, fit
from interconnected_ai.training.system.foreign import FOREIGN_TEXTS
from interconnected_ai.training.system.growing import (
    GrownBranch,
    add_branch,
    is_changed,
    remove_branch,
    require_unchanged,
    save_in_place,
)
from interconnected_ai.training.system.loss import GlobalBatch, LossParts, system_loss
from interconnected_ai.training.system.metrics import (
    BranchMetrics,
    auroc,
    branch_metrics,
    evaluate,
    expected_calibration_error,
    metrics_of,
)
from interconnected_ai.training.system.results import RunResults
from interconnected_ai.training.system.run import (
    RunResult,
    data_files,
    finished_results,
    refuse_taken_folder,
    train_run,
)
from interconnected_ai.training.system.run_rows import shape_for, splits_of_finished_run, splits_of_run
from interconnected_ai.training.system.unseen import Unseen, unseen, unseen_rows

__all__ = [
    "BASELINE",
    "FOREIGN_TEXTS",
    "Baseline",
    "BranchMetrics",
    "Comparison",
    "EncoderChoice",
    "FeatureCache",
    "FitResult",
    "GlobalBatch",
    "GrownBranch",
    "KeptAnswers",
    "LossParts",
    "RowAnswers",
    "RunResult",
    "RunResults",
    "Unseen",
    "WordCounts",
    "add_branch",
    "answer_rows",
    "auroc",
    "branch_metrics",
    "calibrate",
    "compare_answers",
    "compare_systems",
    "data_files",
    "encoder_by_language",
    "encoder_of_run",
    "evaluate",
    "expected_calibration_error",
    "finished_results",
    "fit",
    "is_changed",
    "kept_answers",
    "language_remark",
    "learning_first_where_it_pays",
    "likely_mislabelled",
    "macro_f1",
    "measure_baselines",
    "metrics_of",
    "reads_english_only",
    "refuse_taken_folder",
    "remove_branch",
    "require_unchanged",
    "save_in_place",
    "shape_for",
    "splits_of_finished_run",
    "splits_of_run",
    "system_loss",
    "train_epoch",
    "train_run",
    "unseen",
    "unseen_rows",
    "with_encoder",
]
