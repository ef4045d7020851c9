"""Labels for other tools: out, and in again, by their own libraries where those are here."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import SinkError
from edge_vos.runtime.annotations.annotation import FrameName
from edge_vos.runtime.annotations.reading import read_annotation
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.masks import read_mask
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.labels.label_file import FrameFiles
from edge_vos.runtime.sinks.opening import open_sink, open_sinks
from edge_vos.runtime.sources.frame import Frame

# Of pycocotools 2.0.11 itself, with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = (120, 160)
FRAMES = 4


def _mask(index: int) -> NDArray[np.uint8]:
    """Draw a ring in two parts as object 1, and a blob as object 2, which is gone in frame 2."""
    mask = np.zeros(SIZE, np.uint8)
    if index != 2:
        cv2.ellipse(mask, (110 - index, 70), (30, 18), 20, 0, 360, 2, -1)
    cv2.circle(mask, (50 + index, 50), 30, 1, -1)
    cv2.circle(mask, (50 + index, 50), 12, 0, -1)
    mask[100:110, 10:22] = 1
    return mask


def _state(mask: NDArray[np.uint8], object_id: int) -> ObjectState:
    selected = (mask == object_id).astype(np.uint8)
    area_px = int(selected.sum())
    name, given = ("cup", 0) if object_id == 1 else ("", 14)
    if not area_px:
        return ObjectState(object_id, 0, (0, 0, 0, 0), 0.0, True, name, given)
    left, top, width, height = cv2.boundingRect(selected)
    return ObjectState(object_id, area_px, (left, top, width, height), 0.9, False, name, given)


def _pair(index: int) -> tuple[Frame, FrameResult]:
    image = np.full((*SIZE, 3), 90, np.uint8)
    mask = _mask(index)
    states = tuple(_state(mask, object_id) for object_id in (1, 2))
    result = FrameResult(mask, np.zeros((5, 30, 40), np.float32), states, {}, index)
    return Frame(image, index, index / 25, 0.0, 0.0), result


def _write(uri: str, frame_files: FrameFiles | None = None, frames: int = FRAMES) -> None:
    with open_sink(uri, 25.0, SIZE, frame_files=frame_files) as sink:
        for index in range(frames):
            sink.write(*_pair(index))


def _numbers(index: int) -> NDArray[np.int32]:
    """Return the mask as outputs have it: object 2 is the user's 14."""
    return np.array([0, 1, 14])[_mask(index)].astype(np.int32)


def _assert_within_a_pixel(found: NDArray[np.bool_], mask: NDArray[np.bool_]) -> None:
    kernel = np.ones((3, 3), np.uint8)
    assert not (found & (cv2.dilate(mask.view(np.uint8), kernel) == 0)).any()
    assert not (~found & (cv2.erode(mask.view(np.uint8), kernel) > 0)).any()


@pytest.mark.parametrize("uri", ["coco:a.json", "cvat:a.xml"])
def test_run_lengths_come_back_to_the_last_pixel(tmp_path: Path, uri: str) -> None:
    path = tmp_path / uri.partition(":")[2]
    _write(f"{uri.partition(':')[0]}:{path}")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    for index in range(FRAMES):
        read = read_annotation(path, FrameName(SIZE, f"{index:05d}.jpg", index))
        np.testing.assert_array_equal(read.labels, _numbers(index))
        assert read.names[1] == "cup"
        assert read.assumed == ()


@pytest.mark.parametrize("kind", ["labelme", "yolo"])
def test_polygons_come_back_within_a_pixel(tmp_path: Path, kind: str) -> None:
    _write(f"{kind}:{tmp_path / 'out'}")
    for index in range(FRAMES):
        name = f"labels/{index:05d}.txt" if kind == "yolo" else f"{index:05d}.json"
        read = read_annotation(tmp_path / "out" / name, FrameName(SIZE, f"{index:05d}.jpg", index))
        seen = (1, 2) if index != 2 else (1,)
        ids = {1: 1, 2: 2} if kind == "yolo" else {1: 1, 2: 14}
        assert read.object_ids == tuple(ids[i] for i in seen)
        for i in seen:
            _assert_within_a_pixel(read.labels == ids[i], _mask(index) == i)


def test_pycocotools_reads_coco(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    _write(f"coco:{tmp_path / 'a.json'}")
    data = coco.COCO(str(tmp_path / "a.json"))
    assert [image["file_name"] for image in data.loadImgs(data.getImgIds())] == [
        f"{index:05d}.jpg" for index in range(FRAMES)
    ]
    assert {category["name"] for category in data.loadCats(data.getCatIds())} == {"cup", "object"}
    for index in range(FRAMES):
        found = np.zeros(SIZE, np.int32)
        for annotation in data.loadAnns(data.getAnnIds(imgIds=index + 1)):
            pixels = data.annToMask(annotation) > 0
            found[pixels] = annotation["track_id"]
            left, top, width, height = annotation["bbox"]
            assert pixels[top : top + height, left : left + width].sum() == annotation["area"]
        np.testing.assert_array_equal(found, _numbers(index))


def test_pycocotools_reads_youtube_vis(tmp_path: Path) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    _write(f"ytvis:{tmp_path / 'a.json'}")
    document = json.loads((tmp_path / "a.json").read_text())
    (video,) = document["videos"]
    assert (video["length"], len(video["file_names"])) == (FRAMES, FRAMES)
    for index in range(FRAMES):
        found = np.zeros(SIZE, np.int32)
        for annotation in document["annotations"]:
            if (rle := annotation["segmentations"][index]) is not None:
                found[mask.decode(rle) > 0] = annotation["id"]
            else:
                assert annotation["bboxes"][index] is annotation["areas"][index] is None
        np.testing.assert_array_equal(found, _numbers(index))


def test_pycocotools_reads_mots(tmp_path: Path) -> None:
    mask = pytest.importorskip("pycocotools.mask")
    _write(f"mots:{tmp_path / 'a.txt'}")
    found = np.zeros((FRAMES, *SIZE), np.int32)
    for line in (tmp_path / "a.txt").read_text().splitlines():
        frame, number, kind, height, width, rle = line.split(" ")
        assert int(number) // 1000 == int(kind)
        decoded = mask.decode({"size": [int(height), int(width)], "counts": rle.encode()})
        found[int(frame)][decoded > 0] = int(number) % 1000
    for index in range(FRAMES):
        np.testing.assert_array_equal(found[index], _numbers(index))


def test_supervision_reads_the_yolo_data_set(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    _write(f"yolo:{tmp_path / 'set'}")
    folder = tmp_path / "set"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = supervision.DetectionDataset.from_yolo(
            str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml"),
            force_masks=True,
        )  # fmt: skip
        assert data.classes == ["cup", "object 14"]
        for path, image, found in data:
            index = int(Path(path).stem)
            assert image.shape == (*SIZE, 3)
            for pixels, kind in zip(np.asarray(found.mask), found.class_id, strict=True):
                # Theirs draws the outline too, bridges between parts included.
                mask = _mask(index) == kind + 1
                assert (pixels & mask).sum() / (pixels | mask).sum() > 0.9


def test_supervision_takes_a_result(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    _, result = _pair(0)
    found = result.to_supervision()
    assert isinstance(found, supervision.Detections)
    assert found.tracker_id.tolist() == [1, 14]
    assert found.data["class_name"].tolist() == ["cup", "14"]
    np.testing.assert_array_equal(found.mask[1], result.mask == 2)
    boxes = supervision.mask_to_xyxy(found.mask)  # to the last pixel, not to its far edge
    np.testing.assert_array_equal(found.xyxy - [0, 0, 1, 1], boxes)
    assert len(_pair(2)[1].to_supervision()) == 1
    lost = replace(result, objects=tuple(replace(s, lost=True) for s in result.objects))
    assert len(lost.to_supervision()) == 0


def test_labels_name_the_frames_own_files(tmp_path: Path) -> None:
    files = tuple(tmp_path / "frames" / f"shot_{index}.png" for index in range(FRAMES))
    files[0].parent.mkdir()
    for file in files:
        cv2.imwrite(str(file), np.full((*SIZE, 3), 70, np.uint8))
    for uri in ("labelme:l", "yolo:y", "coco:c.json"):
        scheme, _, name = uri.partition(":")
        _write(f"{scheme}:{tmp_path / name}", FrameFiles(files))
    document = json.loads((tmp_path / "l" / "shot_3.json").read_text())
    assert document["imagePath"] == "../frames/shot_3.png"
    assert (tmp_path / "l" / document["imagePath"]).resolve() == files[3].resolve()
    assert sorted(file.name for file in (tmp_path / "l").iterdir())[0] == "shot_0.json"
    copied = tmp_path / "y" / "images" / "shot_3.png"
    assert copied.read_bytes() == files[3].read_bytes()
    images = json.loads((tmp_path / "c.json").read_text())["images"]
    assert [image["file_name"] for image in images] == [file.name for file in files]


def test_labelme_has_what_its_reader_asks_for(tmp_path: Path) -> None:
    """The keys and types of labelme 6.3's ``read_label_file``, which needs Qt to be imported."""
    _write(f"labelme:{tmp_path / 'l'}", frames=1)
    document = json.loads((tmp_path / "l" / "00000.json").read_text())
    picture = cv2.imread(str(tmp_path / "l" / document["imagePath"]))
    assert picture.shape[:2] == (document["imageHeight"], document["imageWidth"])
    assert document["imageData"] is None
    for shape in document["shapes"]:
        assert shape["shape_type"] == "polygon"
        assert isinstance(shape["label"], str)
        assert isinstance(shape["group_id"], int)
        assert len(shape["points"]) >= 3
        assert all(len(point) == 2 for point in shape["points"])
    assert [shape["group_id"] for shape in document["shapes"]] == [1, 1, 14]  # of two parts, one


def test_cvat_has_what_its_import_asks_for(tmp_path: Path) -> None:
    _write(f"cvat:{tmp_path / 'a.xml'}")
    root = ElementTree.parse(tmp_path / "a.xml").getroot()
    assert [child.tag for child in root][:2] == ["version", "meta"]
    assert root.findtext("meta/task/size") == str(FRAMES)
    names = {label.findtext("name") for label in root.iter("label")}
    for mask in root.iter("mask"):
        assert mask.get("label") in names
        runs = [int(run) for run in mask.get("rle", "").split(", ")]
        assert sum(runs) == int(mask.get("width", 0)) * int(mask.get("height", 0))
        assert mask.get("group_id") in ("1", "14")


def test_names_with_odd_characters_come_back(tmp_path: Path) -> None:
    frame, result = _pair(0)
    name = "a \"<&>' ü"
    odd = replace(result, objects=(replace(result.objects[0], name=name), result.objects[1]))
    for uri in ("cvat:a.xml", "coco:a.json"):
        scheme, _, file = uri.partition(":")
        with open_sink(f"{scheme}:{tmp_path / file}", 25.0, SIZE) as sink:
            sink.write(frame, odd)
        read = read_annotation(tmp_path / file, FrameName(SIZE, "00000.jpg"))
        assert read.names == {1: name, 14: "object"}


@pytest.mark.parametrize("uri", ["coco:a.json", "ytvis:a.json", "mots:a.txt", "cvat:a.xml"])
def test_files_are_whole_or_not_there(tmp_path: Path, uri: str) -> None:
    scheme, _, name = uri.partition(":")
    sink = open_sink(f"{scheme}:{tmp_path / name}", 25.0, SIZE)
    sink.write(*_pair(0))
    assert list(tmp_path.iterdir()) == []  # a run that is killed here leaves nothing
    sink.close()
    sink.close()
    sink.write(*_pair(1))
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with pytest.raises(SinkError, match="Add --overwrite"):
        open_sink(f"{scheme}:{tmp_path / name}", 25.0, SIZE)
    (tmp_path / name).unlink()
    open_sink(f"{scheme}:{tmp_path / name}", 25.0, SIZE).close()
    assert list(tmp_path.iterdir()) == []  # without a frame there is no file


@pytest.mark.parametrize("kind", ["yolo", "labelme"])
def test_folders_are_new(tmp_path: Path, kind: str) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "precious").write_text("x")
    with pytest.raises(SinkError, match="not empty"):
        open_sink(f"{kind}:{tmp_path / 'old'}", 25.0, SIZE, overwrite=True)
    open_sink(f"{kind}:{tmp_path / 'new'}", 25.0, SIZE).close()
    assert not (tmp_path / "new").exists()
    assert [file.name for file in (tmp_path / "old").iterdir()] == ["precious"]


@pytest.mark.parametrize(
    "uri", ["coco:a.txt", "mots:a.json", "cvat:", "yolo:", "coco: ", "ytvis:a", "labelme:"]
)
def test_other_names_are_refused(uri: str) -> None:
    with pytest.raises(SinkError, match="has no path"):
        open_sink(uri, 25.0, SIZE)


def test_labels_do_not_replace_what_is_read(tmp_path: Path) -> None:
    given = tmp_path / "a.json"
    given.write_text("{}")
    with pytest.raises(SinkError, match="which is read itself"):
        open_sinks([f"coco:{given}"], 25.0, SIZE, overwrite=True, inputs=[given])
    with pytest.raises(SinkError, match="file of another output"):
        open_sinks([f"coco:{tmp_path}/b.json", f"ytvis:{tmp_path}/b.json"], 25.0, SIZE)


def test_mots_has_no_room_for_large_ids(tmp_path: Path) -> None:
    frame, result = _pair(0)
    large = replace(result, objects=(replace(result.objects[0], given_id=1000),))
    sink = open_sink(f"mots:{tmp_path / 'a.txt'}", 25.0, SIZE)
    with pytest.raises(SinkError, match="ids below 1000"):
        sink.write(frame, large)
    sink.close()


@pytest.mark.parametrize("given", [200, 300])
def test_a_folder_of_masks_has_the_users_ids(tmp_path: Path, given: int) -> None:
    frame, result = _pair(0)
    mine = replace(result, objects=(result.objects[0], replace(result.objects[1], given_id=given)))
    with open_sink(f"{tmp_path}/m/", 25.0, SIZE) as sink:
        sink.write(frame, mine)
    read = read_annotation(tmp_path / "m" / "00000.png", FrameName(SIZE))
    np.testing.assert_array_equal(read.labels, np.array([0, 1, given])[result.mask])
    if given < 256:
        np.testing.assert_array_equal(read_mask(tmp_path / "m" / "00000.png"), read.labels)


@pytest.mark.parametrize("scheme", ["yolo", "labelme"])
def test_a_folder_that_is_not_empty_is_left_alone_unless_a_run_began_it(
    tmp_path: Path, scheme: str
) -> None:
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "notes.txt").write_text("precious")
    with pytest.raises(SinkError, match=r"is not empty.*(new or empty folder|--overwrite)"):
        open_sink(f"{scheme}:{folder}", 25.0, SIZE)
    with open_sink(f"{scheme}:{folder}", 25.0, SIZE, begun=True) as sink:
        sink.write(*_pair(0))
        sink.close()
    assert (folder / "notes.txt").read_text() == "precious"
    assert len(list(folder.iterdir())) > 1


@pytest.mark.parametrize("scheme", ["yolo", "labelme"])
def test_a_folder_without_a_frame_goes_again_if_the_run_made_it(
    tmp_path: Path, scheme: str
) -> None:
    made, found = tmp_path / "made", tmp_path / "found"
    found.mkdir()
    for folder in (made, found):
        sink = open_sink(f"{scheme}:{folder}", 25.0, SIZE)
        sink.close()
        sink.close()
        assert sink.files == ()
    assert [path.name for path in tmp_path.iterdir()] == ["found"]


def test_a_frame_whose_file_is_gone_cannot_be_copied(tmp_path: Path) -> None:
    picture = tmp_path / "frames" / "00000.jpg"
    picture.parent.mkdir()
    cv2.imwrite(str(picture), np.zeros((*SIZE, 3), np.uint8))
    frame_files = FrameFiles((picture,))
    sink = open_sink(f"yolo:{tmp_path / 'set'}", 25.0, SIZE, frame_files=frame_files)
    picture.unlink()
    with pytest.raises(SinkError, match=r"00000\.jpg cannot be copied \(No such file"):
        sink.write(*_pair(0))
    sink.close()


def test_a_file_that_is_in_the_way_is_named_and_nothing_is_half_written(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    sink = open_sink(f"yolo:{folder}", 25.0, SIZE)
    sink.write(*_pair(0))
    (folder / "data.yaml").mkdir()
    with pytest.raises(SinkError, match=r"data\.yaml"):
        sink.close()
    assert not list(folder.rglob("*.partial*"))
    assert len(list((folder / "labels").iterdir())) == 1


@pytest.mark.parametrize("uri", ["coco:a.json", "cvat:a.xml", "mots:a.txt"])
def test_a_label_file_that_cannot_get_its_name_is_named(tmp_path: Path, uri: str) -> None:
    scheme, _, name = uri.partition(":")
    sink = open_sink(f"{scheme}:{tmp_path / name}", 25.0, SIZE)
    sink.write(*_pair(0))
    (tmp_path / name).mkdir()
    with pytest.raises(SinkError, match=name):
        sink.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    sink.write(*_pair(1))  # it is closed: nothing comes of it
    sink.close()
    assert not list((tmp_path / name).iterdir())
