import json
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from edge_vos.devices.bench.report import BenchReport
from edge_vos.devices.deploy.deploy import Deployment
from edge_vos.devices.deploy.phone import PhoneInfo, PhoneReport
from edge_vos.devices.doctor import diagnose
from edge_vos.devices.report_json import json_schema, read_report_as, to_json
from edge_vos.devices.report_schemas import REPORTS, schema_text

SCHEMAS = files("edge_vos.devices").joinpath("schemas")
PHONE = PhoneReport(
    "student", "ab" * 32, "litert", "int8", (240, 432), None,
    PhoneInfo("Pixel 9", "Tensor G4", "16"), {"infer": {"mean": 9.5}}, None, 35.0, None,
    ("The network alone.",),
)  # fmt: skip


@dataclass(frozen=True)
class Inner:
    """Hold a number.

    Args:
        number: of something
            that goes on.
    """

    number: float


@dataclass(frozen=True)
class Outer:
    """Hold one of each kind.

    Args:
        pair: two numbers.
    """

    pair: tuple[int, str]
    many: tuple[Inner, ...]
    maybe: Inner | None
    named: dict[str, list[bool]]
    anything: Any
    late: int = 3


OUTER = Outer((1, "a"), (Inner(1.0), Inner(2.5)), None, {"x": [True]}, {"y": [1]})
DOCUMENT = json.loads(to_json(OUTER))


def check(document: object, name: str) -> None:
    schema = json.loads(schema_text(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", REPORTS)
def test_the_files_are_those_of_the_classes(name: str) -> None:
    """`python -m edge_vos.devices.report_schemas devices/schemas` writes them anew."""
    assert SCHEMAS.joinpath(f"{name}.schema.json").read_text() == schema_text(name)


def test_the_files_are_those_of_the_reports() -> None:
    there = {file.name for file in SCHEMAS.iterdir()}
    assert there == {f"{name}.schema.json" for name in REPORTS}


def test_reports_are_valid(clip_report: BenchReport, live_report: BenchReport) -> None:
    for report in (clip_report, live_report):
        check(json.loads(report.to_json()), "bench")
        assert read_report_as(BenchReport, json.loads(report.to_json())) == report
    check(json.loads(to_json(diagnose(None))), "doctor")
    deployed = Deployment("dir://x", "Linux", "/x", ("a",), 1, 0, None, None, clip_report, "go")
    for report_there in (clip_report, PHONE):
        found = replace(deployed, report=report_there)
        check(json.loads(to_json(found)), "deploy")
        assert read_report_as(Deployment, json.loads(to_json(found))) == found
    with pytest.raises(jsonschema.ValidationError):
        check({**json.loads(clip_report.to_json()), "fps": "fast"}, "bench")
    with pytest.raises(jsonschema.ValidationError):
        check({**json.loads(clip_report.to_json()), "more": 1}, "bench")


def test_a_report_reads_back() -> None:
    assert read_report_as(Outer, DOCUMENT) == OUTER
    assert read_report_as(Outer, {**DOCUMENT, "maybe": {"number": 3}}).maybe == Inner(3.0)
    without = {name: value for name, value in DOCUMENT.items() if name != "late"}
    assert read_report_as(Outer, without).late == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [({"pair": [1]}, r"the report\.pair is \[1\]"), ({"pair": ["1", "a"]}, r"pair\[0\]"),
     ({"many": [{}]}, r"many\[0\] has no 'number'"), ({"maybe": 3}, "maybe is no object"),
     ({"many": [{"number": True}]}, "number is True"), ({"named": {"x": [1]}}, r"named\.x\[0\]"),
     ({"odd": 1}, "unknown 'odd'"), ({"late": 1.5}, "late is 1.5")],
)  # fmt: skip
def test_what_does_not_fit_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_report_as(Outer, {**DOCUMENT, **change})


def test_a_schema_says_what_the_docstring_says() -> None:
    schema = json_schema(Outer)
    assert schema["properties"]["pair"]["description"] == "two numbers."
    assert schema["$defs"]["Inner"]["properties"]["number"] == {
        "description": "of something that goes on.", "type": "number"
    }  # fmt: skip
    assert "late" not in schema["required"]
    jsonschema.validate(DOCUMENT, schema)
