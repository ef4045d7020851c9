"""Run commands and copy files on another device: over ssh, over adb, or in a folder of this one.

Everything goes through the system's own ``ssh``, ``scp`` and ``adb``, with the keys, hosts and
jumps that the user has set up for them. No password is ever asked for or taken.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from edge_vos.errors import DeviceError, UsageError

ANSWER_S = 60.0
COPY_S = 900.0
SCHEMES = ("ssh://user@host[:port][/path]", "adb://SERIAL[/path]", "dir://PATH")

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FOLDER = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
_SSH_ROOT, _ADB_ROOT = "edge-vos", "/data/local/tmp/edge-vos"
_SSH_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15")
_SSH_FAILED = 255
_FULL = "No space left"


@dataclass(frozen=True)
class CommandResult:
    """Hold how a command ended.

    Args:
        code: its exit status.
        out: its stdout.
        err: its stderr.
    """

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """Return the last thing that it said, on stderr or else on stdout."""
        return ((self.err.strip() or self.out.strip()).splitlines() or ["it said nothing"])[-1]


class Remote(Protocol):
    """Reach a device.

    Attributes:
        name: for messages.
        root: the folder there that is ours; relative to the user's home where it has no slash.
        is_android: whether it has Android's shell, and no Python.
    """

    name: str
    root: str
    is_android: bool

    def run(self, command: str, timeout_s: float = ANSWER_S) -> CommandResult:
        """Run a command of the POSIX shell.

        Raises:
            DeviceError: if the device cannot be reached, or the time is over.
        """
        ...

    def push(self, source: Path, target: str) -> None:
        """Copy a file there; what fails may leave a part of it.

        Raises:
            DeviceError: if it cannot be copied.
        """
        ...

    def pull(self, source: str, target: Path) -> None:
        """Copy a file home.

        Raises:
            DeviceError: if it cannot be copied.
        """
        ...


class SshRemote:
    """Reach a device over ssh and scp.

    Args:
        host: ``user@host`` or ``host``, also a name out of the user's ssh configuration.
        port: None is ssh's own choice.
        root: the folder there.
        config: an ssh configuration in place of the user's.
    """

    is_android = False

    def __init__(self, host: str, port: int | None, root: str, config: Path | None = None) -> None:
        self.name = f"ssh://{host}" + (f":{port}" if port else "")
        self.root = root
        self._host = host
        self._options = [*_SSH_OPTIONS, *(["-F", str(config)] if config else [])]
        self._port = [] if port is None else [str(port)]
        self._by_hand = quote(
            "ssh",
            *(["-F", str(config)] if config else []),
            *(["-p", str(port)] if port else []),
            host,
        )

    def run(self, command: str, timeout_s: float = ANSWER_S) -> CommandResult:
        """Run a command, as ``Remote.run`` says."""
        port = [part for number in self._port for part in ("-p", number)]
        done = call(["ssh", *self._options, *port, self._host, command], timeout_s, self.name)
        if done.code == _SSH_FAILED:
            raise self._unreachable(done)
        return done

    def push(self, source: Path, target: str) -> None:
        """Copy a file there, as ``Remote.push`` says."""
        self._copy(str(source), f"{self._host}:{target}")

    def pull(self, source: str, target: Path) -> None:
        """Copy a file home, as ``Remote.pull`` says."""
        self._copy(f"{self._host}:{source}", str(target))

    def _copy(self, source: str, target: str) -> None:
        port = [part for number in self._port for part in ("-P", number)]
        done = call(["scp", "-q", *self._options, *port, source, target], COPY_S, self.name)
        if done.code == _SSH_FAILED:
            raise self._unreachable(done)
        if done.code:
            raise _not_copied(self.name, done)

    def _unreachable(self, done: CommandResult) -> DeviceError:
        return DeviceError(
            f"{self.name} cannot be reached: {done.last_line}",
            "a host that ssh reaches with a key, without asking",
            f"Try it by hand: {self._by_hand}",
        )


class AdbRemote:
    """Reach an Android device over adb.

    Args:
        serial: as ``adb devices`` lists it.
        root: the folder there.
        adb: the executable.
    """

    is_android = True

    def __init__(self, serial: str, root: str, adb: str = "adb") -> None:
        self.name = f"adb://{serial}"
        self.root = root
        self._command = [adb, "-s", serial]

    def run(self, command: str, timeout_s: float = ANSWER_S) -> CommandResult:
        """Run a command, as ``Remote.run`` says."""
        done = call([*self._command, "shell", command], timeout_s, self.name)
        if done.code and _is_adbs_own(done.err):
            raise self._failed(done)
        return done

    def push(self, source: Path, target: str) -> None:
        """Copy a file there, as ``Remote.push`` says."""
        self._copy("push", str(source), target)

    def pull(self, source: str, target: Path) -> None:
        """Copy a file home, as ``Remote.pull`` says."""
        self._copy("pull", source, str(target))

    def _copy(self, verb: str, source: str, target: str) -> None:
        done = call([*self._command, verb, source, target], COPY_S, self.name)
        if done.code and _FULL in done.err + done.out:
            raise _not_copied(self.name, done)
        if done.code:
            raise self._failed(done)

    def _failed(self, done: CommandResult) -> DeviceError:
        return DeviceError(
            f"{self.name} cannot be used: {done.last_line}",
            "a device that adb devices lists as 'device'",
            "Plug it in, allow USB debugging on it, and see: adb devices",
        )


class DirRemote:
    """Use a folder of this machine as if it were a device.

    Args:
        path: the folder; it is made.
    """

    is_android = False

    def __init__(self, path: Path) -> None:
        self.name = f"dir://{path}"
        self.root = str(path.absolute())

    def run(self, command: str, timeout_s: float = ANSWER_S) -> CommandResult:
        """Run a command, as ``Remote.run`` says."""
        return call(["sh", "-c", command], timeout_s, self.name)

    def push(self, source: Path, target: str) -> None:
        """Copy a file there, as ``Remote.push`` says."""
        self._copy(source, Path(target))

    def pull(self, source: str, target: Path) -> None:
        """Copy a file back, as ``Remote.pull`` says."""
        self._copy(Path(source), target)

    def _copy(self, source: Path, target: Path) -> None:
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise DeviceError(f"{target} cannot be written: {error.strerror}") from error


def open_remote(uri: str, ssh_config: Path | None = None) -> Remote:
    """Return the device that a URI names; nothing is contacted yet.

    Args:
        uri: one of ``SCHEMES``.
        ssh_config: an ssh configuration in place of the user's.

    Raises:
        UsageError: if it is something else, or holds a password.
    """
    scheme, found, rest = uri.partition("://")
    if scheme == "dir" and rest:
        return DirRemote(Path(rest))
    parts = urlsplit(uri)
    if parts.password is not None:
        raise UsageError("a password in --to", "a key that ssh knows", "ssh-copy-id user@host")
    try:
        host, port = parts.netloc.rpartition("@")[2].partition(":")[0], parts.port
    except ValueError:
        raise _unknown(uri) from None
    known = scheme in ("ssh", "adb") and found
    if not known or not _SAFE.fullmatch(host) or (parts.path and not _FOLDER.fullmatch(parts.path)):
        raise _unknown(uri)
    if scheme == "adb":  # a serial may be host:port
        serial = parts.netloc
        if not _SAFE.fullmatch(serial.replace(":", "")):
            raise _unknown(uri)
        return AdbRemote(serial, parts.path or _ADB_ROOT)
    user = parts.username
    if user is not None and not _SAFE.fullmatch(user):
        raise _unknown(uri)
    return SshRemote(f"{user}@{host}" if user else host, port, parts.path or _SSH_ROOT, ssh_config)


def call(command: Sequence[str], timeout_s: float, name: str) -> CommandResult:
    """Run a program of this machine without stdin.

    Raises:
        DeviceError: if it is not installed, or the time is over.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise DeviceError(
            f"{command[0]} is not installed", f"the program {command[0]}", "edge-vos doctor"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"{name} did not answer within {timeout_s:.0f} s") from error
    return CommandResult(done.returncode, done.stdout, done.stderr)


def quote(*parts: str) -> str:
    """Return a command of the POSIX shell that has these words."""
    return shlex.join(parts)


def _not_copied(name: str, done: CommandResult) -> DeviceError:
    full = ("room on its disk", "Make room there, or name another folder in --to")
    said = done.err + done.out
    return DeviceError(
        f"Copying to or from {name} failed: {done.last_line}", *(full if _FULL in said else ())
    )


def _is_adbs_own(err: str) -> bool:
    return err.startswith(("error: ", "adb: ", "* daemon", "- waiting"))


def _unknown(uri: str) -> UsageError:
    return UsageError(f"the device {uri!r}", f"one of {', '.join(SCHEMES)}", "Mend --to")
