"""What code under test may touch: its own folder, and to read Python and its packages. Nothing can
be undone later.

Two layers. An audit hook, on every system, refuses files, processes, signals and the network to
Python code. On Linux, Landlock makes the kernel refuse them too, whatever code asks.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from pathlib import Path

NEVER = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.kill",
    "ctypes.",
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "socket.gethostby",
    "socket.sendto",
    "socket.sendmsg",
    "signal.pthread_kill",
    "sqlite3.",
    "pty.",
    "sys.addaudithook",
    "resource.",
    "syslog.",
)
WRITES = {
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "os.setxattr",
    "os.removexattr",
    "shutil.chown",
    "shutil.rmtree",
}
SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/etc",
    "/System",
    "/Library",
    "/sys/devices/system/cpu",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


def readable(package: Path, private: list[Path]) -> list[str]:
    """The folders that may be read: Python, what is installed, the package; none that holds
    something private."""
    wanted = [
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        *SYSTEM,
        *(p for p in sys.path if p),
        str(package),
    ]
    found = dict.fromkeys(os.path.realpath(p) for p in wanted if os.path.isdir(p))
    return [p for p in found if not any(_under(os.path.realpath(x), [p]) for x in private)]


def _under(path: str, roots) -> bool:
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def hook(folder: str, read: list[str]):
    """The audit hook: raises PermissionError for what is not allowed."""
    own = [os.path.realpath(folder)]
    everything = [*own, *read, *DEVICES, f"/proc/{os.getpid()}", "/proc/cpuinfo", "/proc/meminfo"]
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    real, fs = os.path.realpath, os.fspath

    def refuse(what: str):
        raise PermissionError(f"{what} is not allowed in graded work")

    def check(event: str, args: tuple) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(path, int) or path is None:
                return
            path = real(os.fsdecode(fs(path)))
            if not _under(path, [*own, *DEVICES] if (flags or 0) & writing else everything):
                refuse(f"opening {path}")
        elif event.startswith(NEVER):
            refuse(event)
        elif event in ("os.listdir", "os.scandir"):
            path = (
                own[0]
                if isinstance(args[0], int)
                else real(os.fsdecode(fs("." if args[0] is None else args[0])))
            )
            if not _under(path, everything):
                refuse(f"listing {path}")
        elif event == "os.truncate" and isinstance(args[0], int):
            return  # an open file: it passed when it was opened, and one that was opened to read cannot be cut
        elif event in WRITES:
            for path in args[:2] if event in ("os.rename", "os.link") else args[:1]:
                if isinstance(path, int) or not _under(real(os.fsdecode(fs(path))), own):
                    refuse(event)
        elif event == "import" and args[1] and _under(real(args[1]), own):
            refuse("loading a compiled module of one's own")

    return check


def landlock(folder: str, read: list[str]) -> bool:
    """Let the kernel refuse what the hook refuses; False where it has no Landlock."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(444, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = (1 << 13) - 1 | (version >= 2) << 13 | (version >= 3) << 14 | (version >= 5) << 15
    attributes = struct.pack("QQQ", rights, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(444, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    reading, file_rights = 0b1101, 0b111 | (version >= 3) << 14
    for path in (folder, *read, *DEVICES, f"/proc/{os.getpid()}", "/proc/cpuinfo", "/proc/meminfo"):
        if not os.path.exists(path):
            continue
        allowed = rights if path == folder else file_rights if path in DEVICES else reading
        allowed &= rights if os.path.isdir(path) else file_rights
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        added = libc.syscall(445, ruleset, 1, struct.pack("=Qi", allowed, handle), 0)
        os.close(handle)
        if added:
            raise OSError(ctypes.get_errno(), "landlock_add_rule", path)
    if libc.prctl(38, 1, 0, 0, 0) or libc.syscall(446, ruleset, 0):
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(ruleset)
    return True


def limit(seconds: int, memory: int) -> None:
    """Bound CPU time, files and, where the system does so, memory in bytes beyond what is in use
    now."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000_000, 50_000_000))
    statm = Path("/proc/self/statm")
    if statm.exists():
        size = int(statm.read_text().split()[0]) * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def close(folder: str, package: Path, private: list[Path]) -> None:
    """Shut both layers; from here on the process can read what it needs, and write in its
    folder."""
    read = readable(package, private)
    landlock(os.path.realpath(folder), read)
    sys.addaudithook(hook(folder, read))
