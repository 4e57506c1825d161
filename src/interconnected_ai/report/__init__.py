"""The report of a run: one page of curves, use of the experts, confusion, calibration, cost and test results."""

from interconnected_ai.report.adapters import AdapterReport, gather_adapter_report
from interconnected_ai.report.contents import missing_sentences
from interconnected_ai.report.gather import gather_report
from interconnected_ai.report.page import write_report
from interconnected_ai.report.records import RunReport

__all__ = ["AdapterReport", "RunReport", "gather_adapter_report", "gather_report", "missing_sentences", "write_report"]
