"""The outputs for other tools, by the prefix of their URI."""

from pathlib import Path

from edge_vos.runtime.sinks.labels.label_file import FrameFiles, LabelFile
from edge_vos.runtime.sinks.output import Sink

FILE_SUFFIXES = {"coco": ".json", "ytvis": ".json", "mots": ".txt", "cvat": ".xml"}
"""Those that write one file, with its suffix."""

FOLDERS = ("yolo", "labelme")
"""Those that write a folder."""

KINDS = (
    "coco:labels.json, ytvis:labels.json, mots:labels.txt, cvat:labels.xml, yolo:FOLDER or "
    "labelme:FOLDER"
)


def label_scheme(uri: str) -> str:
    """Return the prefix of such an output; empty for any other."""
    scheme, colon, _ = uri.partition(":")
    return scheme if colon and (scheme in FILE_SUFFIXES or scheme in FOLDERS) else ""


def open_labels(uri: str, path: Path, frame_files: FrameFiles, begun: bool = False) -> Sink:
    """Open an output for another tool.

    Args:
        uri: with its prefix.
        path: what stands behind the prefix.
        frame_files: of the frames, so that they can be named.
        begun: a run that goes on began it: a folder need not be empty.

    Raises:
        SinkError: if it cannot be written.
    """
    # Each is imported when it is asked for: live needs none of them, nor what they import.
    scheme = label_scheme(uri)
    if scheme in FOLDERS:
        from edge_vos.runtime.sinks.labels.label_folder import LabelFolder, LabelMe, Yolo

        kept = Yolo(frame_files) if scheme == "yolo" else LabelMe(frame_files, path)
        return LabelFolder(uri, path, kept, begun)
    if scheme == "mots":
        from edge_vos.runtime.sinks.labels.mots import Mots

        return LabelFile(uri, path, Mots())
    if scheme == "cvat":
        from edge_vos.runtime.sinks.labels.cvat import Cvat

        return LabelFile(uri, path, Cvat(frame_files))
    from edge_vos.runtime.sinks.labels.coco import Coco, YouTubeVis

    kind = Coco if scheme == "coco" else YouTubeVis
    return LabelFile(uri, path, kind(frame_files))
