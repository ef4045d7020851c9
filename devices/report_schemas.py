"""Write the JSON Schema of every report: ``python -m edge_vos.devices.report_schemas FOLDER``."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from edge_vos.devices.bench.compare import Comparison
from edge_vos.devices.bench.matrix import MatrixReport
from edge_vos.devices.bench.report import BenchReport
from edge_vos.devices.bench.sweep import SweepReport
from edge_vos.devices.cost.memory import MemoryReport
from edge_vos.devices.cost.profile import ProfileReport
from edge_vos.devices.deploy.deploy import Deployment
from edge_vos.devices.doctor import DoctorReport
from edge_vos.devices.report_json import json_schema

REPORTS: dict[str, type[Any]] = {
    "bench": BenchReport,
    "bench-matrix": MatrixReport,
    "bench-memory": MemoryReport,
    "bench-profile": ProfileReport,
    "bench-sweep": SweepReport,
    "compare": Comparison,
    "deploy": Deployment,
    "doctor": DoctorReport,
}
"""What each command prints with ``--json``."""

_LEAF = re.compile(r"[{\[][^{}\[\]]*[}\]]")


def schema_text(name: str) -> str:
    """Return the schema file of a report.

    Args:
        name: one of ``REPORTS``.
    """
    text = json.dumps(json_schema(REPORTS[name]), indent=1, ensure_ascii=False)
    return _LEAF.sub(lambda leaf: " ".join(leaf[0].split()), text) + "\n"  # one line a field


def main(folder: Path) -> None:
    """Write the schema file of each report into a folder."""
    for name in REPORTS:
        folder.joinpath(f"{name}.schema.json").write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
