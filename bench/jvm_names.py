"""A JVM's own name cache beside ours (``drharness.dns.runtime``), in one deployment, in one run.

    python bench/jvm_names.py [JAVA]

On two Application VMs a program looks a name up all the time, one in Java, one with our policy;
the name is changed (or made) at the DNS server, and each says for how long it went on saying what
was so. Three settings: as a JVM is shipped (30 s, failures 10 s), both set to 2 s, and for ever
(watched for 6 s).

Needs a JDK (``apt-get install default-jdk-headless``): the program is run from its source.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from drharness.deployment import Deployment, deploy
from drharness.kernel import proc
from drharness.kernel.waiting import wait_until
from drharness.topology import Topology, addresses

_CONTROL = "drharness.dns.control"
_OLD, _NEW = "192.0.2.1", "192.0.2.2"
_SETTINGS = ((30, 10), (2, 2), (-1, -1))
_EXTRA_S, _WATCHED_S = 6, 6
_JAVA = """
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.security.Security;

public class Look {
    public static void main(String[] args) throws Exception {
        Security.setProperty("networkaddress.cache.ttl", args[2]);
        Security.setProperty("networkaddress.cache.negative.ttl", args[3]);
        long begun = System.nanoTime(), first = 0;
        String said = "";
        while (System.nanoTime() - begun < Long.parseLong(args[1]) * 1000000000L) {
            String now;
            try {
                now = InetAddress.getByName(args[0]).getHostAddress();
            } catch (UnknownHostException error) {
                now = "none";
            }
            if (!now.equals(said)) {
                System.out.println(System.nanoTime() / 1e9 + " " + now);
                said = now;
            }
            Thread.sleep(10);
        }
    }
}
"""
_OURS = """
import asyncio, sys
from drharness.components.environment import NameNotFound
from drharness.dns import runtime, stub
from drharness.kernel import clock

name, seconds, keep, keep_failure = sys.argv[1], *map(int, sys.argv[2:5])
names = runtime.Names(stub.resolve, keep=keep, keep_failure=keep_failure)

async def main():
    until, said = clock.now() + seconds, ""
    while clock.now() < until:
        try:
            now = (await names.resolve(name))[0]
        except NameNotFound:
            now = "none"
        if now != said:
            print(clock.now(), now, flush=True)
            said = now
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


def watched(d: Deployment, vm: str, argv: Sequence[str], seconds: int) -> list[tuple[float, str]]:
    """When (s) a program in a VM said what for the first time in a row."""
    env = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    said = d.vm(vm).run(argv, timeout=seconds + 60.0, env=env).stdout
    return [(float(t), word) for t, word in (line.split() for line in said.splitlines())]


def kept(d: Deployment, java: str, keep: int, keep_failure: int, *, known: bool) -> list[str]:
    """For how long Java and ours say what was so, in words."""
    value = keep if known else keep_failure
    seconds = (_WATCHED_S if value < 0 else value) + _EXTRA_S
    name = f"jvm{'-known' if known else '-new'}{abs(value)}.{addresses.DOMAIN}"
    dns = d.vm("dns")

    def put(address: str) -> None:
        dns.call(f"{_CONTROL}:change_records", {"records": {name: [address]}, "ttl": 0})

    if known:
        put(_OLD)
    values = [name, str(seconds), str(keep), str(keep_failure)]
    commands = {
        "region1-application-p": [java, "/tmp/Look.java", *values],
        "region1-application-b": [sys.executable, "-c", _OURS, *values],
    }

    asking = {d.topology.vm(vm).address for vm in commands}

    def asked() -> bool:
        log = dns.call(f"{_CONTROL}:queries")
        return asking <= {one["client"] for one in log if one["name"] == name}

    with ThreadPoolExecutor(len(commands)) as pool:
        runs = [pool.submit(watched, d, vm, argv, seconds) for vm, argv in commands.items()]
        wait_until(asked, "both have asked", timeout=30.0)
        put(_NEW)
        found = [run.result() for run in runs]
    return [f"{said[1][0] - said[0][0]:.2f} s" if len(said) > 1 else "not seen" for said in found]


def main() -> None:
    """Print the table."""
    java = sys.argv[1] if len(sys.argv) > 1 else proc.which("java") or "java"
    print(f"{'networkaddress.cache.ttl, negative.ttl':<40} {'':<10} {'Java':>10} {'ours':>10}")
    with (
        tempfile.TemporaryDirectory() as directory,
        deploy(Topology.guide(), evidence_dir=Path(directory)) as d,
    ):
        d.vm("region1-application-p").run(["tee", "/tmp/Look.java"], input=_JAVA)
        for keep, keep_failure in _SETTINGS:
            for known in (True, False):
                what = "address" if known else "failure"
                found = kept(d, java, keep, keep_failure, known=known)
                print(f"{keep:>6}, {keep_failure:<32} {what:<10} {found[0]:>10} {found[1]:>10}")


if __name__ == "__main__":
    main()
