"""The shipped data: no copies, no shared artists, a licence for every image."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wiseft_lite import UserError, load_task, task_names
from wiseft_lite.tasks import icons

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "data_scripts"))

import measure  # noqa: E402
import rules  # noqa: E402

CORPUS = ROOT / "tests" / "data" / "corpus_fingerprints.npy"


def prints(split):
    return np.array([measure.fingerprint(np.asarray(split[i][0])) for i in range(len(split))])


@pytest.fixture(scope="module")
def iconshift():
    return load_task("iconshift")


@pytest.fixture(scope="module")
def table():
    return icons.provenance("iconshift")


def test_iconshift_has_its_splits_and_enough_images(iconshift):
    assert list(iconshift.shifts) == rules.SHIFTS
    assert len(iconshift.class_names) == 122
    assert (
        set(iconshift.test.labels.tolist())
        == set(iconshift.train.labels.tolist())
        == set(range(122))
    )
    assert all(len(s) >= 200 for s in iconshift.evaluation.values())
    assert len(iconshift.train) >= 1000


def test_artists_of_a_shift_drew_nothing_for_training(table):
    of = {split: set(rows.family) for split, rows in table.groupby("split")}
    for shift in rules.SHIFTS:
        assert not of[shift] & (of["train"] | of["val"] | of["test"]), shift


@pytest.mark.slow
def test_no_image_occurs_twice_in_iconshift(iconshift):
    splits = {"train": iconshift.train, "val": iconshift.val, **iconshift.evaluation}
    everything = np.concatenate([prints(s) for s in splits.values()])
    assert not measure.copy_of_earlier(everything).any()


@pytest.mark.parametrize("name", task_names())
@pytest.mark.slow
def test_no_test_image_was_seen_in_pretraining_or_training(name):
    task = load_task(name)
    seen = np.load(CORPUS, allow_pickle=False)
    held = [*task.evaluation.values()] + ([task.train, task.val] if name == "iconshift" else [])
    for split in held:
        codes = measure.codes(prints(split))
        assert not np.isin(codes, seen).any(), split.name
    trained = np.concatenate([prints(task.train), prints(task.val)])
    for split in task.evaluation.values():
        assert not measure.copies(prints(split), trained).any(), split.name


@pytest.mark.parametrize("name", task_names())
def test_held_out_families_are_not_in_the_corpus(name):
    table = icons.provenance(name)
    held = table if name == "iconshift" else table[table.split == "test"]
    assert all(rules.role(s) != "corpus" for s in held["set"].unique())
    if name != "iconshift":
        assert not set(held.family) & set(table[table.split != "test"].family)


@pytest.mark.parametrize("name", task_names())
def test_every_image_has_author_and_permitted_licence(name):
    table = icons.provenance(name)
    assert not table[["family", "author", "licence"]].isna().any().any()
    assert not (table[["family", "author", "licence"]] == "").any().any()
    assert not table.licence.str.contains("GPL|-NC").any()
    listed = (ROOT / "ATTRIBUTION.md").read_text()
    for _, row in table.drop_duplicates("set").iterrows():
        assert f"| {row['set']} |" in listed, row["set"]


def test_labels_of_shipped_icons_follow_the_rule(table):
    again = [rules.class_of(s, i) for s, i in zip(table["set"], table["icon"], strict=True)]
    assert again == table["class"].tolist()


def test_shipped_files_are_small():
    size = lambda folder: sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())  # noqa: E731
    assert size(icons.DATA) < 10e6
    assert size(icons.DATA.parent / "iconclip") < 15e6


def test_damage_and_unknown_names_are_refused(tmp_path):
    with pytest.raises(UserError, match="'photos'.*iconshift"):
        load_task("photos")
    import shutil

    shutil.copytree(icons.DATA / "gauges", tmp_path / "gauges")
    sheet = tmp_path / "gauges" / "test.webp"
    sheet.write_bytes(sheet.read_bytes()[:500])
    with pytest.raises(UserError, match="test.webp"):
        icons.load("gauges", tmp_path).test[0]
    index = pd.read_csv(tmp_path / "gauges" / "index.csv")
    index.iloc[:-1].assign(**{"class": "x"}).to_csv(tmp_path / "gauges" / "index.csv", index=False)
    with pytest.raises(UserError, match="index.csv.*'x'"):
        icons.load("gauges", tmp_path)
