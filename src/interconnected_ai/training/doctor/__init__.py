"""The doctor: a checklist before a run, a diagnosis during or after it, and the settings that help."""

from interconnected_ai.training.doctor.ahead import Check
from interconnected_ai.training.doctor.checklist import checklist
from interconnected_ai.training.doctor.diagnosis import Diagnosis, diagnose
from interconnected_ai.training.doctor.fixes import Change, fixed_config, write_fixed
from interconnected_ai.training.doctor.illness import Illness

__all__ = ["Change", "Check", "Diagnosis", "Illness", "checklist", "diagnose", "fixed_config", "write_fixed"]
