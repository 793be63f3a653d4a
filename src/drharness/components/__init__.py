"""Emulated management components: plain asyncio on a link protocol of our own (docs/protocol.md).

Rules for code in this folder, kept by a structure test: every link goes through ``wire``; time only
from ``loop.time()``; randomness, names, files, children and the database only through the
``Environment`` handed in; ``asyncio.timeout``, never ``wait_for``; no threads, executors,
subprocesses, module-level mutable state or iteration over sets. A component is a factory
``async def main(env)`` that can be started again. So the same code runs in a VM and in a simulator.
"""
