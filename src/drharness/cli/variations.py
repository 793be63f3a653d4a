"""What ``drill`` varies in a procedure beside leaving out and swapping steps, from its options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from drharness.checks.budget import limit_of
from drharness.errors import UsageError
from drharness.kernel import validate
from drharness.procedures import BY_NAME, Procedure
from drharness.procedures.step import DEFAULTS, FENCES, Options

# The steps that read what an option sets: without any of them it would change nothing.
_READ_BY: Mapping[str, tuple[str, ...]] = {
    "--fence": ("fence",),
    "--force": ("preflight", "fence"),
    "--max-lag": ("preflight",),
}


def varied(
    procedure: Procedure,
    *,
    repeat: Sequence[str] | None = None,
    delay: Sequence[str] | None = None,
    interrupt: str = "",
    fence: str = "",
    force: bool = False,
    max_lag: str = "",
) -> Procedure:
    """The procedure with steps done twice or late, a controller that dies, or other parameters.

    :param delay: ``STEP=SECONDS`` each
    :param interrupt: the step after which the controller dies
    :param max_lag: what may be lost at most: ``2s``, or ``64kB`` of WAL
    :raises UsageError: names the option, its value and what was expected; or the option would
        change nothing in this procedure
    """
    options = _options(procedure, fence=fence, force=force, max_lag=max_lag)
    procedure = dataclasses.replace(procedure, options=options)
    for step in repeat or ():
        procedure = procedure.repeated(step_of("--repeat", step, procedure))
    for text in delay or ():
        name, _, seconds = text.partition("=")
        step = step_of("--delay", name, procedure)
        procedure = procedure.delayed(step, _seconds(text, seconds))
    if interrupt:
        procedure = procedure.interrupted(after=step_of("--interrupt", interrupt, procedure))
    return procedure


def _options(procedure: Procedure, *, fence: str, force: bool, max_lag: str) -> Options:
    changes: dict[str, Any] = {}
    if fence:
        changes["fence"] = validate.choice("--fence", fence, FENCES)
        _has_choice_of_fence(procedure, fence)
        _matters(procedure, "--fence", repr(fence))
    if force:
        changes["force"] = True
        _matters(procedure, "--force", "it")
    if max_lag:
        most, unit = limit_of(max_lag, "--max-lag")
        if not unit:
            raise UsageError(f"--max-lag: expected seconds (2s) or bytes (64kB), got {max_lag!r}.")
        # Bytes alone: how old they are does not count.
        only_bytes = {"max_lag_s": 86400, "max_lag_bytes": int(most)}
        changes.update({"max_lag_s": most} if unit == "s" else only_bytes)
        _matters(procedure, "--max-lag", repr(max_lag))
    return dataclasses.replace(procedure.options, **changes)


def _name(procedure: Procedure) -> str:
    return procedure.name.replace("_", "-")


def _has_choice_of_fence(procedure: Procedure, fence: str) -> None:
    """A procedure without the choice has the usual fence; another one could not be carried out."""
    able = [name for name, make in BY_NAME.items() if "fence" in signature(make).parameters]
    if _name(procedure) not in able and fence != DEFAULTS.fence:
        raise UsageError(
            f"--fence: {_name(procedure)} accepts {DEFAULTS.fence} only, got {fence!r}. Leave the "
            f"option out, or choose {' or '.join(able)}."
        )


def _matters(procedure: Procedure, option: str, value: str) -> None:
    """Refuse an option that nothing would read in this procedure, with these steps left out."""
    if procedure.options.database == "stay":
        raise UsageError(
            f"{option}: {_name(procedure)} accepts it with --database move only, got {value} with "
            "--database stay: nothing is promoted. Leave one of the two out."
        )
    ids = {step.id for step in procedure.steps}
    if "promote" not in ids:
        raise UsageError(
            f"{option}: expected step promote in the procedure, got {value} with --without "
            "promote: nothing is promoted. Leave one of the two out."
        )
    readers = _READ_BY[option]
    if not ids.intersection(readers):
        steps = " or ".join(readers)
        raise UsageError(
            f"{option}: expected step {steps}, which reads it, in the procedure, got {value} "
            f"with --without {' and '.join(readers)}. Leave one of them out."
        )


def _seconds(text: str, seconds: str) -> float:
    try:
        number = float(seconds)
    except ValueError as error:
        raise UsageError(f"--delay: expected STEP=SECONDS, as in fence=2, got {text!r}.") from error
    return validate.number("--delay", number, low=0, high=86400)


def step_of(option: str, step: str, procedure: Procedure) -> str:
    """A step's id, of which an option may spell the hyphens as underscores."""
    return validate.choice(option, step.replace("_", "-"), [s.id for s in procedure.steps])
