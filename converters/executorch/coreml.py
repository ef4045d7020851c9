"""Lower the student to ExecuTorch's Core ML delegate: float16, for iOS 17 and later.

The program can be made on any machine; Apple's devices alone run it.
"""

from edge_vos.converters.executorch.lower import lower_with
from edge_vos.converters.lowering import Lowered, Request
from edge_vos.converters.quiet import executorch_silenced


def lower(request: Request) -> Lowered:
    """Lower a module for the Core ML delegate.

    Raises:
        EngineError: if ExecuTorch cannot express it.
    """
    with executorch_silenced():
        import coremltools as ct
        from executorch.backends.apple.coreml.compiler import CoreMLBackend
        from executorch.backends.apple.coreml.partition import CoreMLPartitioner

        partitioner = CoreMLPartitioner(
            compile_specs=CoreMLBackend.generate_compile_specs(
                compute_precision=ct.precision.FLOAT16, minimum_deployment_target=ct.target.iOS17
            )
        )
        return lower_with(request, partitioner, "Core ML")
