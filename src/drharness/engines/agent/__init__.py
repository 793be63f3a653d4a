"""The program that is PID 1 of every VM: it forks components, runs commands, reaps and reports."""
