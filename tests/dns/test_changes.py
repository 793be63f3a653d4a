"""Changing a running server: together, at once, stored, logged; and how it refuses to start."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drharness.dns import control, transport
from drharness.dns import server as process
from drharness.dns.server import DnsServer
from drharness.dns.zone import Zone
from drharness.errors import DrHarnessError, StartupFailed, UsageError
from drharness.kernel import clock, waiting
from tests.dns.background import Background, Files, VmEnvironment, ask, closing, rcode, values

P, B = "cfgmaster-p.dr.internal", "cfgmaster-b.dr.internal"


def test_a_change_is_answered_when_it_returns(server: DnsServer, master: str) -> None:
    before = server.zone.serial
    done = asyncio.run(control.change_records({P: ["10.82.1.11"]}, 7, path=master))
    assert (done["serial"], done["changed"]) == (before + 1, True)
    reply = ask(server.port, P)
    assert (values(reply), reply.answer[0].ttl) == (["10.82.1.11"], 7)


def test_a_repeated_change_changes_nothing(server: DnsServer, master: str) -> None:
    first = asyncio.run(control.change_records({P: ["10.82.1.11"]}, 1, path=master))
    again = asyncio.run(control.change_records({P: ["10.82.1.11"]}, 1, path=master))
    assert (again["serial"], again["changed"]) == (first["serial"], False)


def test_removal_and_typed_records_are_answered_too(server: DnsServer, master: str) -> None:
    asyncio.run(control.change_records({P: [], B: {"ttl": 9, "TXT": ["gone"]}}, path=master))
    assert rcode(ask(server.port, P)) == "NXDOMAIN"
    assert values(ask(server.port, B)) == []
    assert values(ask(server.port, B, "TXT")) == ['"gone"']


def test_a_refused_change_changes_nothing(server: DnsServer, master: str) -> None:
    before = server.zone
    with pytest.raises(UsageError, match=r"records\.cfgmaster-b.* got '10\.82\.1'"):
        asyncio.run(control.change_records({P: ["10.82.1.11"], B: ["10.82.1"]}, path=master))
    assert server.zone is before
    assert values(ask(server.port, P)) == ["10.81.1.11"]


def test_an_unknown_verb_is_refused_with_the_known_ones(server: DnsServer, master: str) -> None:
    from drharness.dns import channel

    with pytest.raises(
        UsageError, match="expected one of misbehave, queries, set, stats, zone, got 'sett'"
    ):
        asyncio.run(channel.call(master, "sett"))


def test_a_missing_server_is_said(tmp_path: Path) -> None:
    with pytest.raises(DrHarnessError, match="no DNS process answers there"):
        asyncio.run(control.zone(path=str(tmp_path / "none")))


class Watcher:
    """Asks for both names in turn without pause, noting (sent, value, received) instants."""

    def __init__(self, port: int) -> None:
        self.port, self.seen, self.ended = port, list[tuple[int, int, int]](), threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self.ended.is_set():
            for name in (P, B):
                sent = clock.now_ns()
                (address,) = values(ask(self.port, name))
                self.seen.append((sent, int(address.rpartition(".")[2]), clock.now_ns()))

    def __enter__(self) -> Watcher:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()


def test_no_answer_is_old_or_half_changed(server: DnsServer, master: str) -> None:
    asyncio.run(control.change_records({P: ["10.1.0.0"], B: ["10.2.0.0"]}, path=master))
    returned = {}
    with Watcher(server.port) as watcher:
        for number in range(1, 41):
            change = {P: [f"10.1.0.{number}"], B: [f"10.2.0.{number}"]}
            asyncio.run(control.change_records(change, path=master))
            returned[number] = clock.now_ns()
        count = len(watcher.seen)
        waiting.wait_until(lambda: len(watcher.seen) > count + 2, "two more answers", timeout=5)
    seen = [value for _, value, _ in watcher.seen]
    assert seen == sorted(seen), "one name was answered new, then the other one old"
    stale = [
        (value, number)
        for sent, value, _ in watcher.seen
        for number, at in returned.items()
        if sent > at and value < number
    ]
    assert stale == []
    assert seen[-1] == 40
    assert len(set(seen)) > 2


def test_queries_are_listed_with_what_was_answered(server: DnsServer, master: str) -> None:
    ask(server.port, P)
    since = clock.now_ns()
    ask(server.port, "Alias.dr.internal")
    ask(server.port, "nowhere.dr.internal", tcp=True)
    first, second = asyncio.run(control.queries(since, path=master))
    assert first["t"] > since
    assert {key: first[key] for key in first if key != "t"} == {
        "client": "127.0.0.1", "transport": "udp", "serial": server.zone.serial, "tc": False,
        "name": "Alias.dr.internal", "type": "A", "rcode": "NOERROR", "ttl": 1,
        "answers": ["cfgmaster-p.dr.internal.", "10.81.1.11"],
    }  # fmt: skip
    assert (second["transport"], second["rcode"], second["answers"]) == ("tcp", "NXDOMAIN", [])
    assert second["client"] == "127.0.0.1"


def test_the_log_is_bounded_and_keeps_the_newest(background: Background, zone: Zone) -> None:
    server = DnsServer(zone, logged=10)
    background.run(server.start())
    for number in range(25):
        ask(server.port, f"n{number}.dr.internal")
    tails = [entry[3].tail for entry in server.logged(limit=3)]
    background.run(closing(server.close))
    assert [b"\x03n" + str(n).encode() in tail for n, tail in zip((22, 23, 24), tails, strict=True)]
    assert len(server.logged()) == 10


def test_statistics_count_what_was_asked(server: DnsServer, master: str) -> None:
    ask(server.port, P)
    ask(server.port, P, tcp=True)
    stats = asyncio.run(control.stats(path=master))
    assert (stats["udp"], stats["tcp"], stats["logged"]) == (1, 1, 2)


@pytest.fixture
def vm(tmp_path: Path) -> VmEnvironment:
    """A DNS VM whose server takes an ephemeral port."""
    argv = ["-port", "0", "-control", str(tmp_path / "v"), "-records", "/etc/drharness/zone.json"]
    return VmEnvironment(argv, Files(tmp_path))


@pytest.fixture
def booted(background: Background, vm: VmEnvironment) -> Iterator[str]:
    """The DNS VM's process, running; gives its control socket's path."""
    stop = background.begin(process.main(vm))
    path = vm.argv[3]
    waiting.wait_until(lambda: vm.lines[1:], "DNS server", timeout=5)
    yield path
    stop()


def test_a_change_is_on_the_disk_when_it_returns(booted: str, vm: VmEnvironment) -> None:
    asyncio.run(control.change_records({P: ["10.81.1.11"], B: ["10.81.1.12"]}, 1, path=booted))
    stored = json.loads(vm.disk.read_text("/etc/drharness/zone.json"))
    assert stored["serial"] == 2
    assert stored["records"] == {
        B: {"ttl": 1, "A": ["10.81.1.12"]},
        P: {"ttl": 1, "A": ["10.81.1.11"]},
    }


def test_a_rebooted_server_serves_what_it_served(
    background: Background, booted: str, vm: VmEnvironment
) -> None:
    asyncio.run(control.change_records({P: ["10.82.1.11"]}, 1, path=booted))
    before = asyncio.run(control.zone(path=booted))
    argv = [*vm.argv[:3], booted + "2", *vm.argv[4:]]
    rebooted = VmEnvironment(argv, vm.disk)
    stop = background.begin(process.main(rebooted))
    waiting.wait_until(lambda: rebooted.lines, "DNS server", timeout=5)
    after = asyncio.run(control.zone(path=argv[3]))
    stop()
    assert {**after, "port": 0} == {**before, "port": 0}


def test_a_change_that_cannot_be_stored_is_not_served(
    background: Background, zone: Zone, master: str
) -> None:
    def full(_: Zone) -> None:
        raise OSError(28, "No space left on device")

    server = DnsServer(zone, save=full)
    background.run(server.start(control=master))
    with pytest.raises(DrHarnessError, match="No space left on device"):
        asyncio.run(control.change_records({P: ["10.82.1.11"]}, path=master))
    assert values(ask(server.port, P)) == ["10.81.1.11"]
    background.run(closing(server.close))


def test_the_log_says_what_is_served(booted: str, vm: VmEnvironment) -> None:
    asyncio.run(control.change_records({P: ["10.82.1.11"]}, 1, path=booted))
    assert vm.lines[0] == "/etc/drharness/zone.json: no such file, the zone is empty"
    assert vm.lines[-1] == "zone dr.internal serial 2"


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_taken_port_is_said_at_the_start(zone: Zone, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        protocol = "udp" if kind == socket.SOCK_DGRAM else "tcp"
        says = f"cannot listen on 127.0.0.1:{port}/{protocol}: Address already in use"
        with pytest.raises(StartupFailed, match=says):
            asyncio.run(DnsServer(zone, port=port).start())


def test_an_address_that_is_not_the_vms_is_said() -> None:
    with pytest.raises(StartupFailed, match=r"does not have the address: check -address"):
        transport.bind("192.0.2.1", 0)


def test_a_second_server_does_not_take_the_control_socket(
    server: DnsServer, master: str, zone: Zone
) -> None:
    with pytest.raises(StartupFailed, match=r"another process is listening on .*/c: end it"):
        asyncio.run(DnsServer(zone).start(control=master))


def test_a_socket_left_by_a_dead_server_is_replaced(
    background: Background, zone: Zone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the test's own bind() takes no long path
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind("c")
    server, path = DnsServer(zone), str(tmp_path / "c")
    background.run(server.start(control=path))
    assert asyncio.run(control.zone(path=path))["serial"] == zone.serial
    background.run(closing(server.close))


def test_a_control_socket_may_have_a_longer_path_than_an_address_holds(
    background: Background, zone: Zone, tmp_path: Path
) -> None:
    server, path = DnsServer(zone), str(tmp_path / ("long" * 30) / "c")
    background.run(server.start(control=path))
    assert asyncio.run(control.zone(path=path))["serial"] == zone.serial
    background.run(closing(server.close))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["-prot", "53"], "option: .* got '-prot'. Did you mean '-port'"),
        (["-port"], "option -port: expected a value after it, got none"),
        (["-port", "x"], "option -port: expected a whole number, got 'x'"),
        (["-port", "65536"], "option -port: expected a number from 0 to 65535, got 65536"),
        (["-records", "/zone.json"], "/zone.json: records.x: expected a name in zone dr.internal"),
    ],
)
def test_a_bad_start_names_option_or_file(tmp_path: Path, argv: list[str], says: str) -> None:
    (tmp_path / "zone.json").write_text('{"records": {"x": ["10.0.0.1"]}}')
    with pytest.raises(UsageError, match=says):
        asyncio.run(process.main(VmEnvironment(argv, Files(tmp_path))))
