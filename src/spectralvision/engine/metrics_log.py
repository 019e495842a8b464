"""metrics.csv: a row per epoch, and the best of them."""

import csv
import io
from pathlib import Path
from typing import Any

from spectralvision.engine.train_module import Monitor
from spectralvision.runs import write_text


class MetricsLog:
    """The rows of a run so far; the checkpoint contains them."""

    def __init__(self, run: Path, monitor: Monitor) -> None:
        self.path, self.monitor = run / "metrics.csv", monitor
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None

    def add(self, row: dict[str, Any]) -> bool:
        """Append a row; return whether it is the best so far."""
        self.rows.append(row)
        is_best = self.best is None or self.monitor.key(row) < self.monitor.key(self.best)
        if is_best:
            self.best = row
        return is_best

    def write(self) -> None:
        """Write all rows."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = list(state["rows"])
        self.best = state["best"]
