"""What a system is, what it learns from and how: frozen, strict records that go to YAML or JSON and back.

Unknown keys are errors that name the nearest known key. Nothing here imports torch: a plan or `--help` reads these too.
Records are frozen and functions keep no state: everything may be used from several threads at once.
"""

from interconnected_ai.config.adapter import (
    AdapterConfig,
    AdapterRunConfig,
    AdapterTrainingConfig,
    ChatsConfig,
    PreferencesConfig,
)
from interconnected_ai.config.card import BranchCard
from interconnected_ai.config.council import CouncilConfig, MemberConfig
from interconnected_ai.config.data import BranchData, CorpusConfig, DataConfig, TableData
from interconnected_ai.config.expert import ExpertConfig, NormPlace
from interconnected_ai.config.first_steps import (
    EMBEDDED_ENCODER,
    ENGLISH_ENCODERS,
    MULTILINGUAL_ENCODER,
    NO_FIRST_STEPS,
    ROWS_OF_A_FIRST_STEP,
    SHORT_TEXT,
    FirstSteps,
    first_steps_on,
    num_first_steps,
    readings_of_a_row,
    with_first_steps,
)
from interconnected_ai.config.generation import GenerationConfig
from interconnected_ai.config.overrides import setting_names, with_settings
from interconnected_ai.config.record import Record
from interconnected_ai.config.runs import ExpertRunConfig, RunConfig
from interconnected_ai.config.serving import ServingConfig
from interconnected_ai.config.settings import merged, settings_in, settings_of
from interconnected_ai.config.system import (
    DOCUMENT_BRANCHES,
    MANY_ROWS,
    MOST_WIDE_WEIGHTS,
    UNKNOWN,
    BranchSpec,
    FeedForwardKind,
    Pooling,
    SystemConfig,
    document_branches,
    refusal_for,
)
from interconnected_ai.config.text_lengths import expected_tokens
from interconnected_ai.config.training import ExpertTrainingConfig, LoopConfig, Precision, TrainingConfig, Watch

__all__ = [
    "DOCUMENT_BRANCHES",
    "EMBEDDED_ENCODER",
    "ENGLISH_ENCODERS",
    "MANY_ROWS",
    "MOST_WIDE_WEIGHTS",
    "MULTILINGUAL_ENCODER",
    "NO_FIRST_STEPS",
    "ROWS_OF_A_FIRST_STEP",
    "SHORT_TEXT",
    "UNKNOWN",
    "AdapterConfig",
    "AdapterRunConfig",
    "AdapterTrainingConfig",
    "BranchCard",
    "BranchData",
    "BranchSpec",
    "ChatsConfig",
    "CorpusConfig",
    "CouncilConfig",
    "DataConfig",
    "ExpertConfig",
    "ExpertRunConfig",
    "ExpertTrainingConfig",
    "FeedForwardKind",
    "FirstSteps",
    "GenerationConfig",
    "LoopConfig",
    "MemberConfig",
    "NormPlace",
    "Pooling",
    "Precision",
    "PreferencesConfig",
    "Record",
    "RunConfig",
    "ServingConfig",
    "SystemConfig",
    "TableData",
    "TrainingConfig",
    "Watch",
    "document_branches",
    "expected_tokens",
    "first_steps_on",
    "merged",
    "num_first_steps",
    "readings_of_a_row",
    "refusal_for",
    "setting_names",
    "settings_in",
    "settings_of",
    "with_first_steps",
    "with_settings",
]
