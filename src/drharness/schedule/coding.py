"""Values as Python code that a formatter leaves as it is, with what is usual left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass

from drharness.topology import Topology
from drharness.topology.model import ARGUMENTS

WIDTH = 88  # the width of formatters that nobody has told another one


@dataclass(frozen=True)
class Code:
    """An expression: ``head`` and ``tail`` around items, each with its name or none."""

    head: str
    items: tuple[tuple[str, Code], ...] = ()
    tail: str = ""

    @property
    def flat(self) -> str:
        """In one line."""
        shown = [f"{name}{code.flat}" for name, code in self.items]
        lone = "," if self.head == "(" and len(shown) == 1 else ""
        return f"{self.head}{', '.join(shown)}{lone}{self.tail}"

    def lines(self, before: str = "", after: str = "", *, broken: bool = False) -> list[str]:
        """In one line if that fits, else an item a line.

        :param before: what stands in front of it, the indentation included; ``after``: behind it
        :param broken: an item a line, whether it fits or not
        """
        whole = f"{before}{self.flat}{after}"
        if not self.items or (len(whole) <= WIDTH and not broken):
            return [whole]
        indent = " " * (len(before) - len(before.lstrip()) + 4)
        out = [f"{before}{self.head}"]
        for name, code in self.items:
            out += code.lines(f"{indent}{name}", ",")
        return [*out, f"{indent[4:]}{self.tail}{after}"]


def code(value: object) -> Code:
    """A value of a schedule as code; of a dataclass only the fields that are not as usual."""
    if isinstance(value, Topology):
        usual = Topology.guide(timing=value.timing)
        given = {n: getattr(value, n) for n in ARGUMENTS if getattr(value, n) != getattr(usual, n)}
        given |= {"timing": value.timing} if value.timing != Topology.guide().timing else {}
        return call("Topology.guide", (), given)
    if is_dataclass(value):
        required = [f.name for f in fields(value) if f.default is f.default_factory is MISSING]
        return call(
            type(value).__name__, [getattr(value, n) for n in required], _unusual(value, required)
        )
    if isinstance(value, Mapping):
        entries = tuple((f"{_text(str(k))}: ", code(v)) for k, v in value.items())
        return Code("{", entries, "}")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Code("(", tuple(("", code(v)) for v in value), ")")
    return Code(_text(value) if isinstance(value, str) else repr(value))


def call(name: str, args: Sequence[object], named: Mapping[str, object]) -> Code:
    """A call with these arguments."""
    plain = [("", code(a)) for a in args]
    return Code(f"{name}(", (*plain, *((f"{k}=", code(v)) for k, v in named.items())), ")")


def _unusual(value: object, required: Sequence[str]) -> dict[str, object]:
    found = {}
    for field in fields(value):  # type: ignore[arg-type]
        made = field.default_factory() if field.default_factory is not MISSING else field.default
        if field.name not in required and getattr(value, field.name) != made:
            found[field.name] = getattr(value, field.name)
    return found


def _text(text: str) -> str:
    """In double quotes, unless that needs more escapes."""
    return repr(text) if '"' in text else json.dumps(text, ensure_ascii=False)
