"""What an object may be called."""

import pytest

from edge_vos.errors import PromptError
from edge_vos.runtime.objects.names import LONGEST_NAME, check_name


@pytest.mark.parametrize("name", ["", "cup", "my left hand", "Tässchen", "茶碗", "☕", "x" * 40])
def test_one_line_in_any_script_will_do(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("x" * (LONGEST_NAME + 1), "has 41 characters"),
        ("cup\nsaucer", "not one line"),
        ("cup\u2028saucer", "not one line"),
        ("cup\x1b[31m", "not one line"),
        ("cup\udcff", "not one line"),
        (" cup", "blank"),
        (" ", "blank"),
    ],
)
def test_others_are_refused(name: str, fault: str) -> None:
    with pytest.raises(PromptError, match=f"{fault}.*at most 40 characters") as caught:
        check_name(name)
    str(caught.value).encode()  # it can be printed


def test_a_long_name_is_cut_where_it_is_told() -> None:
    with pytest.raises(PromptError) as caught:
        check_name("x" * 10_000)
    assert len(str(caught.value)) < 150
