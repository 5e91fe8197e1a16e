"""Runs one command, watches it, and leaves nothing of it behind.

A program of its own, `python -I -S -c "…; main()" CONTROL REQUEST`: standard library only, and only
modules of it that import in a millisecond or two (not typing, signal, json or pathlib).

REQUEST is a file descriptor with a marshalled `Request`; CONTROL is a socket whose other end the
harness holds. When that end is closed, because the harness wants the command ended or because it
died itself, everything is killed. What was observed goes back over CONTROL as four lines: how it
ended, the exit code, the seconds it took, the evidence.

The parent is the supervisor: it never changes its uid or its namespaces and, being a subreaper,
inherits every orphan of the command, so that it can end them all. The child becomes the command.
"""
