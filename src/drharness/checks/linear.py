"""Linearizability of one register: a search for an order that its calls may have had. Pure.

The search is Wing and Gong's with Lowe's memory: it goes through the configurations (which calls
have taken effect, and the value they left), depth first, and visits each once. Calls that change
nothing are taken as soon as they fit, for that never hurts. A hint (the commit order) says which
call to try first, so that a sound history is walked through almost straight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

LIMIT = 30_000
FOREVER = 1 << 62


@dataclass(frozen=True)
class Call:
    """A call of one register; None is the value of one that does not exist.

    :ivar f: ``write``, ``create``, ``cas``, ``append``, ``delete``; ``read`` (returned ``val``);
        ``differs`` (a cas refused, for the value was not ``expected``); ``exists`` (a create
        refused)
    :ivar done: when it had certainly taken effect; None: some time after ``invoked``
    :ivar must: whether it certainly took effect at all
    :ivar hint: place in the commit order, None if unknown
    """

    id: str
    f: str
    invoked: int
    done: int | None
    val: Any = None
    expected: Any = None
    must: bool = True
    hint: int | None = None


@dataclass(frozen=True)
class Answer:
    """What the search came to.

    :ivar ok: whether there is an order; None: it gave up
    :ivar order: ids in such an order; without one, the longest that was found
    :ivar stuck: ids of the calls of which none fits after that
    :ivar steps: configurations visited
    """

    ok: bool | None
    order: tuple[str, ...]
    stuck: tuple[str, ...]
    steps: int


def fits(call: Call, value: Any) -> bool:
    """Whether a call may take effect on a value, as what is known of its outcome says."""
    match call.f:
        case "read":
            return bool(value == call.val)
        case "cas":
            return value is not None and bool(value == call.expected)
        case "differs":
            return bool(value != call.expected)
        case "create":
            return value is None
        case "delete" | "exists":
            return value is not None
        case "append":
            return value is None or isinstance(value, list)
    return True


def after(call: Call, value: Any) -> Any:
    """The value that a call leaves."""
    match call.f:
        case "read" | "differs" | "exists":
            return value
        case "delete":
            return None
        case "append":
            return [*(value or []), call.val]
    return call.val


@dataclass
class _Frame:
    """A configuration: which calls are done (a bit each), what is left of them, the value."""

    done: int
    low: int
    value: Any
    choices: list[int]
    tried: int = 0
    chosen: int = -1


class _Search:
    def __init__(self, calls: Iterable[Call]) -> None:
        found = list(calls)
        self.calls = sorted((c for c in found if c.done is not None), key=lambda c: c.invoked)
        self.fixed = len(self.calls)
        self.calls += [c for c in found if c.done is None]
        self.goal = sum(1 << n for n, c in enumerate(self.calls) if c.must)

    def frame(self, done: int, low: int, value: Any) -> _Frame:
        """A configuration with the calls that may come next, the likeliest first."""
        while low < self.fixed and done >> low & 1:
            low += 1
        return _Frame(done, low, value, self._choices(done, low, value))

    def open(self, done: int, low: int) -> list[int]:
        """Calls not done yet, begun before every one of them that has ended had ended."""
        calls, end, out = self.calls, FOREVER, []
        for n in range(low, self.fixed):
            if calls[n].invoked > end:
                break
            if not done >> n & 1:
                end = min(end, calls[n].done or 0)
                out.append(n)
        floating = range(self.fixed, len(calls))
        return out + [n for n in floating if not done >> n & 1 and calls[n].invoked <= end]

    def _choices(self, done: int, low: int, value: Any) -> list[int]:
        fitting = [n for n in self.open(done, low) if fits(self.calls[n], value)]
        for n in fitting:
            if self.calls[n].f in ("read", "differs", "exists"):
                return [n]
        return sorted(fitting, key=lambda n: self._likely(self.calls[n]))

    def _likely(self, call: Call) -> tuple[bool, int]:
        return (not call.must, FOREVER if call.hint is None else call.hint)


def linearize(calls: Iterable[Call], *, initial: Any = None, limit: int = LIMIT) -> Answer:
    """Find an order of the calls that respects their times and the register's rules.

    :param initial: the value before them
    :param limit: configurations to visit before giving up
    """
    search = _Search(calls)
    stack = [search.frame(0, 0, initial)]
    seen: set[tuple[int, str]] = set()
    best: Sequence[_Frame] = ()
    steps = 0
    while stack:
        top = stack[-1]
        if top.done & search.goal == search.goal:
            return Answer(True, _order(search, stack), (), steps)
        if top.tried == len(top.choices):
            if len(stack) > len(best):
                best = list(stack)
            stack.pop()
            continue
        chosen = top.choices[top.tried]
        top.tried, top.chosen = top.tried + 1, chosen
        call = search.calls[chosen]
        done, value = top.done | 1 << chosen, after(call, top.value)
        mark = (done, repr(value))
        if mark in seen:
            continue
        seen.add(mark)
        steps += 1
        if steps > limit:
            return Answer(None, _order(search, stack), (), steps)
        stack.append(search.frame(done, top.low, value))
    last = best[-1]
    stuck = tuple(search.calls[n].id for n in search.open(last.done, last.low))
    return Answer(False, _order(search, best), stuck, steps)


def _order(search: _Search, stack: Sequence[_Frame]) -> tuple[str, ...]:
    return tuple(search.calls[frame.chosen].id for frame in stack[:-1])
