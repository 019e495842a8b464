"""The pictures of a comparison: every variant is in them, and names do not overlap."""

from itertools import combinations

import pytest

from spectralvision.report import comparison_plots


def rows(count=12):
    """Variants whose costs and accuracies are close to each other."""
    return [
        {
            "variant": f"variant_{number}",
            "top1": 0.42 + 0.001 * (number % 5),
            "top1_of_seeds": [0.41 + 0.001 * number, 0.43],
            "split": "test",
            "parameters": 900_000 + 1000 * number,
            "sizes": {
                size: {"gmacs": 0.014 + 1e-5 * number, "images_per_second": 2000 / scale + number}
                for size, scale in (("64", 1), ("128", 4))
            },
        }
        for number in range(count)
    ]


def test_accuracy_shows_each_seed_and_the_mean():
    axes = comparison_plots.plot_accuracy(rows(3)).axes[0]
    lines = [line.get_xdata().tolist() for line in axes.lines]
    for row in rows(3):
        assert row["top1_of_seeds"] in lines
        assert [row["top1"]] in lines
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        row["variant"] for row in rows(3)
    ]


def test_names_beside_dots_do_not_overlap():
    figure = comparison_plots.plot_costs(rows(8))
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == [row["variant"] for row in rows(8)]
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_what_was_not_measured_has_no_dot():
    some = rows(3)
    for row in some[:2]:
        for size in row["sizes"].values():
            del size["images_per_second"]
    figure = comparison_plots.plot_costs(some)
    assert [len(axes.texts) for axes in figure.axes] == [3, 3, 1]
    assert len(comparison_plots.plot_growth(some).axes[0].lines) == 1


@pytest.mark.parametrize("count", [1, 40])
def test_any_number_of_variants(count):
    for plot in ("accuracy", "costs", "growth"):
        getattr(comparison_plots, f"plot_{plot}")(rows(count)).draw_without_rendering()
