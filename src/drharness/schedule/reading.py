"""A JSON document as somebody wrote it: every value knows where it stands, for the errors."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from drharness.errors import UsageError
from drharness.kernel import validate

_SHOWN = 60


@dataclass(frozen=True)
class At:
    """A value, and its place: ``schedule.json: actions[2].fault``.

    Every method returns what was expected, or raises UsageError with the place, the value, what
    was expected, and the nearest valid name where names are expected.
    """

    value: object
    file: str
    path: str = ""

    @classmethod
    def document(cls, text: str, file: str) -> At:
        """The whole of a document.

        :raises UsageError: it is no JSON; says in which line
        """
        try:
            return cls(json.loads(text), file)
        except json.JSONDecodeError as error:
            raise UsageError(
                f"{file} line {error.lineno}, column {error.colno}: expected JSON: {error.msg}."
            ) from error

    @property
    def place(self) -> str:
        """Where it stands, as errors begin."""
        return f"{self.file}: {self.path}" if self.path else self.file

    def wrong(self, expected: str) -> UsageError:
        """The error that says what was expected here."""
        shown = json.dumps(self.value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
        return UsageError(f"{self.place}: expected {expected}, got {shown}.")

    def fields(self, known: Collection[str], needed: Collection[str] = ()) -> dict[str, At]:
        """An object's values, its keys being among those known and all of the needed there."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        for key in self.value:
            validate.choice(f"{self.place}: key", key, known)
        for key in needed:
            if key not in self.value:
                raise self.wrong(f"the key {key!r}")
        dot = "." if self.path else ""
        return {k: At(v, self.file, f"{self.path}{dot}{k}") for k, v in self.value.items()}

    def items(self) -> list[At]:
        """A list's values."""
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [At(v, self.file, f"{self.path}[{i}]") for i, v in enumerate(self.value)]

    def choice(self, allowed: Collection[str]) -> str:
        """One of several names."""
        return validate.choice(self.place, self.value, allowed)

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        return self.value

    def number(self, low: float, high: float) -> float:
        """A number within [low, high]."""
        return validate.number(self.place, self.value, low=low, high=high)

    def whole(self, low: int, high: int) -> int:
        """A whole number within [low, high]."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.wrong(f"a whole number from {low} to {high}")
        return int(self.number(low, high))

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.wrong("true or false")
        return self.value
