"""Faults as text, for the command line and files: ``vm-down:active.dbms``, ``regions-cut``.

NAME                      all arguments at their defaults
NAME:VALUE                the first argument
NAME:KEY=VALUE,KEY=VALUE  by name
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from drharness.errors import UsageError
from drharness.faults.model import Fault
from drharness.kernel import validate

_WORDS = {"true": True, "yes": True, "false": False, "no": False}


def parse(text: str, kinds: Mapping[str, type[Fault]], *, region: str, name: str) -> Fault:
    """The fault that a text spells.

    :param kinds: fault classes by their names
    :param region: what an argument called ``region`` or ``one`` without a default stands for
    :param name: what the text is called, for errors
    :raises UsageError: no such fault, argument or value; says what was expected
    """
    kind, colon, rest = text.partition(":")
    made = kinds[validate.choice(name, kind.replace("_", "-"), kinds)]
    known = {f.name: f for f in fields(made)}
    given: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = part.partition("=")
        if not equals:
            key, value = next((k for k in known if k not in given), ""), part
        if key not in known:
            raise UsageError(
                f"{name}: {kind} takes {', '.join(known) or 'no arguments'}, got {part!r}."
            )
        given[key] = _value(value.strip(), known[key], f"{name}: {kind} {key}")
    for key, one in known.items():
        if key not in given and one.default is MISSING:
            if key != "region":
                raise UsageError(f"{name}: {kind} needs {key}, as in {kind}:{key}=VALUE.")
            given[key] = region
    return made(**given)


def _value(text: str, wanted: Field[Any], name: str) -> object:
    kind = str(wanted.type)
    if kind == "bool":
        return _WORDS[validate.choice(name, text.lower(), _WORDS)]
    if kind not in ("int", "float"):
        return text
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        raise UsageError(f"{name}: expected a number, got {text!r}.") from None
