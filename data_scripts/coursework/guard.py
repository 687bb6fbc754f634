"""Confine graded code: it may use its own folder, and read Python and its packages.

There are two layers. An audit hook, on every system, refuses files, processes, signals and the
network to Python code. On Linux, Landlock makes the kernel refuse files (and, if it is new, the
network and signals) to all code. The process cannot undo either.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Callable, Sequence
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
MACHINE = ("/proc/cpuinfo", "/proc/meminfo")
Check = Callable[[str, tuple], None]
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def readable(package: Path, private: list[Path]) -> list[str]:
    """Return the folders that may be read: Python, its packages, and ``package``; none that
    contains something private."""
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


def _under(path: str, roots: Sequence[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def _place(path, real=os.path.realpath, decode=os.fsdecode) -> str:
    """Return the real path of a file name, of whatever type."""
    return real(decode(path))


def _denied(what: str) -> PermissionError:
    return PermissionError(f"{what} is not allowed in graded work")


# The functions below return a check of one kind of event. A check uses local names only, so that
# graded code cannot replace what it calls.


def _check_open(own: Sequence[str], everything: Sequence[str]) -> Check:
    place, under, writing, writable = _place, _under, WRITING, (*own, *DEVICES)

    def check(event: str, args: tuple) -> None:
        path, _, flags = args
        if isinstance(path, int) or path is None:
            return
        path = place(path)
        if not under(path, writable if (flags or 0) & writing else everything):
            raise _denied(f"opening {path}")

    return check


def _check_listing(own: Sequence[str], everything: Sequence[str]) -> Check:
    place, under = _place, _under

    def check(event: str, args: tuple) -> None:
        if isinstance(args[0], int):
            return  # an open folder
        path = place("." if args[0] is None else args[0])
        if not under(path, everything):
            raise _denied(f"listing {path}")

    return check


def _check_writing(own: Sequence[str]) -> Check:
    place, under = _place, _under

    def check(event: str, args: tuple) -> None:
        if event == "os.truncate" and isinstance(args[0], int):
            return  # an open file, checked when it was opened; one opened to read cannot be cut
        for path in args[:2] if event in ("os.rename", "os.link") else args[:1]:
            if isinstance(path, int) or not under(place(path), own):
                raise _denied(event)

    return check


def _check_import(own: Sequence[str]) -> Check:
    place, under = _place, _under

    def check(event: str, args: tuple) -> None:
        if args[1] and under(place(args[1]), own):
            raise _denied("loading a compiled module of one's own")

    return check


def hook(folder: str, read: Sequence[str]) -> Check:
    """Return the audit hook, which raises PermissionError for what is not allowed."""
    own = (os.path.realpath(folder),)
    everything = (*own, *read, *DEVICES, f"/proc/{os.getpid()}", *MACHINE)
    never, listing = NEVER, _check_listing(own, everything)
    checks = {
        "open": _check_open(own, everything),
        "os.listdir": listing,
        "os.scandir": listing,
        "import": _check_import(own),
        **dict.fromkeys(WRITES, _check_writing(own)),
    }

    def check(event: str, args: tuple) -> None:
        if event in checks:
            checks[event](event, args)
        elif event.startswith(never):
            raise _denied(event)

    return check


def landlock(folder: str, read: list[str]) -> bool:
    """Let the kernel refuse what the hook refuses; return False where it has no Landlock."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(444, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = (1 << 13) - 1 | (version >= 2) << 13 | (version >= 3) << 14 | (version >= 5) << 15
    attributes = struct.pack("QQQ", rights, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 * (1 + (version >= 4) + (version >= 6))
    ruleset = libc.syscall(444, attributes, ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    reading, file_rights = 0b1101, 0b111 | (version >= 3) << 14
    for path in (folder, *read, *DEVICES, f"/proc/{os.getpid()}", *MACHINE):
        if not os.path.exists(path):
            continue
        allowed = {folder: rights, **dict.fromkeys(DEVICES, file_rights)}.get(path, reading)
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
    """Limit CPU time, file sizes and, on Linux, the bytes of memory beyond those in use."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000_000, 50_000_000))
    statm = Path("/proc/self/statm")
    if statm.exists():
        size = int(statm.read_text().split()[0]) * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def close(folder: str, package: Path, private: list[Path]) -> None:
    """Activate both layers: from here on, the process reads what it needs and writes its folder."""
    read = readable(package, private)
    landlock(os.path.realpath(folder), read)
    sys.addaudithook(hook(folder, read))
