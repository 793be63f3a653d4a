"""One client operation: what is recorded before it leaves, and exactly one completion after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from drharness.components import wire
from drharness.components.environment import Environment
from drharness.components.messages import ChangeConfig, Changed, Read, Value

TYPES = ("invoke", "ok", "fail", "info")


@dataclass
class Lane:
    """One sequential process of a history; renewed after an operation of unknown outcome."""

    proc: str


@dataclass(frozen=True)
class Outcome:
    """How an operation ended: ``type`` ok, fail or info, and the fields of the event."""

    type: str
    fields: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def failed(cls, kind: str, error_class: str, text: str, **more: Any) -> Outcome:
        """A ``fail`` or ``info`` with its ``err``."""
        err = {"cls": error_class, "sqlstate": "", "text": text, "notices": []}
        return cls(kind, {"err": {**err, **more}})


class Ledger:
    """Records operations, counts them, and gives out ids that are unique over restarts.

    :ivar counters: events since :meth:`reset`, canaries not counted
    :ivar total: events since the component started, all of them
    """

    def __init__(self, env: Environment, start: int) -> None:
        self.env, self.start = env, start
        self.counters = dict.fromkeys(TYPES, 0)
        self.total = dict.fromkeys(TYPES, 0)
        self._lanes = self._ops = self._keys = 0

    def reset(self) -> None:
        """Count from zero."""
        self.counters = dict.fromkeys(TYPES, 0)

    def lane(self) -> Lane:
        """A new process."""
        self._lanes += 1
        return Lane(self._proc())

    def key(self) -> tuple[str, int]:
        """A key that was never used, and its number."""
        self._keys += 1
        return f"{self.env.component}/{self.start}-{self._keys}", self._keys

    async def operate(
        self,
        lane: Lane,
        request: ChangeConfig | Read,
        perform: Callable[[], Awaitable[Outcome]],
        *,
        via: str,
        counted: bool = True,
        client: str = "old",
    ) -> Outcome:
        """Record the invocation, do it, record how it ended.

        :param perform: does it; raises nothing but cancellation
        :param via: the proxy that is asked, empty if there is none
        """
        self._ops += 1
        f = "read" if isinstance(request, Read) else request.f
        event: dict[str, Any] = {
            "proc": lane.proc,
            "opid": self.opid(),
            "f": f,
            "key": request.key,
            "via": via,
            "val": None if isinstance(request, Read) else request.val,
        }
        if isinstance(request, Read):
            event["client"] = client
        else:
            request.opid = event["opid"]
            if f == "cas":
                event["expected"] = request.expected
        if not counted:
            event["canary"] = True
        self._record("invoke", event, counted)
        outcome = await perform()
        self._record(outcome.type, {**event, **outcome.fields}, counted)
        if outcome.type == "info":
            self._lanes += 1
            lane.proc = self._proc()
        return outcome

    def opid(self) -> str:
        """The id of the operation that was invoked last."""
        return f"{self.env.component}/{self.start}.{self._ops}"

    def _proc(self) -> str:
        return f"{self.env.component}/{self.start}.p{self._lanes}"

    def _record(self, kind: str, event: dict[str, Any], counted: bool) -> None:
        self.env.record("op", type=kind, **event)
        self.total[kind] += 1
        if counted:
            self.counters[kind] += 1


async def perform(
    link: wire.Link | None, request: ChangeConfig | Read, deadline: float, *, why: str = ""
) -> Outcome:
    """Send a request to a proxy and classify what came back.

    :param deadline: seconds after which the outcome is unknown
    :param why: why there is no link, if there is none
    """
    if link is None:
        return Outcome.failed("fail", "refused", f"not connected to a proxy: {why}")
    try:
        if isinstance(request, Read):
            return _read(await link.request(request, Value, timeout=deadline))
        return _written(await link.request(request, Changed, timeout=deadline))
    except wire.Refused as refused:
        return refusal(refused)
    except wire.LinkLost as lost:
        if lost.sent:
            return Outcome.failed("info", "lost", str(lost))
        return Outcome.failed("fail", "refused", str(lost))
    except TimeoutError:
        return Outcome.failed("info", "timeout", f"no answer within {deadline:g} s")


def refusal(refused: wire.Refused) -> Outcome:
    """A definite failure, unless the server says that it does not know."""
    e = refused.error
    kind = "info" if e.cls == "unknown" else "fail"
    text = f"{e.name}: {e.text}"
    outcome = Outcome.failed(kind, e.cls, text, sqlstate=e.sqlstate, notices=e.notices)
    if e.cls == "limited":
        outcome.fields["mode"] = "limited"
    if e.epoch:
        outcome.fields["epoch"] = e.epoch
    return outcome


def _read(value: Value) -> Outcome:
    val = value.val if value.found else None
    return Outcome("ok", {"val": val, "epoch": value.epoch, "seq": value.seq, "mode": value.mode})


def _written(done: Changed) -> Outcome:
    return Outcome("ok", {"epoch": done.epoch, "seq": done.seq, "lsn": done.lsn, "mode": "normal"})
