"""The template: built once by concurrent runs, rebuilt when broken, refused with a way out."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from drharness.dbms import binaries, template
from drharness.dbms.as_postgres import launcher
from drharness.errors import CommandFailed, StartupFailed, Unsupported
from drharness.kernel import proc, waiting

BUILD = """
import sys
from pathlib import Path
from drharness.dbms import template
print(template.ensure(cache=Path(sys.argv[1])))
"""


def environment() -> dict[str, str]:
    """That of a process which finds this package."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def test_three_runs_at_once_share_one_template(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as log:
        argv = [sys.executable, "-c", BUILD, str(tmp_path / "cache")]
        runs = [proc.popen(argv, env=environment(), stderr=log.fileno()) for _ in range(3)]
        assert [run.wait(60) for run in runs] == [0, 0, 0]
    places = set((tmp_path / "log").read_text().split())
    assert len(places) == 1
    assert template.is_sound(Path(places.pop()))
    left = {path.name.split(".build-")[0] for path in (tmp_path / "cache").iterdir()}
    assert len(left - {name for name in left if name.endswith(".lock")}) == 1


def test_a_sound_template_is_not_built_again(template_directory: str) -> None:
    place = Path(template_directory)
    before = (place / "manifest.json").stat().st_mtime_ns
    assert template.ensure(cache=place.parent) == place
    assert (place / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["missing", "shortened", "no manifest", "bad manifest"])
def test_a_damaged_template_is_built_again(tmp_path: Path, damage: str) -> None:
    place = template.ensure(cache=tmp_path)
    if damage == "missing":
        (place / "data" / "PG_VERSION").unlink()
    elif damage == "shortened":
        os.truncate(place / "data" / "global" / "pg_control", 100)
    elif damage == "no manifest":
        (place / "manifest.json").unlink()
    else:
        (place / "manifest.json").write_text("[]")
    assert not template.is_sound(place)
    assert template.is_sound(template.ensure(cache=tmp_path))


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    name = template.template_name(binaries.find())
    leftover = tmp_path / f"{name}.build-killed"
    leftover.mkdir()
    template.ensure(cache=tmp_path)
    assert not leftover.exists()


def test_an_unwritable_cache_names_the_directory_and_a_way_out(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    with pytest.raises(Unsupported, match=f"cannot write to {blocked}") as caught:
        template.ensure(cache=blocked)
    assert "set XDG_CACHE_HOME" in caught.value.way_out


def test_a_full_disk_names_the_directory_and_a_way_out(tmp_path: Path) -> None:
    small = 'mount -t tmpfs -o size=8m none /mnt && exec "$@"'
    argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", small, "sh"]
    done = proc.run(
        [*argv, sys.executable, "-c", BUILD, "/mnt"], env=environment(), check=False, timeout=60
    )
    assert not done.ok
    assert "Unsupported: PostgreSQL template: cannot write to /mnt: No space left" in done.stderr


def test_an_error_in_a_script_fails_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = template.script
    monkeypatch.setattr(
        template, "script", lambda name: good(name) + "SELECT 1/0;\n" * name.startswith("20")
    )
    with pytest.raises(StartupFailed, match="division by zero"):
        template.ensure(cache=tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert template.cache_directory() == Path("/somewhere/drharness/postgres")


def test_a_relative_cache_of_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert template.cache_directory() == Path("/home/me/.cache/drharness/postgres")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "nowhere")
    with pytest.raises(Unsupported, match=r"no home directory.*\n.*set XDG_CACHE_HOME"):
        template.cache_directory()


def test_programs_in_another_place_get_a_template_of_their_own() -> None:
    one, other = (binaries.Binaries(place, "18.6") for place in ("/one/bin", "/other/bin"))
    assert template.template_name(one) != template.template_name(other)


@pytest.mark.parametrize("manifest", ['{"files": [1', '{"files": {"PG_VERSION": 3}}', "[]"])
def test_a_garbled_manifest_means_to_build_again(tmp_path: Path, manifest: str) -> None:
    place = tmp_path / "t"
    (place / "data").mkdir(parents=True)
    (place / "data" / "PG_VERSION").write_text("18\n")
    (place / "manifest.json").write_text(manifest)
    assert not template.is_sound(place)


def test_the_name_changes_with_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    found = binaries.find()
    before = template.template_name(found)
    monkeypatch.setattr(template, "script", lambda name: name)
    assert template.template_name(found) != before


def test_named_binaries_without_programs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(binaries.ENVIRONMENT, str(tmp_path))
    with pytest.raises(Unsupported, match="has no runnable postgres, initdb"):
        binaries.find()


def test_another_major_version_is_refused(tmp_path: Path) -> None:
    for name in ("postgres", "initdb", "pg_controldata"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 9.6'\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(Unsupported, match=r"is postgres \(PostgreSQL\) 9\.6"):
        binaries.inspect(tmp_path)


def test_a_program_runs_as_user_postgres() -> None:
    assert proc.run(launcher(["/usr/bin/id", "-un"])).stdout == "postgres\n"
    assert proc.run(launcher(["/usr/bin/id", "-u"])).stdout == "26\n"


# A host with a file of users of its own; its /etc/resolv.conf is relative, as on many.
_HOST = """
mount -t tmpfs none /etc && cd /etc && ln -s ../proc/sys/kernel/ostype resolv.conf
echo root:x:0:0::/:/bin/sh | tee passwd > passwd.new
mkfifo {here}/asked {here}/done
"$@" &
read _ < {here}/asked && mv passwd.new passwd && echo > {here}/done
wait $!
"""
_PROGRAM = "id -un; echo > {here}/asked; read _ < {here}/done; id -un; cat /etc/resolv.conf"


def test_a_user_added_on_the_host_meanwhile_takes_no_name_away(tmp_path: Path) -> None:
    program = launcher(["/bin/sh", "-c", _PROGRAM.format(here=tmp_path)])
    host = ["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-ec"]
    done = proc.run([*host, _HOST.format(here=tmp_path), "sh", *program], timeout=20.0)
    assert done.stdout == "postgres\npostgres\nLinux\n"


def test_a_program_that_is_not_there_is_reported() -> None:
    with pytest.raises(CommandFailed, match="ended with status 127"):
        proc.run(launcher(["/no/such/program"]))


def test_a_program_started_with_its_parent_goes_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    inner = f"echo $$ > {pid_file}; exec cat /dev/zero > /dev/null"
    argv = launcher(["/bin/sh", "-c", inner], with_parent=True)
    outer = (
        "import signal, subprocess, sys; signal.signal(signal.SIGQUIT, signal.SIG_IGN);"
        "subprocess.Popen(sys.argv[1:]); signal.pause()"
    )
    with (tmp_path / "log").open("w") as log:
        parent = proc.popen(
            [sys.executable, "-c", outer, *argv], env=environment(), stderr=log.fileno()
        )
        waiting.wait_until(
            lambda: pid_file.exists() and pid_file.read_text().strip(), "the program", timeout=10
        )
        cmdline = Path(f"/proc/{pid_file.read_text().strip()}/cmdline")
        waiting.wait_until(lambda: cmdline.read_bytes().startswith(b"cat"), "cat", timeout=10)
        parent.kill()
        parent.wait(10)
        waiting.wait_until(
            lambda: not cmdline.exists() or not cmdline.read_bytes(), "its end", timeout=10
        )


def test_a_cache_in_shared_memory_works_and_an_unwritable_one_is_told(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="cache-") as memory:
        assert template.is_sound(template.ensure(cache=Path(memory)))
    template.check_writable(tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(Unsupported, match=r"cannot write to .*file/x: Not a directory"):
        template.check_writable(tmp_path / "file" / "x")
