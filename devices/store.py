"""Keep files on a device by their hash: what is there is never copied again.

::

    ROOT/
      store/<sha256>      whole files; a name is given only after the content was checked there
      bundles/NAME        links into the store, put in place in one step

A connection may break at any moment: what was not checked has a name that starts with a dot, and
the next run removes it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_vos.devices.remote import ANSWER_S, COPY_S, Done, Remote, quote
from edge_vos.errors import DeviceError

MARGIN_BYTES = 16 << 20


@dataclass(frozen=True)
class Place:
    """Hold what a device said of itself.

    Args:
        root: our folder there, absolute.
        system: as ``uname -sm`` says.
        free_bytes: on its disk.
        stored: hashes of what lies in the store.
    """

    root: str
    system: str
    free_bytes: int
    stored: frozenset[str]


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


def visit(remote: Remote) -> Place:
    """Make our folder on a device, remove what an earlier run left half-done, and look around.

    Raises:
        DeviceError: if the device cannot be reached, or the folder cannot be made.
    """
    root = quote(remote.root)
    # ls and df are asked for what every system prints alike, toybox's on Android too.
    done = checked(
        remote,
        f"mkdir -p {root}/store {root}/bundles && cd {root} && "
        "{ rm -rf .venv store/.[!.]* bundles/.[!.]*; "
        "pwd -P && uname -sm && df -Pk . | tail -n 1 && ls store; }",
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
    return Place(root, system, free_bytes, frozenset(stored))


def copy(remote: Remote, place: Place, files: Mapping[str, Path]) -> tuple[dict[str, str], Copied]:
    """Copy what is not there yet, one file after the other.

    Args:
        files: by the name that the caller calls them.

    Returns:
        the path of each file there, by its name, and what was copied.

    Raises:
        DeviceError: if the disk is too small, the connection breaks, or a file arrives broken.
    """
    hashes = {name: _sha256(path) for name, path in files.items()}
    missing = [name for name, sha256 in hashes.items() if sha256 not in place.stored]
    need_bytes = sum(files[name].stat().st_size for name in missing)
    # Where links are not allowed each file lies there twice.
    if missing and 2 * need_bytes + MARGIN_BYTES > place.free_bytes:
        raise DeviceError(
            f"{remote.name} has {place.free_bytes / 1e6:.0f} MB free in {place.root}",
            f"{(2 * need_bytes + MARGIN_BYTES) / 1e6:.0f} MB",
            "Make room there, or name another folder in --to",
        )
    for name in missing:
        _copy_one(remote, place, files[name], hashes[name])
    paths = {name: f"{place.root}/store/{sha256}" for name, sha256 in hashes.items()}
    return paths, Copied(tuple(missing), need_bytes, len(files) - len(missing))


def assemble(remote: Remote, place: Place, name: str, files: Mapping[str, str]) -> str:
    """Lay a bundle out beside where it will be, and return its path.

    Args:
        name: the bundle's.
        files: paths in the store, by path inside the bundle.
    """
    folder = f"{place.root}/bundles/.{name}"
    steps = [quote("rm", "-rf", folder)]
    for inside, stored in files.items():
        target = f"{folder}/{inside}"
        steps.append(quote("mkdir", "-p", target.rpartition("/")[0]))
        link, copy_it = quote("ln", stored, target), quote("cp", stored, target)
        steps.append(f"{{ {link} 2>/dev/null || {copy_it}; }}")
    checked(remote, " && ".join(steps), "the bundle cannot be laid out", COPY_S)
    return folder


def install(remote: Remote, place: Place, name: str, runtime: str | None) -> str:
    """Put an assembled bundle in its place, and the runtime beside it; return its path.

    Args:
        runtime: in the store; None leaves none.
    """
    new, final = f"{place.root}/bundles/.{name}", f"{place.root}/bundles/{name}"
    old, pyz = f"{place.root}/bundles/.old-{name}", f"{place.root}/edge-vos.pyz"
    swap = (
        f"{{ [ ! -e {quote(final)} ] || {quote('mv', final, old)}; }} && {quote('mv', new, final)}"
        f" && {quote('rm', '-rf', old)}"
    )
    if runtime is not None:
        swap += f" && {quote('cp', runtime, pyz + '.new')} && {quote('mv', pyz + '.new', pyz)}"
    checked(remote, swap, "the bundle cannot be put in its place")
    return final


def checked(remote: Remote, command: str, what: str, timeout_s: float = ANSWER_S) -> Done:
    """Run a command that has to succeed.

    Raises:
        DeviceError: if it does not, with its last line.
    """
    done = remote.run(command, timeout_s)
    if done.code:
        raise DeviceError(f"{remote.name}: {what}: {done.last_line}")
    return done


def _copy_one(remote: Remote, place: Place, source: Path, sha256: str) -> None:
    partial, final = f"{place.root}/store/.{sha256}", f"{place.root}/store/{sha256}"
    try:
        remote.push(source, partial)
    except DeviceError:
        _forget(remote, partial)
        raise
    sums = f"{quote('sha256sum', partial)} || {quote('shasum', '-a', '256', partial)}"
    done = remote.run(f'[ "$( {{ {sums}; }} 2>/dev/null | cut -c1-64)" = {sha256} ]')
    if done.code:
        _forget(remote, partial)
        raise DeviceError(
            f"{source.name} arrived broken on {remote.name}", f"the sha256 {sha256}", "Try again"
        )
    checked(remote, quote("mv", partial, final), f"{source.name} cannot be kept")


def _forget(remote: Remote, path: str) -> None:
    try:
        remote.run(quote("rm", "-f", path))
    except DeviceError:
        return  # the next visit removes it


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
