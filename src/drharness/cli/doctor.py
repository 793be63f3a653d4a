"""``drharness doctor``: can deployments run on this host, and if not, what is the way out?"""

from __future__ import annotations

import os
import platform
from importlib import metadata

from drharness import __version__
from drharness.cli.screen import Screen
from drharness.dbms import binaries, template
from drharness.deployment.engines import engine_named, failed_step
from drharness.engines.protocol import ProbeStep
from drharness.errors import DrHarnessError

_LIBRARIES = ("psycopg", "dnslib", "msgspec", "pytest", "typer", "rich")


def examine(screen: Screen, errors: Screen, engine: str = "auto") -> int:
    """Print what was found; the exit code: 0 if that engine can run here, else 2."""
    name = engine_named(engine).name
    screen.say(
        f"drharness {__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()} {platform.machine()}, "
        f"{os.cpu_count()} processors, {'root' if os.getuid() == 0 else f'user {os.getuid()}'}"
    )
    screen.say(f"libraries: {', '.join(f'{n} {_version(n)}' for n in _LIBRARIES)}")
    failures = [*(_postgres(screen) if name == "local" else ()), *_engine(screen, name)]
    screen.say()
    if not failures:
        screen.say(f"the {name} engine can run here", "bold green")
        return 0
    errors.say(f"the {name} engine cannot run here", "bold red")
    for failure in failures:
        errors.say(f"error: {failure}", "bold red")
    return 2


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "missing"


def _postgres(screen: Screen) -> list[str]:
    screen.say("\nPostgreSQL")
    try:
        found = binaries.find()
    except DrHarnessError as error:
        screen.mark("NO", "programs", str(error).splitlines()[0])
        return [str(error)]
    screen.mark("ok", "programs", f"{found.version} in {found.directory}")
    try:
        place = template.cache_directory() / template.template_name(found)
        ready = template.is_sound(place)
        if not ready:
            template.check_writable(place.parent)
    except DrHarnessError as error:
        screen.mark("NO", "template", str(error).splitlines()[0])
        return [str(error)]
    if ready:
        state = f"ready: {place}"
    elif place.exists():
        state = f"incomplete: the next deployment builds it again: {place}"
    else:
        state = f"not built yet: the first deployment builds it in a few seconds: {place}"
    screen.mark("ok", "template", state)
    return []


def _engine(screen: Screen, name: str) -> list[str]:
    screen.say(f"\n{name} engine")
    steps = engine_named(name).probe()
    for step in steps:
        screen.mark("ok" if step.ok else "NO", step.name, _detail(step))
    failed = failed_step(steps)
    if failed is None:
        return []
    reason, _, way_out = failed.detail.partition(" -- way out: ")
    text = f"step '{failed.name}' fails: {reason}"
    return [f"{text}\n  way out: {way_out or 'run in a Linux VM, or as root'}"]


def _detail(step: ProbeStep) -> str:
    optional = "" if step.ok or step.required else " (only some faults need it)"
    return step.detail.partition(" -- way out: ")[0] + optional
