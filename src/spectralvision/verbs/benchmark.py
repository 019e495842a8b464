"""`spectralvision benchmark`."""

import dataclasses
import math
from typing import Annotated, Any, Literal

import tyro

from spectralvision.runs import UserError, refuse_outside, require_extra
from spectralvision.verbs import Json, Verb, print_table

Form = Literal["eager", "fused", "compiled", "fused+compiled"]
Precision = Annotated[
    Literal["32", "bf16", "bf16-mixed"],
    tyro.conf.arg(help="Number format: float32, all in bfloat16, or bfloat16 where autocast takes it."),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Benchmark(Verb):
    """How fast models are, side by side: they take turns in one process, and their ratios are what counts."""

    models: tyro.conf.Positional[tuple[str, ...]] = ()
    """Run folders, or names of models, ours or timm's."""
    input_size: tuple[int, ...] = ()
    """Sides of the square input in pixels; default: what the first model is made for."""
    batch_size: int = 8
    """Images at a time."""
    form: tuple[Form, ...] = ("eager",)
    """eager; fused: norms folded by the model's fuse(); compiled: by its compile(); or both."""
    train: bool = False
    """Time forward and backward instead of inference; goes with eager and compiled."""
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    """Order of the images and of the weights in memory."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    precision: Precision = "32"
    threads: int | None = None
    """CPU threads; default: torch's."""
    rounds: int = 10
    """How often each is timed."""
    plot: str | None = None
    """Draw images per second against the input size into this file (.png, .svg, .pdf)."""
    json: Json = False

    def run(self) -> dict[str, Any]:
        """A row for each model, form and size."""
        if not self.models:
            raise UserError("benchmark needs models: run folders, or names such as affnet_et repvit_m1.")
        refuse_outside(vars(self), {"batch_size": (1, math.inf), "rounds": (1, math.inf), "threads": (1, math.inf)})
        for size in self.input_size:
            refuse_outside({"input_size": size}, {"input_size": (1, math.inf)})
        if self.train and any("fused" in form for form in self.form):
            raise UserError("--train goes with eager and compiled: folded norms are for inference.")
        require_extra("train", "lightning", "rich", *(["matplotlib"] if self.plot else []))
        from spectralvision.analysis.comparison import Setting, compare, draw

        setting = Setting(
            batch_size=self.batch_size,
            train=self.train,
            memory_format=self.memory_format,
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            rounds=self.rounds,
        )
        result = compare(self.models, self.form, self.input_size, setting)
        if self.plot:
            result["plot"] = draw(result, self.plot)
        return result

    def show(self, result: dict[str, Any]) -> None:
        """One model, form and size a line; the last column compares with the first line of the same size."""
        head = ["model", "form", "input", "images/s", "quartiles", "GMACs", "GMACs/s", "peak memory", "against first"]
        rows = [head]
        for row in result["rows"]:
            if "error" in row:
                rows.append([row["model"], row["form"], str(row["input_size"]), "-", row["error"], "", "", "", ""])
                continue
            low, high = row["images_per_second_quartiles"]
            macs = row["gmacs"]
            rows.append([
                row["model"], row["form"], str(row["input_size"]), f"{row['images_per_second']:.1f}",
                f"{low:.1f} to {high:.1f}", "-" if macs is None else f"{macs:.2f}",
                "-" if macs is None else f"{macs * row['images_per_second']:.0f}",
                f"{row['peak_memory'] / 2**20:.0f} MiB", f"{row['against_first']:.2f}x",
            ])  # fmt: skip
        print_table(rows)
        machine = result["machine"]
        work = "training steps" if self.train else "inference"
        print(
            f"{work}, batch {self.batch_size}, {self.precision}, {self.memory_format}; {machine['device']}, "
            f"{machine['threads']} threads, torch {machine['torch']}; median of {self.rounds} interleaved rounds"
        )
        if "plot" in result:
            print(f"plot {result['plot']}")

    def conclude(self, result: dict[str, Any]) -> int:
        """1 where a model could not be run."""
        return int(any("error" in row for row in result["rows"]))
