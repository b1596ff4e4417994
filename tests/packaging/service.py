"""What systemd does for the host, as far as its units say it, in a tree of files: opens the sockets and keeps them, starts
the command line as its user, waits until it is told that the host is ready, reloads and stops.
"""

import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

# How long anything may take.
PATIENCE = 60


class Service:
    def __init__(self, tree):
        self.tree = Path(tree)
        self.unit = self._read("jackfield.service")
        self.command = self.unit["ExecStart"]
        self.names, self.sockets = [], []
        for name in ("jackfield-desktops.socket", "jackfield-operations.socket"):
            unit = self._read(name)
            host, port = unit["ListenStream"].split(":")
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, int(port)))
            listener.listen(int(unit["Backlog"]) if "Backlog" in unit else 128)
            self.names.append(unit["FileDescriptorName"])
            self.sockets.append(listener)
        path = self.tree / "tmp/notify"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(path))
        path.chmod(0o777)
        self.notify.settimeout(PATIENCE)
        self.process = None

    def _read(self, name):
        lines = (self.tree / "usr/lib/systemd/system" / name).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    def _account(self):
        for line in (self.tree / "etc/passwd").read_text().splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if name == self.unit["User"]:
                return int(uid), int(gid)
        sys.exit(f"packaging: there is no user {self.unit['User']}")

    def start(self):
        uid, gid = self._account()

        def become():
            # Behind the ones that are already there, so that none is overwritten before it is copied.
            high = [os.dup(listener.fileno()) for listener in self.sockets]
            for index, descriptor in enumerate(high):
                os.dup2(descriptor, 3 + index)
            os.chroot(self.tree)
            os.chdir("/")
            os.umask(int(self.unit["UMask"], 8))
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            os.environ.clear()
            os.environ.update(
                PATH="/usr/bin:/bin", NOTIFY_SOCKET="/tmp/notify", LISTEN_PID=str(os.getpid()),
                LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=":".join(self.names),
            )
            program, *arguments = self.command.split()
            os.execve(program, [program, *arguments], dict(os.environ))

        self.log = open(self.tree / "tmp/log", "a+")
        self.process = subprocess.Popen(
            ["true"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, close_fds=False, preexec_fn=become
        )
        self._told("READY=1")

    def _told(self, word):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if word in self.notify.recv(4096).decode().splitlines():
                    return
            except TimeoutError:
                break
        self.fails(f"the host does not say {word}")

    def fails(self, why):
        self.log.seek(0)
        sys.exit(f"packaging: {why}; its log:\n{self.log.read()}")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)
        self._told("RELOADING=1")
        self._told("READY=1")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self._told("STOPPING=1")
        if self.process.wait(PATIENCE) != 0:
            self.fails(f"the host ends with {self.process.returncode}")

    def until_connected(self, ask):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if '"state": "connected"' in ask("/tenants"):
                return
            time.sleep(0.05)
        self.fails("the tenant is not connected")

    def connect(self):
        return Waiting(self.sockets[0].getsockname())


class Waiting:
    """A connection that has sent its request."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, PATIENCE)
        self.socket.sendall(b"GET /v1/tenants/demo/extensions HTTP/1.1\r\nHost: jackfield\r\nConnection: close\r\n\r\n")

    def answered(self):
        return self.socket.recv(12) == b"HTTP/1.1 200"
