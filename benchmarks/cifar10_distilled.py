"""Train affnet_et on CIFAR-10 with the help of a teacher that was trained on ImageNet.

Command: `python benchmarks/cifar10_distilled.py CIFAR10 RUNS [--only START ...]`

CIFAR10 has train and test as parquet shards; RUNS has EfficientNet-Lite2 with ImageNet weights, as
`teacher.py` writes it.

1. The teacher is fine-tuned on the training images, and predicts their label maps.
2. affnet_et learns from labels and maps, from scratch or from affnet_et.tiny_imagenet; START
   `larger` trains the latter on with larger images. The best epoch is chosen on a held-out tenth,
   which the teacher has not seen either; the test images are used once, for that epoch.

Writes benchmarks/results/cifar10_distilled.json after each step; finished runs are not repeated,
interrupted ones are resumed.
"""

import argparse
from pathlib import Path

import teacher
import tiny_imagenet
from provenance import provenance
from training_runs import evaluate, read_run, train

from spectralvision.runs import read_json, write_json

OUT = Path(__file__).parent / "results/cifar10_distilled.json"
STARTS = ("scratch", "tiny_imagenet", "larger")
SPLIT = {"val-fraction": 0.1, "seed": 0}
TEACHER = teacher.FIELDS | {"input-size": 96, "epochs": 2}
STUDENT = (
    tiny_imagenet.FIELDS
    | tiny_imagenet.DISTILLATION
    | {
        "epochs": 20,
        "min-scale": 0.5,
    }
)
LARGER = {"input-size": 96, "epochs": 6, "lr": 2e-3}
"""In place of these."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cifar10")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--only", nargs="+", choices=STARTS, default=STARTS)
    options = parser.parse_args()
    results = read_json(OUT) if OUT.is_file() else {"students": {}}
    results["fields"] = {"split": SPLIT, "teacher": TEACHER, "student": STUDENT, "larger": LARGER}
    data, runs = options.cifar10, options.runs

    # 1. The teacher
    weights = runs / "tf_efficientnet_lite2.imagenet"
    tuned = train(
        runs / "cifar10-teacher", recipe="finetune", model=weights, data=data, **SPLIT, **TEACHER
    )
    results["teacher"] = measure(tuned, data)
    write_json(OUT, results)

    # 2. The students; the first one writes the label maps
    for start in options.only:
        fields = SPLIT | STUDENT | {"teacher": tuned, "teacher-cache": runs / "cifar10-maps"}
        if start == "larger":
            fields |= {"model": runs / "cifar10-distilled-tiny_imagenet", **LARGER}
        elif start == "tiny_imagenet":
            fields |= {"pretrained": start}
        student = train(runs / f"cifar10-distilled-{start}", data=data, **fields)
        results["students"][start] = measure(student, data)
        write_json(OUT, results)


def measure(run: Path, data: str) -> dict[str, object]:
    """Return what a run recorded, and its accuracy on the test images."""
    top1 = evaluate(run, data)["top1"]
    return {"provenance": provenance(), **read_run(run), "test_top1": top1}


if __name__ == "__main__":
    main()
