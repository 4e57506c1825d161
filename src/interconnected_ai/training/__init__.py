"""How weights come to be: data, batches, the loop, checkpoints, monitors, measuring and comparing."""

from interconnected_ai.training.calibrate import calibrate
from interconnected_ai.training.compare import Comparison, compare_answers, compare_systems
from interconnected_ai.training.corpus import Corpus, CorpusPlan, CorpusReport, Document, Texts, survey
from interconnected_ai.training.data import BranchReport, Rows, Splits, load_splits, read_rows, report_on, split_rows
from interconnected_ai.training.devices import choose
from interconnected_ai.training.docstrings import LIBRARIES, docstring_rows
from interconnected_ai.training.doctor import (
    Check,
    Diagnosis,
    Illness,
    checklist,
    diagnose,
    fixed_config,
    write_fixed,
)
from interconnected_ai.training.documentation import documentation
from interconnected_ai.training.epoch import train_epoch
from interconnected_ai.training.features import FeatureCache
from interconnected_ai.training.metrics import BranchMetrics, auroc, branch_metrics, evaluate, macro_f1
from interconnected_ai.training.report import RunReport, gather_report, missing_sentences, write_report
from interconnected_ai.training.runs import RunResult, process_rank, refuse_taken_folder, train_run
from interconnected_ai.training.system import FitResult, fit

__all__ = [
    "LIBRARIES",
    "BranchMetrics",
    "BranchReport",
    "Check",
    "Comparison",
    "Corpus",
    "CorpusPlan",
    "CorpusReport",
    "Diagnosis",
    "Document",
    "FeatureCache",
    "FitResult",
    "Illness",
    "Rows",
    "RunReport",
    "RunResult",
    "Splits",
    "Texts",
    "auroc",
    "branch_metrics",
    "calibrate",
    "checklist",
    "choose",
    "compare_answers",
    "compare_systems",
    "diagnose",
    "docstring_rows",
    "documentation",
    "evaluate",
    "fit",
    "fixed_config",
    "gather_report",
    "load_splits",
    "macro_f1",
    "missing_sentences",
    "process_rank",
    "read_rows",
    "refuse_taken_folder",
    "report_on",
    "split_rows",
    "survey",
    "train_epoch",
    "train_run",
    "write_fixed",
    "write_report",
]
