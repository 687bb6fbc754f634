"""ImageNet-Vid-Robust and YTBB-Robust: pm-0 and pm-10 on groups of video frames.

Classes, clips and denominators are those of the authors' code (wise-ft, imagenet-testbed), with one
difference. By ImageNet's class names, their code gives the logit 0 to YTBB's classes without an
ImageNet class, and so predicts one of them where every other logit is negative. Here these classes
are never predicted. The largest logit of a CLIP head is positive, so results agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from wiseft_lite.errors import UserError
from wiseft_lite.tasks.images import Files
from wiseft_lite.tasks.published.imagenet import imagenet_classes, merged_by, reference, regrouped
from wiseft_lite.tasks.scoring import Frames
from wiseft_lite.tasks.types import Split, Task

PROBLEMS = {
    "dissimilar",
    "problematic",
    "incorrect",
    "dont know",
    "deformation",
    "background-change",
    "occlusion-increased",
    "blur-increase",
    "bad-anchor",
}  # labels that reviewers give to a pair of frames


@dataclass(frozen=True)
class Clips:
    """The frames of a video data set, with its own classes and their ImageNet classes.

    Args:
        folder: that the paths are relative to.
        names: the data set's own class names.
        groups: the ImageNet classes of each own class; empty if there are none.
        frames: one row per frame: ``path, anchor, offset, right``, the last a set of own classes.
        never: own classes that are never predicted, such as YTBB's "none".
    """

    folder: Path
    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    frames: pd.DataFrame
    never: tuple[int, ...] = ()

    @property
    def answers(self) -> tuple[int, ...] | None:
        """The classes that predictions by own names are restricted to; None for all."""
        if not self.never:
            return None
        return tuple(c for c in range(len(self.names)) if c not in self.never)

    def split(self, name: str, k: int, by_own_names: bool = False) -> Split:
        """Return the frames at most ``k`` away from their anchors, measured with pm-k.

        By ImageNet's class names, no prediction is right for a clip that shows only classes without
        an ImageNet class. Such clips stay in the denominator, as in the authors' code, with the
        label -1. The label of other clips is their first right class.
        """
        frames = self.frames[self.frames["offset"].abs() <= k]
        label = {
            c: c if by_own_names else group[0]
            for c, group in enumerate(self.groups)
            if by_own_names or group
        }
        right = tuple(
            frozenset(label[c] for c in classes & label.keys()) for classes in frames["right"]
        )
        options = (
            {"classes": self.answers} if by_own_names else merged_by([g for g in self.groups if g])
        )
        return Split(
            name,
            Files([self.folder / path for path in frames["path"]]),
            torch.tensor([min(classes, default=-1) for classes in right]),
            **options,
            measure=Frames(tuple(frames["anchor"]), tuple(frames["offset"]), right, k),
        )

    def shifts(self, by_own_names: bool = False) -> dict[str, Split]:
        """Return the splits pm-0, the anchors alone, and pm-10."""
        return {f"pm-{k}": self.split(f"pm-{k}", k, by_own_names) for k in (0, 10)}


def _json(path: Path):
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; see data_scripts/get_video.py") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); unpack or download it again") from error


def _folder(root: Path, name: str) -> Path:
    """Return the folder ``name``, in the folder that the archive unpacks into or in the root."""
    inside = root / "imagenet_vid_ytbb_robust" / name
    return inside if inside.is_dir() else root / name


def _checked(clips: Clips, count: int) -> Clips:
    if len(clips.names) != count:
        raise UserError(
            f"{clips.folder} has {len(clips.names)} classes, not {count}; unpack the archive again"
        )
    lost = [path for path in clips.frames["path"] if not (clips.folder / path).is_file()]
    if lost:
        raise UserError(
            f"{clips.folder / lost[0]} is listed but does not exist, and {len(lost) - 1} more; the archive "
            "is truncated: unpack it again"
        )
    return clips


def vid_clips(root: Path) -> Clips:
    """Read ImageNet-Vid-Robust (30 classes, 1,109 anchors).

    Layout: ``imagenet-vid-robust/{val,metadata,misc}``.

    Its own class names are those of its class index, underscores included ("giant_panda"), as
    wise-ft uses them.

    Raises:
        UserError: a missing or damaged file.

    Source: Shankar et al. 2021.
    """
    folder = _folder(root, "imagenet-vid-robust")
    index = _json(folder / "misc" / "imagenet_vid_class_index.json")
    inside = _json(folder / "misc" / "rev_wnid_map.json")
    labels, sets = (_json(folder / "metadata" / f"{name}.json") for name in ("labels", "pmsets"))
    number = {wnid: k for k, wnid in enumerate(imagenet_classes()[0])}
    own = [index[str(k)] for k in range(len(index))]
    groups = tuple(tuple(sorted(number[w] for w in inside[wnid])) for wnid, _ in own)
    rows = []
    for anchor, others in sets.items():
        for path in (anchor, *others):
            rows.append(
                (
                    path,
                    anchor,
                    int(Path(path).stem) - int(Path(anchor).stem),
                    frozenset(labels[path]),
                )
            )
    frames = pd.DataFrame(rows, columns=["path", "anchor", "offset", "right"])
    return _checked(Clips(folder, tuple(name for _, name in own), groups, frames), 30)


def _key(path: str) -> str:
    return "/".join(path.split("/")[-2:])


def _frame(key: str) -> int:
    return int(Path(key).stem.split("-")[1])


def _rows(review: Mapping) -> dict[str, set[str]]:
    """Return the labels that reviewers gave to each key; of several reviews the last counts."""
    return {
        row["key"]: {review["labels"][k] for k in row["labels"]} for row in review["annotations"]
    }


def ytbb_clips(root: Path) -> Clips:
    """Read YTBB-Robust (24 classes) from ``ytbb-robust/{ytbb_videos,metadata}``.

    An anchor counts if its reviewers call it good and none is unsure; a frame counts if they call
    it similar and report no problem. The classes of a clip are YTBB's own and those that reviewers
    add. Of 2,169 good anchors, 78 show only a cow, toilet, giraffe or skateboard, which ImageNet
    does not have.

    Raises:
        UserError: a missing or damaged file, an anchor without a class.

    Source: Shankar et al. 2021; the metadata of imagenet-testbed and wise-ft.
    """
    folder = _folder(root, "ytbb-robust")
    meta = folder / "metadata"
    index, inside = _json(meta / "ytbb_class_index.json"), _json(meta / "rev_class_idx_map.json")
    names = tuple(index[str(k)] for k in range(len(index)))
    number = {name: k for k, name in enumerate(names)}
    anchors = {
        _key(key): labels for key, labels in _rows(_json(meta / "anchor_labels.json")).items()
    }
    pairs: dict[str, list[tuple[str, set[str]]]] = {}
    for key, labels in _rows(_json(meta / "pmk_labels.json")).items():
        anchor, frame = map(_key, key.split(","))
        pairs.setdefault(anchor, []).append((frame, labels))
    table = meta / "ytbb_robustness_test_anchors_full.csv"
    if not table.exists():
        raise UserError(f"{table} does not exist; see data_scripts/get_video.py")
    first = pd.read_csv(table, dtype=str)
    swap = {22: 23, 23: 22}  # the table counts car before none, the class index none before car
    first = {
        f"{video}_{ms}": swap.get(int(label), int(label))
        for video, ms, label in zip(first["ytid"], first["time_ms"], first["label"], strict=True)
    }
    bad = {
        anchor
        for anchor, others in pairs.items()
        if any("bad-anchor" in labels for _, labels in others)
    }
    rows = []
    for anchor, labels in anchors.items():
        if "good" not in labels or labels & {"bad", "unsure"} or anchor in bad:
            continue
        clip = anchor.split("/")[0]
        if clip not in first:
            raise UserError(
                f"{table} has no class for {clip!r}, an anchor of anchor_labels.json; download both again"
            )
        right = frozenset({first[clip], *(number[name] for name in labels if name in number)})
        frames = [
            anchor,
            *(
                frame
                for frame, verdict in pairs.get(anchor, ())
                if frame != anchor and "similar" in verdict and not verdict & PROBLEMS
            ),
        ]
        rows += [
            (f"ytbb_videos/{frame}", anchor, _frame(frame) - _frame(anchor), right)
            for frame in frames
        ]
    groups = tuple(tuple(inside.get(str(k), ())) for k in range(len(names)))
    frames = pd.DataFrame(rows, columns=["path", "anchor", "offset", "right"])
    return _checked(
        Clips(
            folder,
            names,
            groups,
            frames,
            never=tuple(k for k, name in enumerate(names) if name == "none"),
        ),
        24,
    )


def _task(root: Path, name: str, clips: Clips) -> Task:
    return replace(reference(root), name=name, shifts=clips.shifts())


def _own(root: Path, name: str, clips: Clips) -> Task:
    return regrouped(
        reference(root),
        name,
        clips.names,
        clips.groups,
        clips.shifts(by_own_names=True),
        clips.answers,
    )


def load_vid(root: Path) -> Task:
    """Load ImageNet with ImageNet-Vid-Robust as pm-0 and pm-10, by ImageNet's class names."""
    return _task(root, "vid-robust", vid_clips(root))


def load_vid_own(root: Path) -> Task:
    """Load ImageNet-Vid-Robust by its own 30 class names; the reference is ImageNet on them."""
    return _own(root, "vid-robust-own", vid_clips(root))


def load_ytbb(root: Path) -> Task:
    """Load ImageNet with YTBB-Robust as pm-0 and pm-10, by ImageNet's class names.

    They have a right class for all but 78 of its clips.
    """
    return _task(root, "ytbb-robust", ytbb_clips(root))


def load_ytbb_own(root: Path) -> Task:
    """Load YTBB-Robust by its own 24 class names; the reference is ImageNet on the 19 that it has."""
    return _own(root, "ytbb-robust-own", ytbb_clips(root))
