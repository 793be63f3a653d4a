"""What ``drill`` varies in a procedure beside leaving out and swapping steps, from its options."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from drharness.checks.budget import limit_of
from drharness.errors import UsageError
from drharness.kernel import validate
from drharness.procedures import Procedure
from drharness.procedures.step import FENCES, Options


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
    :raises UsageError: names the option, its value and what was expected
    """
    options = _options(procedure, fence=fence, force=force, max_lag=max_lag)
    procedure = dataclasses.replace(procedure, options=options)
    for step in repeat or ():
        procedure = procedure.repeated(_step("--repeat", step, procedure))
    for text in delay or ():
        name, _, seconds = text.partition("=")
        step = _step("--delay", name, procedure)
        procedure = procedure.delayed(step, _seconds(text, seconds))
    if interrupt:
        procedure = procedure.interrupted(after=_step("--interrupt", interrupt, procedure))
    return procedure


def _options(procedure: Procedure, *, fence: str, force: bool, max_lag: str) -> Options:
    changes: dict[str, Any] = {}
    if fence:
        changes["fence"] = validate.choice("--fence", fence, FENCES)
    if force:
        changes["force"] = True
    if max_lag:
        most, unit = limit_of(max_lag, "--max-lag")
        if not unit:
            raise UsageError(f"--max-lag: expected seconds (2s) or bytes (64kB), got {max_lag!r}.")
        # Bytes alone: how old they are does not count.
        only_bytes = {"max_lag_s": 86400, "max_lag_bytes": int(most)}
        changes.update({"max_lag_s": most} if unit == "s" else only_bytes)
    if changes and not any(step.id == "promote" for step in procedure.steps):
        raise UsageError("--fence, --force, --max-lag: nothing is promoted by this procedure.")
    return dataclasses.replace(procedure.options, **changes)


def _seconds(text: str, seconds: str) -> float:
    try:
        number = float(seconds)
    except ValueError as error:
        raise UsageError(f"--delay: expected STEP=SECONDS, as in fence=2, got {text!r}.") from error
    return validate.number("--delay", number, low=0, high=86400)


def _step(option: str, step: str, procedure: Procedure) -> str:
    return validate.choice(option, step.replace("_", "-"), [s.id for s in procedure.steps])
