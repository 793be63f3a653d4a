"""A failing schedule as a test of somebody's suite: readable, and failing for the same reason."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from drharness.errors import UsageError
from drharness.schedule.actions import Inject
from drharness.schedule.coding import WIDTH, Code, code
from drharness.schedule.schedule import Schedule

_BODY = """\
    with deploy(TOPOLOGY, evidence_dir=tmp_path) as deployment:
        play(SCHEDULE, deployment)
        verdict = deployment.judge()
    assert verdict.ok, verdict
"""


def as_test(schedule: Schedule, *, invariant: str, seen: str = "") -> str:
    """The text of a module with one test that plays a schedule, as ``ruff format`` leaves it.

    :param invariant: id of the one that failed
    :param seen: what was seen then, for the test's docstring
    """
    module = '"""A schedule under which something failed: found by a search, then made smaller."""'
    lines = [
        module,
        "",
        "from __future__ import annotations",
        "",
        "from pathlib import Path",
        "",
        *_imports(schedule),
        "",
        *_topology(schedule),
        *_schedule(schedule),
        "",
        "",
        f"def {_name(schedule, invariant)}(tmp_path: Path) -> None:",
        *_docstring(invariant, seen),
    ]
    return "\n".join(lines) + f"\n{_BODY}"


def write_test(path: Path, schedule: Schedule, *, invariant: str, seen: str = "") -> Path:
    """Write the test into a file that is not there yet; the file.

    :raises UsageError: it is there or cannot be written, or pytest would not find it
    """
    check_path(path)
    text = as_test(schedule, invariant=invariant, seen=seen)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"--write-test: {path} cannot be written ({error.strerror}).") from error
    return path


def check_path(path: Path) -> None:
    """Whether :func:`write_test` would take it.

    :raises UsageError: it is there already, its folder is not, or pytest would not find it
    """
    if not re.fullmatch(r"test_.*\.py|.*_test\.py", path.name):
        raise UsageError(
            f"--write-test: expected a name that pytest finds, like test_found.py, got {path}."
        )
    if path.exists():
        raise UsageError(f"--write-test: {path} is there already; it is not overwritten.")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--write-test: {path} cannot be written (No such file or directory).")


def _name(schedule: Schedule, invariant: str) -> str:
    """``test_regions_cut_and_vm_down_keep_s1``; without a fault the procedure's name."""
    names = dict.fromkeys(a.fault.f for a in schedule.actions if isinstance(a, Inject))
    what = "_and_".join(list(names)[:2]) or schedule.procedure.name.replace("-", "_")
    return f"test_{invariant.lower()}_holds_under_{what}"


def _docstring(invariant: str, seen: str) -> list[str]:
    said = " ".join(seen.split()).replace("\\", "/").replace('"', "'").rstrip(".")
    text = f"It failed for {invariant}{said and ': '}{said}."
    if len(text) <= WIDTH - 10:
        return [f'    """{text}"""']
    lines = textwrap.wrap(f"Seen: {said}.", WIDTH - 7, break_on_hyphens=False)
    return [f'    """It failed for {invariant}.', "", *(f"    {line}" for line in lines), '    """']


def _imports(schedule: Schedule) -> list[str]:
    """What the schedule's code needs, in the order of isort."""
    faults = {type(a.fault).__name__ for a in schedule.actions if isinstance(a, Inject)}
    words = {type(a).__name__ for a in schedule.actions} | {"ProcedureUse", "Schedule", "play"}
    words |= {"Slip"} if schedule.procedure.slips else set()
    lines = _from("drharness", {"Topology", "deploy"})
    lines += _from("drharness.faults", faults) if faults else []
    return [*lines, *_from("drharness.schedule", words)]


def _from(module: str, names: Iterable[str]) -> list[str]:
    wanted = sorted(names, key=lambda n: (n[0].islower(), n))  # classes, then functions
    line = f"from {module} import {', '.join(wanted)}"
    if len(line) <= WIDTH:
        return [line]
    return [f"from {module} import (", *(f"    {n}," for n in wanted), ")"]


def _topology(schedule: Schedule) -> list[str]:
    """Built up in several lines if constants were tuned or components replaced."""
    lines = code(schedule.topology).lines("TOPOLOGY = ")
    if schedule.topology.tuning:
        named = tuple((f"{name}=", code(value)) for name, value in schedule.topology.tuning)
        lines += Code("TOPOLOGY.tuned(", named, ")").lines("TOPOLOGY = ")
    for component, factory in schedule.topology.replaced:
        replace = Code("TOPOLOGY.replace(", (("", code(component)), ("", code(factory))), ")")
        lines += replace.lines("TOPOLOGY = ")
    return lines


def _schedule(schedule: Schedule) -> list[str]:
    lines = ["SCHEDULE = Schedule("]
    many = len(schedule.actions) > 1
    lines += code(schedule.actions).lines("    actions=", ",", broken=many)
    use = schedule.procedure
    more = {"options": dict(use.options), "slips": use.slips}
    named = tuple((f"{k}=", code(v)) for k, v in more.items() if v)
    names = (("", code(use.name)), ("", code(use.to)))
    lines += Code("ProcedureUse(", (*names, *named), ")").lines("    procedure=", ",")
    lines.append("    topology=TOPOLOGY,")
    if schedule.rate is not None:
        lines.append(f"    rate={schedule.rate!r},")
    return [*lines, ")"]
