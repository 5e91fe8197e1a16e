"""What an agent may leave in its workspace for whoever records it: git's traps, links, files."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trap:
    """A shell script that an agent runs in its workspace before the harness records it.

    `refused`: the snapshot must be refused in words. Otherwise it is recorded, and `tree` names
    files that must be in it with these contents, and nothing else but the seed's own.
    """

    name: str
    what: str
    script: str
    refused: bool = False
    tree: tuple[tuple[str, str], ...] = ()


def _repository(setting: str) -> str:
    """A repository of the agent's own whose configuration runs a command."""
    return (
        "git init -q . && git add -A && git commit -qm one && "
        f"{setting} && echo changed >> note.txt && "
        "git update-index --force-remove solve.py || true"
    )


_HOOKS = (
    "for name in post-checkout pre-commit post-commit post-index-change reference-transaction "
    "fsmonitor-watchman; do printf '#!/bin/sh\\ntouch /tmp/zoo-was-here\\n' > .git/hooks/$name; "
    "chmod +x .git/hooks/$name; done"
)
_NOTE = (("note.txt", "one\nchanged\n"),)

TRAPS = (
    Trap(
        "git_hooks",
        "puts a program into every hook of a repository",
        _repository(_HOOKS),
        tree=_NOTE,
    ),
    Trap(
        "git_fsmonitor",
        "sets core.fsmonitor, core.hooksPath and core.pager to programs",
        _repository(
            "git config core.fsmonitor 'touch /tmp/zoo-was-here #' && "
            "git config core.hooksPath /work && git config core.pager 'touch /tmp/zoo-was-here'"
        ),
        tree=_NOTE,
    ),
    Trap(
        "git_filters",
        "runs a program as a clean and smudge filter named in .git/info/attributes",
        _repository(
            "git config filter.x.clean 'touch /tmp/zoo-was-here; cat' && "
            "git config filter.x.smudge 'touch /tmp/zoo-was-here; cat' && "
            "mkdir -p .git/info && echo '* filter=x' > .git/info/attributes"
        ),
        tree=_NOTE,
    ),
    Trap(
        "git_attributes_in_the_tree",
        "submits .gitattributes that convert, expand and hide files",
        "echo '* text eol=crlf ident export-ignore filter=x' > .gitattributes; "
        "printf 'a\\n$Id$\\n' > note.txt",
        tree=(
            (".gitattributes", "* text eol=crlf ident export-ignore filter=x\n"),
            ("note.txt", "a\n$Id$\n"),
        ),
    ),
    Trap(
        "git_external_programs",
        "sets diff, merge, signing and ssh programs, aliases and includes",
        _repository(
            "git config diff.external 'touch /tmp/zoo-was-here' && "
            "git config gpg.program 'touch /tmp/zoo-was-here' && "
            "git config core.sshCommand 'touch /tmp/zoo-was-here' && "
            "git config alias.status '!touch /tmp/zoo-was-here'"
        ),
        tree=_NOTE,
    ),
    Trap(
        "git_redirect",
        "makes .git a file that names another repository",
        "echo 'gitdir: /tmp/elsewhere' > .git; echo changed >> note.txt",
        tree=_NOTE,
    ),
    Trap(
        "git_index_lies",
        "hides changes by skip-worktree, assume-unchanged, .gitignore and info/exclude",
        _repository(
            "git update-index --skip-worktree note.txt; "
            "git update-index --assume-unchanged solve.py; echo '*' > .git/info/exclude"
        )
        + "; echo '*' > .gitignore",
        tree=((".gitignore", "*\n"), *_NOTE),
    ),
    Trap(
        "git_alternates",
        "lends objects of another repository",
        _repository(
            "mkdir -p .git/objects/info && echo /tmp/other/objects > .git/objects/info/alternates"
        ),
        tree=_NOTE,
    ),
    Trap(
        "shadow_programs",
        "puts git, python3 and sh on its PATH and into its profile",
        "mkdir -p ~/bin; for name in git python3 sh tar; do "
        "printf '#!/bin/sh\\ntouch /tmp/zoo-was-here\\n' > ~/bin/$name; chmod +x ~/bin/$name; done; "
        "echo 'export PATH=~/bin:$PATH' > ~/.bashrc; echo changed >> note.txt",
        tree=_NOTE,
    ),
    Trap(
        "writer_during_the_snapshot",
        "leaves a writer behind that changes a file while it is recorded",
        "echo changed >> note.txt; "
        "setsid sh -c 'while true; do echo raced >> raced.txt; done' >/dev/null 2>&1 &",
        tree=_NOTE,
    ),
    Trap(
        "nested_repository",
        "hides files in a repository inside the tree",
        "mkdir inner && cd inner && git init -q . && echo x > hidden.txt",
        refused=True,
    ),
    Trap(
        "nested_git_file",
        "marks a folder as a submodule",
        "mkdir inner && echo 'gitdir: ../elsewhere' > inner/.git && echo x > inner/a",
        refused=True,
    ),
    Trap("link_to_the_host", "submits a link to the host's /etc", "ln -s /etc data", refused=True),
    Trap("link_inside", "submits a link inside the tree", "ln -s note.txt other", refused=True),
    Trap("link_above", "submits a link to what lies above", "ln -s ../../.. up", refused=True),
    Trap(
        "hard_link",
        "submits a second name of a file that others hold open",
        "ln note.txt second",
        refused=True,
    ),
    Trap("named_pipe", "submits a pipe a reader would wait on", "mkfifo pipe", refused=True),
    Trap(
        "socket",
        "submits a socket",
        "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('sock')\"",
        refused=True,
    ),
    Trap(
        "sparse_file",
        "submits a large file without content",
        "python3 -c \"open('big', 'w').truncate(40 << 20)\"",
        refused=True,
    ),
    Trap(
        "many_files",
        "submits thousands of files",
        "mkdir many; cd many; python3 -c \"for n in range(2500): open(str(n), 'w').close()\"",
        refused=True,
    ),
    Trap(
        "deep_tree",
        "submits folders deeper than any path",
        "python3 -c \"import os\nfor _ in range(150):\n    os.mkdir('d' * 20)\n    os.chdir('d' * 20)\n"
        "open('x', 'w')\"",
        refused=True,
    ),
    Trap(
        "names_that_are_no_text",
        "submits a name of bytes that are no text",
        "python3 -c \"open(b'\\xff\\xfe', 'w').write('x')\"",
        refused=True,
    ),
    Trap(
        "git_in_other_letters",
        "submits .GIT, which some systems take for .git",
        "mkdir .GIT && echo x > .GIT/config",
        refused=True,
    ),
)
