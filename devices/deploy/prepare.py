"""Build TensorRT's engine on the device itself: ``python -m edge_vos.devices.deploy.prepare``."""

import sys

from edge_vos.bundle import read_bundle
from edge_vos.errors import EdgeVosError
from edge_vos.runtime.backends.tensorrt import Cuda, prepare_engine
from edge_vos.runtime.backends.tensorrt_engine import default_cache


def main(path: str) -> None:
    """Build the engine of a bundle unless it is kept, and print its path."""
    try:
        bundle = read_bundle(path)
        precision = bundle.manifest.precision
        print(prepare_engine(bundle.model_path, precision, Cuda(), default_cache()))
    except EdgeVosError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1])
