"""The versions of a figure for every screen, and their way into a page."""

import base64
import csv
import io
import re
from html.parser import HTMLParser

import figure_data
import matplotlib
import narrow_figures
import nbformat
import numpy as np
import page_figures
import pytest
import screen_figures
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

PHONE = 358  # px that a phone of 390 px has for a figure
NAMES = ["test", "new artists", "emoji"]


def figure(*, size, grid=(1, 1), **settings):
    made = Figure(figsize=size)
    FigureCanvasAgg(made)
    return made, made.subplots(*grid, squeeze=False, **settings).ravel()


def one_panel():
    made, (ax,) = figure(size=(6.4, 3.6))
    ax.errorbar(
        [1, 2, 3], [4, 6, 5], [0.5, 1, 0.5], fmt="o-", capsize=3, color="#0072B2", label="ours"
    )
    ax.axhline(5, color="black")
    ax.set(xlabel="learning rate", ylabel="accuracy (%)", title="A title that is longer " * 3)
    ax.legend()
    made.tight_layout()
    return made


def three_panels():
    made, axes = figure(size=(7.4, 3.2), grid=(1, 3), sharey=True)
    for ax, name in zip(axes, NAMES, strict=True):
        dots = ax.scatter([1, 2, 3], [4, 6, 5], c=[1, 2, 3], s=12)
        ax.set(title=name, xlabel="steps")
    axes[0].set_ylabel("accuracy (%)")
    made.colorbar(dots, label="epochs")
    made.tight_layout()
    return made


def images():
    made, axes = figure(size=(4.5, 1.6), grid=(2, 6))
    for ax in axes:
        ax.imshow(np.full((8, 8, 3), 255, dtype=np.uint8))
        ax.axis("off")
    axes[0].text(-0.15, 0.5, "emoji", ha="right", transform=axes[0].transAxes)
    return made


def legend_outside():
    made, (ax,) = figure(size=(6.0, 2.0))
    for k in range(3):
        ax.plot([k, k + 1], [1, 0], "o", label=f"model number {k}")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    made.tight_layout()
    return made


def eight_panels():
    made, axes = figure(size=(7.6, 4), grid=(2, 4), sharex=True)
    for k, ax in enumerate(axes):
        ax.plot([0, 1], [k, k + 1])
        ax.set_title(f"split {k}", fontsize=6)
    axes[7].set_visible(False)
    for ax in axes[[0, 4]]:
        ax.set_ylabel("accuracy (%)")
    made.supxlabel("alpha")
    return made


def bars():
    made, (ax,) = figure(size=(6.4, 3))
    ax.barh(NAMES, [1, -2, 3], color="#D55E00", label="probe")
    ax.set_xscale("symlog")
    return made


KINDS = [one_panel, three_panels, images, legend_outside, eight_panels, bars]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def made(request):
    return request.param()


def boxes(made):
    made.canvas.draw()
    return [ax.get_window_extent() for ax in made.axes]


def test_a_narrow_figure_can_be_read_on_a_phone_and_cuts_nothing_off(made):
    narrow_figures.narrow(made)
    version = screen_figures.drawn(made, screen_figures.SCALE, transparent=False)
    assert version["text"] * PHONE / version["width"] >= 9
    letters = [t.get_window_extent() for t in made.findobj(matplotlib.text.Text) if t.get_visible()]
    box, page = made.get_tightbbox(), made.get_size_inches()
    assert box.x0 >= -0.02 and box.x1 <= page[0] + 0.02 and page[0] <= narrow_figures.WIDTH
    assert letters


def test_letters_are_measured_with_their_superscripts():
    made = one_panel()
    made.axes[0].set_title("$10^{-4}$", fontsize=10)
    assert screen_figures.smallest_text(made) == pytest.approx(7)
    narrow_figures.narrow(made)
    assert screen_figures.smallest_text(made) >= narrow_figures.SMALLEST


def test_panels_go_below_each_other_and_the_colour_bar_below_them():
    made = three_panels()
    narrow_figures.narrow(made)
    *panels, bar = boxes(made)
    assert len(panels) == 3 and made.axes[-1].get_xlabel() == "epochs"
    for above, under in zip(panels, [*panels[1:], bar], strict=True):
        assert above.y0 > under.y1 and above.width > made.bbox.width / 2
    assert {ax.get_ylabel() for ax in made.axes[:3]} == {"accuracy (%)"}
    for ax in made.axes[:3]:  # they share an axis, and each shows its numbers now
        assert any(label.get_visible() and label.get_text() for label in ax.get_yticklabels())


def test_many_small_panels_get_two_columns_and_labels_at_their_outside():
    made = eight_panels()
    narrow_figures.narrow(made)
    assert len(made.axes) == 7  # a panel that was empty has no place
    assert len({round(box.x0) for box in boxes(made)}) == 2
    labelled = [ax.get_ylabel() != "" for ax in made.axes]
    assert labelled == [True, False] * 3 + [True]
    shown = [ax.xaxis.get_tick_params()["labelbottom"] for ax in made.axes]
    assert shown == [False] * 5 + [True, True]


def test_a_label_for_a_row_of_panels_goes_below_the_last():
    made, axes = figure(size=(7, 3), grid=(1, 3))
    axes[1].set_xlabel("points")
    narrow_figures.narrow(made)
    assert [ax.get_xlabel() for ax in axes] == ["", "", "points"]


def test_a_legend_without_room_goes_below():
    made = legend_outside()
    narrow_figures.narrow(made)
    made.canvas.draw()
    (legend,) = made.legends
    assert made.axes[0].get_legend() is None
    assert [text.get_text() for text in legend.get_texts()] == [
        f"model number {k}" for k in range(3)
    ]
    assert legend.get_window_extent().y1 < made.axes[0].get_window_extent().y0


@pytest.mark.parametrize("hides", [False, True])
def test_a_legend_stays_in_its_panel_only_if_it_hides_no_data(hides):
    made, (ax,) = figure(size=(6.4, 3.6))
    ax.plot(np.linspace(0, 1, 50), np.linspace(0, 1, 50), label="line")
    ax.legend(loc="lower left" if hides else "upper left")
    narrow_figures.narrow(made)
    assert bool(made.legends) == hides


def test_images_keep_their_grid_and_a_small_figure_does_not_grow():
    made = images()
    narrow_figures.narrow(made)
    assert len({round(box.x0) for box in boxes(made)}) == 6
    made, (ax,) = figure(size=(2.4, 2.8))
    ax.set_axis_off()
    narrow_figures.narrow(made)
    assert made.get_size_inches()[0] == pytest.approx(2.4)


def pixels(made, **settings):
    file = io.BytesIO()
    made.savefig(file, dpi=60, **settings)
    return np.asarray(Image.open(file).convert("RGBA")).astype(int)


def test_a_dark_figure_has_no_ground_and_comes_back(made):
    before = pixels(made)
    assert (before[0, 0] == 255).all()
    with screen_figures.dark(made):
        assert pixels(made, transparent=True)[0, 0, 3] == 0
        for text in made.findobj(matplotlib.text.Text):
            ink = matplotlib.colors.to_rgb(text.get_color())
            assert screen_figures.contrast(ink, screen_figures.GROUND) >= 4.5
    assert (pixels(made) == before).all()


@pytest.mark.parametrize("white", ["white", (1, 1, 1, 1)])
def test_a_dark_figure_keeps_what_stands_for_a_value(white):
    made, (left, right) = figure(size=(6, 3), grid=(1, 2))
    shown = left.imshow(np.arange(4).reshape(2, 2), cmap="viridis")
    dots = left.scatter([0, 1], [0, 1], c=[0, 1])
    (line,) = right.plot([0, 1], "k*", markeredgecolor=white)
    made.canvas.draw()
    values = shown.to_rgba(shown.get_array()), dots.get_facecolor()
    with screen_figures.dark(made):
        assert (shown.to_rgba(shown.get_array()) == values[0]).all()
        assert (dots.get_facecolor() == values[1]).all()
        assert line.get_markerfacecolor()[:3] == pytest.approx(screen_figures.INK)
        assert line.get_markeredgecolor()[:3] == pytest.approx(screen_figures.GROUND)


@pytest.mark.parametrize("colour", ["#0072B2", "#440154", "red", "#F0E442"])
def test_a_colour_can_be_read_on_a_dark_page_and_stays_that_colour(colour):
    old = np.array(matplotlib.colors.to_rgb(colour))
    new = np.array(screen_figures.on_dark((*old, 0.3)))
    assert screen_figures.contrast(new[:3], screen_figures.GROUND) >= 4.5 and new[3] == 0.3
    assert (np.argsort(new[:3]) == np.argsort(old)).all()


def rows(made):
    return list(csv.DictReader(io.StringIO(figure_data.data(made))))


def test_the_table_holds_points_with_error_bars_and_no_lines_across():
    found = rows(one_panel())
    assert [(row["label"], row["x"], row["y"], row["y low"], row["y high"]) for row in found] == [
        ("ours", "1", "4", "3.5", "4.5"),
        ("ours", "2", "6", "5", "7"),
        ("ours", "3", "5", "4.5", "5.5"),
    ]
    assert found[0]["x low"] == found[0]["x high"] == "1"


def test_the_table_holds_dots_by_panel_and_bars_by_name():
    assert [(row["panel"], row["kind"]) for row in rows(three_panels())] == [
        (name, "dots") for name in NAMES for _ in range(3)
    ]
    found = [(row["x"], row["y"], row["label"]) for row in rows(bars())]
    assert found == [
        ("1", "test", "probe"),
        ("-2", "new artists", "probe"),
        ("3", "emoji", "probe"),
    ]
    assert figure_data.data(images()) == ""


def test_a_place_without_a_value_does_not_stop_the_table():
    made, (ax,) = figure(size=(3, 3))
    ax.errorbar([1, np.nan], [2, 3], [0.5, np.nan], fmt="o")
    ax.plot([], [], label="empty")
    assert [row["x"] for row in rows(made)] == ["1", "nan"]


def test_a_drawing_is_small_and_a_large_one_becomes_a_photograph_of_itself():
    small = screen_figures.drawn(one_panel(), 100, transparent=False)
    assert small["kind"] == "svg" and "<text" not in small["content"]
    assert len(small["content"]) < screen_figures.SVG_LIMIT
    assert screen_figures.drawn(one_panel(), 100, transparent=False) == small
    made, (ax,) = figure(size=(3, 3))
    ax.scatter(*np.random.default_rng(0).random((2, 2000)))
    large = screen_figures.drawn(made, 100, transparent=False)
    image = Image.open(io.BytesIO(base64.b64decode(large["content"])))
    assert image.format == "PNG" and image.width == pytest.approx(2 * large["width"], abs=2)


def test_a_figure_that_is_shown_twice_is_wide_both_times():
    made = three_panels()
    assert screen_figures.versions(made) is screen_figures.versions(made)
    assert screen_figures.versions(made)["wide"]["light"]["width"] > 600


class Page(HTMLParser):
    """Collects the elements of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def every(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def notebook(*outputs, alt='a "sharp" <curve> & more'):
    cell = nbformat.v4.new_code_cell("ax.plot(x)", id="ch01-01", outputs=list(outputs))
    cell.metadata["mystnb"] = {"image": {"alt": alt}}
    return nbformat.v4.new_notebook(cells=[cell])


def output(**data):
    return nbformat.v4.new_output("display_data", data=data)


def test_a_page_shows_the_version_for_its_screen_and_theme(tmp_path):
    versions = screen_figures.versions(three_panels())
    shown = {page_figures.TYPE: versions, "image/png": "", "text/plain": "<Figure size 1x1>"}
    page = notebook(output(**shown), output(**shown), output(**{"text/plain": "7"}))
    assert page_figures.place(page, tmp_path, "../_static/figures/01") == []
    first, second, last = page.cells[0].outputs
    assert list(first.data) == ["text/html"] and last.data == {"text/plain": "7"}
    text = Page(first.data["text/html"])
    for theme, source, image in zip(
        ("light", "dark"), text.every("source"), text.every("img"), strict=True
    ):
        assert image["class"] == f"only-{theme}" and image["loading"] == "lazy"
        assert image["alt"] == 'a "sharp" <curve> & more'
        for kind, element, width in (("srcset", source, "narrow"), ("src", image, "wide")):
            version = versions[width][theme]
            file = element[kind].removeprefix("../_static/figures/01/")
            content = (tmp_path / file).read_bytes()
            assert content.startswith(b"<?xml") and content.decode() == version["content"]
            assert element["width"] == str(version["width"])
            assert element["data-text"] == str(version["text"])
    (link,) = text.every("a")
    assert (tmp_path / link["href"].split("/")[-1]).exists()
    assert (tmp_path / link["data-csv"].split("/")[-1]).read_text() == versions["data"]
    files = re.findall(r'(?:src|srcset|href|data-csv)="([^"]+)"', second.data["text/html"])
    assert not set(files) & set(re.findall(r'="([^"]+/[^"]+)"', first.data["text/html"]))


def test_a_figure_without_data_offers_none(tmp_path):
    page = notebook(output(**{page_figures.TYPE: screen_figures.versions(images())}))
    page_figures.place(page, tmp_path, "figures")
    assert "data-csv" not in page.cells[0].outputs[0].data["text/html"]
    assert not list(tmp_path.glob("*.csv"))


def test_a_figure_without_versions_is_reported_and_stays(tmp_path):
    plain = output(**{"image/png": "", "text/plain": "<Figure size 1x1>"})
    page = notebook(plain, output(**{"image/png": "", "text/plain": "<PIL.Image>"}))
    assert page_figures.place(page, tmp_path, "figures") == ["ch01-01"]
    assert page.cells[0].outputs[0] == plain
