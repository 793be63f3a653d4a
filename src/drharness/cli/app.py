"""Commands; each is done by a module of its own, loaded when it runs."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from drharness.cli.options import (
    Database,
    Delay,
    EngineName,
    Evidence,
    FaultName,
    Fence,
    Force,
    Interrupt,
    Json,
    MaxLag,
    MaxRpo,
    MaxRto,
    On,
    Procedure,
    Rate,
    Repeat,
    Replication,
    ReturnFence,
    Runs,
    Scale,
    Swap,
    Timing,
    To,
    TopologyFile,
    Ttl,
    Without,
)
from drharness.errors import DrHarnessError

if TYPE_CHECKING:
    from drharness.cli.plan import Drill
    from drharness.cli.screen import Screen
    from drharness.topology import Topology

T = TypeVar("T")

_EXAMPLES = """\b
Examples:
  drharness doctor
  drharness drill full-failover
  drharness drill full-failover --fault regions-cut --replication async
  drharness drill full-failover --without fence --json result.json
  drharness check .drharness/20261122-203712-7f3a
  drharness hunt --slips --time 5m

\b
Exit codes: 0 pass, 1 fail, 2 bad usage or not possible on this host,
3 unknown or invalid, 130 interrupted.
"""
_DRILL_EXAMPLES = """\b
Examples:
  drharness drill full-failover
  drharness drill full-failover --swap fence,promote
  drharness drill full-failover --interrupt promote
  drharness drill full-failover --timing guide --runs 5 --json - > result.json
"""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from drharness import __version__

        typer.echo(f"drharness {__version__}")
        raise typer.Exit


@app.callback(epilog=_EXAMPLES)
def entry(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Stand up a two-region architecture, break it, run the procedure, judge what happened."""


@app.command(epilog=_DRILL_EXAMPLES, short_help="Deploy, break, run a procedure, judge; live.")
def drill(
    *,
    procedure: Procedure,
    to: To = "",
    fault: FaultName = "",
    database: Database = "",
    topology: TopologyFile = None,
    replication: Replication = "",
    timing: Timing = "",
    ttl: Ttl = None,
    return_fence: ReturnFence = "",
    rate: Rate = None,
    without: Without = None,
    swap: Swap = None,
    repeat: Repeat = None,
    delay: Delay = None,
    interrupt: Interrupt = "",
    fence: Fence = "",
    force: Force = False,
    max_lag: MaxLag = "",
    max_rto: MaxRto = None,
    max_rpo: MaxRpo = None,
    engine: EngineName = "auto",
    json_file: Json = "",
    keep_evidence: Evidence = None,
    timeout_scale: Scale = 1.0,
    runs: Runs = 1,
    on: On = "",
) -> None:
    """Deploy, put under traffic, break, run PROCEDURE and judge; live."""
    options = dict(locals())
    del options["on"]
    if on:
        _drill_on(on, options)
    _drills(or_error(lambda: planned(**options)), timeout_scale)


def _drill_on(name: str, options: dict[str, Any]) -> NoReturn:
    def drilled() -> int:
        from drharness.cli import on, plan

        plan.check_writable(options["json_file"])
        found = on.ask(name, "drill", screens(options["json_file"]), **on.portable(options))
        _deliver(options["json_file"], found["summary"])
        return int(found["code"])

    raise typer.Exit(or_error(drilled))


def planned(
    *,
    procedure: str,
    to: str,
    fault: str,
    database: str,
    topology: Path | None,
    replication: str,
    timing: str,
    ttl: int | None,
    return_fence: str,
    rate: float | None,
    without: list[str] | None,
    swap: list[str] | None,
    max_rto: float | None,
    max_rpo: str | None,
    engine: str,
    json_file: str,
    keep_evidence: Path | None,
    timeout_scale: float,
    runs: int,
    there: tuple[Topology, str] | None = None,
    **varied: Any,
) -> Drill:
    """The drill that the options describe.

    :param there: the topology and the active region of a deployment that is up already
    :raises UsageError: names the option, its value and what was expected
    """
    from drharness.cli import plan, variations

    plan.check_rest(engine=engine, rate=rate, runs=runs, scale=timeout_scale, json=json_file)
    chosen = plan.topology_of(
        topology, replication=replication, timing=timing, ttl=ttl, return_fence=return_fence
    )
    chosen, active = there or (chosen, "")
    slips = plan.Variation(without or (), swap or (), database)
    steps = plan.procedure_of(procedure, to, topology=chosen, varied=slips, active=active)
    steps = variations.varied(steps, **varied)
    broken = plan.fault_of(
        fault or plan.usual_fault(steps), to=steps.to, topology=chosen, active=active
    )
    budget = plan.budget_of(max_rto, max_rpo)
    return plan.Drill(steps, chosen, broken, budget, rate, engine, keep_evidence, json_file, runs)


def _drills(chosen: Drill, scale: float) -> NoReturn:
    from drharness.cli.drill import carry_out
    from drharness.kernel import waiting

    waiting.set_scale(scale)
    screen, errors = screens(chosen.json)
    ended = []
    for number in range(1, chosen.runs + 1):
        screen.say(
            f"{chosen}" if chosen.runs == 1 else f"{chosen}\n  run {number} of {chosen.runs}"
        )
        screen.say()
        ended.append(carry_out(chosen, screen, errors))
        if ended[-1].code in (2, 130):
            break
        if chosen.runs > 1:
            screen.say()
    if len(ended) > 1:
        for number, one in enumerate(ended, start=1):
            screen.say(f"run {number:>3}  {one.line}")
    code = next((c for c in (130, 2, 1, 3) if c in {e.code for e in ended}), 0)
    found = [e.summary for e in ended]
    series = {"v": 1, "kind": "drharness series", "exit_code": code, "runs": found}
    _deliver(chosen.json, found[0] if chosen.runs == 1 else series)
    raise typer.Exit(code)


@app.command(short_help="Judge a recorded history again, offline.")
def check(
    *,
    history: Annotated[
        Path, typer.Argument(metavar="FILE", help="A history, or a run's directory.")
    ],
    max_rto: MaxRto = None,
    max_rpo: MaxRpo = None,
    json_file: Json = "",
) -> None:
    """Judge a recorded history again, offline: the same verdict as the live run's."""

    def judged() -> int:
        from drharness import report
        from drharness.checks import judge
        from drharness.cli import plan, records

        plan.check_writable(json_file)
        budget = plan.budget_of(max_rto, max_rpo)
        found = records.load(history)
        judgement = judge(found, budget=budget)
        code = records.EXIT_CODES[judgement.status]
        screens(json_file)[0].verdict(str(judgement))
        _deliver(json_file, {**report.summary(found, judgement), "exit_code": code})
        return code

    raise typer.Exit(or_error(judged))


@app.command(short_help="Plant mistakes and see that each is found by name.")
def selftest(
    *,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="An id or a family; repeatable.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Only list what would be tried.")] = False,
    engine: EngineName = "auto",
    json_file: Json = "",
    keep_evidence: Evidence = None,
) -> None:
    """Plant mistakes of every kind and see that each is found by name, and nothing without one."""

    def tried() -> int:
        from drharness.cli import plan
        from drharness.cli import selftest as command

        plan.check_rest(engine=engine, json=json_file)
        chosen = command.selected(only or (), engine=engine, evidence=keep_evidence)
        screen, errors = screens(json_file)
        if show:
            for line in command.listing():
                screen.say(line)
            return 0
        code, found = command.carry_out(chosen, screen, errors)
        _deliver(json_file, found)
        return code

    raise typer.Exit(or_error(tried))


@app.command(name="topology", short_help="Write what would be deployed as TOML.")
def write_topology(
    *,
    topology: TopologyFile = None,
    replication: Replication = "",
    timing: Timing = "",
    ttl: Ttl = None,
    return_fence: ReturnFence = "",
) -> None:
    """Write what would be deployed as TOML, to be changed and given to --topology."""

    def written() -> int:
        from drharness.cli import plan

        options = {"replication": replication, "timing": timing, "return_fence": return_fence}
        typer.echo(plan.topology_of(topology, ttl=ttl, **options).as_toml(), nl=False)
        return 0

    raise typer.Exit(or_error(written))


@app.command(short_help="Say whether deployments can run here, or the way out.")
def doctor(*, engine: EngineName = "auto") -> None:
    """Say whether deployments can run on this host, and if not, the way out."""

    def examined() -> int:
        from drharness.cli.doctor import examine

        return examine(*screens(""), engine)

    raise typer.Exit(or_error(examined))


def screens(wanted: str) -> tuple[Screen, Screen]:
    """For results and for errors; with the JSON on standard output all else goes to the other."""
    from drharness.cli.screen import Screen

    return Screen(sys.stderr if wanted == "-" else sys.stdout), Screen(sys.stderr)


def _deliver(wanted: str, found: dict[str, Any]) -> None:
    from drharness.cli.screen import to_file

    if wanted:
        try:
            to_file(wanted, json.dumps(found, indent=1, default=str) + "\n")
        except OSError as error:
            typer.echo(f"error: --json: {wanted} cannot be written ({error.strerror})", err=True)
            raise typer.Exit(3) from error


def or_error(action: Callable[[], T]) -> T:
    """Its result, or the error as text and the exit code that says what kind it is."""
    try:
        return action()
    except DrHarnessError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except typer.Exit:
        raise
    except Exception as error:
        typer.echo(f"{''.join(traceback.format_exception(error))}", err=True)
        raise typer.Exit(3) from error
