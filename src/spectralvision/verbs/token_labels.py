"""`spectralvision token-labels`."""

import dataclasses
import sys
from typing import Any

from spectralvision.runs import require_extra
from spectralvision.verbs import BatchSize, Device, Json, Precision, Verb, Workers, engine


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenLabels(Verb):
    """Label each part of each image by a teacher, for `train --label-maps`. The same command goes on where it stopped.

    Exit code 1: some of the images could not be read.
    """

    teacher: str
    """A run folder, or a model's name for its published weights."""
    data: str
    """digits, a folder of images, parquet shards, or a timm reader such as torch/cifar10."""
    out: str
    """Folder of the label maps: new, empty, or begun by this very command."""
    data_dir: str | None = None
    """Where a timm reader finds its files."""
    split: str | None = None
    """Which images; default train, else all."""
    batch_size: BatchSize = 64
    workers: Workers = "auto"
    device: Device = "auto"
    precision: Precision = "auto"
    json: Json = False

    def run(self) -> dict[str, Any]:
        """Labels."""
        require_extra("train", "lightning", "torchmetrics", "rich", "scipy")
        from spectralvision.data.opening import open_data
        from spectralvision.tasks.label_maps import make_label_maps

        data = open_data(self.data, self.data_dir)
        return make_label_maps(self.teacher, data, self.out, self.split, engine(self))

    def show(self, result: dict[str, Any]) -> None:
        """Where the maps are, what they are like, what to do with them."""
        top, height, width = result["shape"]
        print(f"maps     {result['out']}")
        print(f"images   {result['images']} ({result['data']}, {result['split']}), {result['labelled']} labelled now")
        print(f"map      {height} x {width} positions, the best {top} of {result['classes']} classes at each")
        if result["agreement"] is not None:
            print(f"teacher  names the annotated class of {result['agreement']:.1%} of those labelled now")
        print(f"seconds  {result['seconds']:.0f}")
        where = f" --data-dir {self.data_dir}" if self.data_dir else ""
        print(f"next     spectralvision train --data {self.data}{where} --model svt_h_s --label-maps {result['out']}")

    def conclude(self, result: dict[str, Any]) -> int:
        """The images that could not be read."""
        sys.stdout.flush()
        if result["unreadable"]:
            print(f"{len(result['unreadable'])} could not be read, and have no map:", file=sys.stderr)
            for one in result["unreadable"]:
                print(f"  {one['reason']}", file=sys.stderr)
        return 1 if result["unreadable"] else 0
