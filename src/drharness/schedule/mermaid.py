"""A failed run as a Mermaid sequence diagram: https://mermaid.js.org/syntax/sequenceDiagram.html."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drharness.checks.text import shorten
from drharness.checks.verdict import Judgement
from drharness.history.event import Event
from drharness.history.view import History
from drharness.schedule.blame import origin, seconds_of, since
from drharness.schedule.story import main_finding
from drharness.schedule.telling import Happening, happenings, seen

MESSAGES = 40
_WIDTH = 70
_LANES = (
    ("operator", "operator"),
    ("region1", "region 1"),
    ("region2", "region 2"),
    ("dns", "DNS"),
    ("clients", "clients"),
)
_PROBLEM = re.compile(r"[;#\r\n]")  # these end a message, or begin an entity


@dataclass(frozen=True)
class _Message:
    t: int
    sender: str
    receiver: str
    text: str
    rank: int
    note: bool = False


def mermaid(history: History, judgement: Judgement, *, reason: str = "") -> str:
    """The diagram: who did what to whom, when clients were first refused, and the proof.

    :param reason: id of the invariant whose proof is shown; default as in a story
    """
    rows = [_happening(h, history) for h in happenings(history)]
    rows += [*_clients(history), *_proofs(history, judgement, reason)]
    rows.sort(key=lambda m: m.t)
    keep = sorted(range(len(rows)), key=lambda i: (-rows[i].rank, i))[:MESSAGES]
    lines = ["sequenceDiagram", *(f"    participant {i} as {name}" for i, name in _LANES)]
    lines += [_line(rows[i], history) for i in sorted(keep)]
    return "\n".join(lines) + "\n"


def _line(message: _Message, history: History) -> str:
    at = seconds_of(history, message.t)
    text = _PROBLEM.sub(",", shorten(" ".join(message.text.split()), _WIDTH))
    if message.note:
        return f"    Note over {message.sender}: {at} {text}"
    arrow = "->>" if message.sender != message.receiver else "-->>"
    return f"    {message.sender}{arrow}{message.receiver}: {at} {text}"


def _happening(happening: Happening, history: History) -> _Message:
    t, text, rank = happening.t, happening.text, happening.rank
    if happening.who == "client":
        return _Message(t, "clients", history.active, text, rank)
    if happening.step is not None:
        return _Message(t, "operator", _lane_of(happening.step.target, history), text, rank)
    if happening.fault is not None:
        named = " ".join([*happening.fault.targets, *map(str, happening.fault.args.values())])
        return _Message(t, _lane_of(named, history), "", text, rank, note=True)
    if happening.who == "power":
        return _Message(t, _lane_of(text, history), "", text, rank, note=True)
    return _Message(t, "operator", "", text, rank, note=True)


def _lane_of(text: str, history: History) -> str:
    """Whom a text is about: the first region that it names, DNS, clients, or the active region."""
    places = {text.find(r): r for r in history.topology.regions if r in text}
    if places:
        return places[min(places)]
    if "dns" in text.lower():
        return "dns"
    return "clients" if "application" in text else history.active


def _clients(history: History) -> Iterator[_Message]:
    """Through each region the first write that failed, and the first that succeeded after it."""
    for region in history.topology.regions:
        mine = [o for o in history.writes if o.region == region and o.ended is not None]
        failed = next((o for o in mine if o.type != "ok" and o.done >= origin(history)), None)
        if failed is None:
            continue
        yield _Message(failed.done, "clients", region, f"write: {failed.cls or failed.type}", 6)
        again = next((o for o in mine if o.type == "ok" and o.done > failed.done), None)
        if again is not None:
            yield _Message(again.done, "clients", region, "write: ok again", 6)


def _proofs(history: History, judgement: Judgement, reason: str) -> Iterator[_Message]:
    finding = main_finding(judgement, reason)
    if finding is None:
        return
    shown: Sequence[Event] = sorted(finding.events, key=lambda e: e.t)[:4]
    for event in shown:
        if event.kind not in ("plan", "step", "fault", "vm"):
            text = seen(event, history)
            yield _Message(event.t, _lane_of(text, history), "", f"proof: {text}", 7, note=True)
    at = since(finding, history)
    when = history.end if at is None else at
    told = f"{finding.verdict} {finding.invariant}: {finding.seen}"
    yield _Message(when, "region1,region2", "", told, 10, note=True)
