"""The criticality table: steps by slips, what each breaks; as text, JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

from drharness.checks.registry import CHECKS
from drharness.errors import UsageError
from drharness.schedule.reading import At

VERSION = 1
KIND = "drharness criticality"
INTACT = "intact"
SLIPS = ("skipped", "repeated", "delayed", "swapped", "interrupted")
COLUMNS = (INTACT, *SLIPS)
_ORDER = ("P1",)  # says that the order was not kept, whatever came of it
_NOT_TRIED = "-"
_MOST = 1_000_000
_LONG_S = 1e9


class Outcome(Enum):
    """What a cell comes to."""

    SAFE = "safe"
    BROKEN = "broken"
    UNKNOWN = "UNKNOWN"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Judged:
    """What came of one step with one slip.

    :ivar fault: what broke right before it, empty for nothing
    :ivar broken: ids of the invariants that failed often enough to count; ``rare``: those that
        failed and do not count
    :ivar failed: of ``tried`` trials, how many failed
    :ivar text: why a trial said nothing; empty if all did
    :ivar run: evidence of the first trial that did not pass, or of the one that did
    :ivar seconds: all trials together
    """

    step: str
    slip: str
    fault: str
    outcome: Outcome
    broken: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    failed: int = 0
    tried: int = 1
    text: str = ""
    run: str = ""
    seconds: float = 0.0

    @property
    def shown(self) -> str:
        """As it stands in a table; a star says that there is a note."""
        return f"{' '.join(self.broken) or self.outcome}{'*' if self.note else ''}"

    @property
    def note(self) -> str:
        """What the table has no room for; empty if there is nothing."""
        if self.outcome is Outcome.UNKNOWN:
            return self.text or f"failed in {self.failed} of {self.tried}: {' '.join(self.rare)}"
        if self.rare:
            also = "" if not self.broken else "also "
            return f"{also}failed in some of {self.tried}, not counted: {' '.join(self.rare)}"
        return ""

    @property
    def where(self) -> str:
        """Which cell it is."""
        return " ".join([self.step, self.slip, *([f"with {self.fault}"] if self.fault else [])])


@dataclass(frozen=True)
class Table:
    """All cells that were tried.

    :ivar procedure: as code; ``disaster``: what it answers, injected before it begins
    :ivar delay: s, by which a delayed step was late; ``call``: request at which the controller dies
    :ivar again: ``(k, n)``: broken is what failed in k of at most n trials
    :ivar planned: how many cells there are when all are tried
    """

    procedure: str
    disaster: str
    replication: str
    timing: str
    delay: float
    call: int
    again: tuple[int, int]
    planned: int
    rows: tuple[Judged, ...]

    @property
    def complete(self) -> bool:
        """Whether every cell was tried and could be judged."""
        known = [r for r in self.rows if r.outcome is not Outcome.UNKNOWN]
        return len(known) == self.planned

    @property
    def intact_fails(self) -> tuple[Judged, ...]:
        """Where the procedure without a slip breaks something."""
        return tuple(r for r in self.rows if r.slip == INTACT and r.broken)

    @property
    def title(self) -> str:
        """What was tried, in a line."""
        return (
            f"{self.procedure} after {self.disaster}, "
            f"{self.replication} replication, {self.timing} timing"
        )

    @property
    def summary(self) -> str:
        """How many cells came to what, in a line."""
        broken = [r for r in self.rows if r.broken]
        formal = sum(r.broken == _ORDER for r in broken)
        unknown = sum(r.outcome is Outcome.UNKNOWN for r in self.rows)
        parts = [f"{len(self.rows)} cells: {len(broken)} break something"]
        if formal:
            parts[0] += f" ({formal} of them nothing but the order of steps, P1)"
        parts.append(f"{len(self.rows) - len(broken) - unknown} safe")
        if unknown:
            parts.append(f"{unknown} UNKNOWN")
        if len(self.rows) < self.planned:
            parts.append(f"{self.planned - len(self.rows)} not tried")
        return ", ".join(parts)

    @property
    def legend(self) -> tuple[str, ...]:
        """What the slips were, and the invariants that stand in the table."""
        k, n = self.again
        slips = {r.slip for r in self.rows}
        said = {
            "delayed": f"delayed      by {self.delay:g} s",
            "swapped": "swapped      with the next step, the last one with the one before it",
            "interrupted": f"interrupted  the controller dies at request {self.call} of the step, "
            "and all is run again",
        }
        ids = {i for r in self.rows for i in (*r.broken, *r.rare)}
        found = [f"{c.id:<11}  {c.title}" for c in CHECKS if c.id in ids]
        often = [f"{'counted':<11}  is what failed in {k} of at most {n} trials"] if n > 1 else []
        return (*(text for slip, text in said.items() if slip in slips), *found, *often)

    def blocks(self) -> list[tuple[str, list[list[str]]]]:
        """Per fault its heading and the cells: a row per step, the names of the slips first."""
        out = []
        for fault in dict.fromkeys(r.fault for r in self.rows):
            found = {(r.step, r.slip): r.shown for r in self.rows if r.fault == fault}
            steps = dict.fromkeys(r.step for r in self.rows)
            slips = [s for s in COLUMNS if s in {r.slip for r in self.rows}]
            body = [[step, *(found.get((step, s), _NOT_TRIED) for s in slips)] for step in steps]
            heading = f"with {fault} right before the step" if fault else "alone"
            out.append((heading, [["step", *slips], *body]))
        return out

    def to_text(self) -> str:
        """For a terminal: a table per fault, what needs a note, and what the names mean."""
        lines = [self.title]
        for heading, cells in self.blocks():
            widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
            lines += ["", f"{heading}:"]
            for row in cells:
                text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                lines.append(f"  {text.rstrip()}")
        notes = [f"  * {r.where}: {r.note}" for r in self.rows if r.note]
        lines += ["", *notes, *([""] if notes else []), *(f"  {text}" for text in self.legend)]
        return "\n".join([*lines, "", self.summary]) + "\n"

    def to_markdown(self) -> str:
        """For a page: the same."""
        lines = [f"# Criticality of `{self.procedure}`", "", f"{self.title}."]
        for heading, cells in self.blocks():
            lines += ["", f"## {heading[0].upper()}{heading[1:]}", ""]
            lines += [_row(cells[0]), _row(["---"] * len(cells[0]))]
            lines += [_row([f"`{row[0]}`", *row[1:]]) for row in cells[1:]]
        notes = [f"- \\* {_cell(r.where)}: {_cell(r.note)}" for r in self.rows if r.note]
        lines += [
            "",
            *notes,
            *(f"- `{_cell(text.split()[0])}` {_rest(text)}" for text in self.legend),
        ]
        return "\n".join([*lines, "", f"{self.summary}."]) + "\n"

    def to_json(self) -> str:
        """For programs, one cell a line; :meth:`from_json` reads it."""
        head: dict[str, Any] = {"version": VERSION, "kind": KIND}
        head |= {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rows"}
        rows = ",\n".join(f"  {json.dumps(_plain(row))}" for row in self.rows)
        top = "".join(f" {json.dumps(k)}: {json.dumps(v)},\n" for k, v in head.items())
        return f'{{\n{top} "rows": [{rows and chr(10)}{rows}\n ]\n}}\n'

    @classmethod
    def from_json(cls, text: str, file: str = "criticality") -> Table:
        """The table that a text holds.

        :param file: what the text is called, for errors
        :raises UsageError: names the file, the place in it, the value and what was expected
        """
        names = [f.name for f in fields(cls)]
        top = At.document(text, file)
        known = ["version", "kind", *names]
        given = top.fields(known, known)
        given["kind"].choice([KIND])
        if given["version"].value != VERSION:
            raise given["version"].wrong(f"version {VERSION}")
        again = [one.whole(1, _MOST) for one in given["again"].items()]
        if len(again) != 2:
            raise given["again"].wrong("two numbers")
        return cls(
            **{n: given[n].text() for n in ("procedure", "disaster", "replication", "timing")},
            delay=given["delay"].number(0, _LONG_S),
            call=given["call"].whole(1, _MOST),
            again=(again[0], again[1]),
            planned=given["planned"].whole(0, _MOST),
            rows=tuple(_judged(row) for row in given["rows"].items()),
        )


def _plain(row: Judged) -> dict[str, Any]:
    return {**asdict(row), "outcome": str(row.outcome)}


_READ: dict[str, Callable[[At], object]] = {
    "slip": lambda at: at.choice(COLUMNS),
    "outcome": lambda at: Outcome(at.choice([o.value for o in Outcome])),
    "broken": lambda at: tuple(i.text() for i in at.items()),
    "rare": lambda at: tuple(i.text() for i in at.items()),
    "failed": lambda at: at.whole(0, _MOST),
    "tried": lambda at: at.whole(0, _MOST),
    "seconds": lambda at: at.number(0, _LONG_S),
}


def _judged(at: At) -> Judged:
    names = [f.name for f in fields(Judged)]
    given = at.fields(names, names)
    values: dict[str, Any] = {n: _READ.get(n, At.text)(one) for n, one in given.items()}
    if bool(values["broken"]) != (values["outcome"] is Outcome.BROKEN):
        raise UsageError(f"{at.place}: expected broken invariants if, and only if, it is broken.")
    return Judged(**values)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_cell(c) for c in cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def _rest(text: str) -> str:
    return _cell(text.partition(" ")[2].strip())
