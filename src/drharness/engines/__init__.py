"""Where a deployment runs: one contract (``protocol``), the VM agent, and an engine per folder."""
