"""Options that several benchmarks take."""

import argparse
from pathlib import Path


def make_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of the bundle, the engine's threads and the form of the answer."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="the shipped one by default")
    parser.add_argument("--threads", type=int, help="of the engine, not its own choice")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser
