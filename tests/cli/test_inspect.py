"""``edge-vos inspect`` prints what is in a bundle, as a table or as JSON."""

import json
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from edge_vos.bundle import Bundle, Manifest, write_bundle
from edge_vos.cli import app
from edge_vos.errors import BundleError


def test_json_holds_the_promised_keys(tiny_bundle: Bundle) -> None:
    result = CliRunner().invoke(app, ["inspect", str(tiny_bundle.path), "--json"])
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["parameters"] == tiny_bundle.manifest.parameters
    assert document["macs"] == 1
    assert document["memory_slot_bytes"] == 4 * (3 + 5) * 4 * 6
    assert document["inputs"][0] == {
        "name": "image",
        "shape": [1, 3, 64, 96],
        "dtype": "float32",
        "description": "RGB in [0, 255]; normalisation is inside the graph",
    }
    assert [spec["name"] for spec in document["outputs"]] == ["probability", "key", "value"]
    assert document["sha256"] == tiny_bundle.sha256


def test_the_table_says_the_same(tiny_bundle: Bundle) -> None:
    result = CliRunner().invoke(app, ["inspect", str(tiny_bundle.path)])
    assert result.exit_code == 0
    for text in ("64x96", "memory_value", "4 slots", "passed"):
        assert text in result.stdout


def test_the_reports_are_shown(tmp_path: Path, tiny_manifest: Manifest) -> None:
    report = {
        "executed": True,
        "passed": True,
        "failures": [],
        "mask_iou": 0.98,
        "jf_drop": 0.25,
        "placement": {
            "accelerator": "XNNPACK",
            "partitions": 1,
            "delegated": {"conv": 40, "add": 2},
            "left": {"topk": 3},
            "predicted": True,
        },
        "quantization": {
            "calibration": "bear",
            "calls": 32,
            "left_float": ["key"],
            "kept_float": ["encoder.stem"],
            "tries": 2,
        },
    }
    manifest = replace(tiny_manifest, report=report, tools={"torch": "2.13.0"})
    bundle = write_bundle(tmp_path / "a.bundle", manifest, {"model.onnx": b""})
    result = CliRunner().invoke(app, ["inspect", str(bundle.path)], env={"COLUMNS": "200"})
    for text in (
        "passed, mask IoU 0.98000, J&F drop 0.25",
        "42 operators in 1 partition (predicted)",
        "3 topk",
        "32 calls of bear",
        "encoder.stem",
        "2.13.0",
    ):
        assert text in result.stdout


def test_a_missing_bundle_is_a_named_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "none.bundle")])
    assert isinstance(result.exception, BundleError)
