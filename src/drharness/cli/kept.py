"""``drharness up``, ``status``, ``exec`` and ``down``: what they do, and what they say."""

from __future__ import annotations

import dataclasses
import json as encoding
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drharness.cli import duration, picture, terminal
from drharness.cli.interrupts import INTERRUPTS, Interrupted
from drharness.cli.records import typed
from drharness.cli.screen import Screen, to_file
from drharness.deployment import channels, engines, kept, register
from drharness.deployment.kept import Kept
from drharness.errors import DrHarnessError, UsageError, WaitTimeout
from drharness.kernel import validate, waiting
from drharness.topology import Topology

FAILED = 125  # of exec: what was wrong is not the command's own status
_UNITS = ("s", "m", "h", "d")
_USERS = ("root", "postgres")
_GONE_S = 4.0  # an interrupted command has five seconds


@dataclass(frozen=True)
class Wanted:
    """What ``up`` is to bring up; ``lifetime`` in seconds."""

    name: str
    topology: Topology
    engine: str
    evidence: Path | None
    lifetime: float
    scale: float


def seconds_of(text: str) -> float:
    """``90m``, ``8h``, ``2d`` as seconds.

    :raises UsageError: it is none, or less than a second, or more than 30 days
    """
    seconds = duration.seconds_in(text, units=_UNITS)
    if seconds is None or not 1 <= seconds <= 30 * 86400:
        raise UsageError(
            f"--lifetime: expected a time like 90m, 8h or 2d (30d at most), got {text!r}."
        )
    return seconds


def bring_up(wanted: Wanted, screen: Screen, errors: Screen) -> int:
    """``up``: returns the exit code."""
    waiting.set_scale(wanted.scale)
    kept.check_free(wanted.name)
    try:
        with screen.task("deployment"):
            made = kept.begin(
                wanted.name,
                wanted.topology,
                engine=wanted.engine,
                evidence=wanted.evidence,
                lifetime=wanted.lifetime,
                scale=wanted.scale,
            )
    except Interrupted:
        INTERRUPTS.shield()
        return _interrupted(wanted.name, errors)
    screen.say()
    for line in picture.of(made.record, made.ask("status")):
        screen.say(line)
    screen.say()
    for line in kept.ways_in(wanted.name, wanted.topology):
        screen.say(line)
    return 0


def _interrupted(name: str, errors: Screen) -> int:
    """The keeper has seen that nobody waits any more, and ends."""
    try:
        waiting.wait_until(
            lambda: register.find(name) is None, f"the end of {name!r}", timeout=_GONE_S
        )
        left = "nothing is left"
    except WaitTimeout:
        left = f"it is being taken down; `drharness status {name}` shows whether it has gone"
    errors.say(f"interrupted ({INTERRUPTS.signal}): {left}", "bold yellow")
    return INTERRUPTS.EXIT_CODE


def tell(name: str, screen: Screen, *, json: bool) -> int:
    """``status``: returns the exit code, 3 if the one asked for was killed."""
    if name:
        register.check_name(name)
    gone = [g for g in register.clear_stale() if name in ("", g.record.name)]
    records = register.living()
    found = [r for r in records if name in ("", r.name)]
    if name and not found and not gone:
        kept.find(name)  # says what there is
    seen = {r.name: _seen(r) for r in found} if json or len(found) == 1 else {}
    if json:
        to_file("-", encoding.dumps(_for_programs(found, gone, seen), indent=1) + "\n")
        return 3 if name and gone else 0
    for one in gone:
        screen.say(kept.said_of(one), "bold yellow")
    if len(found) > 1:
        for line in picture.table(found):
            screen.say(line)
        screen.say("\nof one: drharness status NAME")
    for record in found if len(found) == 1 else ():
        now = seen[record.name]
        for line in picture.of(record, now) if "error" not in now else (now["error"],):
            screen.say(line)
    if not found and not gone:
        screen.say("no deployment is up. `drharness up` begins one.")
    return 3 if name and gone else 0


def _seen(record: register.Record) -> dict[str, Any]:
    if record.state != register.UP:
        return {
            "error": f"deployment {record.name!r} is {record.state}; try again in a few seconds"
        }
    try:
        now: dict[str, Any] = Kept(record).ask("status")
    except DrHarnessError as error:
        return {"error": str(error)}
    return now


def _for_programs(
    records: Sequence[register.Record],
    gone: Sequence[register.Gone],
    seen: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    return {
        "v": 1,
        "kind": "drharness status",
        "deployments": [{**dataclasses.asdict(r), "now": seen[r.name]} for r in records],
        "gone": [{**dataclasses.asdict(g.record), "left": list(g.left)} for g in gone],
    }


def execute(vm: str, command: Sequence[str], *, name: str, user: str, tty: bool) -> int:
    """``exec``: returns the exit code."""
    try:
        one = kept.find(name)
        topology = Topology.from_dict(one.record.topology)
        validate.choice("VM", vm, [it.id for it in topology.vms])
        validate.choice("--user", user or "root", _USERS)
        on_terminal = os.isatty(0) and os.isatty(1)
        if tty and not on_terminal:
            raise UsageError("--tty: standard input and output are no terminal; leave it out.")
        argv = list(command) or ["sh"]
        asked = {"vm": vm, "argv": argv, "user": "" if user == "root" else user}
        status = terminal.attach(one, asked, tty=tty or (on_terminal and not command))
    except DrHarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    return status if status >= 0 else 128 - status


def take_down(names: Sequence[str], screen: Screen, errors: Screen, *, everything: bool) -> int:
    """``down``: returns the exit code."""
    if names and everything:
        raise UsageError("--all: it takes no names.")
    gone = register.clear_stale()
    for stale in gone:
        screen.say(kept.said_of(stale), "bold yellow")
    if everything:
        wanted = [Kept(record) for record in register.living()]
    elif not names and gone and not register.living():
        wanted = []
    else:
        left = [n for n in names if n not in {g.record.name for g in gone}]
        wanted = [kept.find(n) for n in left] or ([kept.find()] if not names else [])
    cleared = _clear_left(screen) if everything else False
    if everything and not wanted and not gone and not cleared:
        screen.say("no deployment is up.")
    code = 0
    for one in wanted:
        try:
            with screen.task(f"down {one.name}") as task:
                one.down()
                task.detail = f"evidence {typed(one.record.evidence)}"
        except channels.Said as error:
            errors.say(f"error: {one.name}: {error}", "bold red")
            code = 3
        except DrHarnessError as error:
            errors.say(f"error: {error}", "bold red")
            code = error.exit_code
    return code


def _clear_left(screen: Screen) -> bool:
    """Remove what killed controllers left in a daemon; whether there was anything."""
    removed, foreign, refused = engines.clear_left()
    for run in removed:
        screen.say(f"{run}: removed what a killed run had left in the Docker daemon", "bold yellow")
    for run in foreign:
        screen.say(f"{run}: another machine's run, left alone; end it there", "bold yellow")
    for network in refused:
        screen.say(
            f"network {network}: nothing is connected to it, and still the Docker daemon keeps it; "
            "it can be removed once the daemon was started again",
            "bold yellow",
        )
    return bool(removed or foreign or refused)
