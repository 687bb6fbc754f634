"""How the atlas is built from the files of its sources, on excerpts in their layouts."""

import shutil
from pathlib import Path

import atlas_kinds
import build_atlas
import fetching
import numpy as np
import pandas as pd
import pytest

from wiseft_lite import UserError
from wiseft_lite.analysis import atlas

EXCERPTS = Path(__file__).resolve().parents[1] / "data" / "atlas"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(EXCERPTS, tmp_path / "atlas")
    types = tmp_path / "atlas" / "testbed" / "model_types.txt"
    types.rename(types.with_suffix(".py"))
    return tmp_path / "atlas"


def test_the_excerpts_give_the_rows_of_the_table_that_ships(folder, tmp_path):
    table, tuned = build_atlas.tables(folder)
    build_atlas.write(table, tuned, tmp_path / "built")
    built = pd.read_csv(tmp_path / "built" / "models.csv")
    shipped = pd.read_csv(atlas.DATA / "models.csv")
    key = ["model", "size", "source"]
    both = built.merge(shipped, on=key, suffixes=("", "_shipped"))
    assert len(both) == len(built) > 25
    for column in set(built) - set(key):
        other = f"{column}_shipped"
        same = (both[column] == both[other]) | (both[column].isna() & both[other].isna())
        assert same.all(), (column, both.loc[~same, ["model", column, other]])
    known = pd.read_csv(atlas.DATA / "finetunings.csv").set_index("model")
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "built" / "finetunings.csv").set_index("model"),
        known.loc[tuned["model"]],
    )


def test_a_model_that_nobody_measured_is_left_out(folder):
    table, _ = build_atlas.tables(folder)
    assert not table["model"].str.contains("125_classes").any()


def test_kinds_follow_the_rules(folder):
    table, _ = build_atlas.tables(folder)
    kinds = table.drop_duplicates("model").set_index("model")["kind"]
    assert kinds[
        [
            "resnet50",
            "resnet18_50k_7_epochs",
            "resnet50_linf_eps4_robust",
            "efficientnet-l2-noisystudent",
            "vit_b_32_clip_zeroshot",
            "tf_efficientnet_b0.ap_in1k",
            "regnety_160.swag_ft_in1k",
            "vit_large_patch14_clip_336.laion2b_ft_in1k",
            "ViT-B-32, model-soups model_0",
            "ViT-B-32, model-soups greedy_soup",
        ]
    ].tolist() == [
        "ImageNet alone",
        "part of ImageNet",
        "robustness intervention",
        "more data",
        "zero-shot CLIP",
        "robustness intervention",
        "more data",
        "fine-tuned CLIP",
        "linear probe of CLIP",
        "soup",
    ]


def test_the_same_weights_have_the_test_beds_kind(folder):
    """By its tag dpn92 would count as trained on ImageNet alone; the test bed knows better."""
    assert atlas_kinds.timm_kind("dpn92.mx_in1k")[0] == "ImageNet alone"
    table, _ = build_atlas.tables(folder)
    row = table[table["model"] == "dpn92.mx_in1k"].iloc[0]
    assert (row["kind"], row["duplicate_of"]) == ("more data", "dpn92")


def test_every_match_of_two_names_is_in_the_table_that_ships():
    table = atlas.models()
    bed = set(table.loc[table["source"] == "test bed", "model"])
    others = set(table["model"]) - bed
    assert {*atlas_kinds.SAME, *atlas_kinds.SAME_CLIP} <= bed
    assert {*atlas_kinds.SAME.values()} <= others
    assert {f"{name}, {tag}" for name, tag in atlas_kinds.SAME_CLIP.values()} <= others
    assert set(table["duplicate_of"]) == {"", *atlas_kinds.SAME, *atlas_kinds.SAME_CLIP}


def test_the_types_are_read_and_not_run(folder):
    types = build_atlas.model_types(folder / "testbed" / "model_types.py")
    assert types["resnet50"] == "STANDARD" and types["resnet50_augmix"] == "ROBUST_INTV"


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: atlas_kinds.bed_kind("resnet50", "NEW_TYPE"), "NEW_TYPE"),
        (lambda: atlas_kinds.bed_kind("resnet50", ""), "resnet50"),
        (lambda: atlas_kinds.timm_kind("resnet50.fb_dino"), "resnet50.fb_dino"),
        (lambda: atlas_kinds.clip_data("wit400m"), "wit400m"),
    ],
)
def test_what_no_rule_knows_is_named(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_a_file_that_is_not_the_pinned_one_is_named(tmp_path):
    remote = build_atlas.remotes()[0]
    path = tmp_path / remote.goes_to
    path.parent.mkdir(parents=True)
    path.write_text("model,val\n")
    with pytest.raises(UserError, match="robustness_top1s.csv is not the file"):
        build_atlas.check(remote, path)
    kind, _, _ = remote.digest.partition(":")
    good = fetching.Remote(remote.url, f"git:{fetching.digest(path, kind)}", remote.goes_to)
    build_atlas.check(good, path)


def test_the_addresses_are_pinned_by_commit():
    for remote in build_atlas.remotes():
        assert any(f"/{source.commit}/" in remote.url for source in atlas.SOURCES.values())
        assert len(remote.digest) == len("git:") + 40


def test_disagreement_of_sources_is_small_but_not_nothing():
    from wiseft_lite.book.experiments.atlas import duplicates

    apart = duplicates()
    assert 0 < np.nanmedian(apart["v2"].abs()) < 1 and apart["imagenet"].abs().max() < 3
