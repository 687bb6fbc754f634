import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402
import pandas as pd  # noqa: E402
import pytest  # noqa: E402

from wiseft_lite import UserError  # noqa: E402
from wiseft_lite.figures import alpha_curves, frontier, gallery, logit_axes, save  # noqa: E402


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def sweep_of(path):
    """A sweep of a reference and one shift through the points of a path, alpha from 0 to 1."""
    rows = []
    for k, point in enumerate(path):
        for split, share in zip(("test", "shift"), point):
            rows.append((k / (len(path) - 1), split, share, 1000, share - 0.01, share + 0.01))
    return pd.DataFrame(rows, columns=["alpha", "split", "accuracy", "n", "low", "high"])


@pytest.mark.parametrize("limits, ticks", [
    ((0.03, 0.85), [5, 10, 20, 40, 60, 80]), ((0.12, 0.92), [20, 30, 40, 50, 60, 70, 80, 90]), ((0.8, 0.87), range(80, 88))])
def test_logit_axes_name_the_ends_where_steps_are_wide(limits, ticks):
    _, ax = plt.subplots()
    logit_axes(ax, limits, limits)
    shown = [100 * t for t in ax.get_yticks() if limits[0] <= t <= limits[1]]
    assert shown == pytest.approx(list(ticks))


@pytest.mark.parametrize("path, side", [
    ([(0.76, 0.74), (0.8, 0.77), (0.88, 0.68)], "left"),  # the star at the left edge: its name runs to the right
    ([(0.85, 0.7), (0.86, 0.72), (0.83, 0.66)], "right")])
def test_the_name_of_the_star_keeps_clear_of_the_axis(path, side):
    ax = frontier(sweep_of(path)).axes[0]
    name = next(text for text in ax.texts if text.get_text() == "zero-shot")
    assert name.get_horizontalalignment() == side
    ax.figure.canvas.draw()
    assert name.get_window_extent().x0 > ax.get_window_extent().x0


def test_every_lowest_panel_says_what_its_axis_is():
    table = pd.concat([sweep_of([(0.7, 0.5), (0.8, 0.6)]), sweep_of([(0.7, 0.5), (0.8, 0.6)]).replace("shift", "other")])
    figure = alpha_curves(table)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in shown] == ["test (n=1000)", "shift (n=1000)", "other (n=1000)"]
    assert [ax.get_xlabel() for ax in shown] == ["", "α", "α"]
    figure.canvas.draw()
    assert all(any(label.get_text() for label in ax.get_xticklabels()) for ax in shown[1:])


def test_a_split_without_the_class_says_none(task):
    figure = gallery({"test": task.test, "two": task.shifts["two"]}, task.class_names, task.class_names[1], most=2)
    said = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    assert said == [["test"], [], ["none", "two"], []]  # the shift has the classes 0 and 2
    with pytest.raises(UserError, match="no class 'unicorn'"):
        gallery({"test": task.test}, task.class_names, "unicorn")


def test_a_figure_that_is_written_is_closed_and_an_svg_has_no_date(tmp_path):
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    save(figure, tmp_path / "a.png", tmp_path / "a.svg")
    assert not plt.fignum_exists(figure.number) and (tmp_path / "a.png").stat().st_size > 1000
    assert "<dc:date>" not in (tmp_path / "a.svg").read_text()
