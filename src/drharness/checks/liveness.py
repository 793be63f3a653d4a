"""Liveness: L1 writes recover, L2 reads go on meanwhile, L3 proxies reconnect in time."""

from __future__ import annotations

from drharness.checks.episodes import (
    Episode,
    alive,
    behind_boot_rules,
    clients_ended,
    cut_off,
    episodes,
    judged_regions,
    link_cut,
    names_failed,
    ns,
    overtaken,
    proxies,
)
from drharness.checks.form import NotExercised
from drharness.checks.intent import intent
from drharness.checks.recovery import (
    given_up,
    good_writes,
    limited_from,
    lost_in_vain,
    normal_from,
    noticed,
    outages,
    primary_again,
    read_back,
)
from drharness.checks.stalls import extended, stalled
from drharness.checks.text import seconds_from
from drharness.checks.verdict import Finding, Verdict
from drharness.history.event import Event
from drharness.history.records import Final, Operation, Plan
from drharness.history.view import NS, History

Findings = list[Finding] | NotExercised

CALM = "no fault and no procedure"
NEW_LOGINS_DUE = 60  # reads in a window by which both kinds of client should have read


def _rel(episode: Episode, t: int) -> str:
    return f"{seconds_from(episode.t_fail, t).strip()} s"


def writes_recover(history: History) -> Findings:
    """L1. Writes go through again in every living region within the RTO bound.

    Premise: a procedure was run, or all faults were healed but those that pass by themselves, and
    the active database did not boot behind rules that only a procedure removes. Rule: through each
    region whose serving proxy is alive and not cut off from the active region, a write is
    acknowledged (in the new epoch, if one was begun) and read back; writes don't stop again. A
    procedure that failed or refused is named. What the next disturbance overtook within the bound
    is due after that one. Where nobody had written yet when the bound was over, nothing is judged;
    where traffic had been stopped for as long, lateness proves nothing.
    Slack: eps and two sampling intervals on the profile's rto_bound, and the host's own stalls.
    """
    found = episodes(history)
    due = [(e, t) for e in found if (t := e.liveness_from()) is not None]
    if not due:
        return NotExercised("faults not healed, no procedure run" if found else CALM)
    findings, judged = [], False
    for episode, since in due:
        until = min(episode.until, since + ns(history.profile.rto_bound))
        if _may_refuse(history, episode) or behind_boot_rules(history, episode):
            continue
        for region in judged_regions(history, episode, since=since, until=until):
            if _before_any_write(history, _due_by(history, since)):
                continue
            judged = True
            findings += _region_recovers(history, episode, region, since)
    if not judged and any(_before_any_write(history, _due_by(history, t)) for _, t in due):
        return NotExercised("nobody wrote until after recovery was due")
    return findings if judged else NotExercised("no living region was to recover")


def _due_by(history: History, since: int) -> int:
    """When a recovery that counts from ``since`` is late, its slack included (ns)."""
    slack = ns(history.profile.eps + 2 * history.profile.sampling)
    return extended(history, since, since + ns(history.profile.rto_bound)) + slack


def _before_any_write(history: History, t: int) -> bool:
    """Whether nobody had tried a write by ``t`` (ns), and no traffic ran that should have."""
    begun = min((w.invoked for w in history.writes), default=t + 1)
    return begun > t and not _running(history, history.events[0].t, t)


def _running(history: History, since: int, until: int) -> bool:
    """Whether traffic ran at any moment of [since, until] (ns)."""
    on = False
    for event in history.of_kind("traffic"):
        if event.t > until or (on and event.t >= since):
            break
        on = event["type"] == "start"
    return on


def _may_refuse(history: History, episode: Episode) -> bool:
    """A refusal while out-of-band management is cut is right: recovery is due after the heal.

    So is one for a broken DNS server, or a definite failure at a step that needs names.
    """
    plan = episode.plan
    if plan is None:
        return False
    if names_failed(history, plan):
        return True
    return plan.type == "refused" and any(
        "management" in f.f and f.in_force(plan.invoked) for f in episode.faults
    )


def _region_recovers(history: History, episode: Episode, region: str, since: int) -> list[Finding]:
    slack = ns(history.profile.eps + 2 * history.profile.sampling)
    bound = _due_by(history, since) - slack
    expected = (
        f"a write through {region}'s proxies acknowledged and read back by {_rel(episode, bound)}"
    )
    writes = good_writes(history, episode, region, since=since)
    in_time = [w for w in writes if w.done <= bound + slack]
    shown = next((r for w in in_time[:10] if (r := read_back(history, w))), None)
    if shown is None and overtaken(history, episode, bound + slack):
        return []
    if not in_time:
        return [_not_recovered(history, episode, expected, region, since=since, by=bound + slack)]
    if shown is None or shown.done > bound + slack:
        return _not_read_back(history, expected, in_time[0], shown)
    return _stops_again(history, episode, region, bound + slack)


def _not_recovered(
    history: History, episode: Episode, expected: str, region: str, *, since: int, by: int
) -> Finding:
    """What went through before recovery was due (ns ``since``) does not count here either."""
    tried = [w for w in history.writes if w.region == region and w.invoked >= since]
    late = good_writes(history, episode, region, since=since)
    last = max((w.done for w in tried), default=0)
    plan_text, plan_events = _broken_plan(episode)
    events = (*plan_events, *(e for w in tried[-2:] for e in w.events))
    stopped = all(w.invoked > by for w in tried) and not _running(history, since, by)
    if late and stopped:
        seen = f"traffic was stopped until then; the first write went through: {late[0].opid}"
        return Finding("L1", Verdict.UNKNOWN, expected, seen, late[0].events)
    if late:
        first = late[0]
        seen = f"the first one was acknowledged at {_rel(episode, first.done)}{plan_text}"
        return Finding("L1", Verdict.FAIL, expected, seen, (*plan_events, *first.events))
    if plan_text:
        seen = f"none of {len(tried)} writes went through{plan_text}"
        return Finding("L1", Verdict.FAIL, expected, seen, events)
    if last >= by:
        seen = f"none of {len(tried)} writes went through, the last at {_rel(episode, last)}"
        return Finding("L1", Verdict.FAIL, expected, seen, events)
    until = f"writes were tried until {_rel(episode, last)}" if tried else "no write was tried"
    advice = "let traffic go on until the procedure is done and the bound is over"
    seen = f"none of {len(tried)}; {until}, which is too short to judge"
    return Finding("L1", Verdict.UNKNOWN, expected, seen, events, advice)


def _broken_plan(episode: Episode) -> tuple[str, tuple[Event, ...]]:
    """How the procedure ended if not well: a clause to append, and the events."""
    plan = episode.plan
    if plan is None or plan.type == "ok":
        return "", ()
    step = plan.broken_at
    where = f" at step {step.id}: {step.text or 'no text'}" if step else ""
    how = {"refused": "refused", "fail": "failed"}.get(plan.type, "did not end")
    return f"; procedure {plan.procedure} {how}{where}", step.events if step else plan.events


def _not_read_back(
    history: History, expected: str, write: Operation, late: Operation | None
) -> list[Finding]:
    reads = [r for r in history.reads if r.region == write.region and r.invoked >= write.done]
    events = (*write.events, *(e for r in reads[-2:] for e in r.events))
    if late is not None:
        seen = f"write {write.opid} was read back only by {late.opid}, too late"
        return [Finding("L1", Verdict.FAIL, expected, seen, (*write.events, *late.events))]
    watched = max((r.done for r in reads), default=0) - write.done
    if watched > ns(history.profile.d_rep + history.profile.eps):
        seen = f"write {write.opid} was acknowledged, but none of {len(reads)} reads shows it"
        return [Finding("L1", Verdict.FAIL, expected, seen, events)]
    if any(_holds(history, final, write) for final in history.finals):
        return []  # traffic ended with it, and it was read back when all was at rest
    seen = f"write {write.opid} was acknowledged; {len(reads)} reads after it, too few to judge"
    return [Finding("L1", Verdict.UNKNOWN, expected, seen, events)]


def _holds(history: History, final: Final, write: Operation) -> bool:
    """Whether a proxy of the write's region had come as far as the write, at the end."""
    same = history.region_of(final.source) == write.region and final.epoch == write.epoch
    return same and None not in (final.seq, write.seq) and (final.seq or 0) >= (write.seq or 0)


def _stops_again(history: History, episode: Episode, region: str, bound: int) -> list[Finding]:
    """Three or more writes in a row that fail, over more than eps, none acknowledged between.

    What was under way when the episode ended was met by what came next.
    """
    after = [
        w
        for w in history.writes
        if w.region == region and bound < w.invoked and w.done <= episode.until
    ]
    for row in outages(history, after)[:1]:
        expected = f"writes through {region}'s proxies go on after {_rel(episode, bound)}"
        seen = f"from {_rel(episode, row[0].invoked)} on, {len(row)} in a row did not"
        events = tuple(e for r in row for e in r.events)
        return [Finding("L1", Verdict.FAIL, expected, seen, events)]
    return []


def reads_go_on(history: History) -> Findings:
    """L2. From the fault until all is normal again, reads through living proxies succeed.

    Premise: a fault or a procedure. Rule: no read through a proxy that no fault touched fails or
    is given up, by clients old or new; and both kinds did read. Slack: none for outcomes, for a
    proxy reads from its own memory; a read without any completion says nothing, and where the
    host stood still for half a keep-alive timeout around a failed read, it is UNKNOWN.
    """
    found = episodes(history)
    if not found:
        return NotExercised(CALM)
    findings, judged = [], False
    for episode in found:
        for region in history.topology.regions:
            through = _untouched(history, episode, region)
            if through:
                judged = True
                findings += _region_reads(history, episode, region, through)
    return findings if judged else NotExercised("no region kept a living proxy")


def _untouched(history: History, episode: Episode, region: str) -> list[str]:
    """Proxies that no fault touched, nor the links on which clients of their pair come to them."""
    since, until = episode.since, _normal(history, episode, region)
    pair = [vm.id for vm in history.topology.vms_of(region, "application")]
    if link_cut(history, pair, since=since, until=until):
        return []
    return [p for p in proxies(history, region) if alive(history, p, since, until)]


def _normal(history: History, episode: Episode, region: str) -> int:
    """t_normal: when the last proxy of a region was normal again; the episode's end if unknown."""
    back = []
    for proxy in proxies(history, region):
        if limited_from(history, proxy, episode) is None:
            continue
        sample = normal_from(history, proxy, episode, since=episode.since)
        back.append(sample.t if sample else episode.until)
    return max(back, default=episode.until)


def _region_reads(
    history: History, episode: Episode, region: str, through: list[str]
) -> list[Finding]:
    until = _normal(history, episode, region)
    reads = [
        r
        for r in history.reads
        if r.region == region and episode.t_fail <= r.invoked <= until and not r.is_open
    ]
    whole = len(through) == len(proxies(history, region))
    mine = [r for r in reads if r.via in through or (not r.via and whole)]
    bad = [r for r in mine if r.type != "ok"]
    expected = f"reads through {region}'s proxies succeed until {_rel(episode, until)}"
    if bad:
        return [_bad_reads(history, expected, bad, len(mine))]
    if not mine and (not whole or overtaken(history, episode, until + 1)):
        return []  # one is down, and clients have not moved to the other; or it was but a moment
    if not mine and clients_ended(history, region, episode.t_fail, until):
        return []  # nobody is left who could read there
    kinds = {r.client for r in mine}
    missing = [k for k in ("old", "new") if k not in kinds and len(mine) >= NEW_LOGINS_DUE]
    if not mine or missing:
        what = "no read was tried" if not mine else f"{len(mine)}, none by {missing[0]} clients"
        advice = "traffic must run while the fault is in force"
        return [Finding("L2", Verdict.UNKNOWN, expected, what, (), advice)]
    return []


def _bad_reads(history: History, expected: str, bad: list[Operation], tried: int) -> Finding:
    """FAIL; UNKNOWN if the host stood still around every one of them."""
    patience = ns(history.profile.addp_timeout)
    ours = [r for r in bad if stalled(history, r.invoked - 2 * patience, r.done) < patience // 2]
    shown = ours or bad
    new = sum(r.client == "new" for r in shown)
    seen = f"{len(shown)} of {tried} did not ({new} by new logins), the first {shown[0].opid}"
    events = tuple(e for r in shown for e in r.events)
    if ours:
        return Finding("L2", Verdict.FAIL, expected, seen, events)
    advice = "the host kept processes waiting for as long as connections are given: run it again"
    return Finding("L2", Verdict.UNKNOWN, expected, f"{seen}; the host stood still", events, advice)


def proxies_reconnect(history: History) -> Findings:
    """L3. Each living proxy is normal again soon after there is something to connect to.

    Premise: a procedure that switched, started or promoted all it set out to. Rule: the proxy's
    first normal sample (in the new epoch) comes by max(t_switch, t_ready, t_detect) + TTL + T_retry
    + eps, t_ready being when a server became primary for the last time before that with none beside
    it, t_detect when the proxy last lost a master before, or gave up one whose VM lost its power
    while it was connecting; once an explicit flush is done the TTL no longer counts. What
    components keep themselves (``name_cache``) no flush reaches: it is added. An attempt under way
    then with an old address that nobody answers for is given up first. Slack: two sampling
    intervals, and the host's own stalls.
    """
    found = [e for e in episodes(history) if e.plan is not None and _ready(e) is not None]
    if not found:
        return NotExercised("no procedure got as far as that" if history.plans else CALM)
    return [
        finding
        for episode in found
        for region in history.topology.regions
        for proxy in proxies(history, region)
        for finding in _proxy_reconnects(history, episode, region, proxy)
    ]


def _ready(episode: Episode) -> int | None:
    """max(t_switch, t_ready) of the procedure (ns); None if a step for it was not done."""
    plan = episode.plan
    if plan is None:
        return None
    ids = {s.id for s in plan.steps} | set(plan.planned)
    wanted = [i for i in ("switch-names", "start-framework", "repoint", "promote") if i in ids]
    done = [plan.step_ok(i) for i in wanted]
    known = [t for t in done if t is not None]
    return max(known) if known and len(known) == len(done) else None


def _proxy_reconnects(history: History, episode: Episode, region: str, proxy: str) -> list[Finding]:
    ready, plan, profile = _ready(episode), episode.plan, history.profile
    if ready is None or plan is None:
        return []
    back = normal_from(history, proxy, episode, since=episode.since)
    detected = noticed(history, proxy, episode, back)
    vain = lost_in_vain(history, region, proxy, since=episode.since, until=ready)
    ready = primary_again(
        history, plan.to or region, since=ready, until=back.t if back else episode.until
    )
    base = max(ready, detected.t if detected else 0, vain)
    old = intent(history, plan.invoked - 1).names
    free = given_up(history, region, proxy, old, _forgotten(history, plan, base))
    bound = extended(history, episode.t_fail, free + ns(profile.retry + profile.eps))
    if not alive(history, proxy, episode.since, bound) or cut_off(
        history, region, plan.to or region, since=episode.since, until=bound
    ):
        return []
    slack = ns(2 * profile.sampling)
    if back is not None and back.t <= bound + slack:
        return []
    if overtaken(history, episode, bound + slack):
        return []
    expected = f"{proxy} is in normal mode by {_rel(episode, bound)}"
    samples = _last(history, proxy, episode)
    events = tuple(e for e in (detected, *([back] if back else samples)) if e)
    if back is not None:
        seen = f"it was at {_rel(episode, back.t)}, {(back.t - bound) / NS:.2f} s late"
        return [Finding("L3", Verdict.FAIL, expected, seen, events)]
    if samples and samples[-1].t > bound + slack:
        mode = samples[-1].get("mode")
        seen = f"its last sample at {_rel(episode, samples[-1].t)} says {mode}"
        return [Finding("L3", Verdict.FAIL, expected, seen, events)]
    seen = "no sample shows it, and none was taken after that"
    return [Finding("L3", Verdict.UNKNOWN, expected, seen, events)]


def _forgotten(history: History, plan: Plan, base: int) -> int:
    """When the old addresses are kept no longer (ns), which were there until ``base``."""
    profile, flushed = history.profile, plan.step_ok("flush")
    until = base + ns(profile.ttl)
    if flushed is not None:
        until = min(until, max(base, flushed))
    # What a component keeps for ever has no bound: it is one's own fault.
    return until + ns(max(0, profile.name_cache, profile.name_cache_negative))


def _last(history: History, proxy: str, episode: Episode) -> list[Event]:
    samples = [e for e in history.comps.get(proxy, ()) if e.t <= episode.until]
    return samples[-1:]
