"""A finished data directory, built once per host and copied for every DBMS VM.

It lies in the user's cache as ``drharness/postgres/<version>-<hash>/{data,manifest.json}``; the
hash covers the initialization scripts and whatever else shapes it. It is built beside its place
under a lock and moved there when complete, so that concurrent runs and killed ones leave a whole
template or none; one whose files differ from its manifest is built again. All copies share one
system id, so a standby can be started from a copy. Only database ``config`` is kept: 9 MB.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

from drharness.dbms import settings
from drharness.dbms.as_postgres import launcher
from drharness.dbms.binaries import Binaries, find
from drharness.errors import CommandFailed, StartupFailed, Unsupported, WaitTimeout
from drharness.kernel import caches, proc, waiting

FORMAT = 1
SCRIPTS = ("00_roles.sql", "10_config_schema.sql", "20_functions.sql")
_ROLES = ("00_roles.sql",)
_BUILD_TIMEOUT_S = 60.0
_SINGLE = (
    *("--single", "-j", "-F", "-c", "exit_on_error=on"),
    *("-c", "log_min_error_statement=panic"),  # an error without the whole script after it
    *("-c", "password_encryption=scram-sha-256"),
)


def cache_directory() -> Path:
    """Where templates are kept.

    :raises Unsupported: this user has no place for a cache (see :mod:`drharness.kernel.caches`)
    """
    return caches.directory("postgres", "PostgreSQL template", "60 MB")


def ensure(binaries: Binaries | None = None, *, cache: Path | None = None) -> Path:
    """The template for these programs, built if there is no sound one.

    :param binaries: the installation; default: the one :func:`drharness.dbms.binaries.find` finds
    :param cache: directory to keep templates in; default: :func:`cache_directory`
    :returns: directory with ``data/`` and ``manifest.json``
    :raises Unsupported: no PostgreSQL, no user namespaces, or the cache cannot be written
    :raises StartupFailed: PostgreSQL could not build it, with its output
    """
    # Only here: where it is loaded, from Python 3.12 on, a fork within a fork fails, and VMs, which
    # load this module, fork all the time.
    from filelock import FileLock, Timeout

    chosen = binaries or find()
    directory = cache or cache_directory()
    place = directory / template_name(chosen)
    if is_sound(place):
        return place
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / f"{place.name}.lock", timeout=waiting.scaled(_BUILD_TIMEOUT_S)):
            if not is_sound(place):
                _rebuild(chosen, place)
    except Timeout as error:
        raise WaitTimeout(
            f"the PostgreSQL template {place}",
            waiting.scaled(_BUILD_TIMEOUT_S),
            f"{error.lock_file} is held by another process that builds it",
            hint="the lock is free as soon as that process has ended",
        ) from error
    except OSError as error:
        _refuse(directory, error.strerror or str(error))
    return place


def check_writable(directory: Path) -> None:
    """See that a template could be built there.

    :raises Unsupported: the directory cannot be made or written
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        _refuse(directory, error.strerror or str(error))


def template_name(binaries: Binaries) -> str:
    """``18.6-3f9c…``: changes whenever the template's content, or the place of its programs, would.

    Another virtual environment thus gets a template of its own: the programs that a shared one
    names would go with the first.
    """
    shape = f"{FORMAT} {binaries.version} {binaries.directory} {_options(binaries)}"
    digest = hashlib.sha256(shape.encode())
    for name in SCRIPTS:
        digest.update(script(name).encode())
    return f"{binaries.version}-{digest.hexdigest()[:12]}"


def script(name: str) -> str:
    """Text of an initialization script of this package."""
    return resources.files("drharness.dbms").joinpath("sql", name).read_text(encoding="utf-8")


def is_sound(place: Path) -> bool:
    """Whether every file named in the manifest is there in its size."""
    try:
        manifest = _manifest(place)
        files: dict[str, int] = manifest["files"]
        return (
            {"version", "bin"} <= manifest.keys()
            and bool(files)
            and all(os.stat(place / "data" / name).st_size == size for name, size in files.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def major_of(place: Path) -> int:
    """Major version of PostgreSQL that a template is for."""
    return int(str(_manifest(place)["version"]).split(".")[0])


def programs_of(place: Path) -> str:
    """The bin directory that a template was built with."""
    return str(_manifest(place)["bin"])


def _manifest(place: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((place / "manifest.json").read_bytes())
    return manifest


def _rebuild(binaries: Binaries, place: Path) -> None:
    for leftover in place.parent.glob(f"{place.name}.build-*"):  # of killed runs: we hold the lock
        shutil.rmtree(leftover)
    work = Path(tempfile.mkdtemp(prefix=f"{place.name}.build-", dir=place.parent))
    try:
        _build(binaries, work / "data")
        files = {str(f.relative_to(work / "data")): f.stat().st_size for f in _files(work / "data")}
        manifest = {"version": binaries.version, "bin": binaries.directory, "files": files}
        (work / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        work.rename(place)
    except CommandFailed as error:
        _explain(place.parent, error)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _build(binaries: Binaries, data: Path) -> None:
    """initdb, then the scripts in single-user mode: no server, no socket, nothing to stop."""
    initdb = [binaries.program("initdb"), "-D", str(data), *_initdb_options(binaries)]
    proc.run(launcher(initdb), timeout=_BUILD_TIMEOUT_S, env=_environment())
    roles = [script(name) for name in SCRIPTS if name in _ROLES]
    first = [
        *roles,
        "ALTER DATABASE postgres RENAME TO config",
        "UPDATE pg_database SET datistemplate = false",
        "DROP DATABASE template0",
    ]
    _single_user(binaries, data, database="template1", statements=first)
    schema = [script(name) for name in SCRIPTS if name not in _ROLES]
    last = [*schema, "DROP DATABASE template1", "VACUUM (ANALYZE)", "CHECKPOINT"]
    _single_user(binaries, data, database="config", statements=last)
    _drop_spare_wal(binaries, data)


def _options(binaries: Binaries) -> str:
    return f"{_initdb_options(binaries)} {dict(settings.REPLAYED)}"


def _initdb_options(binaries: Binaries) -> tuple[str, ...]:
    common = (
        *("-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions", "-E", "UTF8"),
        *("--wal-segsize=1", "--data-checksums", "--locale=C"),
    )
    if binaries.major >= 17:
        return (*common, "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    return common


def _single_user(binaries: Binaries, data: Path, *, database: str, statements: list[str]) -> None:
    # In this mode a semicolon followed by an empty line ends a transaction.
    chunks = ["\n".join(line for line in s.splitlines() if line.strip()) for s in statements]
    text = data.parent / f"{database}.sql"
    text.write_text("".join(chunk.rstrip(";") + ";\n\n" for chunk in chunks), encoding="utf-8")
    replayed = [f"--{name}={value}" for name, value in settings.REPLAYED.items()]
    argv = [binaries.program("postgres"), *_SINGLE, *replayed, "-D", str(data), database]
    proc.run(launcher(argv, stdin=str(text)), timeout=_BUILD_TIMEOUT_S, env=_environment())
    text.unlink()


def _drop_spare_wal(binaries: Binaries, data: Path) -> None:
    argv = [binaries.program("pg_controldata"), str(data)]
    text = proc.run(argv, env=_environment()).stdout
    redo = next(line.split()[-1] for line in text.splitlines() if "REDO WAL file" in line)
    for segment in (data / "pg_wal").glob("0" * 8 + "*"):
        if segment.name > redo:
            segment.unlink()


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


def _environment() -> dict[str, str]:
    """Without PG* variables, which PostgreSQL's programs obey, and in the language we can read."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def _explain(directory: Path, error: CommandFailed) -> NoReturn:
    if error.returncode == 126:
        raise Unsupported(
            "PostgreSQL template",
            error.output.strip(),
            "allow user namespaces (sysctl kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces)",
        ) from error
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        if os.strerror(code) in error.output:
            _refuse(directory, os.strerror(code))
    raise StartupFailed(f"PostgreSQL template in {directory}: {error}") from error


def _refuse(directory: Path, reason: str) -> NoReturn:
    raise Unsupported(
        "PostgreSQL template",
        f"cannot write to {directory}: {reason}",
        "make it writable with 60 MB free, or set XDG_CACHE_HOME to such a directory",
    )


def copy(place: Path, data: Path) -> None:
    """Copy a template's data directory to ``data``, which must not exist; about 10 ms.

    :raises FileExistsError: there is a data directory already
    """
    source = place / "data"
    data.mkdir(mode=0o700)
    for directory, names, files in os.walk(source):
        target = data / Path(directory).relative_to(source)
        for name in names:
            (target / name).mkdir(mode=0o700)
        for name in files:
            _copy_file(f"{directory}/{name}", f"{target}/{name}")


def _copy_file(source: str, target: str) -> None:
    read = os.open(source, os.O_RDONLY)
    write = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        while os.sendfile(write, read, None, 1 << 30):
            pass
    finally:
        os.close(read)
        os.close(write)
