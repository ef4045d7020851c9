"""Keep what a run found beside its output, so that a run that was stopped can go on from there.

Each finished frame is a file, and so is a whole way back, until its stretch is finished. What a run
was made from stands in ``run.json``: another run takes nothing from it unless that is the same.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_vos import __version__
from edge_vos.errors import SinkError, SourceLost
from edge_vos.runtime.frame_result import FrameResult
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.objects.view import View
from edge_vos.runtime.propagation.job import Job
from edge_vos.runtime.sinks.output_path import partial_path

RUN_FILE = "run.json"
_SUFFIX = ".unfinished"
_ANEW = "Add --overwrite, without --resume, to begin anew"


@dataclass(frozen=True)
class Run:
    """Say what a run is made from.

    Args:
        frames: each picture's name and its digest, in order.
        masks: the name of each given mask's frame, and the mask's digest.
        objects: each object's channel, its name and the user's own id.
        model: what is run, and with what.
        outputs: the URIs that are written.
    """

    frames: list[tuple[str, str]]
    masks: list[tuple[str, str]]
    objects: list[tuple[int, str, int]]
    model: dict[str, str]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, job: Job, model: LoadedModel, outputs: Sequence[str]) -> "Run":
        """Describe a run; every picture is read.

        Raises:
            SourceLost: if a picture cannot be read.
        """
        manifest = model.manifest
        files = {name: entry.sha256 for name, entry in manifest.files.items()}
        return cls(
            frames=[(path.name, _digest_file(path)) for path in job.frames],
            masks=[
                (
                    job.frames[key.index].name,
                    _digest(str(key.mask.shape).encode() + np.ascontiguousarray(key.mask).data),
                )
                for key in job.keyframes
            ],
            objects=[(i, job.names.get(i, ""), job.given_ids.get(i, i)) for i in job.object_ids],
            model={
                "name": manifest.name,
                "size": "x".join(map(str, manifest.size)),
                "files": _digest(json.dumps(files, sort_keys=True).encode()),
                "engine": f"{model.engine} {model.engine_version}",
                "edge-vos": __version__,
            },
            outputs=tuple(outputs),
        )

    def difference(self, before: "Run") -> str:
        """Say what is not as it was in another run; empty if all is."""
        for kind, now, then in (
            ("frame", self.frames, before.frames),
            ("mask of frame", self.masks, before.masks),
        ):
            names, known = [name for name, _ in now], [name for name, _ in then]
            if gone := sorted(set(known) - set(names)):
                return f"the {kind} {gone[0]} is gone"
            if new := sorted(set(names) - set(known)):
                return f"the {kind} {new[0]} is new"
            if names != known:
                return f"the {kind}s have another order"
            for (name, digest), (_, was) in zip(now, then, strict=True):
                if digest != was:
                    return f"the {kind} {name} has changed"
        if self.objects != before.objects:
            return "the objects have other names or ids"
        for part, value in self.model.items():
            if value != before.model.get(part):
                shown = "" if part == "files" else f", from {before.model.get(part)} to {value}"
                return f"the model has changed: its {part}{shown}"
        return ""


@dataclass(frozen=True)
class Kept:
    """Hold what was found in one frame.

    Args:
        mask: (H, W) uint8 label map of channels.
        view: the part of the frame that was looked at.
        probability: (1 + N, h, w) float32 in [0, 1], of the background and the objects there.
        confidence: (N,) float64 of the objects.
    """

    mask: NDArray[np.uint8]
    view: View
    probability: NDArray[np.float32]
    confidence: NDArray[np.float64]


class WorkingFolder:
    """Hold what a run has found so far.

    Use it as a context: at its end the folder is removed, unless something is kept in it and
    ``finished`` was not set.

    Args:
        path: the folder; it is there.
        begun: the outputs that the run before began.

    Attributes:
        finished: set it when every output is complete.
        taken: so many frames were there at first.
    """

    def __init__(self, path: Path, begun: Iterable[str] = ()) -> None:
        self.path, self.begun = path, frozenset(begun)
        self.finished = False
        self._frames = {int(file.stem) for file in path.glob("*.npz") if file.stem.isdecimal()}
        self.taken = len(self._frames)

    @classmethod
    def open(cls, path: Path, run: Run, *, resume: bool, overwrite: bool) -> "WorkingFolder":
        """Make a folder, or go on in the one that a run before left.

        Args:
            path: of the folder.
            run: that is to come.
            resume: go on.
            overwrite: begin anew.

        Raises:
            SinkError: if there is one and neither is asked for, it is from another run, or it
                cannot be written.
        """
        begun: tuple[str, ...] = ()
        try:
            there = path.exists() and (not path.is_dir() or any(path.iterdir()))
            if there and resume:
                before = _read_run(path)
                if different := run.difference(before):
                    raise SinkError(
                        f"The run that left {path} cannot go on: {different}",
                        "the frames, masks and model that it was begun with",
                        _ANEW,
                    )
                begun = before.outputs
            elif there and not overwrite:
                raise SinkError(
                    f"{path} is there: what a run that was stopped, or still goes on, has found",
                    "a run that goes on, or another output",
                    "Add --resume to go on from there, or --overwrite to begin anew",
                )
            elif there:
                _read_run(path)  # nothing else is removed
                _remove(path)
            path.mkdir(parents=True, exist_ok=True)
            outputs = (*begun, *(uri for uri in run.outputs if uri not in begun))
            described = json.dumps({**asdict(run), "outputs": outputs})
            _put(path / RUN_FILE, described.encode())
        except OSError as error:
            raise _unwritable(path, error) from error
        return cls(path, begun)

    def __enter__(self) -> "WorkingFolder":
        return self

    def __exit__(self, *_: object) -> None:
        if self.finished or not self.holds_something:
            with suppress(OSError):
                _remove(self.path)

    @property
    def holds_something(self) -> bool:
        """Return whether a later run can take anything."""
        return bool(self._frames) or any(self.path.glob("*.back"))

    @property
    def frames(self) -> frozenset[int]:
        """Return the places of the frames that are kept."""
        return frozenset(self._frames)

    def put(self, result: FrameResult) -> None:
        """Keep one frame's result.

        Raises:
            SinkError: if it cannot be written.
        """
        buffer, object_ids = BytesIO(), [state.id for state in result.objects]
        np.savez_compressed(
            buffer,
            mask=result.mask,
            probability=result.probability[[0, *object_ids]],
            view=astuple(result.view or View.whole(result.mask.shape[:2])),
            confidence=np.array([state.confidence for state in result.objects], np.float64),
        )
        path = self._frame(result.frame_index)
        try:
            _put(path, buffer.getvalue())
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self._frames.add(result.frame_index)

    def get(self, index: int) -> Kept | None:
        """Return what was found in a frame; nothing if it is not kept.

        Raises:
            SinkError: if the file is not intact.
        """
        if index not in self._frames:
            return None
        path = self._frame(index)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                view = View(*arrays["view"].tolist())
                return Kept(arrays["mask"], view, arrays["probability"], arrays["confidence"])
        except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
            raise SinkError(
                f"{path} cannot be read ({error})", "the file that a run before wrote", _ANEW
            ) from error

    def way_back(self, start: int) -> Path:
        """Return where the way back of the stretch that starts there is kept."""
        return self.path / f"{start:06d}.back"

    def forget_way_back(self, start: int) -> None:
        """Remove it: all frames of that stretch are kept."""
        with suppress(OSError):
            self.way_back(start).unlink(missing_ok=True)

    def _frame(self, index: int) -> Path:
        return self.path / f"{index:06d}.npz"


def beside(output: Path) -> Path:
    """Return the working folder of a run by its first output: ``labels.json.unfinished``."""
    return output.with_name(f"{output.name}{_SUFFIX}")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_file(path: Path) -> str:
    try:
        return _digest(path.read_bytes())
    except OSError as error:
        raise SourceLost(
            f"The image {path} cannot be read ({error.strerror or error})", "intact images"
        ) from error


def _read_run(path: Path) -> Run:
    try:
        document: dict[str, Any] = json.loads((path / RUN_FILE).read_text(encoding="utf-8"))
        return Run(
            frames=[(str(name), str(digest)) for name, digest in document["frames"]],
            masks=[(str(name), str(digest)) for name, digest in document["masks"]],
            objects=[(int(i), str(name), int(own)) for i, name, own in document["objects"]],
            model={str(part): str(value) for part, value in document["model"].items()},
            outputs=tuple(map(str, document["outputs"])),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SinkError(
            f"{path} is there, and is not what a run of edge-vos left",
            f"a folder with an intact {RUN_FILE}, or nothing",
            "Rename it, or choose another output",
        ) from error


def _remove(path: Path) -> None:
    """Remove a working folder, and nothing else that may lie in it."""
    for pattern in ("*.npz", "*.back", "*.partial.*", RUN_FILE):
        for file in path.glob(pattern):
            file.unlink()
    with suppress(OSError):
        path.rmdir()


def _put(path: Path, content: bytes) -> None:
    """Write a file; nobody sees half of it."""
    partial = partial_path(path)
    partial.write_bytes(content)
    partial.replace(path)


def _unwritable(path: Path, error: OSError) -> SinkError:
    return SinkError(
        f"The working folder {path} cannot be written ({error.strerror or error})",
        "a folder that may be written to, and room on its disk",
        f"ls -ld {path.parent}",
    )
