"""The commands that search and tell: ``hunt``, ``criticality``, ``replay`` and ``story``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drharness.cli.app import app, or_error, screens
from drharness.cli.options import (
    EngineName,
    Evidence,
    Json,
    Procedure,
    Replication,
    Scale,
    TopologyFile,
)

_HUNT_EXAMPLES = """\b
Examples:
  drharness hunt
  drharness hunt --slips --time 5m
  drharness hunt --procedure dbms-failover --replication async --seed 7
  drharness hunt --topology mine.toml --slips --write-test tests/test_found.py
"""

_CRITICAL_EXAMPLES = """\b
Examples:
  drharness criticality full-failover
  drharness criticality full-failover --steps fence,promote --slips skipped,swapped
  drharness criticality dbms-failover --fault vm-frozen:dormant.framework-p --markdown table.md
"""

Examples = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="How many schedules are tried at most; default 100, or what --time allows.",
    ),
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="Draws the same schedules again; default: another.")
]
Time = Annotated[
    str, typer.Option("--time", metavar="T", help="Begin no other after this: 90s, 5m or 1h.")
]
Slips = Annotated[
    bool, typer.Option("--slips", help="The operator slips: steps left out, late, swapped, twice.")
]
Hunted = Annotated[
    str, typer.Option(metavar="NAME", help="full-failover, framework-failover or dbms-failover.")
]
Profile = Annotated[
    str,
    typer.Option(metavar="fast|guide", help="Sub-second timers (default), or the products' own."),
]
Jobs = Annotated[
    int, typer.Option(metavar="N", help="Examples tried at once, each on its own deployment.")
]
Shrink = Annotated[
    int,
    typer.Option(
        metavar="N", help="Most replays to make the first failing schedule smaller; 0: none."
    ),
]
WriteTest = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write a pytest test that fails as the first failure does."),
]
Goals = Annotated[
    list[str] | None,
    typer.Option("--goal", metavar="NAME", help="Exit code 3 if this is never reached; repeatable"),
]
Steps = Annotated[
    str, typer.Option(metavar="A,B", help="Only these steps; default: all of the procedure.")
]
Ways = Annotated[
    str,
    typer.Option(
        "--slips",
        metavar="A,B",
        help="Of skipped, repeated, delayed, swapped, interrupted; default: all.",
    ),
]
Beside = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="NAME[:ARGUMENTS]",
        help="Try all with this right before the step, too; repeatable.",
    ),
]
Disaster = Annotated[
    str,
    typer.Option(
        metavar="NAME[:ARGUMENTS]", help="What the procedure answers; default: what it is for."
    ),
]
Late = Annotated[
    float | None,
    typer.Option("--delay", metavar="S", help="How late delayed is; default: outlasts all timers."),
]
Call = Annotated[
    int, typer.Option(metavar="N", help="Request of an interrupted step at which it is cut off.")
]
Repeats = Annotated[
    int, typer.Option(metavar="N", help="Trials of what fails; it counts if most of them fail.")
]
Markdown = Annotated[
    str, typer.Option("--markdown", metavar="FILE", help="The table; - is standard output.")
]
KeepGoing = Annotated[bool, typer.Option("--keep-going", help="Go on after the first failure.")]


@app.command(epilog=_HUNT_EXAMPLES, short_help="Look for a schedule under which something breaks.")
def hunt(
    *,
    examples: Examples = None,
    seed: Seed = None,
    time: Time = "",
    slips: Slips = False,
    procedure: Hunted = "full-failover",
    topology: TopologyFile = None,
    profile: Profile = "",
    replication: Replication = "",
    keep_going: KeepGoing = False,
    jobs: Jobs = 1,
    shrink: Shrink = 40,
    write_test: WriteTest = None,
    goal: Goals = None,
    engine: EngineName = "auto",
    keep_evidence: Evidence = None,
    timeout_scale: Scale = 1.0,
) -> None:
    """Draw schedules, try each on a deployment of its own, and stop at the first that fails."""

    def hunted() -> int:
        from drharness.cli import failure, plan
        from drharness.cli import hunt as command
        from drharness.cli.place import Place
        from drharness.kernel import waiting

        plan.check_rest(engine=engine, scale=timeout_scale)
        deployed = plan.topology_of(topology, replication=replication, timing=profile)
        chosen = command.planned(
            procedure, deployed, examples=examples, seed=seed, time=time, slips=slips
        )
        wanted = failure.Wanted(shrink, write_test)
        way = command.Way(wanted, goal or (), keep_going)
        way.check()
        place = Place(engine, keep_evidence, jobs)
        waiting.set_scale(timeout_scale)
        return command.carry_out(chosen, place, *screens(""), way)

    raise typer.Exit(or_error(hunted))


@app.command(epilog=_CRITICAL_EXAMPLES, short_help="Slip every step in every way: a table.")
def criticality(
    *,
    procedure: Procedure,
    steps: Steps = "",
    slips: Ways = "",
    fault: Beside = None,
    disaster: Disaster = "",
    delay: Late = None,
    call: Call = 1,
    repeats: Repeats = 3,
    jobs: Jobs = 1,
    topology: TopologyFile = None,
    replication: Replication = "",
    profile: Profile = "",
    json_file: Json = "",
    markdown: Markdown = "",
    engine: EngineName = "auto",
    keep_evidence: Evidence = None,
    timeout_scale: Scale = 1.0,
) -> None:
    """Slip every step of PROCEDURE in every way, alone and with one fault: which invariants break.

    Exit code 0: all was judged, whatever it came to; 1: the procedure fails without a slip; 3: not
    all could be judged."""

    options = dict(locals())

    def examined() -> int:
        from drharness.cli import criticality as command

        chosen, way = command.read(**options)
        return command.carry_out(chosen, *screens(way.standard_output), way)

    raise typer.Exit(or_error(examined))


@app.command(short_help="Try a schedule again: still fails, fixed, or no longer applicable.")
def replay(
    *,
    schedule: Annotated[
        Path, typer.Argument(metavar="FILE", help="A schedule.json, or a run's directory.")
    ],
    times: Annotated[int, typer.Option(metavar="N", help="How often it is tried.")] = 1,
    topology: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="On this (TOML) instead of the schedule's own."),
    ] = None,
    engine: EngineName = "auto",
    keep_evidence: Evidence = None,
    timeout_scale: Scale = 1.0,
) -> None:
    """Try a schedule again, N times; exit code 1: still fails, 0: fixed, 3: no longer applicable
    or not judged."""

    def replayed() -> int:
        from drharness.cli import plan
        from drharness.cli import replay as command
        from drharness.cli.place import Place
        from drharness.kernel import validate, waiting

        validate.number("--times", times, low=1, high=1000)
        plan.check_rest(engine=engine, scale=timeout_scale)
        waiting.set_scale(timeout_scale)
        read = command.read(schedule, topology)
        place = Place(engine, keep_evidence)
        return command.carry_out(read, times, place, *screens(""))

    raise typer.Exit(or_error(replayed))


@app.command(short_help="Tell a recorded run that failed: who did what, and who is to blame.")
def story(
    *,
    history: Annotated[
        Path, typer.Argument(metavar="FILE", help="A history, or a run's directory.")
    ],
    about: Annotated[
        str,
        typer.Option(metavar="ID", help="Tell of this invariant, such as L1; default: the worst."),
    ] = "",
    diagram: Annotated[
        bool, typer.Option("--mermaid", help="A sequence diagram in Mermaid instead of the text.")
    ] = False,
) -> None:
    """Tell a recorded run that failed in at most 15 lines, from its history alone."""

    def told() -> int:
        from drharness.cli.story import tell

        return tell(history, screens("")[0], about=about, diagram=diagram)

    raise typer.Exit(or_error(told))
