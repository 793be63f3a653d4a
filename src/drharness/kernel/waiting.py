"""The only polling loop: wait on a condition, with a deadline that says what was last seen.

``scale`` stretches every deadline on slow hosts (``--dr-timeout-scale``); it never shortens one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from drharness.errors import WaitTimeout
from drharness.kernel import clock

T = TypeVar("T")
_scale = 1.0


def set_scale(factor: float) -> None:
    """Stretch all deadlines of this process by ``factor`` (>= 1)."""
    global _scale
    _scale = max(1.0, factor)


def scaled(seconds: float) -> float:
    """``seconds``, stretched for a slow host."""
    return seconds * _scale


def wait_until(
    probe: Callable[[], T | None],
    what: str,
    *,
    timeout: float,
    interval: float = 0.01,
    retry_on: tuple[type[BaseException], ...] = (),
    describe: Callable[[], str] | None = None,
    hint: str = "",
) -> T:
    """Call ``probe`` until it returns something true, and return that.

    :param probe: returns a true value when the condition holds; a false one is the observation
        reported on time-out unless ``describe`` says more
    :param what: what is awaited, as the subject of a sentence
    :param retry_on: errors of the probe that mean "not yet"; any other error is raised at once
    :raises WaitTimeout: with the last observation or error
    """
    deadline = clock.Deadline(scaled(timeout))
    while True:
        last = deadline.passed
        try:
            seen = probe()
            if seen:
                return seen
            observation = describe() if describe else repr(seen)
        except retry_on as error:
            observation = f"{type(error).__name__}: {error}"
        if last:
            raise WaitTimeout(what, deadline.waited, observation, hint)
        clock.nap(min(interval, max(deadline.left, 0.001)))


def hold(seconds: float, what: str = "the pause") -> None:
    """Let time pass: as much as was asked for, whatever the scale.

    :param what: is over then, for the error of a host that stalls
    """
    pause = clock.Deadline(seconds)
    wait_until(lambda: pause.passed, what, timeout=seconds + 60.0)
