"""A place that leaves nothing behind.

The whole run happens in a network, mount and process namespace of its own, and every file it makes is on a
tmpfs there. When its first process ends, for whatever reason, the kernel ends the others and takes the
namespaces, the devices and the files along: there is no clean-up that could fail. Without root, a user
namespace around it gives the same rights over the same things.
"""

import os
import signal
import subprocess
import sys

INSIDE = "SHADOWMESH_SANDBOX"
DIRECTORY = "/run/demo"
# What a program ends with that cannot run on this machine at all; the same as with automake's tests.
NOT_HERE = 77
MOUNT_PROC = ["mount", "-t", "proc", "proc", "/proc"]


def enter():
    """Runs this program again inside the sandbox and exits with its code.

    Returns only inside, with how it got its rights: `root` or `user namespace`.
    """
    if os.environ.get(INSIDE):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        _private_files()
        return os.environ[INSIDE]
    kind = "root" if os.geteuid() == 0 else "user namespace"
    check()
    flags = _flags()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the inner process too
    # A process namespace needs a /proc of its own, which containers that mask theirs refuse. Without it, the
    # programs still die with this one (`Program` sees to it), and the namespaces with the last of them.
    processes = ["--pid"] if _works(["unshare", "--pid", "--fork", *flags, *MOUNT_PROC]) else []
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", *processes, "--fork", "--kill-child", *flags]
    inner = subprocess.Popen(
        [*command, sys.executable, *sys.argv],
        env={**os.environ, INSIDE: kind},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: inner.kill())
    code = inner.wait()
    sys.exit(code if code >= 0 else 128 - code)


def check():
    """Ends the program with `NOT_HERE`, and says what is missing, when this machine allows no sandbox."""
    refusal = _refusal(_flags())
    if refusal:
        print(f"{_name()}: {refusal}", file=sys.stderr)
        sys.exit(NOT_HERE)


def _flags():
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [*user, "--net", "--mount"]


def _refusal(flags):
    """Why it cannot be done here, with what to do about it; None when it can."""
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun here: load it with `sudo modprobe tun`"
    root = os.geteuid() == 0
    if not _works(["unshare", *flags, "true"]):
        if root:
            return "this root may not make namespaces (a container?): give it CAP_SYS_ADMIN and CAP_NET_ADMIN"
        return (
            f"unprivileged user namespaces are off here: run `sudo make {_name()}`, or allow them (sysctl "
            "kernel.unprivileged_userns_clone=1 on Debian, "
            "kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu)"
        )
    if not _works(["unshare", *flags, "ip", "tuntap", "add", "dev", "try", "mode", "tun"]):
        if root:
            return "this root may not make TUN devices (a container?): give it CAP_NET_ADMIN and /dev/net/tun"
        return (
            f"only root may open /dev/net/tun here: run `sudo make {_name()}`, or `sudo chmod 666 /dev/net/tun` "
            "first"
        )
    return None


def _name():
    """Of the program, and of its target in the Makefile."""
    return os.path.basename(sys.argv[0])


def _works(command):
    return (
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
        == 0
    )


def _private_files():
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "-t", "tmpfs", "-o", "mode=0755", "demo", "/run"],
    ):
        subprocess.run(command, check=True)
    # libdispatch reads /proc/THREAD/stat of its own threads, and traps when it finds those of another namespace.
    subprocess.run(MOUNT_PROC, stderr=subprocess.DEVNULL, check=False)
    os.makedirs("/run/netns")
    os.makedirs(DIRECTORY, mode=0o700)
