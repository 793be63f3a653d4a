"""Drills, faults and heals in a deployment that is up: asked for here, done in its keeper.

The keeper calls the functions of this module that take a deployment; what they say goes to the
streams of whoever asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from drharness.cli import plan
from drharness.cli.app import planned
from drharness.cli.drill import drilled, results
from drharness.cli.interrupts import INTERRUPTS, Interrupted
from drharness.cli.progress import Progress, label_of, proof_of
from drharness.cli.screen import Screen
from drharness.deployment import Deployment, kept
from drharness.errors import DrHarnessError, UsageError

_ITS_OWN: Mapping[str, object] = {  # options to what they are if nobody gave them
    "topology": None,
    "replication": "",
    "timing": "",
    "ttl": None,
    "return_fence": "",
    "engine": "auto",
    "keep_evidence": None,
    "runs": 1,
}


def ask(name: str, function: str, screens: tuple[Screen, Screen], **kwargs: Any) -> Any:
    """Have a function of this module called in a deployment's keeper.

    :raises UsageError: there is no such deployment
    """
    outputs = tuple(screen.fileno() for screen in screens)
    where = f"{__name__}:{function}"
    one = kept.find(name)
    try:
        return one.ask("call", fds=outputs, function=where, kwargs=kwargs)
    except Interrupted:
        INTERRUPTS.say(
            f"{one.name} stays up as it is now: `drharness status {one.name}` shows what is "
            f"broken, `drharness heal --name {one.name}` heals it"
        )
        raise


def portable(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a drill as they go to a keeper.

    :raises UsageError: one of them is the deployment's own, and fixed since it is up
    """
    for option, default in _ITS_OWN.items():
        if options[option] != default:
            raise UsageError(
                f"--{option.replace('_', '-')}: a deployment that is up (--on) has its own; "
                "leave the option out."
            )
    return {**options, "json_file": ""}


def drill(deployment: Deployment, out: TextIO, err: TextIO, **options: Any) -> dict[str, Any]:
    """In the keeper: traffic, fault, procedure, judgement of all since the deployment came up."""
    there = (deployment.topology, deployment.active)
    chosen = planned(**options, there=there)
    screen = Screen(out)
    screen.say(f"{chosen}")
    screen.say()
    progress = Progress(screen, deployment.evidence.parent)
    deployment.recorder.listen(progress)
    try:
        outcome, complete = drilled(chosen, deployment, screen)
    except BaseException:
        traffic = deployment.current_traffic
        if traffic is not None:
            traffic.stop()
        screen.quit()
        raise
    finally:
        deployment.recorder.forget(progress)
    ended = results(chosen, deployment.evidence, screen, outcome, complete=complete)
    return {"code": ended.code, "summary": ended.summary}


def inject(deployment: Deployment, out: TextIO, err: TextIO, *, fault: str) -> None:
    """In the keeper: a fault, as ``--fault`` spells it, until it is healed."""
    there, active = deployment.topology, deployment.active
    chosen = plan.fault_of(fault, to=deployment.dormant, topology=there, active=active)
    if chosen is None:
        raise UsageError("FAULT: none breaks nothing; `drharness heal` undoes those in force.")
    with Screen(out).task(label_of(chosen)) as task:
        task.detail = proof_of(deployment.inject(chosen).receipt)


def heal(deployment: Deployment, out: TextIO, err: TextIO) -> None:
    """In the keeper: undo every fault in force that was injected here.

    :raises DrHarnessError: others are, from before the deployment was kept: what undoes a fault
        remembers what was there, in the process that injected it
    """
    found = deployment.in_force
    with Screen(out).task("heal") as task:
        deployment.heal()
        task.detail = ", ".join(map(repr, found)) or "nothing was injected since it is kept"
    if deployment.earlier:
        raise DrHarnessError(
            f"in force since before the deployment was kept: {', '.join(deployment.earlier)}. What "
            "it takes to heal them ended with the test. Inject them there with `with "
            "deployment.inject(...):`, which heals at its end, or break a deployment of your own: "
            "`drharness up`, `drharness fault`, `drharness heal`."
        )
