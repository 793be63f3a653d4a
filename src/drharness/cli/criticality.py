"""``drharness criticality``: every step slipped in every way, a line per cell, then the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from drharness import procedures
from drharness.cli import plan as options
from drharness.cli.interrupts import INTERRUPTS, Interrupted
from drharness.cli.place import Place
from drharness.cli.screen import Screen, to_file
from drharness.deployment import evidence
from drharness.errors import DrHarnessError, UsageError
from drharness.faults.model import Fault
from drharness.kernel import clock, validate, waiting
from drharness.schedule.procedure import ProcedureUse
from drharness.schedule.trial import attempt
from drharness.search.critical_table import SLIPS, Judged, Outcome, Table
from drharness.search.criticality import Plan, examine, majority
from drharness.search.shrink import Rule
from drharness.topology import Topology

_MARKS = {Outcome.SAFE: "ok", Outcome.BROKEN: "FAIL", Outcome.UNKNOWN: "--"}
_SHOWN = 100


@dataclass(frozen=True)
class Way:
    """How cells are tried, and where the table goes.

    :ivar rule: how often what fails must fail
    :ivar json: path, ``-`` or empty for nowhere; ``markdown``: the same
    """

    rule: Rule
    place: Place
    json: str
    markdown: str

    @property
    def standard_output(self) -> str:
        """``-`` if a result goes there, so that all else must not."""
        return "-" if "-" in (self.json, self.markdown) else ""

    @classmethod
    def of(cls, place: Place, *, repeats: int, json: str, markdown: str) -> Way:
        """What the options describe.

        :raises UsageError: names the option, its value and what was expected
        """
        if json and json == markdown:
            raise UsageError(f"--markdown: expected another place than --json, got {markdown!r}.")
        options.check_writable(json)
        options.check_writable(markdown, name="--markdown")
        return cls(majority(repeats), place, json, markdown)


def read(
    *,
    procedure: str,
    topology: Path | None,
    replication: str,
    profile: str,
    repeats: int,
    jobs: int,
    engine: str,
    keep_evidence: Path | None,
    json_file: str,
    markdown: str,
    timeout_scale: float,
    **varied: Any,
) -> tuple[Plan, Way]:
    """What the command's options describe; timeouts are scaled from now on.

    :raises UsageError: names the option, its value and what was expected
    """
    options.check_rest(engine=engine, scale=timeout_scale)
    deployed = options.topology_of(topology, replication=replication, timing=profile)
    chosen = planned(procedure, deployed, **varied)
    place = Place(engine, keep_evidence, jobs)
    way = Way.of(place, repeats=repeats, json=json_file, markdown=markdown)
    waiting.set_scale(timeout_scale)
    return chosen, way


def planned(
    procedure: str,
    topology: Topology,
    *,
    steps: str,
    slips: str,
    fault: Sequence[str] | None,
    disaster: str,
    delay: float | None,
    call: int,
) -> Plan:
    """The plan that the options describe.

    :param steps: ids with commas between, empty for all; ``slips``: the same
    :param fault: as ``--fault`` spells them; ``disaster``: the same, empty for the usual
    :raises UsageError: names the option, its value and what was expected
    """
    name = validate.choice("PROCEDURE", procedure.replace("_", "-"), procedures.BY_NAME)
    ids = [step.id for step in ProcedureUse.on(topology, name).procedure.steps]
    validate.count("--call", call, low=1, high=1000)
    if delay is not None:
        validate.number("--delay", delay, low=0, high=86400)
    return Plan(
        name,
        topology,
        steps=_several("--steps", steps, ids),
        slips=_several("--slips", slips, SLIPS) or SLIPS,
        faults=tuple(_fault("--fault", text, topology) for text in fault or ()),
        disaster=_fault("--disaster", disaster, topology) if disaster else None,
        delay=delay,
        call=call,
    )


def _several(name: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    given = [part.strip() for part in text.split(",")] if text else []
    return tuple(validate.choice(name, part, known) for part in given)


def _fault(name: str, text: str, topology: Topology) -> Fault:
    fault = options.fault_of(text, to=topology.regions[1], topology=topology, name=name)
    if fault is None or text.startswith("controller"):
        raise UsageError(f"{name}: expected a fault that can be injected, got {text!r}.")
    return fault


def carry_out(chosen: Plan, screen: Screen, errors: Screen, way: Way) -> int:
    """Try all cells, a line for each, then show and write the table; the exit code."""
    cells = chosen.cells
    for text in (f"criticality of {chosen.table((), way.rule).title}", f"  {len(cells)} cells", ""):
        screen.say(text)
    rows: list[Judged] = []
    begun = clock.Deadline(0)
    INTERRUPTS.unshield()
    try:
        with way.place.pool(chosen.topology, trials=len(cells)) as pool:
            trying = partial(attempt, pool=pool)
            for row in examine(chosen, trying, rule=way.rule, jobs=way.place.jobs):
                rows.append(row)
                _tell(row, len(rows), screen)
    except Interrupted:
        errors.say(f"interrupted ({INTERRUPTS.signal})", "bold yellow")
        screen.say()
        screen.say(chosen.table(rows, way.rule).to_text())
        return INTERRUPTS.EXIT_CODE
    table = chosen.table(rows, way.rule)
    screen.say()
    screen.say(table.to_text().rstrip())
    screen.say(f"{60 * len(rows) / begun.waited:.1f} cells a minute")
    for row in table.intact_fails:
        screen.say(f"the intact procedure fails: {row.where}: {row.run}", "bold red")
    _write("--json", way.json, table.to_json)
    _write("--markdown", way.markdown, table.to_markdown)
    return code(table)


def code(table: Table) -> int:
    """1: the intact procedure breaks something; 3: not all cells could be judged; else 0."""
    if table.intact_fails:
        return 1
    return 0 if table.complete else 3


def _tell(row: Judged, number: int, screen: Screen) -> None:
    # A table outlives the runs that are kept by themselves.
    if row.broken and Path(row.run).is_dir():
        evidence.keep(Path(row.run))
    often = f"{row.failed} of {row.tried}" if row.failed else ""
    verdict = " ".join(row.broken) or str(row.outcome)
    detail = "  ".join(t for t in (verdict, often, row.note[:_SHOWN]) if t)
    screen.mark(_MARKS[row.outcome], f"{number:>4}  {row.where:<32}", detail, row.seconds)


def _write(name: str, path: str, text: Callable[[], str]) -> None:
    if path:
        try:
            to_file(path, text())
        except OSError as error:
            raise DrHarnessError(f"{name}: {path} cannot be written ({error.strerror})") from error
