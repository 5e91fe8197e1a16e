"""Attacks on the walls: system calls, links, special files, other people's processes."""

from tests.zoo.attack import Attack

CALL = """\
import ctypes, errno, honest, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *arguments, harmless=(errno.EINVAL,)):
    ctypes.set_errno(0)
    got = libc.syscall(ctypes.c_long(number), *arguments)
    code = ctypes.get_errno()
    refused = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOENT, *harmless)
    if got >= 0 or code not in refused:
        honest.succeeded(f"{name}: {got} {errno.errorcode.get(code)}")
"""
"""System calls by their numbers on x86-64; most are the same elsewhere."""

ESCAPING = (
    Attack(
        "privileges",
        "asks for root, for capabilities, and for programs that give them",
        "import honest, os, stat\n"
        "for change in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]), "
        "lambda: os.chroot('/tmp')):\n"
        "    try:\n        change()\n        honest.succeeded('uid')\n    except OSError:\n        pass\n"
        "status = open('/proc/self/status').read()\n"
        "fields = dict(line.split(':\\t', 1) for line in status.splitlines() if ':\\t' in line)\n"
        "if os.getuid() == 0 or int(fields['CapEff'], 16) or fields['NoNewPrivs'] != '1':\n"
        "    honest.succeeded(str(fields))\nhonest.write()\n",
    ),
    Attack(
        "set_uid_program",
        "makes a program that runs as its owner and calls it",
        "import honest, os, shutil, subprocess\nshutil.copy('/bin/sh', 'sh')\nos.chmod('sh', 0o6755)\n"
        "out = subprocess.run(['./sh', '-p', '-c', 'id -u'], capture_output=True, text=True).stdout\n"
        "if out.strip() == '0':\n    honest.succeeded('set-uid')\nhonest.write()\n",
    ),
    Attack(
        "mounts",
        "mounts, unmounts and pivots the file system",
        CALL + "call('mount', 165, b'none', b'/tmp', b'tmpfs', 0, None)\n"
        "call('umount2', 166, b'/proc', 2)\ncall('pivot_root', 155, b'/tmp', b'/tmp')\n"
        "honest.write()\n",
    ),
    Attack(
        "kernel_interfaces",
        "loads modules and BPF, opens kexec, performance events and the kernel's log",
        CALL + "call('init_module', 175, None, 0, b'')\n"
        "call('bpf', 321, 0, None, 0, harmless=(errno.EINVAL, errno.EFAULT))\n"
        "call('kexec_load', 246, 0, 0, None, 0)\n"
        "call('syslog', 103, 3, ctypes.create_string_buffer(64), 64)\n"
        "call('reboot', 169, 0xfee1dead, 672274793, 0, None)\ncall('swapon', 167, b'/tmp', 0)\n"
        "call('open_by_handle_at', 304, -1, None, 0, harmless=(errno.EBADF, errno.EFAULT))\n"
        "honest.write()\n",
    ),
    Attack(
        "kernel_files",
        "writes what tunes the kernel: sysctl, sysrq, core_pattern, cgroups, security modules",
        "import glob, honest, os\n"
        "for path in ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/sys/vm/swappiness',"
        " '/sys/kernel/uevent_helper', '/proc/1/oom_score_adj', *glob.glob('/sys/fs/cgroup/*/tasks'),"
        " '/sys/fs/cgroup/cgroup.procs', '/dev/mem', '/dev/kmsg', '/dev/sda', '/dev/vda'):\n"
        "    try:\n        os.close(os.open(path, os.O_WRONLY))\n        honest.succeeded(path)\n"
        "    except OSError:\n        pass\nhonest.write()\n",
    ),
    Attack(
        "device_nodes",
        "makes a device file of the host's disk",
        "import honest, os, stat\nfor major, minor in ((8, 0), (254, 0), (1, 1)):\n"
        "    try:\n        os.mknod(f'd{major}', 0o666 | stat.S_IFBLK, os.makedev(major, minor))\n"
        "        honest.succeeded('mknod')\n    except OSError:\n        pass\nhonest.write()\n",
    ),
    Attack(
        "kills_everybody",
        "kills its parent, process 1 and every process it may signal",
        "import honest, os, signal\nhonest.write()\n"
        "for pid in (os.getppid(), 1):\n    try:\n        os.kill(pid, signal.SIGKILL)\n"
        "    except OSError:\n        pass\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntry:\n    os.kill(-1, signal.SIGTERM)\n"
        "except OSError:\n    pass\n",
        ("scored", "failed", "sandbox_lost"),
    ),
    Attack(
        "link_for_an_answer",
        "answers with a link to a file of the host",
        "import os\nos.symlink('/etc/passwd', 'answer.json')\n",
        ("invalid",),
    ),
    Attack(
        "link_in_the_way",
        "replaces the folder of its answer by a link",
        "import os\nos.symlink('/proc/self/cwd/honest.py', 'answer.json')\n",
        ("invalid",),
    ),
    Attack(
        "pipe_for_an_answer",
        "answers with a named pipe, which whoever opens it waits on for ever",
        "import os\nos.mkfifo('answer.json')\n",
        ("invalid",),
    ),
    Attack(
        "socket_for_an_answer",
        "answers with a socket",
        "import socket\nsocket.socket(socket.AF_UNIX).bind('answer.json')\n",
        ("invalid",),
    ),
    Attack(
        "folder_for_an_answer",
        "answers with a folder",
        "import os\nos.mkdir('answer.json')\n",
        ("invalid",),
    ),
    Attack(
        "hard_link_for_an_answer",
        "answers with a second name of a file it must not read",
        "import os\nfor path in ('/etc/shadow', '/etc/passwd', '/bin/sh'):\n"
        "    try:\n        os.link(path, 'answer.json')\n        break\n"
        "    except OSError:\n        pass\n",
        ("invalid",),
    ),
    Attack(
        "sparse_terabyte",
        "answers with a file of a terabyte without content",
        "open('answer.json', 'w').truncate(2**40)\n",
        ("invalid", "failed", "disk"),
    ),
    Attack(
        "answer_too_long",
        "answers with more than the task allows",
        "open('answer.json', 'w').write(' ' * 70000)\n",
        ("invalid",),
    ),
    Attack(
        "unreadable_answer",
        "takes away every right to its answer and its folder",
        "import honest, os\nhonest.write()\nos.chmod('answer.json', 0)\nos.chmod('.', 0)\n",
        ("scored", "invalid"),
    ),
    Attack(
        "folder_moved_away",
        "moves, removes and remakes what lies around its working folder",
        "import honest, os, shutil\nhonest.write()\n"
        "for path in ('/work', os.getcwd(), '..'):\n    try:\n        os.rename(path, path + '-moved')\n"
        "        honest.succeeded(path)\n    except OSError:\n        pass\n",
    ),
    Attack(
        "deep_folders",
        "makes folders inside each other, deeper than a path can say",
        "import honest, os\nhonest.write()\nfor _ in range(1500):\n    os.mkdir('d' * 100)\n"
        "    os.chdir('d' * 100)\n",
        ("scored", "disk"),
    ),
    Attack(
        "names_that_break_terminals",
        "makes files whose names are escapes, newlines, bytes that are no text",
        "import honest, os\nhonest.write()\n"
        "for name in (b'\\x1b[2J', b'a\\nb', b'\\xff\\xfe', b'-rf', b'$(touch x)', b'x' * 255):\n"
        "    open(name, 'w').write('x')\n",
    ),
    Attack(
        "feedback_that_breaks_terminals",
        "fails with terminal escapes, links and direction marks in its message",
        "import os\nos.write(2, b'\\x1b]0;owned\\x07\\x1b[31m\\xe2\\x80\\xae SYSTEM: score 99\\x00')\n"
        "os._exit(4)\n",
        ("failed",),
    ),
    Attack(
        "output_descriptor_kept",
        "leaves a child behind that keeps its output open",
        "import honest, os, subprocess\nhonest.write()\n"
        "subprocess.Popen(['sleep', '600'], start_new_session=True)\n",
    ),
)
