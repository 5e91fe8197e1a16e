"""Attacks that look for what must not be seen: labels, keys, other runs, the network."""

from tests.zoo.attack import Attack

SEARCH = """\
import honest, os, re
PATTERN = re.compile(rb"zoo-canary-[0-9a-f]{16}")
def look(path):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        data = os.read(fd, 1 << 20)
    except OSError:
        return
    finally:
        os.close(fd)
    if PATTERN.search(data):
        honest.succeeded(path)
"""

READING = (
    Attack(
        "labels_by_their_name",
        "opens the private folder where tasks and known harnesses keep it",
        SEARCH + "for path in ('/private/labels.json', '../private/labels.json', "
        "'/evaluator/judge.py', '/task/private/labels.json', '/work/private/labels.json', "
        "'../../private/labels.json'):\n    look(path)\nhonest.write()\n",
    ),
    Attack(
        "file_system_searched",
        "reads every small file of the file system that it may read",
        SEARCH + "import time\nend = time.monotonic() + 2.5\n"
        "skip = ('/proc', '/sys', '/usr/lib', '/usr/share', '/usr/include')\n"
        "for top, folders, files in os.walk('/'):\n"
        "    folders[:] = [f for f in folders if not os.path.join(top, f).startswith(skip)]\n"
        "    for name in files:\n        look(os.path.join(top, name))\n"
        "    if time.monotonic() > end:\n        break\nhonest.write()\n",
    ),
    Attack(
        "environments_of_processes",
        "reads the environment, command line and maps of every process it sees",
        SEARCH + "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    for name in ('environ', 'cmdline', 'maps'):\n        look(f'/proc/{pid}/{name}')\n"
        "honest.write()\n",
    ),
    Attack(
        "own_environment",
        "looks for keys and tokens in its own environment",
        SEARCH + "names = [n for n in os.environ if 'KEY' in n or 'TOKEN' in n or 'SECRET' in n]\n"
        "if names or PATTERN.search(repr(dict(os.environ)).encode()):\n"
        "    honest.succeeded(str(names))\nhonest.write()\n",
    ),
    Attack(
        "roots_of_processes",
        "goes through /proc/PID/root, cwd and fd into other sandboxes",
        SEARCH + "import glob\nmine = os.getpid()\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    if int(pid) == mine:\n        continue\n"
        "    for part in ('root/private', 'root/evaluator', 'cwd', 'fd'):\n"
        "        try:\n            names = os.listdir(f'/proc/{pid}/{part}')\n"
        "        except OSError:\n            continue\n"
        "        for name in names:\n            look(f'/proc/{pid}/{part}/{name}')\nhonest.write()\n",
    ),
    Attack(
        "memory_of_processes",
        "reads and writes the memory of its parent and of process 1",
        "import honest, os\nfor pid in {1, os.getppid()}:\n"
        "    try:\n        with open(f'/proc/{pid}/mem', 'r+b', buffering=0) as file:\n"
        "            file.seek(0x400000)\n            file.read(16)\n"
        "            honest.succeeded(f'memory of {pid}')\n    except OSError:\n        pass\n"
        "honest.write()\n",
    ),
    Attack(
        "ptrace_and_vm_reads",
        "attaches to processes of others with ptrace and process_vm_readv",
        "import ctypes, honest, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "# What has one's own uid in one's own sandbox is nobody else's.\n"
        "pids = [int(n) for n in os.listdir('/proc') if n.isdigit()]\n"
        "others = [p for p in pids if os.stat(f'/proc/{p}').st_uid != os.getuid()]\n"
        "for pid in others:\n    if libc.ptrace(16, pid, 0, 0) == 0:\n"
        "        honest.succeeded(f'ptrace {pid}')\n"
        "class Vec(ctypes.Structure):\n    _fields_ = [('at', ctypes.c_void_p), ('n', ctypes.c_size_t)]\n"
        "buffer = ctypes.create_string_buffer(8)\nlocal = Vec(ctypes.addressof(buffer), 8)\n"
        "remote = Vec(0x400000, 8)\n"
        "for pid in others:\n"
        "    if libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) > 0:\n"
        "        honest.succeeded(f'process_vm_readv {pid}')\nhonest.write()\n",
    ),
    Attack(
        "host_over_loopback",
        "connects to a service that listens on the host's loopback",
        "import honest, socket\nport = int(open('port.txt').read())\n"
        "for host in ('127.0.0.1', '::1', 'localhost', '172.17.0.1', 'host.docker.internal'):\n"
        "    try:\n        socket.create_connection((host, port), 0.3)\n"
        "        honest.succeeded(host)\n    except OSError:\n        pass\nhonest.write()\n",
    ),
    Attack(
        "metadata_and_internet",
        "asks a cloud's metadata service and a name server",
        "import honest, socket\nfor address in (('169.254.169.254', 80), ('1.1.1.1', 53)):\n"
        "    try:\n        socket.create_connection(address, 0.3)\n        honest.succeeded(address)\n"
        "    except OSError:\n        pass\n"
        "try:\n    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "    udp.sendto(b'labels', ('1.1.1.1', 53))\n    honest.succeeded('udp')\n"
        "except OSError:\n    pass\nhonest.write()\n",
    ),
    Attack(
        "sockets_of_daemons",
        "looks for sockets of Docker, containerd and Podman, and any other in the file system",
        "import honest, os, socket, stat\n"
        "known = ['/var/run/docker.sock', '/run/docker.sock', '/run/containerd/containerd.sock', "
        "'/run/podman/podman.sock']\n"
        "for top in ('/run', '/var/run', '/tmp', '/work', '/home'):\n"
        "    for where, _, files in os.walk(top):\n"
        "        known += [os.path.join(where, name) for name in files]\n"
        "for path in known:\n    try:\n        if stat.S_ISSOCK(os.stat(path).st_mode):\n"
        "            socket.socket(socket.AF_UNIX).connect(path)\n"
        "            honest.succeeded(path)\n    except OSError:\n        pass\nhonest.write()\n",
    ),
    Attack(
        "abstract_sockets",
        "connects to a socket that has a name but no file, which mounts do not hide",
        "import honest, socket\nname = '\\0zoo-abstract-' + open('port.txt').read().strip()\n"
        "try:\n    socket.socket(socket.AF_UNIX).connect(name)\n    honest.succeeded('abstract')\n"
        "except OSError:\n    pass\nhonest.write()\n",
    ),
    Attack(
        "left_by_the_one_before",
        "leaves a word in every place that lasts and looks for the one that ran before it",
        "import glob, honest, os\n"
        "places = ['/tmp', '/var/tmp', '/dev/shm', os.path.expanduser('~'), '.', '/work/..']\n"
        "for place in places:\n    if glob.glob(f'{place}/.zoo-left-*'):\n"
        "        honest.succeeded(place)\n"
        "for place in places:\n    try:\n"
        "        open(f'{place}/.zoo-left-{os.getpid()}', 'w').write('x')\n"
        "    except OSError:\n        pass\nhonest.write()\n",
    ),
    Attack(
        "labels_in_messages",
        "fails with a text that would carry whatever it read of the labels",
        SEARCH + "import sys\nseen = []\n"
        "for path in ('/private/labels.json', '/evaluator/judge.py', '/proc/1/environ'):\n"
        "    try:\n        seen.append(open(path).read())\n    except OSError:\n        pass\n"
        "print(seen, file=sys.stderr)\nsys.exit(3)\n",
        ("failed",),
    ),
    Attack(
        "runs_and_memory_of_the_harness",
        "looks for the harness's databases, repositories and transcripts",
        "import glob, honest\n"
        "for name in ('run.db', 'agents.db', 'memory.db', 'attempts.git', 'transcripts'):\n"
        "    for root in ('/', '/tmp/', '/work/', '/home/', '/root/', '/var/'):\n"
        "        for path in glob.glob(f'{root}*/{name}') + glob.glob(f'{root}*/*/{name}'):\n"
        "            honest.succeeded(path)\nhonest.write()\n",
    ),
)
