"""Keep files on a device by their hash: what is there is never copied again.

::

    ROOT/
      edge-vos.pyz            the runtime
      bundles/NAME            links into the store, put in place in one step
      .edge-vos/              ours alone; nothing else in ROOT is ever removed
        store/<sha256>        whole files; a name is given only after the content was checked there
        installed/NAME        the hashes that a bundle is made of
        venv/                 a Python's environment, where one had to be made
        run-<id>/             what one run has not finished

A connection may break at any moment and leave its run's folder, and two runs may go on side by
side: a later run removes such a folder when it is a day old. A file in the store goes when it is as
old and no bundle is made of it.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_vos.devices.deploy.remote import ANSWER_S, COPY_S, CommandResult, Remote, quote
from edge_vos.errors import DeviceError

MARGIN_BYTES = 16 << 20
OWN = ".edge-vos"


@dataclass(frozen=True)
class DeviceFolder:
    """Hold what a device said of itself.

    Args:
        root: the folder there, absolute.
        run: the folder of this run there, absolute; the caller removes it.
        system: as ``uname -sm`` says.
        free_bytes: on its disk.
        stored: hashes of what lies in the store.
    """

    root: str
    run: str
    system: str
    free_bytes: int
    stored: frozenset[str]

    @property
    def own(self) -> str:
        """Return the folder that holds nothing but ours."""
        return f"{self.root}/{OWN}"

    @property
    def runtime(self) -> str:
        """Return where the runtime lies."""
        return f"{self.root}/edge-vos.pyz"


@dataclass(frozen=True)
class Copied:
    """Say what was copied.

    Args:
        names: of the files, as the caller calls them.
        size_bytes: of all of these.
        unchanged: how many were there already.
    """

    names: tuple[str, ...]
    size_bytes: int
    unchanged: int


def visit(remote: Remote) -> DeviceFolder:
    """Make our folders on a device, remove what broke off a day ago, and look around.

    Raises:
        DeviceError: if the device cannot be reached, or the folder cannot be made.
    """
    root, run = quote(remote.root), f"run-{secrets.token_hex(6)}"
    # ls and df are asked for what every system prints alike, toybox's on Android too.
    done = checked(
        remote,
        f"mkdir -p {root}/bundles {root}/{OWN}/store {root}/{OWN}/installed && cd {root} && "
        f"{{ find {OWN} -maxdepth 1 -name 'run-*' -mtime +0 -exec rm -rf {{}} + ; "
        f"mkdir {OWN}/{run} && pwd -P && uname -sm && df -Pk . | tail -n 1 && ls {OWN}/store; }}",
        f"{remote.root} cannot be made",
    )
    try:
        root, system, disk, *stored = done.out.splitlines()
        free_bytes = int(disk.split()[3]) * 1024
    except (ValueError, IndexError) as error:
        raise DeviceError(
            f"{remote.name} answered what is not understood: {done.last_line}",
            "the answers of pwd, uname, df and ls",
        ) from error
    return DeviceFolder(root, f"{root}/{OWN}/{run}", system, free_bytes, frozenset(stored))


def copy(
    remote: Remote, device_folder: DeviceFolder, files: Mapping[str, Path]
) -> tuple[dict[str, str], Copied]:
    """Copy what is not there yet, one file after the other.

    Args:
        files: by the name that the caller calls them.

    Returns:
        the path of each file there, by its name, and what was copied.

    Raises:
        DeviceError: if the disk is too small, the connection breaks, or a file arrives broken.
    """
    hashes = {name: _sha256(path) for name, path in files.items()}
    missing = [name for name, sha256 in hashes.items() if sha256 not in device_folder.stored]
    sizes = {name: path.stat().st_size for name, path in files.items()}
    copied_bytes = sum(sizes[name] for name in missing)
    # Where links are not allowed every file, the runtime too, lies there twice.
    need_bytes = copied_bytes + sum(sizes.values()) + MARGIN_BYTES
    if missing and need_bytes > device_folder.free_bytes:
        raise DeviceError(
            f"{remote.name} has {device_folder.free_bytes / 1e6:.0f} MB free "
            f"in {device_folder.root}",
            f"{need_bytes / 1e6:.0f} MB",
            "Make room there, or name another folder in --to",
        )
    for name in missing:
        _copy_one(remote, device_folder, files[name], hashes[name])
    paths = {name: f"{device_folder.own}/store/{sha256}" for name, sha256 in hashes.items()}
    return paths, Copied(tuple(missing), copied_bytes, len(files) - len(missing))


def assemble(
    remote: Remote,
    device_folder: DeviceFolder,
    name: str,
    files: Mapping[str, str],
    runtime: str | None = None,
    tools: Sequence[str] = (),
) -> str:
    """Lay a bundle and the runtime out in the run's folder, and return the bundle's path there.

    Nothing is written after this: what remains is to move.

    Args:
        name: the bundle's.
        files: paths in the store, by path inside the bundle.
        runtime: in the store; None leaves none.
        tools: in the store, and kept there as long as the bundle.

    Raises:
        DeviceError: if the disk is full, or the connection breaks.
    """
    folder = f"{device_folder.run}/{name}"
    used = [*files.values(), *([runtime] if runtime else []), *tools]
    hashes = "\n".join(sorted(stored.rpartition("/")[2] for stored in used))
    # What is in use again is young again, so that no run beside this one takes it for forgotten.
    steps = [quote("touch", "-c", *used), quote("mkdir", "-p", folder)]
    steps.append(f"{quote('printf', '%s', hashes)} > {quote(f'{device_folder.run}/hashes')}")
    for inside, stored in files.items():
        target = f"{folder}/{inside}"
        steps.append(quote("mkdir", "-p", target.rpartition("/")[0]))
        link, copy_it = quote("ln", stored, target), quote("cp", stored, target)
        steps.append(f"{{ {link} 2>/dev/null || {copy_it}; }}")
    if runtime is not None:  # a copy: mv refuses a link to the very file that it replaces
        steps.append(quote("cp", runtime, f"{device_folder.run}/edge-vos.pyz"))
    checked(remote, " && ".join(steps), "the bundle cannot be laid out", COPY_S)
    return folder


def install(remote: Remote, device_folder: DeviceFolder, name: str) -> str:
    """Move what was laid out to its place, the runtime first; return the bundle's path.

    Files in the store that no bundle is made of any more are removed.

    Raises:
        DeviceError: if it cannot be moved; what was there before is there again.
    """
    new, final, old = (
        f"{device_folder.run}/{name}",
        f"{device_folder.root}/bundles/{name}",
        f"{device_folder.run}/old",
    )
    pyz, receipt = f"{device_folder.run}/edge-vos.pyz", f"{device_folder.own}/installed/{name}"
    steps = (
        f"{{ [ ! -e {quote(pyz)} ] || {{ [ ! -d {quote(device_folder.runtime)} ] && "
        f"{quote('mv', '-f', pyz, device_folder.runtime)}; }}; }}",
        quote("mv", "-f", f"{device_folder.run}/hashes", receipt),
        f"{{ [ ! -e {quote(final)} ] || {quote('mv', final, old)}; }}",
        f"{{ {quote('mv', new, final)} || "
        f"{{ [ ! -e {quote(old)} ] || {quote('mv', old, final)}; false; }}; }}",
    )
    checked(remote, " && ".join(steps), "the bundle cannot be put in its place")
    _forget_unused(remote, device_folder)
    return final


def checked(remote: Remote, command: str, what: str, timeout_s: float = ANSWER_S) -> CommandResult:
    """Run a command that has to succeed.

    Raises:
        DeviceError: if it does not, with its last line.
    """
    done = remote.run(command, timeout_s)
    if done.code:
        raise DeviceError(f"{remote.name}: {what}: {done.last_line}")
    return done


def _copy_one(remote: Remote, device_folder: DeviceFolder, source: Path, sha256: str) -> None:
    partial, final = f"{device_folder.run}/{sha256}", f"{device_folder.own}/store/{sha256}"
    try:
        remote.push(source, partial)
    except DeviceError:
        remove(remote, quote("rm", "-f", partial))
        raise
    sums = f"{quote('sha256sum', partial)} || {quote('shasum', '-a', '256', partial)}"
    done = remote.run(f'[ "$( {{ {sums}; }} 2>/dev/null | cut -c1-64)" = {sha256} ]')
    if done.code:
        remove(remote, quote("rm", "-f", partial))
        raise DeviceError(
            f"{source.name} arrived broken on {remote.name}", f"the sha256 {sha256}", "Try again"
        )
    checked(remote, quote("mv", "-f", partial, final), f"{source.name} cannot be kept")


def _forget_unused(remote: Remote, device_folder: DeviceFolder) -> None:
    """Remove receipts of bundles that are gone, then old files in the store that none names."""
    command = (
        f"cd {quote(device_folder.own)} && for kept in installed/*; do "
        '[ -e "../bundles/${kept##*/}" ] || rm -f "$kept"; done; '
        "find store -type f -mtime +0 | while read -r file; do "
        'grep -qs "${file##*/}" installed/* || rm -f "$file"; done'
    )
    remove(remote, command)


def remove(remote: Remote, command: str) -> None:
    """Run a command that cleans up; a connection that is gone leaves it to a later run."""
    try:
        remote.run(command)
    except DeviceError:
        return


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
