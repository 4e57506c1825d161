"""The doctor: a checklist before a run, a diagnosis during or after it, and the settings that help."""

from interconnected_ai.doctor.adapter_checklist import adapter_checklist
from interconnected_ai.doctor.ahead import Check
from interconnected_ai.doctor.checklist import checklist
from interconnected_ai.doctor.diagnosis import Diagnosis, diagnose
from interconnected_ai.doctor.fixes import Advice, Change, fixed_config, write_fixed
from interconnected_ai.doctor.illness import Illness

__all__ = [
    "Advice",
    "Change",
    "Check",
    "Diagnosis",
    "Illness",
    "adapter_checklist",
    "checklist",
    "diagnose",
    "fixed_config",
    "write_fixed",
]
