"""What a check may return besides findings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NotExercised:
    """The check's premise never came true in this history; ``reason`` says why."""

    reason: str
