"""What every engine promises of a single VM: its disk, its commands, its power."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from drharness.engines.client import RemoteError
from drharness.engines.protocol import Machines
from drharness.errors import CommandFailed, EngineLost, UsageError
from drharness.kernel import clock
from drharness.kernel.waiting import wait_until

VM = "region1-dbms"


def test_a_vm_has_its_own_name_and_address(machines: Machines) -> None:
    vm = machines.machine(VM)
    assert vm.run(["hostname"]).stdout.strip() == VM
    assert "10.81.3.10/16" in vm.run(["ip", "-4", "address"]).stdout


def test_files_of_the_host_are_read_only_to_a_vm(machines: Machines) -> None:
    done = machines.machine(VM).run(["touch", "/usr/touched"], check=False)
    assert done.returncode != 0
    assert "Read-only" in done.stderr


def test_the_hosts_file_is_edited_in_place_without_the_host_noticing(machines: Machines) -> None:
    vm = machines.machine(VM)
    vm.run(["sed", "-i", "s/localhost/edited-host/", "/etc/hosts"])
    assert "edited-host" in vm.run(["cat", "/etc/hosts"]).stdout
    other = machines.machine("region2-dbms").run(["cat", "/etc/hosts"]).stdout
    with open("/etc/hosts") as own:
        assert "edited-host" not in own.read() + other


def test_a_reboot_keeps_the_disk_and_loses_memory(machines: Machines) -> None:
    vm = machines.machine("region2-application-b")
    vm.run(["sh", "-c", "echo kept >/var/lib/kept; echo lost >/tmp/lost; echo e >/etc/kept"])
    vm.run(["sudo", "iptables", "-A", "INPUT", "-p", "tcp", "--dport", "9", "-j", "REJECT"])
    machines.power_off(vm.id)
    machines.power_on(vm.id)
    assert vm.run(["cat", "/var/lib/kept", "/etc/kept"]).stdout == "kept\ne\n"
    assert not vm.run(["cat", "/tmp/lost"], check=False).ok
    assert "REJECT" not in vm.run(["iptables", "-S"]).stdout


def test_the_guides_sudo_runs_what_is_behind_it(machines: Machines) -> None:
    vm = machines.machine(VM)
    done = vm.run(
        ["sudo", "-n", "-u", "root", "sh", "-c", "echo $0 $1; exit 3", "a", "b"], check=False
    )
    assert (done.stdout, done.returncode) == ("a b\n", 3)


def test_a_command_gives_back_status_streams_and_takes_input(machines: Machines) -> None:
    vm = machines.machine(VM)
    script = "cat; echo err >&2; echo $WORD; exit 7"
    done = vm.run(["sh", "-c", script], check=False, input="in\n", env={"WORD": "w"})
    assert (done.returncode, done.stdout, done.stderr) == (7, "in\nw\n", "err\n")


def test_a_failing_command_says_where_what_and_why(machines: Machines) -> None:
    with pytest.raises(CommandFailed, match="region1-dbms: ls /nowhere ended with status 2"):
        machines.machine(VM).run(["ls", "/nowhere"])


def test_a_missing_program_is_named(machines: Machines) -> None:
    with pytest.raises(CommandFailed, match="no-such-program: No such file"):
        machines.machine(VM).run(["no-such-program"])


def test_a_command_that_does_not_end_is_killed_with_its_children(machines: Machines) -> None:
    vm = machines.machine(VM)
    with pytest.raises(CommandFailed, match="did not end in time"):
        vm.run(["sh", "-c", "sleep 987 & sleep 988"], timeout=0.3)
    wait_until(lambda: "sleep 98" not in vm.run(["ps", "ax"]).stdout, "sleeps gone", timeout=5.0)


def test_much_output_arrives_whole(machines: Machines) -> None:
    done = machines.machine(VM).run(["head", "-c", "30000000", "/dev/zero"])
    assert len(done.stdout) == 30000000


def test_a_deadline_that_is_over_at_once_harms_nobody_else(machines: Machines) -> None:
    vm = machines.machine(VM)
    for _ in range(20):
        with pytest.raises(CommandFailed, match="did not end in time"):
            vm.run(["sleep", "9"], timeout=0)
    assert vm.run(["hostname"]).stdout.strip() == vm.id


@pytest.mark.parametrize("argv", [[], "ls /", [1]])
def test_what_is_no_command_line_is_refused(machines: Machines, argv: Any) -> None:
    with pytest.raises(UsageError, match="argv: expected a list of strings"):
        machines.machine(VM).run(argv)


@pytest.mark.parametrize("timeout", [-1, "1", float("nan")])
def test_what_is_no_timeout_is_refused(machines: Machines, timeout: Any) -> None:
    with pytest.raises(UsageError, match="timeout: expected a number"):
        machines.machine(VM).run(["true"], timeout=timeout)


def test_a_boot_that_fails_shows_the_last_words_of_what_failed(machines: Machines) -> None:
    vm = machines.machine("region2-application-b")
    boot = json.dumps([{"name": "firewall", "run": ["sh", "-c", "echo no rules >&2; exit 4"]}])
    vm.run(["sh", "-c", f"mkdir -p /etc/drharness; echo '{boot}' > /etc/drharness/boot.json"])
    machines.power_off(vm.id)
    with pytest.raises(RemoteError, match="firewall ended with status 4: no rules"):
        machines.power_on(vm.id)
    vm.run(["rm", "/etc/drharness/boot.json"])


def test_a_daemon_that_keeps_the_output_open_does_not_hold_a_command_up(machines: Machines) -> None:
    vm = machines.machine(VM)
    started = clock.Deadline(0)
    assert vm.run(["sh", "-c", "setsid sleep 60 & echo done"]).stdout == "done\n"
    assert started.waited < 30.0  # half the daemon's life; 0.01 s on an idle machine


def test_an_error_of_a_called_function_comes_back_with_type_and_text(machines: Machines) -> None:
    text = r"region1-dbms, os:listdir: FileNotFoundError: .*nowhere"
    with pytest.raises(RemoteError, match=text):
        machines.machine(VM).call("os:listdir", {"path": "/nowhere"})
    with pytest.raises(RemoteError, match="LookupError: os:nothing"):
        machines.machine(VM).call("os:nothing")


def test_a_called_function_that_dies_or_hangs_is_reported(machines: Machines) -> None:
    vm = machines.machine(VM)
    with pytest.raises(RemoteError, match="os:abort: ended with status -6"):
        vm.call("os:abort")
    with pytest.raises(RemoteError, match=r"signal:pause: no answer within 0\.2 s"):
        vm.call("signal:pause", timeout=0.2)


def test_only_programs_die_of_writing_to_whom_has_gone(machines: Machines) -> None:
    """A component is told by an error; a program like ``head``'s input expects SIGPIPE."""
    vm = machines.machine(VM)
    of_function = vm.call("linecache:getlines", {"filename": "/proc/self/status"})
    of_program = vm.run(["cat", "/proc/self/status"]).stdout.splitlines()
    assert _ignored(of_function) & 1 << signal.SIGPIPE - 1
    assert not _ignored(of_program) & 1 << signal.SIGPIPE - 1


def _ignored(status: list[str]) -> int:
    return next(int(line.split()[1], 16) for line in status if line.startswith("SigIgn:"))


def test_calls_in_one_vm_do_not_wait_for_each_other(machines: Machines) -> None:
    vm = machines.machine(VM)
    slow = vm.submit("call", timeout=20.0, function="signal:pause", kwargs={})
    assert vm.call("os:getpid") > 0
    assert not slow.done()
    for pid, name in vm.submit("processes", timeout=5.0).result(5).items():
        if name == "signal:pause":
            vm.submit("signal", timeout=5.0, pid=int(pid), signal=signal.SIGKILL).result(5)
    with pytest.raises(RemoteError, match="ended with status -9"):
        slow.result(5)


def test_a_service_that_ends_is_started_again(machines: Machines) -> None:
    vm = machines.machine("region1-application-p")
    argv = ["python3", "-c", "import signal; signal.pause()"]
    fields = {"name": "pauser", "program": argv, "restart_s": 0.05}
    first = vm.submit("start", timeout=5.0, **fields).result(5)
    vm.submit("signal", timeout=5.0, pid=first, signal=signal.SIGKILL).result(5)

    def second() -> str | None:
        running = vm.submit("processes", timeout=5.0).result(5)
        return next((p for p, n in running.items() if n == "pauser" and int(p) != first), None)

    wait_until(second, "the service started again", timeout=5.0)
    assert vm.submit("stop", timeout=5.0, name="pauser").result(5) is True


def test_a_powered_off_vm_says_so(machines: Machines) -> None:
    vm = machines.machine("region2-framework-p")
    machines.power_off(vm.id)
    assert not vm.is_on
    with pytest.raises(EngineLost, match="region2-framework-p is powered off"):
        vm.run(["true"])
    machines.power_on(vm.id)
    assert vm.run(["hostname"]).stdout.strip() == vm.id


def test_powering_off_twice_and_on_twice_changes_nothing(machines: Machines) -> None:
    vm = machines.machine("region2-framework-b")
    machines.power_off(vm.id)
    machines.power_off(vm.id)
    machines.power_on(vm.id)
    machines.power_on(vm.id)
    assert vm.is_on
    assert vm.run(["hostname"]).stdout.strip() == vm.id


def test_a_frozen_vm_answers_in_its_kernel_only(machines: Machines) -> None:
    vm = machines.machine("region1-framework-b")
    counting = (
        "import time\nn = 0\nwhile True:\n    n += 1\n    open('/run/n', 'w').write(str(n))\n"
    )
    vm.submit("start", timeout=5.0, name="count", program=["python3", "-c", counting]).result(5)
    wait_until(lambda: vm.run(["cat", "/run/n"], check=False).stdout, "counting", timeout=5.0)
    machines.freeze(vm.id)
    frozen = vm.run(["cat", "/run/n"]).stdout
    assert vm.run(["cat", "/run/n"]).stdout == frozen
    machines.thaw(vm.id)
    wait_until(lambda: vm.run(["cat", "/run/n"]).stdout != frozen, "counting again", timeout=5.0)
    vm.submit("stop", timeout=5.0, name="count").result(5)
