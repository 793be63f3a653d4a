"""The one door each to time, randomness, subprocesses and run ids; standard library only."""
