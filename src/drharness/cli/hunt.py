"""``drharness hunt``: examples as they are tried, and the first failure with all that is needed."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from drharness import procedures
from drharness.checks.verdict import Verdict
from drharness.cli import records
from drharness.cli.interrupts import INTERRUPTS, Interrupted
from drharness.cli.screen import Screen
from drharness.deployment import evidence
from drharness.deployment.pool import Pool
from drharness.errors import UsageError
from drharness.kernel import rng, validate
from drharness.schedule.schedule import Schedule
from drharness.schedule.trial import FILE, Trial, attempt
from drharness.search.hunt import MOST_EXAMPLES, Example, Hunt, examples
from drharness.topology import Topology

_EXAMPLES = 100
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Place:
    """Where deployments run, and where their evidence goes: None for the default."""

    engine: str
    evidence: Path | None

    def pool(self, topology: Topology, *, trials: int) -> Pool:
        """Where so many trials get their deployments from: the next comes up while one is used."""
        staged = 1 if trials > 1 else 0
        return Pool(topology, engine=self.engine, evidence_dir=self.evidence, staged=staged)


def planned(
    procedure: str,
    topology: Topology,
    *,
    examples: int | None,
    seed: int | None,
    time: str,
    slips: bool,
) -> Hunt:
    """The hunt that the options describe.

    :raises UsageError: names the option, its value and what was expected
    """
    name = validate.choice("--procedure", procedure.replace("_", "-"), procedures.BY_NAME)
    seconds = _seconds(time) if time else None
    if examples is None:
        examples = _EXAMPLES if seconds is None else MOST_EXAMPLES
    validate.number("--examples", examples, low=1, high=MOST_EXAMPLES)
    chosen = rng.fresh_seed() if seed is None else seed
    return Hunt(chosen, examples, seconds, name, slips, topology)


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if found is None:
        raise UsageError(f"--time: expected a duration like 90s, 5m or 1h, got {text!r}.")
    return float(found[1]) * _UNITS[found[2]]


def carry_out(hunt: Hunt, place: Place, screen: Screen, errors: Screen, *, keep_going: bool) -> int:
    """Try examples, a line for each, until one fails; the exit code.

    :param keep_going: also after one failed
    """
    for line in _title(hunt):
        screen.say(line)
    screen.say()
    tried: list[Example] = []
    INTERRUPTS.unshield()
    try:
        with place.pool(hunt.topology, trials=hunt.examples) as pool:
            for example in examples(hunt, partial(_attempt, pool)):
                tried.append(example)
                _show(example, screen)
                if example.status is Verdict.FAIL and _is_first(tried):
                    _first_failure(example, screen)
                    if not keep_going:
                        break
    except Interrupted:
        errors.say(f"interrupted ({INTERRUPTS.signal})", "bold yellow")
        _sum_up(hunt, tried, screen)
        return INTERRUPTS.EXIT_CODE
    _sum_up(hunt, tried, screen)
    return _code(tried)


def _attempt(pool: Pool, schedule: Schedule) -> Trial:
    return attempt(schedule, pool)


def _title(hunt: Hunt) -> list[str]:
    topology = hunt.topology
    bound = f"{hunt.examples} examples" if hunt.seconds is None else f"{hunt.seconds:g} s"
    return [
        f"hunt {hunt.procedure}{' with slips' if hunt.slips else ''}, seed {hunt.seed}, {bound}",
        f"  topology  {topology.replication} replication, {topology.timing} timing, "
        f"TTL {topology.ttl} s, return fence {topology.return_fence}",
    ]


def _show(example: Example, screen: Screen) -> None:
    mark = {Verdict.PASS: "ok", Verdict.FAIL: "FAIL"}.get(example.status, "--")
    failed = " ".join(example.trial.failed) if example.trial else ""
    verdict = failed or ("" if mark == "ok" else str(example.status))
    schedule = example.schedule
    line = "; ".join(str(it) for it in (*schedule.procedure.slips, *schedule.actions))
    screen.mark(mark, f"{example.number:>4}  {verdict:<8}", line, example.seconds)
    if example.error:
        screen.say(f"       {example.error.splitlines()[0]}")
    elif example.trial and not example.trial.play.settled.ok:
        screen.say(f"       {example.trial.play.settled.text.splitlines()[0]}")


def _is_first(tried: list[Example]) -> bool:
    return sum(e.status is Verdict.FAIL for e in tried) == 1


def _first_failure(example: Example, screen: Screen) -> None:
    """The evidence that stays: history and schedule."""
    if example.trial is None:
        return
    run = example.trial.run
    evidence.keep(run)
    screen.say()
    screen.verdict(example.trial.judgement.findings_text)
    screen.say()
    for act in example.trial.play.acts:
        screen.say(f"  {act}")
    screen.say()
    for line in records.where(run):
        screen.say(line)
    screen.say(f"replay    drharness replay {shlex.quote(records.short(run / FILE))}")
    screen.say()


def _sum_up(hunt: Hunt, tried: list[Example], screen: Screen) -> None:
    failed = [e for e in tried if e.status is Verdict.FAIL]
    unjudged = [e for e in tried if e.status in (Verdict.UNKNOWN, Verdict.INVALID)]
    text = f"{len(tried)} examples, seed {hunt.seed}: {len(failed)} failed"
    if unjudged:
        text += f", {len(unjudged)} could not be judged"
    screen.say(text, "bold red" if failed else "")


def _code(tried: list[Example]) -> int:
    seen = {example.status for example in tried}
    if Verdict.FAIL in seen:
        return 1
    return 3 if seen != {Verdict.PASS} else 0
