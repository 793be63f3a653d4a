"""A run's directory, ``.drharness/RUN``: history, logs, verdict.

Kept are the last 20 runs, of those that did not pass the last 20 as well, and whatever is marked.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from drharness.errors import UsageError
from drharness.history import store
from drharness.kernel import runid

KEPT = 20
DEFAULT = Path(".drharness")
VERDICT = "verdict.txt"
_KEEP = ".keep"  # present if somebody wants it to stay
_OPEN = ".open"  # present, with the process id, while the run is going on


def new_run(base: Path | None = None) -> Path:
    """Make the directory of a new run, and drop those of runs long over.

    :param base: where runs are kept; default ``.drharness`` in the current directory
    :raises UsageError: it cannot be written, with the way out
    """
    base = base or DEFAULT
    try:
        base = base.absolute()
        base.mkdir(parents=True, exist_ok=True)
        run = _fresh_directory(base)
        (run / "vms").mkdir()
        mark_open(run)
    except OSError as error:
        raise UsageError(
            f"evidence directory {base}: cannot be written ({error.strerror}). "
            "Run where you may write, or name another evidence directory."
        ) from error
    _prune(base)
    return run


def _fresh_directory(base: Path) -> Path:
    while True:
        run = base / runid.new_run_id()
        try:
            run.mkdir()
        except FileExistsError:  # another run began in the same second with the same digits
            continue
        return run


def mark_open(run: Path) -> None:
    """The run is this process's, and going on."""
    (run / _OPEN).write_text(f"{os.getpid()}\n")


def close_run(run: Path) -> None:
    """The run is over: from now on it may be dropped when newer ones have come."""
    (run / _OPEN).unlink(missing_ok=True)


def keep(run: Path) -> None:
    """Never drop that run; who wants it gone removes its directory."""
    (run / _KEEP).touch()


def _going_on(run: Path) -> bool:
    try:
        pid = int((run / _OPEN).read_text())
    except (OSError, ValueError):
        return False
    return os.path.exists(f"/proc/{pid}")


def is_record_of_open_run(path: str) -> bool:
    """Whether a file is what the controller records into, of a run that is going on."""
    return path.endswith(f"/{store.RECORD}") and _going_on(Path(path).parent)


def _prune(base: Path) -> None:
    """Drop old runs; only directories that look like runs, and none that is going on."""
    runs = sorted(d for d in base.iterdir() if d.is_dir() and (d / "vms").is_dir())
    old = runs[:-KEPT]
    kept = [run for run in old if not _passed(run)][-KEPT:]
    for run in old:
        if run not in kept and not _going_on(run) and not (run / _KEEP).exists():
            shutil.rmtree(run, ignore_errors=True)


def _passed(run: Path) -> bool:
    try:
        return (run / VERDICT).read_text(errors="replace").startswith("PASS")
    except OSError:  # there is none, or another process has just dropped the run
        return False


def event_files(run: Path) -> list[tuple[str, Path]]:
    """Every component's file of events as (component id, path), in a stable order."""
    found = sorted((run / "vms").glob("*/events/*.jsonl"))
    return [(f"{path.parent.parent.name}.{path.stem}", path) for path in found]


def log_tails(run: Path, *, lines: int = 8) -> str:
    """The last lines of every log, for a failed test's report."""
    parts = []
    for path in [run / "engine.log", *sorted((run / "vms").glob("*/*.log"))]:
        if path.is_file() and path.stat().st_size:
            text = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {path.relative_to(run)}", *text]))
    return "\n".join(parts)
