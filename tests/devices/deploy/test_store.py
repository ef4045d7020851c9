"""What a deploy owns in somebody's folder, what it leaves alone, and what it clears away."""

import os
import shutil
from pathlib import Path

import pytest

from edge_vos.devices.deploy.remote import CommandResult, DirRemote
from edge_vos.devices.deploy.store import OWN, DeviceFolder, assemble, copy, install, visit
from edge_vos.errors import DeviceError


def put(remote: DirRemote, name: str, content: str) -> tuple[DeviceFolder, str]:
    """Lay out and install a bundle of one file, and the runtime."""
    sources = {"model": Path(remote.root).parent / "model", "pyz": Path(remote.root).parent / "pyz"}
    sources["model"].write_text(content)
    sources["pyz"].write_text("runtime")
    device_folder = visit(remote)
    paths, _ = copy(remote, device_folder, sources)
    assemble(remote, device_folder, name, {"sub/model": paths["model"]}, paths["pyz"])
    return device_folder, install(remote, device_folder, name)


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "project"
    theirs = (".venv/x", "venv/bin/python", "store/.cache", "store/notes", "bundles/.gitignore",
              "bundles/theirs/model", "edge-vos.pyz.new", "run-1/x")  # fmt: skip
    for name in theirs:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (0, 0))
        os.utime(path.parent, (0, 0))
    _, installed = put(DirRemote(root), "a.bundle", "a")
    assert (Path(installed) / "sub" / "model").read_text() == "a"
    assert [(root / name).read_text() for name in theirs] == list(theirs)


def test_a_run_beside_this_one_keeps_its_parts(tmp_path: Path) -> None:
    remote = DirRemote(tmp_path / "device")
    other = visit(remote)
    (Path(other.run) / "part").write_text("half a file")
    device_folder, _ = put(remote, "a.bundle", "a")
    assert device_folder.run != other.run
    assert (Path(other.run) / "part").exists()
    os.utime(other.run, (0, 0))
    visit(remote)
    assert not Path(other.run).exists()


def test_files_that_no_bundle_is_made_of_go_a_day_later(tmp_path: Path) -> None:
    remote = DirRemote(tmp_path / "device")
    store = tmp_path / "device" / OWN / "store"

    def age(times: tuple[int, int] | None = (0, 0)) -> None:
        for path in store.iterdir():
            os.utime(path, times)

    device_folder, first = put(remote, "a.bundle", "a")
    put(remote, "b.bundle", "b")
    age()
    put(remote, "b.bundle", "b")
    assert len(list(store.iterdir())) == 3  # two models and the runtime: both are installed
    shutil.rmtree(first)
    age(None)
    put(remote, "b.bundle", "b")
    assert len(list(store.iterdir())) == 3  # young: another run may be about to use it
    age()
    put(remote, "b.bundle", "b")
    assert sorted(path.read_text() for path in store.iterdir()) == ["b", "runtime"]
    assert [path.name for path in (Path(device_folder.own) / "installed").iterdir()] == ["b.bundle"]


class Full(DirRemote):
    """A device whose disk is full from the moment that a bundle is laid out."""

    full = False

    def run(self, command: str, timeout_s: float = 60.0) -> CommandResult:
        stand_in = 'cp() { echo "cp: No space left on device" >&2; return 1; }; '
        no_links = "ln() { return 1; }; "
        return super().run(stand_in + no_links + command if self.full else command, timeout_s)


def test_a_disk_that_fills_up_leaves_neither_bundle_nor_runtime(tmp_path: Path) -> None:
    remote = Full(tmp_path / "device")
    put(remote, "a.bundle", "a")
    before = sorted((tmp_path / "device").glob("[!.]*/**/*"))
    remote.full = True
    with pytest.raises(DeviceError, match=r"cannot be laid out.*No space left"):
        put(remote, "b.bundle", "b")
    assert sorted((tmp_path / "device").glob("[!.]*/**/*")) == before
    assert (tmp_path / "device" / "edge-vos.pyz").read_text() == "runtime"


def test_a_runtime_that_cannot_be_put_in_place_leaves_the_bundle_out(tmp_path: Path) -> None:
    root = tmp_path / "device"
    (root / "edge-vos.pyz").mkdir(parents=True)
    with pytest.raises(DeviceError, match="cannot be put in its place"):
        put(DirRemote(root), "a.bundle", "a")
    assert list((root / "bundles").iterdir()) == list((root / "edge-vos.pyz").iterdir()) == []


def test_room_is_asked_for_two_of_every_file(tmp_path: Path) -> None:
    remote = DirRemote(tmp_path / "device")
    source = tmp_path / "big"
    source.write_bytes(bytes(4_000_000))
    device_folder = visit(remote)
    tight = DeviceFolder(
        device_folder.root, device_folder.run, device_folder.system, 24_000_000, frozenset()
    )
    with pytest.raises(DeviceError, match=r"24 MB free.*Expected: 25 MB"):
        copy(remote, tight, {"model": source})
