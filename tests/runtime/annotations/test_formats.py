"""Each format's file gives the same two objects, and its mistakes are named."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_vos.errors import MaskError
from edge_vos.runtime.annotations.annotation import Annotation, FrameName
from edge_vos.runtime.annotations.channels import assign_channels, to_channels
from edge_vos.runtime.annotations.reading import LARGEST_BYTES, read_annotation
from edge_vos.runtime.masks import encode_rle
from tests.runtime.annotation_files import (
    MAKERS,
    SIZE,
    SQUARE,
    coco,
    content,
    label_studio,
    labelme,
    labels,
    yolo,
)

WANTED = FrameName(SIZE, "00000.jpg")


def _read(tmp_path: Path, text: object, wanted: FrameName = WANTED) -> Annotation:
    path = tmp_path / "mask"
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return read_annotation(path, wanted)


def _refused(tmp_path: Path, text: object, wanted: FrameName = WANTED) -> str:
    with pytest.raises(MaskError) as caught:
        _read(tmp_path, text, wanted)
    return str(caught.value)


@pytest.mark.parametrize("name", MAKERS)
def test_every_format_gives_the_same_objects(tmp_path: Path, name: str) -> None:
    read = _read(tmp_path, content(name))
    np.testing.assert_array_equal(read.labels, labels())
    named = {} if name == "yolo.txt" else {1: "cup", 2: "hand"}
    assert read.names == named
    with_mark = "\ufeff" + content(name)  # as Windows' editors begin a file
    np.testing.assert_array_equal(_read(tmp_path, with_mark).labels, labels())


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "yolo.txt"])
def test_another_size_is_refused(tmp_path: Path, name: str) -> None:
    assert "48x64" in _refused(tmp_path, content(name), FrameName((40, 64), "00000.jpg"))


def test_the_picture_is_found_by_the_frames_name(tmp_path: Path) -> None:
    second = _read(tmp_path, coco(), FrameName(SIZE, "00001.png"))
    assert (second.object_ids, second.names) == ((1,), {1: "hand"})
    assert "annotation 3 is object 1" in second.assumed
    message = _refused(tmp_path, coco(), FrameName(SIZE, "00002.jpg"))
    assert "None of its 2 pictures is called 00002.jpg" in message.replace("none", "None")
    assert "a/00000.jpg, a/00001.jpg" in message
    from_video = _read(tmp_path, coco(), FrameName(SIZE))
    assert "the first of its 2 pictures, 'a/00000.jpg', is the frame" in from_video.assumed


def test_groups_are_objects_and_keep_their_ids(tmp_path: Path) -> None:
    document = labelme()
    for shape, group in zip(document["shapes"], (14, 14), strict=True):
        shape["group_id"], shape["label"] = group, "cup"
    assert _read(tmp_path, document).object_ids == (14,)
    for shape in document["shapes"]:
        shape["group_id"] = 0
    assert _read(tmp_path, document).object_ids == (1,)
    for shape in document["shapes"]:
        shape["group_id"] = 14
    document["shapes"][1]["label"] = "hand"  # one group of two labels is no one's id
    assert _read(tmp_path, document).object_ids == (1, 2)


def test_labelmes_other_shapes(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.fromarray(labels()[8:30, 6:26]).save(png, "PNG")
    shapes: list[dict[str, Any]] = [
        {
            "label": "cup", "shape_type": "mask", "points": [[6, 8], [25, 29]],
            "mask": base64.b64encode(png.getvalue()).decode(),
        },
        {"label": "hand", "shape_type": "rectangle", "points": [[36, 20], [58, 40]]},
        {"label": "tip", "shape_type": "point", "points": [[1, 1]]},
    ]  # fmt: skip
    read = _read(tmp_path, {**labelme(), "shapes": shapes})
    np.testing.assert_array_equal(read.labels, labels())
    assert any("a rectangle" in told for told in read.assumed)
    assert any("a point, has no area" in told for told in read.assumed)
    shapes[1] = {"label": "hand", "shape_type": "circle", "points": [[40, 30], [46, 30]]}
    disc = _read(tmp_path, {**labelme(), "shapes": shapes[1:]}).labels
    assert abs(int(np.count_nonzero(disc)) - np.pi * 36) < 6


def test_cocos_crowds_tracks_and_lists_of_runs(tmp_path: Path) -> None:
    document = coco()
    first, second, _ = document["annotations"]
    first["track_id"], second["track_id"] = 31, 4
    runs = np.diff(np.flatnonzero(np.diff((labels() == 2).T.ravel(), prepend=True, append=True)))
    second["segmentation"] = {"size": list(SIZE), "counts": runs.tolist()}
    read = _read(tmp_path, document)
    np.testing.assert_array_equal(read.labels, np.array([0, 31, 4])[labels()])
    second["iscrowd"] = 1
    crowd = _read(tmp_path, document)
    assert crowd.object_ids == (31,)
    assert any("annotation 2 is a crowd" in told for told in crowd.assumed)
    second["segmentation"] = {"size": [9, 9], "counts": [81]}
    assert "run lengths are for 9x9" in _refused(tmp_path, document)


def test_run_lengths_and_polygons_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    short = content("images.xml").replace('rle="0, 440"', 'rle="0, 439"')
    assert "do not fill 22x20 pixels" in _refused(tmp_path, short)
    outside = content("images.xml").replace('left="36"', 'left="60"')
    assert "over the frame" in _refused(tmp_path, outside)
    document = coco()
    document["annotations"][0]["segmentation"] = [[6, 8, 26, 8, 26]]
    assert "cannot be read as points" in _refused(tmp_path, document)
    document = label_studio()
    document[0]["annotations"][0]["result"][1]["value"]["rle"].pop(20)
    message = _refused(tmp_path, document)
    assert "rle" in message


def test_yolos_boxes_and_confidences(tmp_path: Path) -> None:
    scored = "".join(f"{line} 0.91\n" for line in yolo().splitlines())
    read = _read(tmp_path, scored)
    np.testing.assert_array_equal(read.labels, labels())
    assert any("2 lines have a confidence" in told for told in read.assumed)
    assert "line 1 is a box" in _refused(tmp_path, "0 0.5 0.5 0.2 0.2\n")
    assert "reaches to 26" in _refused(tmp_path, "0 6 8 26 8 26 20\n")
    same = yolo().replace("\n1 ", "\n0 ")
    assert _read(tmp_path, same).object_ids == (1, 2)


def test_a_video_of_cvat_is_read_by_the_frames_place(tmp_path: Path) -> None:
    message = _refused(tmp_path, content("video.xml"), FrameName(SIZE, "00005.jpg", 5))
    assert "nothing for frame 5" in message
    assert "one of the frames 0" in message


def test_xml_that_defines_entities_is_refused(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "ha" * 9}">' for i in range(10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE a [{levels}]><annotations>&l9;</annotations>'
    assert "document type" in _refused(tmp_path, bomb)
    (tmp_path / "wide").write_bytes(bomb.encode("utf-16"))
    with pytest.raises(MaskError):
        read_annotation(tmp_path / "wide", WANTED)


def test_label_studios_minimal_export_and_what_was_skipped(tmp_path: Path) -> None:
    task = label_studio()[0]
    regions = [
        {**region["value"], "original_width": 64, "original_height": 48}
        for region in task["annotations"][0]["result"][:2]
    ]
    minimal = [{"image": task["data"]["image"], "label": regions}]
    np.testing.assert_array_equal(_read(tmp_path, minimal).labels, labels())
    task["annotations"][0]["was_cancelled"] = True
    assert "has no annotation" in _refused(tmp_path, [task])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"shapes": ', "JSON cannot be read"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"some": "thing"}', "no known kind"),
        ("[]", "no known kind"),
        ("<html></html>", "is of <html>"),
        ("<annotations>", "XML cannot be read"),
        ("a few words", "no known kind"),
        ("", "no known kind"),
    ],
)
def test_what_is_none_of_them_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in _refused(tmp_path, text)


def test_a_polygon_that_reaches_nowhere_is_refused(tmp_path: Path) -> None:
    document = labelme()
    document["shapes"][0]["points"] = [[900, 900], [950, 900], [900, 950]]
    assert "object 1 has no pixel" in _refused(tmp_path, document)
    document["shapes"][0]["points"] = [[1e300, 0], [1, 1], [2, 2]]
    assert "beyond every picture" in _refused(tmp_path, document)
    document["shapes"][0]["points"] = SQUARE[:2]
    assert "has 2 points" in _refused(tmp_path, document)


def test_what_overlaps_is_told(tmp_path: Path) -> None:
    document = labelme()
    document["shapes"][1]["points"] = [[x - 20, y] for x, y in document["shapes"][1]["points"]]
    read = _read(tmp_path, document)
    assert any("overlap in 100 pixels" in told for told in read.assumed)


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    with pytest.raises(MaskError, match="larger than 64 MB"):
        read_annotation(path, WANTED)


def test_ids_of_any_size_get_a_channel() -> None:
    assert assign_channels([3, 1], 5) == {1: 1, 3: 3}
    assert assign_channels([300, 2, 11], 5) == {2: 2, 11: 1, 300: 3}
    assert assign_channels([1, 3, 400], 5, {300: 1}) == {1: 2, 3: 3, 300: 1, 400: 4}
    with pytest.raises(MaskError, match=r"5 objects.*at most 4"):
        assign_channels(range(1, 6), 5)
    mapped = to_channels(np.array([[0, 300, 2]], np.int32), {2: 2, 300: 1})
    assert mapped.tolist() == [[0, 1, 2]]


def test_run_lengths_of_ours_are_cocos(tmp_path: Path) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    ours = encode_rle(labels() == 1)
    theirs = mask.encode(np.asfortranarray(labels() == 1).view(np.uint8))
    assert ours["counts"] == theirs["counts"].decode()


def _region(**value: object) -> list[dict[str, Any]]:
    """Return a task with one region, in per cent of 64x48."""
    task = label_studio()[0]
    task["annotations"][0]["result"] = [{"type": "any", "value": value}]
    return [task]


def test_label_studios_rectangles_turn_about_their_corner(tmp_path: Path) -> None:
    box = {"x": 25.0, "y": 25.0, "width": 50.0, "height": 25.0, "rectanglelabels": ["cup"]}
    read = _read(tmp_path, _region(**box, rotation=0))
    wanted = np.zeros(SIZE, np.int32)
    wanted[12:24, 16:48] = 1
    np.testing.assert_array_equal(read.labels, wanted)
    assert read.names == {1: "cup"}
    assert any("region 0, a rectangle, is an object to its corners" in t for t in read.assumed)
    turned = _read(tmp_path, _region(**box, rotation=90)).labels
    rows, columns = np.nonzero(turned)
    assert (rows.min(), rows.max()) == (12, 43)  # as long downwards as it was across
    assert abs(int(columns.min()) - 4) <= 1
    assert abs(int(columns.max()) - 15) <= 1


def test_label_studios_ellipses_lie_about_their_middle(tmp_path: Path) -> None:
    ellipse = {"x": 50.0, "y": 50.0, "radiusX": 25.0, "radiusY": 12.5, "ellipselabels": ["hand"]}
    read = _read(tmp_path, _region(**ellipse))
    assert abs(int(np.count_nonzero(read.labels)) - np.pi * 16 * 6) < 12
    rows, columns = np.nonzero(read.labels)
    assert (rows.mean(), columns.mean()) == pytest.approx((23.5, 31.5), abs=0.6)
    assert np.ptp(columns) > 2 * np.ptp(rows)
    assert (read.names, read.assumed) == ({1: "hand"}, ())
    upright = _read(tmp_path, _region(**ellipse, rotation=90)).labels
    rows, columns = np.nonzero(upright)
    assert np.ptp(rows) > 2 * np.ptp(columns)


@pytest.mark.parametrize("wrong", ["wide", True, None, 1e12])
def test_label_studios_sides_are_numbers(tmp_path: Path, wrong: object) -> None:
    message = _refused(tmp_path, _region(x=1.0, y=1.0, width=wrong, height=5.0))
    assert f"region 0's width is {wrong}" in message
    assert "a number" in message


def test_cvats_ellipses_boxes_and_shapes_without_an_area(tmp_path: Path) -> None:
    shapes = (
        '<ellipse label="cup" cx="20" cy="20" rx="10" ry="6"></ellipse>'
        '<points label="tip" points="1,1"></points>'
        '<box label="hand" xtl="40" ytl="30" xbr="60" ybr="40"></box>'
    )
    page = (
        '<annotations><image id="0" name="00000.jpg" width="64" height="48">'
        f"{shapes}</image></annotations>"
    )
    read = _read(tmp_path, page)
    assert read.names == {1: "cup", 2: "hand"}
    assert abs(int(np.count_nonzero(read.labels == 1)) - np.pi * 60) < 10
    assert np.count_nonzero(read.labels == 2) == 20 * 10
    assert any("points has no area and is left out" in told for told in read.assumed)
    assert "a box is an object to its corners" in read.assumed
    message = _refused(tmp_path, page.replace('rx="10"', 'rx="wide"'))
    assert "ellipse's rx is 'wide'" in message
    outside = content("images.xml").replace('left="36"', 'left="-1"')
    assert "a mask's window is 22x20 at -1,20" in _refused(tmp_path, outside)


def test_labelmes_embedded_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    shape: dict[str, Any] = {
        "label": "cup", "shape_type": "mask", "points": [[50, 8], [69, 29]], "mask": "",
    }  # fmt: skip
    document = {**labelme(), "shapes": [shape]}
    assert "shape 0's mask reaches over the frame" in _refused(tmp_path, document)
    shape["points"], shape["mask"] = [[6, 8], [25, 29]], "no base64!"
    assert "shape 0's mask is not base64" in _refused(tmp_path, document)
    shape["shape_type"] = "cube"
    assert "shape 0 is of the kind 'cube'" in _refused(tmp_path, document)
