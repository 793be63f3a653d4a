"""The local engine: every VM is a set of Linux namespaces on this host; no Docker, no root.

    controller ── launcher ── guard ── outer init (router, PID 1) ─┬─ VM init = agent (PID 1) ── processes
    (pytest, CLI)  preloaded   one per     bridges, links, power   └─ ... one per VM
                   modules     deployment

Nothing is visible to the host's network, firewall or file system; every object hangs on processes
that the kernel kills with the controller.
"""
