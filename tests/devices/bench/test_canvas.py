"""Axes of pictures are labelled with round values."""

import pytest

from edge_vos.devices.bench.pictures.canvas import round_values


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((0.0, 76.6), [0.0, 20.0, 40.0, 60.0]),
        ((79.35, 84.09), [80.0, 81.0, 82.0, 83.0, 84.0]),
        ((-0.3, 0.32), [-0.2, 0.0, 0.2]),
        ((5.0, 5.0), [5.0]),
        ((0.0, 0.0004), [0.0, 0.0001, 0.0002, 0.0003, 0.0004]),
    ],
)
def test_values_along_an_axis_are_round_and_lie_in_its_span(
    span: tuple[float, float], expected: list[float]
) -> None:
    assert round_values(span) == pytest.approx(expected)
