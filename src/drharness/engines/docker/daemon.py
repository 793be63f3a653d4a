"""The Docker daemon: reaching it, and everything of ours it holds, found by labels.

Everything that is made carries the label ``dr.harness.run=<run>``; whoever removes a run's things
needs nothing else. ``dr.harness.owner`` says which process made it, so that what a dead one left
can be told from what is in use. Daemons are found as the ``docker`` command finds them:
``DOCKER_HOST``, else the context in use (``DOCKER_CONTEXT``, ``docker context use``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import docker
from docker.context import ContextAPI
from docker.errors import APIError, DockerException, NotFound

from drharness.errors import EngineLost, Unsupported
from drharness.kernel import identity
from drharness.kernel.waiting import wait_until

LABEL, OWNER = "dr.harness.run", "dr.harness.owner"
_WAY_OUT = "start Docker's engine, or set DOCKER_HOST or `docker context use` to one that answers"
_SSH = (
    "forward its socket, `ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST &`, and set "
    "DOCKER_HOST=unix:///tmp/docker.sock"
)
_TIMEOUT_S = 60
_CLEAR_S = 60.0


def reach(context: str = "") -> Any:
    """A client of the daemon of a context (empty: see :func:`how`), which has answered.

    :raises Unsupported: none answers; says which was tried and why
    """
    try:
        client = docker.from_env(**how(context))
        client.ping()
    except DockerException as error:
        reason = str(error).splitlines()[0]
        raise Unsupported("engine docker", f"no daemon answers: {reason}", _WAY_OUT) from error
    return client


def how(context: str = "") -> dict[str, Any]:
    """Arguments of ``docker.from_env`` for the daemon of that context.

    Without one it is the daemon that the ``docker`` command would use.

    :raises Unsupported: there is no such context, or no way to it
    """
    environment = dict(os.environ)
    name = context or environment.get("DOCKER_CONTEXT") or None
    if context or not environment.get("DOCKER_HOST"):
        found = ContextAPI.get_context(name)
        if found is None:
            way_out = "see `docker context ls`"
            raise Unsupported("engine docker", f"there is no context {name!r}", way_out)
        if found.Name != "default":
            environment |= _of_context(found)
    if environment.get("DOCKER_HOST", "").startswith("ssh://"):
        raise Unsupported("engine docker", "no way to it by ssh", _SSH)
    return {"timeout": _TIMEOUT_S, "environment": environment}


def _of_context(context: Any) -> dict[str, str]:
    """What the environment would say to reach the same daemon."""
    found = {"DOCKER_HOST": context.Host}
    if context.TLSConfig is not None:
        checked = not context.endpoints["docker"].get("SkipTLSVerify", False)
        certificates = os.path.join(context.tls_path, "docker")
        found |= {"DOCKER_CERT_PATH": certificates, "DOCKER_TLS_VERIFY": "1" if checked else ""}
    return found


@contextlib.contextmanager
def saying(what: str) -> Iterator[None]:
    """Errors of the daemon inside as :class:`~drharness.errors.EngineLost`, with what was done."""
    try:
        yield
    except DockerException as error:
        explanation = getattr(error, "explanation", None) or str(error)
        raise EngineLost(f"{what}: the Docker daemon says: {explanation}") from error
    except OSError as error:  # of requests' are those: nothing came within the timeout, or an end
        raise EngineLost(f"{what}: no answer of the Docker daemon: {error}") from error


def labels(run: str) -> dict[str, str]:
    """Of all that belongs to a run of this process."""
    return {LABEL: run, OWNER: identity.own()}


def found(client: Any, run: str = "") -> dict[str, list[Any]]:
    """What there is of a run, of all runs without one; in the order in which it can be removed.

    Asked for at once: a container that goes while it is looked at is no error (``sparse``).

    :return: ``containers``, ``networks`` and ``volumes``, each perhaps empty
    """
    filters = {"label": f"{LABEL}={run}" if run else LABEL}
    return {
        "containers": client.containers.list(all=True, filters=filters, sparse=True),
        "networks": client.networks.list(filters=filters),
        "volumes": client.volumes.list(filters=filters),
    }


def left(client: Any, run: str = "") -> dict[str, list[str]]:
    """What there is of a run (of all runs) when nothing should be: kind to names, empty if nothing.

    Without the networks that the daemon :func:`refuses` to remove.
    """
    names = {
        kind: [name_of(it) for it in things if kind != "networks" or not refuses(it)]
        for kind, things in found(client, run).items()
    }
    return {kind: some for kind, some in names.items() if some}


def remove(client: Any, run: str = "") -> bool:
    """Remove what there is of a run (of all runs), as far as that goes now.

    :return: nothing was there, but for what the daemon :func:`refuses` to remove
    """
    things = found(client, run)
    for one in things["containers"]:
        with contextlib.suppress(NotFound, APIError):  # being removed by another; seen next time
            one.remove(force=True, v=True)
    stuck = [refuses(one) for one in things["networks"]]
    for one in things["volumes"]:
        with contextlib.suppress(NotFound, APIError):  # still in use; seen next time
            one.remove()
    return not (things["containers"] or things["volumes"]) and all(stuck)


def refuses(network: Any) -> bool:
    """Whether the daemon does not remove a network although nothing is connected to it.

    Its count of endpoints is wrong then, a fault of its own (moby/moby#42119) that its restart
    mends. A network that it does not refuse is removed.
    """
    try:
        network.remove()
    except NotFound:
        return False
    except APIError as error:
        if "active endpoints" not in str(error.explanation):
            return False
        with contextlib.suppress(NotFound):
            network.reload()
            return not network.attrs["Containers"]
    return False


@dataclass(frozen=True)
class Owned:
    """A run that the daemon holds something of.

    :ivar alive: whether the process that made it still runs; None: it is another machine's
    """

    run: str
    alive: bool | None


def owned(client: Any) -> list[Owned]:
    """All runs that there is something of, each once."""
    runs: dict[str, bool | None] = {}
    for things in found(client).values():
        for one in things:
            held = _labels_of(one)
            runs.setdefault(held[LABEL], identity.alive(held.get(OWNER, "")))
    return [Owned(run, alive) for run, alive in sorted(runs.items())]


def _labels_of(one: Any) -> dict[str, str]:
    labels: dict[str, str] = one.attrs.get("Labels") or {}
    return labels


def name_of(one: Any) -> str:
    """Of one of what was :func:`found`: containers that are listed have several."""
    names = one.attrs.get("Names")
    return str(names[0]).lstrip("/") if names else str(one.name)


@dataclass(frozen=True)
class Cleared:
    """What was done about the runs that a daemon held something of.

    :ivar removed: of controllers that are dead
    :ivar foreign: of other machines, which only their own can judge: left alone
    :ivar refused: networks that the daemon :func:`refuses` to remove
    """

    removed: list[str]
    foreign: list[str]
    refused: list[str]


def clear(client: Any) -> Cleared:
    """Remove what dead controllers left.

    :raises WaitTimeout: names what could not be removed
    """
    runs = owned(client)
    dead = [one.run for one in runs if one.alive is False]
    removed, refused = list[str](), list[str]()
    for run in dead:
        there = found(client, run)
        wait_until(
            partial(remove, client, run), f"nothing left of {run}", timeout=_CLEAR_S, interval=0.2
        )
        stuck = [name_of(one) for one in found(client, run)["networks"]]
        refused += stuck
        if sum(map(len, there.values())) > len(stuck):
            removed.append(run)
    return Cleared(removed, [one.run for one in runs if one.alive is None], refused)
