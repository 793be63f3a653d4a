"""Command lines in the products' form: ``-name value`` pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drharness.errors import UsageError
from drharness.kernel import validate


def parse(argv: Sequence[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """``defaults`` with what the command line states.

    :raises UsageError: an unknown option, or one without a value
    """
    values = dict(defaults)
    rest = list(argv)
    while rest:
        flag = rest.pop(0)
        name = validate.choice("option", flag, {f"-{key}" for key in defaults})
        if not rest:
            raise UsageError(f"option {flag}: expected a value after it, got none.")
        values[name[1:]] = rest.pop(0)
    return values


def whole(values: Mapping[str, str], name: str, *, low: int, high: int) -> int:
    """A whole number.

    :raises UsageError: names the option, its value and the range
    """
    return int(decimal(values, name, low=low, high=high, whole=True))


def decimal(
    values: Mapping[str, str], name: str, *, low: float, high: float, whole: bool = False
) -> float:
    """A number, perhaps with a fraction.

    :raises UsageError: names the option, its value and the range
    """
    try:
        number = int(values[name]) if whole else float(values[name])
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise UsageError(f"option -{name}: expected {kind}, got {values[name]!r}.") from None
    return validate.number(f"option -{name}", number, low=low, high=high)
