"""When service came back: first good write, its read-back, and a proxy's return to normal mode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from drharness.checks.episodes import Episode, cut_off, ns, old_epoch
from drharness.checks.models import servers
from drharness.checks.spans import spans
from drharness.checks.stalls import extended, stalled
from drharness.history.event import Event
from drharness.history.records import Operation
from drharness.history.view import History


def answered(write: Operation) -> bool:
    """Whether the database decided on a write: done, or rejected for what the data hold."""
    return write.type == "ok" or write.cls == "rejected"


def good_writes(history: History, episode: Episode, region: str, *, since: int) -> list[Operation]:
    """Acknowledged writes through a region's proxies that show recovery, by acknowledgement.

    After a promotion only those of a new epoch count; else those begun after the outage began.
    """
    found = [
        w
        for w in history.writes
        if w.region == region and w.type == "ok" and since <= w.invoked <= episode.until
    ]
    if episode.promotes():
        old = old_epoch(history, episode.t_fail)
        found = [w for w in found if not old or w.epoch != old]
    else:
        outage = _outage_from(history, episode, region, since=since)
        found = [w for w in found if w.invoked >= outage]
    return sorted(found, key=lambda w: w.done)


def _outage_from(history: History, episode: Episode, region: str, *, since: int) -> int:
    """When a region's writes stopped after ``since``; that itself if they did not.

    While the disturbance shows (:func:`_shows_until`) the first write that fails begins the outage,
    or the first sample in limited mode. Later that takes what counts as an outage in L1, begun
    within rto_bound: what comes later still is not of this recovery, and L1 says that writes
    stopped again. What was under way when the episode ended was met by what came next.
    """
    tried = [
        w
        for w in history.writes
        if w.region == region
        and since <= w.invoked <= episode.until
        and (episode.until == history.end or (w.ended or history.end) <= episode.until)
    ]
    shows = _shows_until(history, episode, since)
    refused = [w.invoked for w in tried if not answered(w) and w.invoked <= shows]
    limited = [
        e.t
        for name, samples in history.comps.items()
        if history.region_of(name) == region
        for e in samples
        if e.get("mode") == "limited" and since <= e.t <= min(shows, episode.until)
    ]
    bound = extended(history, since, since + ns(history.profile.rto_bound))
    rows = [row[0].invoked for row in outages(history, tried) if row[0].invoked <= bound]
    return min([*refused, *limited, *rows], default=since)


def _shows_until(history: History, episode: Episode, since: int) -> int:
    """Until when everybody has noticed what an episode's faults and procedures did (ns).

    That is a keep-alive timeout after the last of them was over.
    """
    profile = history.profile
    over = [f.since if f.healed is None else f.healed for f in episode.faults]
    over += [p.invoked if p.ended is None else p.ended for p in episode.plans]
    silence = max(profile.addp_timeout, profile.addp_remote_timeout)
    last = max([since, *over])
    return extended(history, last, last + ns(silence + profile.eps))


def outage_end(history: History, region: str, *, since: int, until: int) -> int:
    """When writes through a region were last seen not to go through within [since, until], in ns.

    A fault may bite late, and bite again: a full disk takes what still finds room. What counts as
    an outage is what counts as one in L1: three or more writes in a row that fail, over more than
    eps, none acknowledged between; ``since`` if there was none. A single one may be anybody's.
    """
    tried = [w for w in history.writes if w.region == region and since <= w.invoked <= until]
    rows = outages(history, tried)
    return max((row[-1].invoked for row in rows), default=since)


def outages(history: History, writes: Iterable[Operation]) -> list[list[Operation]]:
    """The rows of three or more of these writes that fail, over more than eps.

    A write without any completion ends a row, for it proves nothing. Neither time in which the host
    stood still counts, nor that in which writes begun before were acknowledged: slow is not gone.
    """
    ordered = sorted(writes, key=lambda w: w.invoked)
    rows: list[list[Operation]] = [[]]
    for w in ordered:
        if answered(w) or w.is_open:
            rows.append([])
        else:
            rows[-1].append(w)
    return [row for row in rows if len(row) >= 3 and _is_long(history, row, ordered)]


def _is_long(history: History, row: Sequence[Operation], tried: Iterable[Operation]) -> bool:
    last = row[-1]
    late = (w.done for w in tried if w.type == "ok" and w.invoked <= last.invoked)
    begin = max([row[0].invoked, *(t for t in late if t < last.done)])
    return last.done - begin - stalled(history, begin, last.done) > ns(history.profile.eps)


def read_back(history: History, write: Operation) -> Operation | None:
    """The first read through the write's region, begun after its acknowledgement, that shows it.

    A read of its key must return its value (or a later change's); a read of another key shows it
    too if the proxy's cache had reached the write's seq, for a cache is a prefix of the log.
    """
    for read in _reads_after(history, write):
        if read.type != "ok" or read.epoch != write.epoch:
            continue
        if read.seq is not None and write.seq is not None and read.seq < write.seq:
            continue
        same = read.key == write.key
        if not same and read.seq is not None and write.seq is not None:
            return read
        if same and (read.result == write.val or _changed_later(history, write, read)):
            return read
        if same and write.f == "append" and write.val in _as_list(read.result):
            return read
    return None


def _as_list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _reads_after(history: History, write: Operation) -> list[Operation]:
    found = [r for r in history.reads if r.region == write.region and r.invoked >= write.done]
    return sorted(found, key=lambda r: r.done)


def _changed_later(history: History, write: Operation, read: Operation) -> bool:
    """Whether another write to the key could explain another value."""
    return any(
        w.key == write.key
        and w.opid != write.opid
        and w.type != "fail"
        and w.invoked <= read.done
        and (w.ended is None or w.done >= write.invoked)
        for w in history.writes
    )


def limited_from(history: History, proxy: str, episode: Episode) -> Event | None:
    """A proxy's first sample in limited mode within an episode: when it noticed."""
    for sample in history.comps.get(proxy, ()):
        if episode.since <= sample.t <= episode.until and sample.get("mode") == "limited":
            return sample
    return None


def noticed(history: History, proxy: str, episode: Episode, back: Event | None) -> Event | None:
    """When a proxy last noticed before it was ``back``: the first sample of that limited stretch.

    It may have lost its master and found it again before the fault that counts (a commit that waits
    for its standby does that): what it noticed then was something else.
    """
    found, limited = None, False
    for sample in history.comps.get(proxy, ()):
        if not episode.since <= sample.t <= (back.t if back else episode.until):
            continue
        if sample.get("mode") == "limited" and not limited:
            found = sample
        limited = sample.get("mode") != "normal" and found is not None
    return found


def lost_in_vain(history: History, region: str, proxy: str, *, since: int, until: int) -> int:
    """When a proxy that looked for a master gave up one that lost its power meanwhile, at most.

    One that is connecting to a Framework VM hears nothing of its end: it waits for the keep-alive's
    time. No sample shows that, for it was not in normal mode before. Only while it could reach
    that VM; 0 if there was nothing of the kind within [since, until].
    """
    patience = ns(2 * history.profile.addp_timeout)
    looking = [s.t for s in history.comps.get(proxy, ()) if s.get("mode") != "normal"]
    found = 0
    for vm in history.topology.vms:
        for t in _power_losses(history, vm.id) if vm.role == "framework" else ():
            looked = since <= t <= until and any(t - patience <= s <= t for s in looking)
            if looked and not cut_off(history, region, vm.region, since=t, until=t):
                found = max(found, t + patience)
    return found


def given_up(history: History, region: str, proxy: str, old: str, t: int) -> int:
    """When a proxy gives up at most what it tries at ``t``; that itself if that takes no time.

    An attempt begun before with the address of a Framework VM that nobody answers for, because it
    is without power or cut off, lasts as long as the proxy is patient.

    :param old: the region whose addresses the names had before
    """
    before = [s for s in history.comps.get(proxy, ()) if s.t <= t]
    if not before or before[-1].get("mode") == "normal":
        return t
    silent = any(
        history.vm_off(vm.id, t) or cut_off(history, region, vm.region, since=t, until=t)
        for vm in history.topology.vms_of(old, "framework")
    )
    return t + ns(history.profile.patience) if silent else t


def primary_again(history: History, region: str, *, since: int, until: int) -> int:
    """When a region had a primary Configuration Server again for the last time within a window.

    A master that was there may go once more: it loses its power, say, and the database lets it be
    the one writer only when it has noticed that. ``since`` if there was one all the time, or never.
    """
    found = [s for name, s in servers(history).items() if history.region_of(name) == region]
    held = [
        span
        for samples in found
        for span in spans(history, "", samples, claim=lambda e: bool(e["role"] == "primary"))
    ]
    begun = [
        now.t
        for samples in found
        for before, now in pairwise(samples)
        if since < now.t <= until and before["role"] != "primary" == now["role"]
    ]
    alone = [t for t in begun if not any(span.since < t <= span.until for span in held)]
    return max(alone, default=since)


def _power_losses(history: History, vm: str) -> Iterator[int]:
    """When (ns) a VM that was on was powered off."""
    on = True
    for event in history.vms.get(vm, ()):
        if event["state"] == "off" and on:
            yield event.t
        on = event["state"] != "off"


def normal_from(history: History, proxy: str, episode: Episode, *, since: int) -> Event | None:
    """A proxy's first sample in normal mode after it noticed; in a new epoch after a promotion."""
    first = limited_from(history, proxy, episode)
    begin = max(since, first.t if first else 0)
    old = old_epoch(history, episode.t_fail) if episode.promotes() else None
    for sample in history.comps.get(proxy, ()):
        if sample.t < begin or sample.t > episode.until or sample.get("mode") != "normal":
            continue
        if old is None or (sample.get("epoch") and sample.get("epoch") != old):
            return sample
    return None
