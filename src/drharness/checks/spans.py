"""Claims over time: samples turned into spans in which something certainly held.

A span reaches from the first to the last sample of an unbroken row that makes the claim. A gap of
more than three sampling intervals breaks the row: the process may have been dead or frozen, and a
claim that old says nothing. Samples that said the same for long are not all written; the next event
then says until when they did (``steady``), and there is no gap until then. Spans never reach beyond
a sample, so a busy machine, which delays samples, makes them shorter and never longer: overlaps
that are found have really happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from drharness.checks.episodes import ns
from drharness.history.event import Event
from drharness.history.view import History

LAPSE = 3  # sampling intervals after which a claim says nothing


@dataclass(frozen=True)
class Span:
    """``who`` claimed something from ``since`` to ``until`` (ns); first and last such sample."""

    who: str
    since: int
    until: int
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Overlap:
    """A time in which two held the same claim."""

    one: Span
    two: Span
    since: int
    until: int


def spans(
    history: History, who: str, samples: Sequence[Event], *, claim: Callable[[Event], bool]
) -> list[Span]:
    """The spans in which ``who`` certainly made a claim."""
    lapse = ns(LAPSE * history.profile.sampling)
    out: list[Span] = []
    first: Event | None = None
    last: Event | None = None
    until = 0
    for event in samples:
        held = claim(event)
        until = max(until, event.get("steady") or 0) if first else 0
        if first and last and (event.t - until > lapse or not held):
            out.append(Span(who, first.t, until, (first, last)))
            first = None
        if held:
            first, last, until = first or event, event, event.t
    if first and last:
        out.append(Span(who, first.t, until, (first, last)))
    return out


def said_within(samples: Sequence[Event], since: int, until: int) -> Iterator[Event]:
    """The samples that were taken within [since, until] (ns), or say what was said then."""
    before: Event | None = None
    for event in samples:
        if before and before.t < since <= (event.get("steady") or 0) and before.t <= until:
            yield before
        if since <= event.t <= until:
            yield event
        before = event


def overlaps(found: Sequence[Span]) -> Iterator[Overlap]:
    """Pairs of spans of different holders that share some time."""
    for one, two in combinations(found, 2):
        since, until = max(one.since, two.since), min(one.until, two.until)
        if one.who != two.who and since <= until:
            yield Overlap(one, two, since, until)
