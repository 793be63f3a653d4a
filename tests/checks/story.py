"""A history told in seconds: the drill that goes well, which planted histories vary.

0.1 traffic   1.5 region 1 goes down   1.6 proven   1.7 proxies limited   1.8 procedure
2.4 promoted   3.1 framework   3.2 names   3.3 flushed   3.5 proxies normal   4.6 traffic ends
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from drharness.checks import Result, judge
from drharness.history import History
from drharness.topology import Topology
from tests.checks.looked import TOPOLOGY, census, resources

Data = dict[str, Any]

OLD, NEW = "e1e1", "e2e2"
ONE, TWO = "region1-application-p", "region2-application-p"
PROXY = {"region1": f"{ONE}.csproxy", "region2": f"{TWO}.csproxy"}
BACKUP = "region2-application-b.csproxy"
MASTER = {r: f"{r}-framework-p.configserver" for r in ("region1", "region2")}
OF_EPOCH = {OLD: MASTER["region1"], NEW: MASTER["region2"]}
STEPS = {
    "preflight": (1.8, 1.9),
    "fence": (1.9, 2.0),
    "promote": (2.0, 2.4),
    "unblock": (2.4, 2.5),
    "start-framework": (2.5, 3.1),
    "switch-names": (3.1, 3.2),
    "flush": (3.2, 3.3),
    "reconnect": (3.3, 3.8),
}


def ns(seconds: float) -> int:
    """Nanoseconds; the clock of a story starts at 100 s."""
    return round((100 + seconds) * 1000) * 1_000_000


def steps_of(start: float, end: float, gap: float) -> Iterator[float]:
    """Instants from ``start`` to before ``end``, ``gap`` apart."""
    for n in range(round((end - start) / gap)):
        yield round(start + n * gap, 3)


def renumbered(events: list[Data]) -> list[Data]:
    """The events in order of time, the first one first, with their numbers."""
    run, *rest = events
    rest.sort(key=lambda data: data["t"])
    return [{**data, "i": i} for i, data in enumerate([run, *rest])]


@dataclass
class Story:
    """Collects events; ``log`` is what the surviving database's history log holds.

    :ivar last: seq of the old epoch's last commit
    :ivar lane: the client process that what is added next belongs to
    :ivar times: seconds at which each acknowledged write was committed
    :ivar dbids: object ids in the history log that differ from 100 + seq
    """

    events: list[Data] = field(default_factory=list)
    log: dict[str, tuple[int, str, int]] = field(default_factory=dict)
    seq: int = 0
    last: int = 0
    lane: str = "p1"
    times: dict[str, float] = field(default_factory=dict)
    dbids: dict[str, int] = field(default_factory=dict)
    count: int = 0

    def add(self, t: float, kind: str, **fields: Any) -> Data:
        """An event at ``t`` seconds."""
        data = {"v": 1, "t": ns(t), "kind": kind, **fields}
        self.events.append(data)
        return data

    def op(self, t: float, f: str, *, via: str, took: float | None = 0.01, **how: Any) -> Data:
        """An operation; ``took`` None leaves it open. Returns its invocation."""
        self.count += 1
        client = f"{via.partition('.')[0]}.application"
        key = how.pop("key", f"app/{self.count}")
        val = how.pop("put", self.count if f != "read" else None)
        opid = f"{client}/1.{self.count}"
        base = {"proc": f"{client}/1.{self.lane}", "opid": opid, "f": f, "key": key, "via": via}
        base |= {"client": how.pop("client", "old")} if f == "read" else {}
        base |= {"expected": how.pop("expected")} if "expected" in how else {}
        invoke = self.add(t, "op", type="invoke", val=val, **base)
        if took is not None:
            self.add(t + took, "op", **{"val": val, **base, **how})
        return invoke

    def write(self, t: float, via: str, *, epoch: str, took: float = 0.01, **how: Any) -> str:
        """An acknowledged write that survives; returns its operation id.

        :param how: ``acked`` (seconds at which the master acknowledged it, None: never) and ``f``
        """
        self.seq += 1
        acked = how.pop("acked", t + took - 0.001)
        f = how.pop("f", "create")
        how |= {"type": "ok", "epoch": epoch, "seq": self.seq, "mode": "normal"}
        done = self.op(t, f, via=via, took=took, **how)
        self.log[done["opid"]] = (self.seq, done["key"], done["val"])
        self.times[done["opid"]] = t + took if acked is None else acked
        if acked is not None:
            self.ack(acked, done["opid"], epoch=epoch, seq=self.seq)
        return str(done["opid"])

    def ack(self, t: float, opid: str, *, epoch: str, seq: int, **how: Any) -> None:
        """A master's commit."""
        fields = {"server": OF_EPOCH[epoch], "dbid": 100 + seq, "sure": True} | how
        self.add(t, "ack", opid=opid, epoch=epoch, seq=seq, **fields)

    def refuse(self, t: float, via: str, cls: str = "limited") -> str:
        """A write that fails."""
        err = {"cls": cls, "sqlstate": "", "text": "no master: limited mode", "notices": []}
        return str(self.op(t, "create", via=via, type="fail", mode="limited", err=err)["opid"])

    def read(self, t: float, via: str, *, epoch: str, mode: str, client: str = "old") -> None:
        """A read of the object written last."""
        known = [self.log[opid] for opid, done in self.times.items() if done <= t]
        last = max(known, default=(0, "app/none", None))
        how: Data = {"type": "ok", "epoch": epoch, "seq": last[0], "mode": mode}
        how["val"] = last[2]
        self.op(t, "read", via=via, client=client, put=None, key=last[1], **how)

    def comp(self, t: float, component: str, role: str, **fields: Any) -> None:
        """A sample of a component."""
        self.add(t, "comp", id=component, role=role, **fields)

    def db(self, t: float, region: str, *, writable: bool, sessions: int, epoch: str = OLD) -> None:
        """A sample of a database."""
        master = TOPOLOGY.vms_of(region, "framework")[0].address
        held = [["configserver", master]] * sessions
        fields = {"writable": writable, "in_recovery": not writable, "sessions": held}
        fields["epoch"] = epoch
        self.add(t, "db", db=region, vm=f"{region}-dbms", **fields)

    def done(self) -> list[Data]:
        """The events in order, numbered."""
        return renumbered(self.events)


@dataclass(frozen=True)
class Plot:
    """What a story varies.

    :ivar late: seconds by which the Framework starts later than it should
    :ivar backup_normal: when the backup proxy is back in normal mode
    :ivar write_every: seconds between two writes of a region before the fault
    """

    replication: str = "sync"
    late: float = 0.0
    backup_normal: float = 3.5
    write_every: float = 0.1


def _before(story: Story, plot: Plot) -> None:
    for t in steps_of(0.2, 1.5, plot.write_every):
        for shift, region in enumerate(PROXY):
            story.write(t + shift * 0.02, PROXY[region], epoch=OLD)
    for t in steps_of(0.25, 1.5, 0.2):
        for region in PROXY:
            story.read(t, PROXY[region], epoch=OLD, mode="normal")
    for t in steps_of(0.0, 1.5, 0.2):
        story.comp(t, MASTER["region1"], "primary", db="region1", epoch=OLD)
        story.comp(t, PROXY["region1"], "primary", mode="normal", epoch=OLD)
        story.db(t, "region1", writable=True, sessions=1)
    story.op(1.49, "create", via=PROXY["region1"], took=None)


def _fault(story: Story) -> None:
    args = {"region": "region1"}
    story.add(1.5, "fault", type="invoke", f="region_down", args=args)
    for vm in Topology.guide().vms_of("region1"):
        story.add(1.55, "vm", id=vm.id, state="off", cause="fault")
    proof = {"probe": "tcp 5432", "before": "ok", "after": "timeout"}
    story.add(1.6, "fault", type="ok", f="region_down", args=args, proof=proof)


def _procedure(story: Story, late: float) -> None:
    plan = {"plan": 1, "procedure": "full_failover", "to": "region2", "steps": list(STEPS)}
    story.add(1.8, "plan", type="invoke", **plan)
    for name, (begin, end) in STEPS.items():
        first = begin + (late if begin > 2.5 else 0)
        last = end + (late if end > 2.5 else 0)
        story.add(first, "step", type="invoke", plan=1, id=name, target="region2")
        story.add(last, "step", type="ok", plan=1, id=name, target="region2", result={})
    story.add(3.85 + late, "plan", type="ok", **plan)


def _meanwhile(story: Story, plot: Plot) -> None:
    """Region 2 from the fault to the end."""
    back = 3.5 + plot.late
    for n, t in enumerate(steps_of(1.65, 4.55 + plot.late, 0.1 if not plot.late else 0.25)):
        limited = t < back
        if n % 2 == 0:
            if limited:
                story.refuse(t, PROXY["region2"])
            else:
                story.write(t, PROXY["region2"], epoch=NEW)
        epoch, mode = (OLD, "limited") if limited else (NEW, "normal")
        client = "new" if n % 4 == 1 else "old"
        story.read(t + 0.03, PROXY["region2"], epoch=epoch, mode=mode, client=client)


def _samples(story: Story, plot: Plot) -> None:
    end = 4.9 + plot.late
    for t in steps_of(0.0, end, 0.2):
        epoch = NEW if t > 2.3 else OLD
        sessions = int(t > 3.0 + plot.late)
        story.db(t, "region2", writable=t > 2.3, sessions=sessions, epoch=epoch)
        if t > 3.0 + plot.late:
            story.comp(t, MASTER["region2"], "primary", db="region2", epoch=NEW)
        for proxy, back in ((PROXY["region2"], 3.5), (BACKUP, plot.backup_normal)):
            normal = t < 1.7 or t > back + plot.late
            epoch = NEW if t > back + plot.late else OLD
            role = "backup" if proxy == BACKUP else "primary"
            story.comp(t, proxy, role, mode="normal" if normal else "limited", epoch=epoch)
    for proxy, back in ((PROXY["region2"], 3.5), (BACKUP, plot.backup_normal)):
        role = "backup" if proxy == BACKUP else "primary"
        story.comp(1.7, proxy, role, mode="limited", epoch=OLD)
        story.comp(back + plot.late, proxy, role, mode="normal", epoch=NEW)


def finish(story: Story, plot: Plot) -> None:
    """Counters, and the read-back of everything at rest."""
    client = f"{TWO}.application"
    counters = dict.fromkeys(("invoke", "ok", "fail", "info"), 0)
    for data in story.events:
        if data["kind"] == "op" and data["proc"].startswith(client):
            counters[data["type"]] += 1
    story.add(4.65 + plot.late, "traffic", type="stop", counters={client: counters})
    objects = {key: val for _, key, val in story.log.values()}
    ops = {opid: seq for opid, (seq, _, _) in story.log.items()}
    dbids = {opid: 100 + seq for opid, seq in ops.items()} | story.dbids
    state = {"epoch": NEW, "seq": story.seq, "objects": objects}
    healthy = {"ops": ops, "dbids": dbids, "index_equals_heap": True}
    begun = {OLD: 1, NEW: story.last + 1}
    healthy["epochs"] = [{"token": e, "first_seq": n} for e, n in begun.items()]
    story.add(4.8 + plot.late, "final", source="db:region2", **state, **healthy)
    for proxy in (PROXY["region2"], BACKUP):
        story.add(4.85 + plot.late, "final", source=proxy, mode="normal", **state)
    story.add(4.9 + plot.late, "end")


def begin(replication: str = "sync") -> Story:
    """A story whose deployment has come up and whose traffic has started."""
    story = Story()
    topology = Topology.guide(replication=replication).as_dict()
    run = {"run": "20261122-120000-abcd", "engine": "local", "purpose": "test"}
    story.add(0.0, "run", topology=topology, active="region1", **run)
    story.add(0.05, "start", seq=0, objects=0)
    story.add(0.1, "traffic", type="start")
    return story


def drill(plot: Plot | None = None) -> Story:
    """Everything but the end; :func:`finish` adds that."""
    plot = plot or Plot()
    story = begin(plot.replication)
    _before(story, plot)
    story.last = story.seq
    _fault(story)
    _procedure(story, plot.late)
    _meanwhile(story, plot)
    _samples(story, plot)
    for t in steps_of(0.5, 4.9 + plot.late, 1.0):
        for region in PROXY:
            if region == "region2" or t < 1.5:
                resources(story, t, region)
    census(story, 0.06, "start", active="region1", up=("region1", "region2"))
    census(story, 3.9 + plot.late, "procedure", active="region2", up=("region2",))
    census(story, 4.7 + plot.late, "end", active="region2", up=("region2",))
    story.lane = "p2"  # what a plot adds is told out of order: another client process does it
    return story


def good_drill(plot: Plot | None = None) -> list[Data]:
    """The drill that goes well."""
    plot = plot or Plot()
    story = drill(plot)
    finish(story, plot)
    return story.done()


def history_of(events: list[Data]) -> History:
    """The view of these events."""
    return History(events)


def result_of(events: list[Data], invariant: str) -> Result:
    """What one check makes of them."""
    return judge(history_of(events), invariants=[invariant]).results[0]
