"""Runs one command, watches it, and leaves nothing of it behind.

A process of its own for each command, forked from the zygote (`zygote.py`), which has imported all
that it needs: standard library only, and little of it, since each fork copies what it maps.

REQUEST is a file descriptor with a marshalled `Request`; CONTROL is a socket whose other end the
harness holds. When that end is closed, because the harness wants the command ended or because it
died itself, everything is killed. What is told over CONTROL are five lines: the shim's process id,
then how the command ended, the exit code, the seconds it took, the evidence.

The parent is the supervisor: it never changes its uid or its namespaces and, being a subreaper,
inherits every orphan of the command, so that it can end them all. The child becomes the command.
"""
