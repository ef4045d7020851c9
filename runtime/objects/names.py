"""What users call their objects."""

import unicodedata

from edge_vos.errors import PromptError

LONGEST_NAME = 40
UNNAMED = "object"
"""Stands for the name of an object that has none, in formats that want one."""

_BREAKING = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of pairs, ends of lines


def check_name(name: str) -> str:
    """Check that a name fits where it is shown, and return it.

    Args:
        name: one line of at most 40 characters, in any script; empty is no name.

    Raises:
        PromptError: if it is longer, breaks the line, or begins or ends with a blank.
    """
    if len(name) > LONGEST_NAME:
        fault = f"has {len(name)} characters"
    elif any(unicodedata.category(character) in _BREAKING for character in name):
        fault = "is not one line of text"
    elif name != name.strip():
        fault = "begins or ends with a blank"
    else:
        return name
    shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."
    raise PromptError(
        f"The name {shown!r} {fault}",
        f"one line of at most {LONGEST_NAME} characters",
        "Choose another",
    )
