"""`edge-vos segment` with the masks of several frames: which is whose, and the run."""

import difflib
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from edge_vos.errors import UsageError

if TYPE_CHECKING:
    from edge_vos.cli.video.session import SessionRequest
    from edge_vos.runtime.model import LoadedModel
    from edge_vos.runtime.pipeline import Ending
    from edge_vos.runtime.propagation.job import Job
    from edge_vos.runtime.propagation.working_folder import WorkingFolder
    from edge_vos.runtime.sources.frame import Source

_FOLDER = "a folder of images, or a glob of them"


def frame_files(source: "Source") -> tuple[Path, ...]:
    """Return the files of a source's frames, where each frame is one."""
    from edge_vos.runtime.sources.image_folder import IMAGE_SUFFIXES

    are_images = all(file.suffix.lower() in IMAGE_SUFFIXES for file in source.files)
    looped = source.is_endless and not source.is_live
    if not are_images or not (looped or len(source.files) == source.frames):
        return ()
    return source.files


def given_frames(request: "SessionRequest", files: Sequence[Path]) -> dict[int, Path]:
    """Say which mask is for which frame, where they are for more than the first frame.

    Args:
        request: has the masks, as they were typed.
        files: of the frames, in order; none where they are no files.

    Returns:
        the masks by their frames' places, ascending; empty where one mask is for the first frame.

    Raises:
        UsageError: if a mask is for no frame, two are for one, there is something beside them, or
            a run shall go on that has no such masks.
    """
    masks = request.prompts.masks
    pairs = [_pair(text) for text in masks]
    if len(pairs) < 2 and not any(frame for frame, _ in pairs):
        if request.resume:
            raise UsageError(
                "--resume without masks of several frames",
                "--mask twice or more, as in the run that was stopped",
                "Leave --resume out: this run begins at the first frame",
            )
        return {}
    if not files or request.live:
        raise UsageError(
            f"Masks for frames of {request.source}", _FOLDER,
            "Take the video apart into images first, or give one mask, for the first frame",
        )  # fmt: skip
    if request.prompts.first or request.prompts.later:
        raise UsageError(
            "--box, --point or --prompts beside masks of several frames", "masks alone"
        )
    if request.learn_outlines is False:
        raise UsageError(
            "--no-learn-outlines with masks of several frames", "one mask, for the first frame",
            "Leave --no-learn-outlines out: outlines are learnt from several masks by themselves",
        )  # fmt: skip
    given: dict[int, Path] = {}
    for frame, mask in pairs:
        index = _place(frame or mask.stem, files, mask)
        if index in given:
            raise UsageError(
                f"{given[index]} and {mask} are both for the frame {files[index].name}",
                "one mask a frame, which may show several objects",
            )
        given[index] = mask
    return dict(sorted(given.items()))


def _pair(text: str) -> tuple[str, Path]:
    frame, equals, mask = text.partition("=")
    return (frame, Path(mask)) if equals and not Path(text).exists() else ("", Path(text))


def _place(frame: str, files: Sequence[Path], mask: Path) -> int:
    names = [file.name for file in files]
    stems = [file.stem for file in files]
    for known in (names, stems):
        if known.count(frame) == 1:
            return known.index(frame)
    close = difflib.get_close_matches(frame, stems, n=3, cutoff=0.3) or stems[:3]
    raise UsageError(
        f"The mask {mask} is for the frame {frame!r}, which is not there",
        f"a frame's name, such as {', '.join(close)}",
        f"--mask {close[0]}={mask}",
    )


def run_propagation(
    request: "SessionRequest",
    source: "Source",
    files: Sequence[Path],
    given: dict[int, Path],
    stack: ExitStack,
) -> None:
    """Carry masks to all frames, write them, and print the report.

    Raises:
        EdgeVosError: if anything that was asked for is wrong or fails.
    """
    from edge_vos.cli.video.run_report import Watch, print_report
    from edge_vos.cli.video.session import open_model, open_outputs, progress, stop_on_signals
    from edge_vos.runtime.interactive.controls import Controls
    from edge_vos.runtime.pipeline import RunReport
    from edge_vos.runtime.propagation.propagate import propagate
    from edge_vos.runtime.sinks.opening import is_interactive
    from edge_vos.runtime.timing.stage_times import StageTimes

    source.close()
    if any(is_interactive(uri) for uri in request.outputs):
        raise UsageError("A window or a page with masks of several frames", "files as outputs")
    model, size_reason = open_model(request, source.fps)
    stack.callback(model.runner.close)
    assumed: list[str] = []
    job = make_job(request, source, files, given, model, assumed)
    folder = open_folder(request, job, model)
    if folder is not None:
        stack.enter_context(folder)
    controls, watch, times = Controls(), Watch(), StageTimes()
    stack.enter_context(stop_on_signals(controls))
    begun = folder.begun if folder is not None else ()
    sinks = open_outputs(request, source, controls, files, list(given.values()), begun)
    count, started_s, numbers = 0, time.perf_counter(), set[int]()
    last_s = started_s
    total = (
        len(files) if request.options.frames is None else min(request.options.frames, len(files))
    )
    with ExitStack() as writing:
        for sink in sinks:
            writing.callback(sink.close)
        advance = writing.enter_context(progress(total))
        carried = writing.enter_context(
            closing(propagate(model, job, controls.stop.is_set, folder))
        )
        for frame, result in carried if total else ():
            for sink in sinks:
                sink.write(frame, result)
            watch(frame, result)
            numbers.update(state.number for state in result.objects)
            now_s = time.perf_counter()
            times.add({**result.timings_ms, "end_to_end": (now_s - last_s) * 1e3})
            last_s, count = now_s, count + 1
            advance()
            if count == total or controls.stop.is_set():
                break
    ended: Ending = "end" if count == len(files) else "frames"
    if controls.stop.is_set() and count < total:
        ended = "stopped"
    if folder is not None:
        folder.finished = ended != "stopped"
    report = RunReport(
        frames=count,
        dropped=0,
        fps=count / (last_s - started_s) if count else 0.0,
        latency_ms=times.summary(),
        object_ids=tuple(sorted(numbers)),
        ended=ended,
    )
    notes = _tell_folder(folder, request.resume) if folder is not None else []
    print_report(request, report, sinks, watch, model, size_reason, assumed, notes)


def open_folder(
    request: "SessionRequest", job: "Job", model: "LoadedModel"
) -> "WorkingFolder | None":
    """Open the working folder beside the first output; without an output there is none.

    Raises:
        UsageError: if the run shall go on and has no output.
        SinkError: if what is there is from another run, or from one that need not go on.
    """
    from edge_vos.runtime.propagation.working_folder import Run, WorkingFolder, beside
    from edge_vos.runtime.sinks.opening import first_output

    output = first_output(request.outputs)
    if output is None:
        if request.resume:
            raise UsageError(
                "--resume without an output",
                "the outputs of the run that was stopped",
                "Add them, such as -o coco:labels.json",
            )
        return None
    return WorkingFolder.open(
        beside(output),
        Run.of(job, model, request.outputs),
        resume=request.resume,
        overwrite=request.options.overwrite,
    )


def _tell_folder(folder: "WorkingFolder", resume: bool) -> list[str]:
    """Say, on stderr too, what was taken from a run before, and what is left for one after."""
    told = []
    if resume:
        found = f"{folder.taken} frames were taken from" if folder.taken else "there is nothing in"
        told.append(f"--resume: {found} {folder.path}")
    if not folder.finished and folder.holds_something:
        told.append(f"{len(folder.frames)} frames are kept in {folder.path}: --resume goes on")
    for note in told:
        print(note, file=sys.stderr, flush=True)
    return told


def make_job(
    request: "SessionRequest",
    source: "Source",
    files: Sequence[Path],
    given: dict[int, Path],
    model: "LoadedModel",
    assumed: list[str],
) -> "Job":
    """Read the masks, and give every object one channel in all of them.

    Raises:
        PromptError: if a mask cannot be read, or there are too many objects.
        UsageError: if there are more names than objects.
    """
    from edge_vos.cli.video.prompts import tell
    from edge_vos.runtime.annotations.annotation import Annotation, FrameName
    from edge_vos.runtime.annotations.channels import assign_channels, to_channels
    from edge_vos.runtime.annotations.reading import read_annotation
    from edge_vos.runtime.annotations.to_prompt import tell_channels, usable_names
    from edge_vos.runtime.propagation.job import Job, Keyframe, frame_size

    read: dict[int, Annotation] = {}
    own: dict[int, str] = {}
    for index, mask in given.items():
        size = frame_size(files[index])
        annotation = read_annotation(mask, FrameName(size, files[index].name, index))
        told = list(annotation.assumed)
        own = {**usable_names(annotation, told), **own}
        tell(mask, told, assumed)
        read[index] = annotation
    ids = {i for annotation in read.values() for i in annotation.object_ids}
    channel_by_id = assign_channels(ids, model.manifest.channels)
    moved: list[str] = []
    tell_channels(channel_by_id, moved)
    tell(next(iter(given.values())), moved, assumed)
    typed = request.prompts.names
    if len(typed) > len(channel_by_id):
        raise UsageError(
            f"There are {len(typed)} names and {len(channel_by_id)} objects",
            "at most one --name for each object",
        )
    names = {**own, **dict(zip(channel_by_id, typed, strict=False))}
    return Job(
        frames=tuple(files),
        keyframes=tuple(
            Keyframe(index, to_channels(annotation.labels, channel_by_id))
            for index, annotation in read.items()
        ),
        fps=source.fps,
        names={channel: names[i] for i, channel in channel_by_id.items() if i in names},
        given_ids={channel: i for i, channel in channel_by_id.items() if i != channel},
    )
