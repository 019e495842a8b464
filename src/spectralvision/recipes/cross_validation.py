"""Cross-validation: as many trainings as there are parts, each judged on the part that it has not seen.

With few images one validation set is too small to tell a good classifier from a lucky one. Here every image is held out
once, so that the share of right answers rests on all of them.
"""

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectralvision.recipes.telling import recipe_record
from spectralvision.runs import UserError, new_run_folder, read_json, spoken, write_json
from spectralvision.tasks.loading import find_model

if TYPE_CHECKING:
    from spectralvision.recipes.classification import Classification, Say


def cross_validate(recipe: "Classification", say: "Say", dry_run: bool, resume: Path | None) -> dict[str, Any]:
    """Trains `recipe.folds` times into `fold-1`, `fold-2` ... of one run folder.

    Returns:
        run, folds (of each: run, val_top1, images, best_epoch), val_top1 over all images, its 95 % interval by Wilson's
        score, images, seconds.

    Raises:
        UserError: As a single training; trainings that have ended are kept, and `resume` goes on with the others.
    """
    from spectralvision.tasks.inference import interval

    start, folds = time.monotonic(), recipe.folds
    assert folds is not None
    if recipe.engine.resolved().processes > 1:
        raise UserError("--folds trains on one device: leave --devices out, or do one --fold after another.")
    if resume is None or dry_run:
        # Refuses what cannot work, before there is a folder. A true beginning says it all again.
        alone = replace(recipe, fold=1, out=None if resume else recipe.out)
        first = alone.run(say if dry_run else lambda line: None, dry_run=True)
        if dry_run:
            say(f"folds  {folds} trainings like this one")
            return first
    if resume is None:
        name = f"{Path(recipe.data).name}-{Path(find_model(recipe.model)).name}-{folds}-folds"
        run = new_run_folder(name, recipe.out)
    else:
        run = resume
    record = recipe_record(recipe)
    write_json(run / "run.json", {"status": "running", **record})
    found: list[dict[str, Any]] = []
    try:
        for number in range(1, folds + 1):
            left = f", {spoken((time.monotonic() - start) / len(found) * (folds + 1 - number))} left" if found else ""
            say(f"fold   {number} of {folds}{left}")
            found.append(_fold(replace(recipe, fold=number, out=str(run / f"fold-{number}")), say))
    except (KeyboardInterrupt, UserError) as error:
        ended = f"{error}; {len(found)} of {folds} trainings have ended, `spectralvision train --resume {run}` goes on"
        write_json(run / "run.json", {"status": "interrupted", **record})
        raise type(error)(ended.removeprefix("; ")) from None
    images = sum(one["images"] for one in found)
    right = sum(round(one["val_top1"] * one["images"]) for one in found)
    result = {
        "run": str(run),
        "folds": found,
        "val_top1": right / images,
        "val_top1_interval": interval(right, images),
        "images": images,
        "seconds": round(time.monotonic() - start, 1),
    }
    write_json(run / "run.json", {"status": "finished", "results": result, **record})
    return result


def _fold(recipe: "Classification", say: "Say") -> dict[str, Any]:
    """One training, or what it came to if it has ended before."""
    from spectralvision.tasks.checkpoints import last_checkpoint

    run = Path(str(recipe.out))
    record = read_json(run / "run.json") if (run / "run.json").is_file() else {}
    if record.get("status") != "finished":
        if last_checkpoint(run).is_file():
            recipe.of_run(run).run(say, resume=run)
        else:
            shutil.rmtree(run, ignore_errors=True)  # no epoch had ended in it
            recipe.run(say)
        record = read_json(run / "run.json")
    results = record["results"]
    return {
        "run": str(run),
        "val_top1": results["val_top1"],
        "images": record["data"]["images"]["val"],
        "best_epoch": results["best_epoch"],
    }
