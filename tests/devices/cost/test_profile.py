import json
from collections.abc import Callable

import pytest

from edge_vos.bundle import Bundle
from edge_vos.devices.cost.model_parts import PARTS
from edge_vos.devices.cost.operators import OperatorCost
from edge_vos.devices.cost.profile import (
    TOP,
    ProfileReport,
    _beyond_peak,
    group_rows,
    operator_rows,
    profile_bundle,
    summary,
    to_markdown,
)
from edge_vos.devices.report_json import read_report_as, to_json
from edge_vos.errors import EngineError

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def shipped() -> ProfileReport:
    return profile_bundle(None, threads=1, calls=2)


def test_the_most_expensive_operators_come_first_with_work_and_part(shipped: ProfileReport) -> None:
    times = [cost.time_ms for cost in shipped.operators]
    assert len(times) == TOP
    assert times == sorted(times, reverse=True)
    assert shipped.operator_count > 100
    assert all(cost.part in PARTS for cost in shipped.operators)
    assert sum(part.time_ms for part in shipped.parts) == pytest.approx(shipped.call_ms)
    assert sum(kind.macs for kind in shipped.kinds) == shipped.macs > 7e8
    header, *rows = operator_rows(shipped)
    assert header[0] == "operator"
    assert {len(row) for row in rows} == {len(header)}
    assert [row[0] for row in group_rows("part", shipped.parts)] == ["part", *PARTS]
    assert f"{shipped.operator_count} operators" in summary(shipped)["whole call"]


def test_it_is_json_that_reads_back_and_a_page(shipped: ProfileReport) -> None:
    document = json.loads(to_json(shipped))
    assert {"time_ms", "macs", "share_percent", "part", "operator"} <= set(document["operators"][0])
    assert read_report_as(ProfileReport, document) == shipped
    page = to_markdown(shipped)
    assert f"| {shipped.operators[0].name} | {shipped.operators[0].operator} |" in page


def test_another_engine_is_said_to_have_no_profiler(golden_bundle: Callable[..., Bundle]) -> None:
    pytest.importorskip("ai_edge_litert")
    bundle = golden_bundle(backend="litert")
    with pytest.raises(EngineError, match=r"'litert' has no profiler.*convert --target cpu"):
        profile_bundle(bundle.path)


def test_what_is_faster_than_the_peak_is_told() -> None:
    cost = OperatorCost("x", 1.0, 50.0, 10, 1.0, 120.0, "Conv", "convolution", None)
    assert "1 operators are faster" in _beyond_peak((cost,))[0]
    assert _beyond_peak(()) == []
