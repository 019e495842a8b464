"""The HTML page of a run and its charts; knows no task.

A task hands in `Findings` (cards, caveats and sections); `write_report` adds what every run has.
"""

from spectralvision.report.page import Card, Section
from spectralvision.report.run_report import Findings, try_write_report, write_report

__all__ = ["Card", "Findings", "Section", "try_write_report", "write_report"]
