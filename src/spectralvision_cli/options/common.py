"""What the options of several verbs have in common."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from spectralvision_cli.fields import option

REST = "the rest"
"""Key of `VerbOptions.groups`: the place of the options that no group names."""
COMPUTATION = ("batch_size", "workers", "devices", "device", "precision")
"""Options of the group "Computation"."""


@dataclass(frozen=True, kw_only=True)
class VerbOptions:
    """Options of a verb.

    The docstring of a subclass describes the verb; its first line is shown in the list of verbs.
    """

    examples: ClassVar[tuple[str, ...]] = ()
    """Commands at the end of the help."""
    groups: ClassVar[dict[str, tuple[str, ...]]] = {"Options": (REST, "json")}
    """Titles in the help -> names of options, or of fields that hold a dataclass of options."""
    task_verb: ClassVar[bool] = False
    """Whether the task of the model, or the recipe, adds options."""

    json: bool = False
    """Print one JSON object instead of text."""


@dataclass(frozen=True, kw_only=True)
class ComputeOptions(VerbOptions):
    """How inference runs."""

    batch_size: int | Literal["auto"] = "auto"
    """Images per batch; auto: 64 for classification, else 8."""
    workers: int | Literal["auto"] = "auto"
    """Number of data-loading workers; auto: one per core, at most 8, none for tiny images."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to compute on; auto: the GPU if there is one."""
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = "auto"
    """Floating-point precision; auto: bf16-mixed on GPUs that support it, else 32."""


@dataclass(frozen=True, kw_only=True)
class DataOptions(ComputeOptions):
    """How a data set is read."""

    data_dir: str | None = None
    """Folder of the files that a timm reader reads."""
    image_column: str | None = option(None, "NAME")
    """Column of parquet shards with the images; by default that of the run, or found by name or
    type."""
    label_column: str | None = option(None, "NAME")
    """Column of parquet shards with the labels; by default that of the run, or found by name or
    type."""
