"""ExecuTorch programs, computed by the XNNPACK delegate."""

from collections import Counter
from pathlib import Path

from spectralvision.export.base import Network, Target

DELEGATED = "XnnpackBackend"


class ExecuTorch(Target):
    """A program for phones; this runtime needs PyTorch on a computer."""

    name = "executorch"
    title = "ExecuTorch with XNNPACK"
    file = "model.pte"
    packages = ("executorch",)
    run_packages = ("executorch",)
    extra = "mobile"

    def write(self, network: Network, folder: Path) -> None:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        program = network.with_products("right").export()
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        (folder / self.file).write_bytes(edge.to_executorch().buffer)

    def operators(self, folder: Path, network: Network) -> Counter[str]:
        from executorch.exir._serialize._program import deserialize_pte_binary

        program = deserialize_pte_binary((folder / self.file).read_bytes()).program
        plan = program.execution_plan[0]
        names = Counter(one.name for one in plan.operators)
        return names + Counter(one.id for one in plan.delegates)
