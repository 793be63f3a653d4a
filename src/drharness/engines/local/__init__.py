"""The local engine: every VM is a set of Linux namespaces on this host; no Docker, no root.

    controller ── launcher ── guard ── outer init ─┬─ agent ── processes
    pytest, CLI   modules     one per  PID 1:      └─ ... PID 1 of one VM each
                  preloaded   deploy-  bridges,
                              ment     power

Nothing is visible to the host's network, firewall or file system; every object hangs on processes
that the kernel kills with the controller.
"""
