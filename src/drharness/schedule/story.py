"""A failed run told in at most 15 lines: what was promised, who did what, and who is to blame.

It works from a history alone, so any that was kept can be told, a drill's as well as a schedule's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import wrap

from drharness.checks.text import shorten
from drharness.checks.verdict import Finding, Judgement, Verdict
from drharness.history.event import Event
from drharness.history.view import History
from drharness.schedule.blame import Blame, blame, seconds_of, since
from drharness.schedule.telling import Happening, happenings, seen

LINES = 15
WIDTH = 110
_FRAME = 8  # lines around: title, promised, seen, heading, blame, why in two, what else failed
# What hurts first: two masters, lost changes, wrong answers, no service; then what only could.
_ORDER = (
    "S1", "S3", "S2", "D1", "D4", "D2", "D3", "S7", "S8", "S12", "S13", "S10", "S11", "S9", "W1",
    "L1", "L2", "L3", "L5", "S6", "S5", "D5", "T1", "T2", "T3", "L6",
)  # fmt: skip
_WORTH = (Verdict.FAIL, Verdict.INVALID, Verdict.UNKNOWN)


@dataclass(frozen=True)
class Story:
    """A failed run, told.

    :ivar finding: the one it is about
    :ivar title: of its invariant
    :ivar told: what happened, in order, as (seconds from the first fault, text)
    :ivar also: ids of the other invariants that failed
    """

    finding: Finding
    title: str
    told: tuple[tuple[str, str], ...]
    blame: Blame
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        finding = self.finding
        lines = [f"{finding.verdict} {finding.invariant}: {self.title}"]
        lines.append(f"promised: {_line(finding.expected)}")
        lines.append(f"seen:     {_line(finding.seen)}")
        if self.told:
            lines.append("what happened (seconds from the first fault):")
            lines += [f"  {at:>8}  {_line(text)}" for at, text in self.told]
        lines += [_line(str(self.blame)), *_wrapped(f"because {self.blame.why}")]
        if self.also:
            lines.append(f"failed as well: {', '.join(self.also)}")
        return "\n".join(lines)


def _line(text: str) -> str:
    return shorten(" ".join(text.split()), WIDTH)


def _wrapped(text: str) -> list[str]:
    words = " ".join(text.split())
    return wrap(words, WIDTH, max_lines=2, initial_indent="  ", subsequent_indent="  ")


def main_finding(judgement: Judgement, reason: str = "") -> Finding | None:
    """The finding that a story is about; None if there is none.

    :param reason: id of the invariant that counts, else what hurts most
    """
    for verdict in _WORTH:
        found = [f for f in judgement.findings if f.verdict is verdict]
        if found:
            mine = [f for f in found if f.invariant == reason] or found
            return min(mine, key=lambda f: _ORDER.index(f.invariant) if f.invariant in _ORDER
                       else len(_ORDER))  # fmt: skip
    return None


def story(history: History, judgement: Judgement, *, reason: str = "") -> Story | None:
    """Tell a run that did not pass; None if there is nothing to tell.

    :param reason: id of the invariant to tell of; default: of those that failed what hurts most
    """
    finding = main_finding(judgement, reason)
    if finding is None:
        return None
    guilty = blame(finding, history, judgement)
    rest = [r for r in judgement.failed if r != finding.invariant]
    titles = {r.id: r.title for r in judgement.results}
    told = _told(history, finding, guilty, LINES - _FRAME)
    title = titles.get(finding.invariant, "")
    return Story(finding, title, told, guilty, tuple(rest))


def _told(
    history: History, finding: Finding, guilty: Blame, most: int
) -> tuple[tuple[str, str], ...]:
    """The happenings that matter, and the moment of the first proof among them."""
    at = since(finding, history)
    rows = _once(happenings(history))
    if at is not None and (first := _proof(finding, at)) is not None:
        rows.append(Happening(first.t, "seen", f">> {seen(first, history)}", 10))
    rows.sort(key=lambda h: h.t)
    grouped = _grouped([_ranked(h, guilty) for h in rows])
    room = most if len(grouped) <= most else most - 1
    keep = sorted(range(len(grouped)), key=lambda i: (-grouped[i].rank, i))[:room]
    chosen = [grouped[i] for i in sorted(keep)]
    out = [(seconds_of(history, h.t).removesuffix(" s"), h.text) for h in chosen]
    if len(keep) < len(grouped):
        out.append(("", f"({len(grouped) - len(keep)} more that matter less)"))
    return tuple(out)


def _once(rows: Sequence[Happening]) -> list[Happening]:
    """Runs that end badly in the same step the same way are told once, with how often."""
    first: dict[str, Happening] = {}
    again: dict[int | None, str] = {}
    for row in rows:
        if row.step is not None and row.step.type != "ok":
            key = re.sub(r"[\d.]+", "", row.text)
            if first.setdefault(key, row) is not row:
                again[row.plan] = key
    times = Counter(again.values())
    often = {id(first[k]): f"(and {n} time{'s' * (n > 1)} more)" for k, n in times.items()}
    out = []
    for row in rows:
        if (said := often.get(id(row))) is not None:
            text = f"{shorten(row.text, WIDTH - len(said) - 1)} {said}"
            out.append(replace(row, text=text))
        elif row.plan is None or row.plan not in again:
            out.append(row)
    return out


def _proof(finding: Finding, at: int) -> Event | None:
    """The first event that shows it; of an operation its end. None if the story tells it anyway."""
    first = min(finding.events, key=lambda e: abs(e.t - at))
    if first.kind in ("plan", "step", "fault", "vm"):
        return None
    same = [e for e in finding.events if e.kind == "op" and e.get("opid") == first.get("opid")]
    return same[-1] if first.kind == "op" else first


def _ranked(happening: Happening, guilty: Blame) -> Happening:
    """What is to blame is told in any case."""
    if guilty.t == happening.t and happening.who != "seen":
        text = happening.text
        if happening.step is not None and happening.step.type == "ok":
            text = f"{text} of {happening.step.target}" if happening.step.target else text
        return Happening(happening.t, happening.who, text, 10, None, happening.fault)
    return happening


def _grouped(rows: Sequence[Happening]) -> list[Happening]:
    """Steps in a row that went well are one line: ``steps preflight, fence and promote``."""
    out: list[list[Happening]] = []
    for row in rows:
        plain = row.step is not None and row.step.type == "ok" and row.rank <= 3
        if plain and out and out[-1][-1].step is not None and out[-1][-1].rank <= 3:
            out[-1].append(row)
        else:
            out.append([row])
    return [_one(group) for group in out]


def _one(group: Sequence[Happening]) -> Happening:
    if len(group) == 1:
        return group[0]
    names = [h.step.id for h in group if h.step is not None]
    text = f"steps {', '.join(names[:-1])} and {names[-1]}"
    return Happening(group[0].t, group[0].who, text, group[0].rank)
