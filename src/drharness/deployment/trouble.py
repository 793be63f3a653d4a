"""Why a deployment does not come up: told before it is waited for, or by the logs afterwards."""

from __future__ import annotations

from pathlib import Path

from drharness.deployment.operations import Operations
from drharness.engines.client import RemoteError
from drharness.errors import UsageError

_LINES = 12


def check_replacements(operations: Operations) -> None:
    """See that every replacement of a component can be imported in the VMs.

    :raises UsageError: names the component, its factory and what is missing
    """
    for component, factory in operations.topology.replaced:
        try:
            operations.machine("dns").call("drharness.engines.agent.work:find", {"name": factory})
        except RemoteError as error:
            raise UsageError(
                f"{component}: expected a 'module:callable' that can be imported in a VM, "
                f"got {factory!r}: {error.text}. VMs have the controller's sys.path."
            ) from error


def logs_about(run: Path, text: str) -> str:
    """The last lines of the logs of the components (else of the VMs) that an error names."""
    paths = sorted((run / "vms").glob("*/*.log"))
    chosen = [p for p in paths if f"{p.parent.name}.{p.stem} " in text]
    chosen = chosen or [p for p in paths if p.parent.name in text]
    parts = []
    for path in chosen:
        lines = path.read_text(errors="replace").splitlines()[-_LINES:]
        if lines:
            parts.append("\n".join([f"last lines of {path}:", *lines]))
    return "\n".join(parts)
