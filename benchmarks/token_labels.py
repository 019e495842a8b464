"""Train a narrow svt_h_s on Tiny ImageNet with and without token labels, with the same budget.

Command: `python benchmarks/token_labels.py TINYIMAGENET RUNS [--only NAME ...]`

RUNS has the teacher of `teacher.py` and its label maps, as `tiny_imagenet.py` writes them.

    labels  the labels alone
    tokens  token labels from the maps (`--label-maps`)

NAME is one of them and a seed. Two runs are trained at a time, on one core each. Writes
benchmarks/results/token_labels.json after each run; finished runs are not repeated, interrupted
ones are resumed.
"""

import argparse
from pathlib import Path

import tiny_imagenet
import torch
from provenance import provenance
from training_runs import ALONE, in_pairs, read_run, train

import spectralvision as sv
from spectralvision.data.open_data import open_data
from spectralvision.engine.model_io import describe, save_model
from spectralvision.runs import read_json, write_json

OUT = Path(__file__).parent / "results/token_labels.json"
WAYS = ("labels", "tokens")
SEEDS = (0, 1)
MODEL = {"dims": (24, 48, 96, 128), "depths": (1, 1, 2, 1), "output_stride": 16}
"""With this stride there are 4 x 4 tokens, as many as positions in the maps."""
FIELDS = tiny_imagenet.FIELDS | {"epochs": 10, "lr": 2e-3}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tinyimagenet")
    parser.add_argument("runs", type=Path)
    names = [f"{way}-{seed}" for seed in SEEDS for way in WAYS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    results = read_json(OUT) if OUT.is_file() else {"runs": {}}
    results |= {
        "fields": FIELDS,
        "model": {"name": "svt_h_s", **MODEL},
        "teacher": read_json(options.runs / "maps.json"),
    }

    def run(name: str) -> Path:
        way, _, seed = name.partition("-")
        fields = FIELDS | {"model": start(seed, options.tinyimagenet, options.runs)}
        if way == "tokens":
            fields["label-maps"] = options.runs / "maps"
        folder = options.runs / f"narrow-{name}"
        data = options.tinyimagenet
        return train(folder, environment=ALONE, data=data, seed=int(seed), **fields)

    for name, folder in zip(options.only, in_pairs(run, options.only), strict=True):
        results["runs"][name] = {"provenance": provenance() | {"threads": 1}, **read_run(folder)}
        write_json(OUT, results)


def start(seed: str, data: str, runs: Path) -> Path:
    """Return a folder with the narrow model and random weights, the same for each way."""
    folder = runs / f"narrow-{seed}"
    if not (folder / "model.safetensors").is_file():
        classes = open_data(data).classes
        torch.manual_seed(int(seed))
        model = sv.create_model("svt_h_s", num_classes=len(classes), token_label=True, **MODEL)
        folder.mkdir(parents=True, exist_ok=True)
        describe(model, classes, int(FIELDS["input-size"]))
        save_model(model, folder)
    return folder


if __name__ == "__main__":
    main()
