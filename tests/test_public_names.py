import subprocess
import sys

import pytest

import edge_vos


@pytest.mark.parametrize("name", edge_vos.__all__)
def test_a_public_name_leads_to_what_it_names(name: str) -> None:
    assert getattr(edge_vos, name).__name__ == name
    assert name in dir(edge_vos)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'segmenter_'"):
        _ = edge_vos.segmenter_


def test_the_package_alone_brings_nothing_along() -> None:
    code = "import sys, edge_vos; print(sorted({'numpy', 'cv2', 'onnxruntime'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.stdout.strip() == "[]"
