"""Read-only views on a history, indexed once: what checks read.

Built in one pass over the events; what does not fit together (a completion nobody invoked, say)
is kept in ``anomalies`` for the validity check instead of being repaired or raised.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from drharness.errors import HistoryError
from drharness.history.event import Data, Event
from drharness.history.records import Fault, Final, Operation, Plan, Step
from drharness.topology.model import Topology
from drharness.topology.profile import Profile

NS = 1_000_000_000


class History:
    """Everything recorded in one run.

    :ivar events: all events, in order
    :ivar topology: what was deployed
    :ivar active: the region that was active at the start
    :ivar ops: operations by invocation
    :ivar faults: injected faults by injection
    :ivar plans: runs of procedures by start, with their steps
    :ivar comps: samples and changes of components by component id
    :ivar dbs: samples of databases by region
    :ivar finals: quiesced read-backs
    :ivar end: instant of the last event, ns
    :ivar unsure: ns by which instants that different VMs told may be off against each other
    :ivar anomalies: what does not fit together, as (text, events)
    """

    def __init__(self, events: Iterable[Data]) -> None:
        self.events: tuple[Event, ...] = tuple(
            Event(i, data["t"], data["kind"], data) for i, data in enumerate(events)
        )
        if not self.events or self.events[0].kind != "run":
            found = self.events[0].kind if self.events else "no event"
            raise HistoryError(f"history: field 'kind' of event 0: expected 'run', got {found!r}")
        run = self.events[0]
        self.run_id = str(run["run"])
        self.topology = Topology.from_dict(run["topology"])
        self.active = str(run["active"])
        self.purpose = str(run.get("purpose", "test"))
        self._regions = {c.id: c.region for c in self.topology.components}
        self._regions.update((vm.id, vm.region) for vm in self.topology.vms)
        self.anomalies: list[tuple[str, tuple[Event, ...]]] = []
        by_kind: dict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            by_kind[event.kind].append(event)
        self._by_kind: Mapping[str, Sequence[Event]] = by_kind
        self.unsure = 2 * max((e.get("unsure") or 0 for e in by_kind["start"]), default=0)
        self.ops = self._pair(by_kind["op"])
        self.writes = tuple(o for o in self.ops if o.is_write)
        self.reads = tuple(o for o in self.ops if not o.is_write)
        self.faults = _faults(by_kind["fault"])
        self.plans = _plans(by_kind["plan"], by_kind["step"])
        self.comps = _group(by_kind["comp"], "id")
        self.dbs = _group(by_kind["db"], "db")
        self.vms = _group(by_kind["vm"], "id")
        self.finals = tuple(_final(e) for e in by_kind["final"])
        self.end = max(e.t for e in self.events)

    @property
    def profile(self) -> Profile:
        """Timing constants of the topology; the bounds of checks come from here only."""
        return self.topology.profile

    def of_kind(self, kind: str) -> Sequence[Event]:
        """All events of a kind, in order."""
        return self._by_kind.get(kind, ())

    def region_of(self, name: str) -> str:
        """The region of a component or VM id; empty if there is no such id."""
        return self._regions.get(name, "")

    def vm_down(self, vm: str, since: int, until: int) -> bool:
        """Whether a VM was off or frozen at any moment of [since, until] (ns)."""
        state = "on"
        for event in self.vms.get(vm, ()):
            if event.t > until:
                break
            if event.t <= since:
                state = event["state"]
            elif event["state"] in ("off", "frozen"):
                return True
        return state in ("off", "frozen")

    def vm_off(self, vm: str, t: int) -> bool:
        """Whether a VM had no power at ``t`` (ns)."""
        before = [event["state"] for event in self.vms.get(vm, ()) if event.t <= t]
        return before[-1:] == ["off"]

    def _pair(self, events: Sequence[Event]) -> tuple[Operation, ...]:
        invokes: dict[str, Event] = {}
        ends: dict[str, Event] = {}
        for event in events:
            known = invokes if event["type"] == "invoke" else ends
            opid = event["opid"]
            if opid in known:
                what = "invoked" if known is invokes else "completed"
                self.anomalies.append((f"operation {opid} {what} twice", (known[opid], event)))
            elif known is ends and opid not in invokes:
                self.anomalies.append((f"operation {opid} completed but not invoked", (event,)))
            else:
                known[opid] = event
        last_via: dict[str, str] = {}
        out = []
        for opid, invoke in invokes.items():
            out.append(self._operation(invoke, ends.get(opid), last_via))
        return tuple(out)

    def _operation(self, invoke: Event, end: Event | None, last_via: dict[str, str]) -> Operation:
        done = end.data if end else {}
        proc = invoke["proc"]
        via = done.get("via") or invoke["via"]
        if via:
            last_via[proc] = via
        err = done.get("err") or {}
        return Operation(
            opid=invoke["opid"],
            proc=proc,
            f=invoke["f"],
            key=str(invoke.get("key") or ""),
            val=invoke.get("val"),
            via=via,
            region=self._region_of_op(via, invoke, last_via.get(proc, "")),
            invoked=invoke.t - self.unsure,
            ended=end.t + self.unsure if end else None,
            type=end["type"] if end else "info",
            epoch=str(done.get("epoch") or ""),
            seq=done.get("seq"),
            mode=str(done.get("mode") or ""),
            result=done.get("val"),
            cls=str(err.get("cls", "")),
            client=str(done.get("client") or invoke.get("client") or ""),
            events=(invoke, end) if end else (invoke,),
        )

    def _region_of_op(self, via: str, invoke: Event, last_via: str) -> str:
        """By the proxy; else by who recorded it, the proxy used before, the client's name."""
        for name in (via, str(invoke.get("src", "")), last_via):
            if name in self._regions:
                return self._regions[name]
        for region in self.topology.regions:
            if invoke["proc"].startswith((f"{region}-", f"{region}.", f"{region}/")):
                return region
        return ""


def _group(events: Sequence[Event], field: str) -> dict[str, list[Event]]:
    out: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        out[event[field]].append(event)
    return dict(out)


def _faults(events: Sequence[Event]) -> tuple[Fault, ...]:
    """One per invocation; later events belong to the oldest open fault of that name and args."""
    groups: list[list[Event]] = []
    for event in events:
        if event["type"] == "invoke":
            groups.append([event])
            continue
        group = next((g for g in groups if _continues(g, event)), None)
        if group is None:
            groups.append([event])
        else:
            group.append(event)
    return tuple(_fault(g) for g in groups)


def _continues(group: Sequence[Event], event: Event) -> bool:
    args, types = event.get("args"), {e["type"] for e in group}
    same = group[0]["f"] == event["f"] and args in (None, {}, group[0].get("args", {}))
    if event["type"] == "heal":
        return same and "heal" not in types
    return same and not types & {"ok", "info", "heal"}


def _fault(group: Sequence[Event]) -> Fault:
    def first(kind: str) -> Event | None:
        return next((e for e in group if e["type"] == kind), None)

    # One whose effect was not seen was undone at once.
    ok, heal = first("ok"), first("heal") or first("info")
    return Fault(
        f=group[0]["f"],
        args=group[0].get("args") or {},
        invoked=group[0].t,
        proven=ok.t if ok else None,
        proof=(ok.get("proof") or {}) if ok else {},
        healed=heal.t if heal else None,
        since=int(ok.get("since", ok.t)) if ok else group[0].t,
        events=tuple(group),
        targets=tuple(group[-1].get("targets") or group[0].get("targets") or ()),
    )


def _plans(plan_events: Sequence[Event], step_events: Sequence[Event]) -> tuple[Plan, ...]:
    groups: dict[int, list[Event]] = defaultdict(list)
    for event in plan_events:
        groups[event["plan"]].append(event)
    steps: dict[int, list[Event]] = defaultdict(list)
    for event in step_events:
        steps[event["plan"]].append(event)
    plans = [_plan(n, group, steps.get(n, [])) for n, group in groups.items()]
    return tuple(sorted(plans, key=lambda p: p.invoked))


def _plan(number: int, group: Sequence[Event], steps: Sequence[Event]) -> Plan:
    begin, end = group[0], group[-1] if group[-1]["type"] != "invoke" else None
    return Plan(
        number=number,
        procedure=str(begin["procedure"]),
        to=str(begin.get("to") or ""),
        planned=tuple(begin.get("steps") or ()),
        invoked=begin.t,
        ended=end.t if end else None,
        type=end["type"] if end else "invoke",
        steps=_steps(steps),
        events=tuple(group),
    )


def _steps(events: Sequence[Event]) -> tuple[Step, ...]:
    runs: list[list[Event]] = []
    for event in events:
        mine = [r for r in runs if r[0]["id"] == event["id"] and len(r) == 1]
        if event["type"] == "invoke" or not mine:
            runs.append([event])
        else:
            mine[-1].append(event)
    return tuple(_step(r) for r in runs)


def _step(run: Sequence[Event]) -> Step:
    begin, end = run[0], run[-1] if run[-1]["type"] != "invoke" else None
    return Step(
        id=str(begin["id"]),
        invoked=begin.t,
        ended=end.t if end else None,
        type=end["type"] if end else "invoke",
        text=str((end or begin).get("text") or ""),
        target=str(begin.get("target") or ""),
        events=tuple(run),
    )


def _final(event: Event) -> Final:
    return Final(
        source=event["source"],
        epoch=str(event.get("epoch") or ""),
        seq=event.get("seq"),
        mode=str(event.get("mode") or ""),
        objects=event["objects"],
        ops=event.get("ops"),
        index_equals_heap=event.get("index_equals_heap"),
        event=event,
        dbids=event.get("dbids"),
        epochs=tuple((str(e["token"]), int(e["first_seq"])) for e in event.get("epochs") or ()),
    )
