import matplotlib

matplotlib.use("agg")

import json  # noqa: E402

import matplotlib.pyplot as plt  # noqa: E402
import pandas as pd  # noqa: E402
import pytest
from matplotlib import cbook  # noqa: E402
from matplotlib.collections import PathCollection  # noqa: E402

from wiseft_lite import UserError  # noqa: E402
from wiseft_lite.cli.main import main  # noqa: E402
from wiseft_lite.figures import alpha_curves, frontier, gallery, logit_axes, plain, resolved, save  # noqa: E402
from wiseft_lite.metrics import clopper_pearson  # noqa: E402
from wiseft_lite.results import read_runs, write_results  # noqa: E402


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def sweep_of(path):
    """A sweep of a reference and one shift through the points of a path, alpha from 0 to 1."""
    rows = []
    for k, point in enumerate(path):
        for split, share in zip(("test", "shift"), point, strict=True):
            rows.append((k / (len(path) - 1), split, share, 1000, share - 0.01, share + 0.01))
    return pd.DataFrame(rows, columns=["alpha", "split", "accuracy", "n", "low", "high"])


@pytest.mark.parametrize(
    "limits, ticks",
    [
        ((0.03, 0.85), [5, 10, 20, 40, 60, 80]),
        ((0.12, 0.92), [20, 30, 40, 50, 60, 70, 80, 90]),
        ((0.8, 0.87), range(80, 88)),
    ],
)
def test_logit_axes_name_the_ends_where_steps_are_wide(limits, ticks):
    _, ax = plt.subplots()
    logit_axes(ax, limits, limits)
    shown = [100 * t for t in ax.get_yticks() if limits[0] <= t <= limits[1]]
    assert shown == pytest.approx(list(ticks))


@pytest.mark.parametrize(
    "path, side",
    [
        (
            [(0.76, 0.74), (0.8, 0.77), (0.88, 0.68)],
            "left",
        ),  # the star at the left edge: its name runs to the right
        ([(0.85, 0.7), (0.86, 0.72), (0.83, 0.66)], "right"),
    ],
)
def test_the_name_of_the_star_keeps_clear_of_the_axis(path, side):
    ax = frontier(sweep_of(path)).axes[0]
    name = next(text for text in ax.texts if text.get_text() == "zero-shot")
    assert name.get_horizontalalignment() == side
    ax.figure.canvas.draw()
    assert name.get_window_extent().x0 > ax.get_window_extent().x0


@pytest.mark.parametrize("step, names", [(0.0005, 0), (0.003, 1), (0.01, 4)])
def test_names_of_alphas_do_not_lie_over_each_other_on_a_short_curve(step, names):
    path = [(0.8 + step * k, 0.7 + step * k) for k in range(11)]
    figure = frontier(sweep_of(path))
    figure.canvas.draw()
    drawn = [t for t in figure.axes[0].texts if t.get_text().startswith("α=0.")]
    boxes = [text.get_window_extent() for text in drawn]
    assert sum(box.count_overlaps(boxes) - 1 for box in boxes) == 0
    assert len(drawn) >= names  # a long curve keeps them all


def test_every_lowest_panel_says_what_its_axis_is():
    table = pd.concat(
        [
            sweep_of([(0.7, 0.5), (0.8, 0.6)]),
            sweep_of([(0.7, 0.5), (0.8, 0.6)]).replace("shift", "other"),
        ]
    )
    figure = alpha_curves(table)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in shown] == [
        "test (n=1000)",
        "shift (n=1000)",
        "other (n=1000)",
    ]
    assert [ax.get_xlabel() for ax in shown] == ["", "α", "α"]
    figure.canvas.draw()
    assert all(any(label.get_text() for label in ax.get_xticklabels()) for ax in shown[1:])


def test_a_split_without_the_class_says_none(task):
    figure = gallery(
        {"test": task.test, "two": task.shifts["two"]},
        task.class_names,
        task.class_names[1],
        most=2,
    )
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


def measured(path, n=20, **columns):
    """A sweep of a reference and two shifts with exact intervals, through the points of a path."""
    rows = []
    for k, point in enumerate(path):
        for split, right in zip(("test", "a", "b"), (*point, point[1]), strict=True):
            rows.append((k / (len(path) - 1), split, right / n, n, *clopper_pearson(right, n)))
    return pd.DataFrame(rows, columns=["alpha", "split", "accuracy", "n", "low", "high"]).assign(
        **columns
    )


@pytest.mark.parametrize(
    "path",
    [
        [(16, 20), (19, 18), (20, 12)],
        [(20, 20), (20, 20), (20, 20)],
        [(0, 0), (0, 1), (3, 0)],
        [(20, 0), (10, 10), (0, 20)],
    ],
)
@pytest.mark.parametrize("n", [20, 20000])
def test_accuracies_of_0_and_100_percent_are_drawn_at_the_edge_and_marked(path, n):
    path = [(a * n // 20, b * n // 20) for a, b in path]
    figure = frontier(measured(path, n))
    ax = figure.axes[0]
    figure.canvas.draw()
    (x, X), (y, Y) = ax.get_xlim(), ax.get_ylim()
    assert 0 < x < X < 1 and 0 < y < Y < 1
    line = next(line for line in ax.lines if len(line.get_xdata()) == len(path))
    for (reference, shift), a, b in zip(path, line.get_xdata(), line.get_ydata(), strict=True):
        assert x < a < X and y < b < Y  # nothing has vanished
        assert a == pytest.approx(min(max(reference / n, 1 / (2 * n)), 1 - 1 / (2 * n)))
        assert b == pytest.approx(
            min(max(shift / n, 1 / (4 * n)), 1 - 1 / (4 * n))
        )  # two shifts: twice the images
    triangles = [
        c for c in ax.collections if isinstance(c, PathCollection) and len(c.get_facecolors()) == 0
    ]
    at_edge = sum(accuracy in (0, n) for point in path for accuracy in point)
    assert sum(len(c.get_offsets()) for c in triangles) == at_edge
    assert any("hollow triangle" in text.get_text() for text in ax.texts) == (at_edge > 0)


def test_an_accuracy_that_is_not_at_the_edge_is_drawn_where_it_is():
    assert [resolved(p, 50) for p in (0, 0.005, 0.02, 0.98, 1)] == [0.01, 0.01, 0.02, 0.98, 0.99]


NAMES = [
    "$5 and $6",
    "$\\frac$",
    "a_b^c",
    "\\alpha",
    "100 % \\$ $",
    "$",
    "two\nlines",
    "x" * 300,
    "😀 猫",
    "{}",
    "\udcff",
    "\x00\x1b",
]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.slow
def test_names_are_drawn_letter_by_letter(name, task, tmp_path):
    table = measured([(10, 10), (14, 12), (16, 9)])
    figures = [
        frontier({name: table, f"{name}, too": table}, title=f"{name}, {name}"),
        alpha_curves(table.replace("a", name)),
        gallery({name: task.test}, task.class_names, "disc", most=2),
    ]
    for figure in figures:
        figure.canvas.draw()
        for text in figure.findobj(matplotlib.text.Text):
            assert not cbook.is_math_text(text.get_text())
        save(figure, tmp_path / "a.png", tmp_path / "a.svg")


def test_a_plain_name_is_drawn_as_it_is():
    for name in ("a $ b $ c", "a_b", "\\alpha", "été", r"\$5 \\$6"):
        text = matplotlib.text.Text(0, 0, plain(name))
        shown, is_math = text._preprocess_math(text.get_text())
        assert not is_math and shown == name


def test_a_figure_that_cannot_be_written_leaves_the_old_one(tmp_path):
    save(frontier(measured([(10, 10), (12, 8)])), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(UserError, match="cannot be written"):
        save(frontier(measured([(10, 10), (15, 8)])), tmp_path / "a.png" / "b.png")
    assert (tmp_path / "a.png").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_a_written_figure_holds_all_of_a_long_name_and_is_the_same_each_time(tmp_path):
    from PIL import Image

    short, long = (
        {name: measured([(10, 10), (12, 11), (20, 12)])}
        for name in ("a", "a name of forty letters, or nearly so")
    )
    for name, table in (("short", short), ("long", long), ("again", long)):
        save(frontier(table), tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
    width = {name: Image.open(tmp_path / f"{name}.png").size[0] for name in ("short", "long")}
    assert (
        width["long"] > width["short"] + 100
    )  # the figure grows with its longest name, which is not cut off
    assert (tmp_path / "long.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()


def plotted(tables, tmp_path, capsys):
    """What plot answers to a file with all these tables in it: its exit code and its error."""
    write_results(pd.concat(tables, ignore_index=True), tmp_path / "all.jsonl")
    code = main(
        ["plot", str(tmp_path / "all.jsonl"), "--out", str(tmp_path / "f.png"), "--overwrite"]
    )
    return code, capsys.readouterr().err


ONE, TWO = [(10, 10), (14, 12), (16, 9)], [(11, 10), (14, 11), (17, 8)]


def test_several_runs_in_one_file_are_drawn_apart(tmp_path, capsys):
    tables = [
        measured(path, model=model, task=task, kind=kind)
        for path, model, task, kind in (
            (ONE, "small", "cats", "probe"),
            (TWO, "small", "cats", "end-to-end"),
            (ONE, "large", "cats", "probe"),
            (ONE, "large", "dogs", "probe"),
        )
    ]
    assert (
        plotted(tables, tmp_path, capsys) == (0, "") and (tmp_path / "f.png").stat().st_size > 5000
    )
    runs = read_runs(tmp_path / "all.jsonl")
    assert list(runs) == [
        "cats, small, probe",
        "cats, small, end-to-end",
        "cats, large, probe",
        "dogs, large, probe",
    ]
    for rows, table in zip(runs.values(), tables, strict=True):
        assert rows["accuracy"].tolist() == table["accuracy"].tolist()
    legend = frontier(runs).axes[0].get_legend()
    assert [text.get_text().strip() for text in legend.get_texts()] == list(runs)
    hidden = {
        f"_{label}": run for label, run in runs.items()
    }  # matplotlib skips names that begin so
    assert len(frontier(hidden).axes[0].get_legend().get_texts()) == len(runs)
    assert frontier({label: runs[label] for label in list(runs)[:3]}).axes[0].get_legend() is None


def test_each_run_gets_the_star_of_its_own_start():
    stars = lambda runs: sum(
        text.get_text() == "zero-shot" for text in frontier(runs).axes[0].texts
    )  # noqa: E731
    one, two = measured(ONE), measured(TWO)
    assert (
        stars({"a": one}) == 1
        and stars({"a": one, "b": one}) == 1
        and stars({"a": one, "b": two}) == 2
    )


def test_runs_that_nothing_tells_apart_are_refused_and_doubled_rows_count_once(tmp_path, capsys):
    code, error = plotted([measured(ONE), measured(TWO)], tmp_path, capsys)
    assert (
        code == 2
        and error.count("\n") == 1
        and "all.jsonl has two accuracies" in error
        and "'test' at alpha 0" in error
    )
    assert plotted([measured(ONE), measured(ONE)], tmp_path, capsys) == (0, "")
    mixed = [
        measured(ONE, kind="probe"),
        measured(TWO),
    ]  # one has a kind, the other was made by sweep
    assert plotted(mixed, tmp_path, capsys) == (0, "")
    assert list(read_runs(tmp_path / "all.jsonl")) == ["probe", "fine-tuned"]


def test_a_split_that_lacks_an_alpha_of_the_others_is_refused(tmp_path, capsys):
    table = measured(ONE)
    code, error = plotted(
        [table[(table["split"] != "b") | (table["alpha"] != 0.5)]], tmp_path, capsys
    )
    assert code == 2 and "'b' was not measured at alpha 0.5" in error


@pytest.mark.parametrize(
    "column, value",
    [
        ("accuracy", None),
        ("accuracy", "high"),
        ("accuracy", 1.5),
        ("accuracy", float("nan")),
        ("accuracy", True),
        ("alpha", float("inf")),
        ("alpha", [0]),
        ("n", 0),
        ("n", 1.5),
        ("n", 10**400),
        ("low", 0.9),
        ("high", 0.1),
        ("split", 3),
        ("split", ["test"]),
    ],
)
def test_a_value_that_no_curve_has_is_named(tmp_path, capsys, column, value):
    rows = measured(ONE).to_dict("records")
    rows[4][column] = value
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["plot", str(tmp_path / "r.jsonl"), "--out", str(tmp_path / "f.png")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"r.jsonl: {column} is" in error and "in result 5" in error
    assert not (tmp_path / "f.png").exists()
