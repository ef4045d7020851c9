"""Times as people type them."""

import pytest

from edge_vos.cli.video.times import parse_time
from edge_vos.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("90", 90), ("90.5", 90.5), (".5", 0.5), ("1:30", 90), ("01:02.5", 62.5),
     ("1:00:00", 3600), ("00:01:30.25", 90.25), (" 12 ", 12), ("100:00:01", 360001)],
)  # fmt: skip
def test_a_time_is_in_seconds(text: str, expected: float) -> None:
    assert parse_time("--start", text) == expected


@pytest.mark.parametrize(
    "text", ["", "-1", "1:60", "1:2:3:4", "60:00:61", "1:99:00", "a", "1e3", "nan", "1,5", ":30"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--end .* is no time.*Give --end 1:02\.5"):
        parse_time("--end", text)
