"""Deployments that stay: up, status, exec, down; and what is left however their keeper ends."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drharness.kernel import proc
from drharness.kernel.waiting import wait_until
from tests.cli.running import COMMAND, belonging, drharness, environment

ROWS = "region1-dbms           on     10.81.3.10  postgres: writable, timeline 1"


@dataclass(frozen=True)
class Place:
    """Where a module's deployments are registered and leave their evidence."""

    runtime: Path
    evidence: Path

    @property
    def env(self) -> dict[str, str]:
        return environment(XDG_RUNTIME_DIR=str(self.runtime))

    def run(self, *args: str | Path) -> proc.Completed:
        return drharness(*args, env=self.env)

    def up(self, *args: str) -> proc.Completed:
        done = self.run("up", "--keep-evidence", self.evidence, *args)
        assert done.returncode == 0, done.output
        return done

    def now(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return found

    def keeper(self, name: str) -> int:
        (pid,) = [int(d["pid"]) for d in self.now()["deployments"] if d["name"] == name]
        return pid


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    base = tmp_path_factory.mktemp("kept")
    (base / "runtime").mkdir(mode=0o700)
    made = Place(base / "runtime", base / "runs")
    yield made
    done = made.run("down", "--all")
    assert (done.returncode, os.listdir(made.runtime / "drharness")) == (0, []), done.output


@pytest.fixture(scope="module")
def up(place: Place) -> proc.Completed:
    """What the command said that brought ``default`` up."""
    return place.up()


def _gone(place: Place, pid: int) -> None:
    """Of all deployments of a place nothing is there any more."""
    wait_until(
        lambda: not belonging(place.evidence, pid),
        "no process of a deployment",
        timeout=10,
        describe=lambda: str(belonging(place.evidence, pid)),
    )


@pytest.mark.slow
def test_up_tells_what_is_there_and_how_to_go_on(up: proc.Completed, place: Place) -> None:
    for text in (
        "ok   deployment",
        "default: region1 is active, region2 dormant",
        "sync replication, fast timing, TTL 1 s, return fence boot-deny",
        ROWS,
        "region1-framework-p    on     10.81.1.11  configserver primary on region1's database",
        "region2-framework-p    off    10.82.1.11",
        "csproxy backup, normal mode from region1-framework-p, application via region1-applicati",
        "cfgmaster-p.dr.internal  10.81.1.11  1 s",
        "region2 (sync)  rejects 10.82.1.0/24",
        f"evidence  {place.evidence}/",
        "database  drharness exec region1-dbms --user postgres -- psql",
        "end       drharness down default",
    ):
        assert text in up.stdout


@pytest.mark.slow
def test_a_name_in_use_is_refused_at_once(up: proc.Completed, place: Place) -> None:
    done = place.run("up")
    assert (done.returncode, done.stdout) == (2, "")
    assert "name: a deployment 'default' is up already" in done.stderr
    assert "`drharness down default`" in done.stderr


@pytest.mark.slow
def test_status_is_the_same_for_people_and_programs(up: proc.Completed, place: Place) -> None:
    assert ROWS in place.run("status", "default").stdout
    (one,) = place.now()["deployments"]
    assert (one["name"], one["state"], one["now"]["active"]) == ("default", "up", "region1")
    assert one["now"]["databases"]["region1"]["senders"] == [["region2", "10.82.3.10", "sync"]]
    assert one["now"]["dns"]["cfgmaster-p.dr.internal"]["served"] == ["10.81.1.11"]
    assert len(one["now"]["firewall"]["region2"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("region1-dbms", "--", "sh", "-c", "hostname; exit 7"), 7, "region1-dbms\n"),
        (("region1-dbms", "ls", "-d", "/var/lib/postgresql"), 0, "/var/lib/postgresql\n"),
        (("region1-dbms", "--", "sh", "-c", "kill -9 $$"), 137, ""),
        (("region1-dbms", "--", "nosuch"), 127, "nosuch: No such file or directory\n"),
        (("region1-dbms", "--user", "postgres", "--", "psql", "-Atc", "SELECT 42"), 0, "42\n"),
        (("region1-db", "ls"), 125, "Did you mean 'region1-dbms'?"),
        (("region2-framework-p", "ls"), 125, "region2-framework-p has no power"),
        (("dns", "--user", "bob", "--", "id"), 125, "--user: expected one of postgres, root, got"),
        (("dns", "--name", "x", "--", "id"), 125, "no deployment is called 'x'. There is: default"),
        (("-t", "dns", "id"), 125, "--tty: standard input and output are no terminal"),
    ],
)
def test_exec_passes_on_what_a_command_says_and_its_exit_code(
    up: proc.Completed, place: Place, args: tuple[str, ...], code: int, text: str
) -> None:
    done = place.run("exec", *args)
    assert (done.returncode, text in done.output) == (code, True), done


@pytest.mark.slow
def test_exec_gives_the_command_its_input_and_a_shell_is_the_default(
    up: proc.Completed, place: Place, tmp_path: Path
) -> None:
    line = " ".join(COMMAND)
    argv = ["sh", "-c", f"printf 'cat /etc/hostname\nexit 3\n' | {line} exec dns"]
    done = proc.run(argv, env=place.env, check=False)
    assert (done.returncode, done.stdout) == (3, "dns\n"), done


ON_A_TERMINAL = """
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(["sh", "-c", sys.argv[1]])))
"""


@pytest.mark.slow
def test_a_shell_on_a_terminal_has_one_of_its_size(up: proc.Completed, place: Place) -> None:
    typed = "stty rows 33 cols 99; exec " + " ".join([*COMMAND, "exec", "dns"])
    keys = "test -t 0 && tty && stty size; exit 4\n"
    python = [sys.executable, "-c", ON_A_TERMINAL, typed]
    done = proc.run(["sh", "-c", 'printf "$0" | "$@"', keys, *python], env=place.env, check=False)
    assert done.returncode == 4, done
    assert "33 99" in {text.strip() for text in done.stdout.splitlines()}


@pytest.mark.slow
def test_a_command_ends_with_whoever_asked_for_it(up: proc.Completed, place: Place) -> None:
    output = place.runtime / "output"
    with output.open("wb") as file:
        argv = [*COMMAND, "exec", "dns", "--", "sh", "-c", "echo begun; exec sleep 4242"]
        asking = proc.popen(argv, env=place.env, stderr=file.fileno())
    wait_until(lambda: "begun" in output.read_text(), "the command", timeout=30)
    seen = ["exec", "dns", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]
    assert "sleep 4242" in place.run(*seen).stdout
    asking.kill()
    asking.wait()
    wait_until(lambda: "sleep 4242" not in place.run(*seen).stdout, "its end", timeout=20)
    output.unlink()


@pytest.mark.slow
def test_a_killed_keeper_leaves_nothing_and_status_says_so(
    up: proc.Completed, place: Place
) -> None:
    place.up("--name", "other")
    assert "which deployment? 2 are up: default, other" in place.run("exec", "dns", "id").stderr
    listed = place.run("status").stdout.splitlines()
    assert [line.split()[0] for line in listed[:3]] == ["NAME", "default", "other"]
    pid = place.keeper("other")
    os.kill(pid, signal.SIGKILL)
    done = place.run("status", "other")
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.startswith(
        f"deployment 'other' has gone: its keeper (process {pid}) was killed; nothing of it is left"
    )
    where = done.stdout.split()[-1].rstrip(".")
    assert Path(where).is_dir()
    assert not (Path(where) / "disks").exists()
    assert belonging(Path(where), pid) == []
    assert "no deployment is called 'other'" in place.run("status", "other").stderr
    assert place.run("exec", "dns", "true").returncode == 0  # the other one did not notice


@pytest.mark.slow
def test_a_deployment_that_is_up_is_broken_healed_and_drilled(place: Place, tmp_path: Path) -> None:
    place.up("--name", "on")
    drilled = ("drill", "full-failover", "--on", "on")
    bad = place.run(*drilled, "--replication", "async")
    assert (bad.returncode, "--replication: a deployment that is up" in bad.stderr) == (2, True)
    done = place.run(*drilled, "--json", tmp_path / "result")
    assert (done.returncode, "ok   reconnect" in done.stdout) == (0, True), done
    assert json.loads((tmp_path / "result").read_text())["status"] == "PASS"
    done = place.run("heal", "--name", "on")
    assert "ok   heal" in done.stdout
    done = place.run("fault", "regions-cut", "--name", "on")
    assert (done.returncode, "ok   regions cut" in done.stdout) == (0, True), done
    shown = place.run("status", "on").stdout
    assert "region2 is active" in shown
    assert "in force: RegionsCut(" in shown


@pytest.mark.slow
def test_a_drill_interrupted_leaves_the_deployment_up(up: proc.Completed, place: Place) -> None:
    output = place.runtime / "output"
    with output.open("wb") as file:
        argv = [*COMMAND, "drill", "full-failover", "--on", "default", "--fault", "none"]
        drilling = proc.popen(argv, env=place.env, stderr=file.fileno())
    wait_until(lambda: "ok   traffic" in output.read_text(), "traffic", timeout=60)
    drilling.send_signal(signal.SIGTERM)
    drilling.wait(20)
    assert drilling.returncode == 130
    assert "default stays up as it is now: `drharness status default` shows" in output.read_text()
    output.unlink()
    wait_until(lambda: not place.now()["deployments"][0]["now"]["traffic"], "rest", timeout=30)
    assert place.run("exec", "--name", "default", "dns", "true").returncode == 0


ENDS: dict[str, Callable[[Place, int], object]] = {
    "ended: it was told to": lambda place, _: place.run("down", "short"),
    "ended: SIGTERM": lambda _, pid: os.kill(pid, signal.SIGTERM),
    "ended: its record in": lambda place, _: (place.runtime / "drharness/short.json").unlink(),
    "ended: its lifetime is over": lambda _place, _pid: None,
}


@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
def test_however_a_deployment_is_ended_its_evidence_stays_alone(tmp_path: Path, how: str) -> None:
    (tmp_path / "runtime").mkdir(mode=0o700)
    place = Place(tmp_path / "runtime", tmp_path / "runs")
    place.up("--name", "short", "--lifetime", "5s" if "lifetime" in how else "8h")
    (run,) = place.evidence.iterdir()
    record = json.loads((place.runtime / "drharness/short.json").read_text())
    ENDS[how](place, record["pid"])
    wait_until(lambda: how in (run / "keeper.log").read_text(), how, timeout=20)
    wait_until(lambda: not list((place.runtime / "drharness").iterdir()), "no record", timeout=20)
    _gone(place, record["pid"])
    assert not {"disks", ".open"} & set(os.listdir(run))
    assert place.run("status").stdout == "no deployment is up. `drharness up` begins one.\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_up_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "runtime").mkdir(mode=0o700)
    place = Place(tmp_path / "runtime", tmp_path / "runs")
    output = tmp_path / "output"
    argv = ["env", "--default-signal=INT", *COMMAND, "up", "--keep-evidence", str(place.evidence)]
    with output.open("wb") as file:
        starting = proc.popen(argv, env=place.env, stderr=file.fileno())
    wait_until(lambda: list(place.evidence.glob("*/vms/dns")), "the first VM", timeout=30)
    starting.send_signal(number)
    starting.wait(30)
    wait_until(lambda: not list((place.runtime / "drharness").iterdir()), "no record", timeout=20)
    _gone(place, starting.pid)
    if number == signal.SIGINT:
        assert "interrupted (SIGINT): " in output.read_text()
        assert starting.returncode == 130


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("up", "--name", "A B"), "name: expected up to 40 small letters"),
        (("up", "--lifetime", "soon"), "--lifetime: expected a time like 90m, 8h or 2d"),
        (("up", "--lifetime", "31d"), "--lifetime: expected a time like 90m, 8h or 2d"),
        (("up", "--topology", "no.toml"), "no.toml: "),
        (("up", "--replication", "x"), "--replication: expected one of async, sync"),
        (("down", "--all", "x"), "--all: it takes no names"),
        (("down",), "no deployment is up. `drharness up` begins one."),
        (("down", "x"), "no deployment is called 'x'. None is up."),
        (("status", "x"), "no deployment is called 'x'. None is up."),
        (("status", "X"), "name: expected up to 40 small letters"),
    ],
)
def test_bad_usage_is_refused_in_one_line(tmp_path: Path, args: tuple[str, ...], text: str) -> None:
    done = drharness(*args, env=environment(XDG_RUNTIME_DIR=str(tmp_path)))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {text}"), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_shows_the_commands_with_examples() -> None:
    shown = " ".join(drharness("--help").stdout.split())
    for text in ("up Bring a dep", "status Say what is up", "exec Run a", "down End"):
        assert text in shown
    assert "drharness exec region2-dbms -- sh < commands.sh" in drharness("exec", "-h").stdout
