"""Reading a schedule's file: all that is wrong is told with its place before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from drharness import procedures
from drharness.deployment import targets
from drharness.dns.cache import POLICIES
from drharness.dns.misbehaviour import HOW
from drharness.engines.agent.filters import HOWS
from drharness.errors import UsageError
from drharness.faults import BY_NAME
from drharness.faults.database import KINDS
from drharness.faults.model import Fault
from drharness.faults.names import DOWN
from drharness.faults.rules import LEFT, WRONG_SOURCES
from drharness.schedule.actions import (
    LONGEST_S,
    MOST_CALLS,
    MOST_STEPS,
    OPERATIONS,
    VIAS,
    Action,
    Crash,
    Finish,
    Heal,
    Inject,
    Next,
    Operate,
    Wait,
)
from drharness.schedule.procedure import SLIPS, ProcedureUse, Slip, options_of
from drharness.schedule.reading import At
from drharness.topology import Topology

INJECTABLE: Mapping[str, type[Fault]] = {
    name: kind for name, kind in BY_NAME.items() if name != "controller-killed"
}
# The words that an argument called ``how`` takes, by fault.
WAYS: Mapping[str, tuple[str, ...]] = {
    "dns-answers": tuple(HOW),
    "dns-down": tuple(DOWN),
    "firewall-left-behind": tuple(LEFT),
    "firewall-wrong-source": tuple(WRONG_SOURCES),
    "link-cut": tuple(HOWS),
    "resolver-policy": tuple(p for p in POLICIES if p != "honour"),
    "standby-cut": tuple(HOWS),
    "standby-lagging": tuple(KINDS),
}
_FAR = 1e12


def schedule(
    text: str, file: str, *, version: int, topology: Topology | None = None
) -> dict[str, Any]:
    """The arguments of the schedule that a text describes.

    :param topology: of the deployment, instead of the one in the text
    """
    known = ("version", "topology", "rate", "procedure", "actions", "found")
    top = At.document(text, file).fields(known, ("version", "actions"))
    if top["version"].value != version:
        raise top["version"].wrong(f"{version}, the one version that there is")
    if topology is None:
        topology = _topology(top["topology"]) if "topology" in top else Topology.guide()
    found: dict[str, Any] = {"topology": topology}
    if "rate" in top and top["rate"].value is not None:
        found["rate"] = top["rate"].number(0.1, 2000)
    if "procedure" in top:
        found["procedure"] = _procedure(top["procedure"], topology)
    found["actions"] = tuple(_action(a, topology) for a in top["actions"].items())
    return found


def _topology(at: At) -> Topology:
    at.fields(Topology.guide().as_dict())
    made: Topology = _made(at, lambda: Topology.from_dict(at.value))  # type: ignore[arg-type]
    return made


def _made(at: At, make: Callable[[], Any]) -> Any:
    """What it makes; an error of it names the place."""
    try:
        return make()
    except (TypeError, UsageError) as error:
        raise UsageError(f"{at.place}: {error}") from error


def _procedure(at: At, topology: Topology) -> ProcedureUse:
    given = at.fields(("name", "to", "options", "slips"), ("name", "to"))
    name = given["name"].choice(procedures.BY_NAME)
    to = given["to"].choice(topology.regions)
    options: dict[str, Any] = {}
    if "options" in given:
        options = {k: v.value for k, v in given["options"].fields(options_of(name)).items()}
    use: ProcedureUse = _made(given.get("options", at), lambda: ProcedureUse(name, to, options))
    slips: list[Slip] = []
    for item in given["slips"].items() if "slips" in given else ():
        slips.append(_slip(item, ProcedureUse(name, to, options, tuple(slips))))
    return ProcedureUse(use.name, use.to, use.options, tuple(slips))


def _slip(at: At, use: ProcedureUse) -> Slip:
    given = at.fields(("kind", "step", "other", "seconds"), ("kind", "step"))
    steps = [s.id for s in use.procedure.steps]
    kind, step = given["kind"].choice(SLIPS), given["step"].choice(steps)
    other = given["other"].choice(steps) if "other" in given else ""
    seconds = given["seconds"].number(0, LONGEST_S) if "seconds" in given else 0.0
    slip: Slip = _made(at, lambda: Slip(kind, step, other, seconds))
    return slip


def _action(at: At, topology: Topology) -> Action:
    if not isinstance(at.value, dict):
        raise at.wrong("an object")
    if "do" not in at.value:
        raise at.wrong("the key 'do'")
    do = At(at.value["do"], at.file, f"{at.path}.do").choice(_READERS)
    return _READERS[do](at, topology)


def _inject(at: At, topology: Topology) -> Inject:
    given = at.fields(("do", "fault", "args"), ("fault",))
    name = given["fault"].choice(INJECTABLE)
    kind = INJECTABLE[name]
    wanted = {f.name: f for f in fields(kind)}
    needed = [f.name for f in wanted.values() if f.default is MISSING]
    args = given.get("args", At({}, at.file, f"{at.path}.args")).fields(wanted, needed)
    values = {key: _argument(arg, wanted[key], name, topology) for key, arg in args.items()}
    return Inject(_made(at, lambda: kind(**values)))


def _argument(at: At, field: Field[Any], fault: str, topology: Topology) -> object:
    kind = str(field.type)
    if kind == "bool":
        return at.flag()
    if kind in ("int", "float"):
        number = at.number(-_FAR, _FAR)
        return at.whole(-int(_FAR), int(_FAR)) if kind == "int" else number
    if field.name == "how":
        return at.choice(WAYS[fault])
    if field.name in ("region", "one", "other"):
        return at.choice((*VIAS, *topology.regions))
    text = at.text()
    if field.name in ("source", "target") and text not in topology.regions:
        targets.vms(topology, topology.regions[0], text, name=at.place)
    return text


def _heal(at: At, _topology: Topology) -> Heal:
    given = at.fields(("do", "which"))
    if "which" not in given or given["which"].value is None:
        return Heal()
    return Heal(given["which"].whole(1, MOST_CALLS))


def _next(at: At, _topology: Topology) -> Next:
    given = at.fields(("do", "steps"))
    return Next(given["steps"].whole(1, MOST_STEPS) if "steps" in given else 1)


def _crash(at: At, _topology: Topology) -> Crash:
    given = at.fields(("do", "call", "sent"))
    call = given["call"].whole(0, MOST_CALLS) if "call" in given else 0
    return Crash(call, given["sent"].flag() if "sent" in given else True)


def _wait(at: At, _topology: Topology) -> Wait:
    given = at.fields(("do", "seconds"), ("seconds",))
    return Wait(given["seconds"].number(0, LONGEST_S))


def _operate(at: At, topology: Topology) -> Operate:
    given = at.fields(("do", "f", "key", "via"), ("f", "key"))
    via = given["via"].choice((*VIAS, *topology.regions)) if "via" in given else VIAS[0]
    return Operate(given["f"].choice(OPERATIONS), given["key"].text(), via)


def _finish(at: At, _topology: Topology) -> Finish:
    at.fields(("do",))
    return Finish()


_READERS: Mapping[str, Callable[[At, Topology], Action]] = {
    "inject": _inject,
    "heal": _heal,
    "next": _next,
    "finish": _finish,
    "crash": _crash,
    "wait": _wait,
    "operate": _operate,
}
