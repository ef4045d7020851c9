from pathlib import Path

import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.sinks.opening import open_sink, open_sinks

SIZE = (120, 160)


@pytest.mark.parametrize("other", ["{0}/./a.mkv", "{0}/a.partial.mkv", "green:{0}/link/a.mkv"])
def test_a_file_of_another_name_is_not_given_to_two_outputs(tmp_path: Path, other: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(SinkError, match="file of another output"):
        open_sinks([f"{tmp_path}/a.mkv", other.format(tmp_path)], 25.0, SIZE)
    with pytest.raises(SinkError, match="file of another output"):
        open_sinks([f"{tmp_path}/masks", f"davis://{tmp_path}/link/masks"], 25.0, SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


@pytest.mark.parametrize("source", ["a.mkv", "a.partial.mkv", "00000.png"])
@pytest.mark.parametrize("output", ["{0}/a.mkv", "matte:{0}/a.mkv", "{0}/link.mkv", "{0}/"])
def test_no_output_replaces_what_is_read(tmp_path: Path, source: str, output: str) -> None:
    path = tmp_path / source
    path.write_text("precious")
    (tmp_path / "link.mkv").symlink_to(path)
    before = sorted(tmp_path.iterdir())
    if source.endswith(".png") and output.endswith("a.mkv"):
        output = "{0}/link.mkv"
    elif source == "a.partial.mkv":
        (tmp_path / "link.mkv").unlink()
        (tmp_path / "link.partial.mkv").hardlink_to(path)
        before = sorted(tmp_path.iterdir())
    with pytest.raises(SinkError, match="read itself"):
        open_sinks([output.format(tmp_path)], 25.0, SIZE, overwrite=True, inputs=[path])
    assert sorted(tmp_path.iterdir()) == before
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["a.mkv", "a.partial.mkv"])
def test_a_folder_is_not_replaced_by_a_video(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(SinkError, match="is a folder"):
        open_sink(f"green:{tmp_path}/a.mkv", 25.0, SIZE, overwrite=True)


@pytest.mark.parametrize("uri", ["", " ", "davis://", "green:"])
def test_an_output_without_a_path_is_refused(uri: str) -> None:
    with pytest.raises(SinkError, match="has no path"):
        open_sink(uri, 25.0, SIZE)


@pytest.mark.parametrize(
    "uri",
    ["a.gif", "ftp://x/a.mp4", "http://x", "a.mp3", "matte:a.jsonl", "green:masks", "serve:///"],
)
def test_an_unknown_kind_is_refused(uri: str) -> None:
    with pytest.raises(SinkError, match=r"unknown kind|cannot be read"):
        open_sink(uri, 25.0, SIZE)


@pytest.mark.parametrize("name", ["a.mp4", "masks", "a.jsonl"])
def test_an_unwritable_place_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SinkError, match="cannot be written"):
        open_sink(str(tmp_path / "file" / name), 25.0, SIZE)


def test_several_open_together_or_not_at_all(tmp_path: Path) -> None:
    good, twice = str(tmp_path / "a.mkv"), str(tmp_path / "b.jsonl")
    with pytest.raises(SinkError, match="twice"):
        open_sinks([good, twice, twice], 25.0, SIZE)
    with pytest.raises(SinkError, match="unknown kind"):
        open_sinks([good, "a.gif"], 25.0, SIZE)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_given_to_two_outputs(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="file of another output"):
        open_sinks([f"{tmp_path}/a.mkv", f"matte:{tmp_path}/a.mkv"], 25.0, SIZE)
    assert list(tmp_path.iterdir()) == []
