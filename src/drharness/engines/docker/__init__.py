"""The docker engine: VMs are containers, a region is a network, a router container joins them.

``boot`` and ``router`` run in containers; the rest is the controller's.
"""
