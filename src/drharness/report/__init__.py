"""Results for people and programs: pure formatting of a history and its judgement."""

from drharness.report.summary import VERSION, summary
from drharness.report.tables import lost_lines, rto_lines, step_lines

__all__ = ["VERSION", "lost_lines", "rto_lines", "step_lines", "summary"]
