"""Write each data set in its real layout with a few tiny images: ``python tests/tasks/make_fixtures.py FOLDER``.

Layouts and class lists are those of the authors' repositories; every picture is one of four flat colours.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

PUBLISHED = json.loads((Path(__file__).parent.parent / "data" / "published_classes.json").read_text())
COLOURS = ((200, 30, 30), (30, 160, 60), (40, 60, 200), (220, 180, 40))


def encoded(colour, kind="JPEG", size=(12, 12)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


JPEG = [encoded(colour) for colour in COLOURS]
PNG = [encoded(colour, "PNG") for colour in COLOURS]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)


def tree(folder, names, ending, n=1, pictures=JPEG):
    for k, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            (folder / name / f"{name}_{i}.{ending}").write_bytes(pictures[(k + i) % 4])


def synsets(name="imagenet_synsets.txt"):
    import timm

    return (Path(timm.__file__).parent / "data" / "_info" / name).read_text().split()


def imagenet(root):
    ids = synsets()
    tree(root / "imagenet" / "train", ids, "JPEG", n=2)
    tree(root / "imagenet" / "val", ids, "JPEG")


def imagenet_shifts(root):
    """ImageNetV2 (folders 0 to 999), R and A (200 WordNet ids each), Sketch and ObjectNet."""
    tree(root / "imagenetv2-matched-frequency-format-val", [str(k) for k in range(1000)], "jpeg")
    tree(root / "imagenet-r", synsets("imagenet_r_synsets.txt"), "jpg")
    tree(root / "imagenet-a", synsets("imagenet_a_synsets.txt"), "jpg")
    (root / "imagenet-r" / "README.txt").write_text("as in the archive")
    tree(root / "sketch", synsets(), "JPEG")
    objectnet(root / "objectnet-1.0")


def objectnet(folder):
    """113 shared classes and two of ObjectNet's 200 others; pictures with a red frame of 2 pixels."""
    framed = Image.new("RGB", (20, 16), "red")
    framed.paste((30, 160, 60), (2, 2, 18, 14))
    file = io.BytesIO()
    framed.save(file, "PNG")
    shared = PUBLISHED["objectnet"]
    tree(folder / "images", [name for name, _, _ in shared] + ["air_freshener", "yoga_mat"], "png",
         pictures=[file.getvalue()] * 4)
    order = {k: (7 * k) % 1000 for k in range(1000)}  # class index to line, some permutation as in the real file
    lines = [""] * 1000
    for k, line in order.items():
        lines[line] = f"label {k}, other name"
    titles = {name: label for name, label, _ in shared} | {"air_freshener": "Air freshener", "yoga_mat": "Yoga mat"}
    maps = folder / "mappings"
    write(maps / "folder_to_objectnet_label.json", json.dumps(titles))
    write(maps / "objectnet_to_imagenet_1k.json", json.dumps(
        {label: "; ".join(f"label {k}, other name" for k in ids) for _, label, ids in shared}))
    write(maps / "pytorch_to_imagenet_2012_id.json", json.dumps(order))
    write(maps / "imagenet_to_label_2012_v2", "\n".join(lines) + "\n")


def vid_robust(root):
    """Two clips: the second frame of one shows two classes, and one frame lies 4 before its anchor."""
    folder = root / "imagenet_vid_ytbb_robust" / "imagenet-vid-robust"
    ids = synsets()
    write(folder / "misc" / "imagenet_vid_class_index.json", json.dumps(
        {k: [wnid, name] for k, (wnid, name, _) in enumerate(PUBLISHED["vid"])}))
    write(folder / "misc" / "rev_wnid_map.json", json.dumps(
        {wnid: [ids[k] for k in group] for wnid, _, group in PUBLISHED["vid"]}))
    one, two = "val/ILSVRC2015_val_00000000", "val/ILSVRC2015_val_00000001"
    labels = {f"{one}/000440.JPEG": [26], f"{one}/000442.JPEG": [26], f"{one}/000443.JPEG": [26, 4],
              f"{two}/000010.JPEG": [8], f"{two}/000006.JPEG": [8]}
    write(folder / "metadata" / "labels.json", json.dumps(labels))
    write(folder / "metadata" / "pmsets.json", json.dumps({
        f"{one}/000442.JPEG": [f"{one}/000440.JPEG", f"{one}/000443.JPEG"],
        f"{two}/000010.JPEG": [f"{two}/000006.JPEG"]}))
    for k, path in enumerate(labels):
        write(folder / path, JPEG[k % 4])


def ytbb_robust(root):
    """Anchors: a dog, a car, a cow (no ImageNet class), one that a reviewer doubts, one bad by its pair."""
    folder = root / "ytbb-robust"
    words = ["good", "unsure", "bad", *(name for name, _ in PUBLISHED["ytbb"])]
    pair = ["similar", "dissimilar", "bad-anchor", "correct"]
    keys = {"dog": "aaa_1000/frame-30.jpg", "car": "b_b_2000/frame-60.jpg", "cow": "ccc_3000/frame-90.jpg",
            "doubted": "ddd_4000/frame-120.jpg", "bad": "eee_5000/frame-150.jpg"}
    said = {"dog": [0, words.index("cat")], "car": [0], "cow": [0], "doubted": [0, 1], "bad": [0]}
    meta = folder / "metadata"
    write(meta / "anchor_labels.json", json.dumps({"labels": words, "annotations": [
        {"key": keys[name], "notes": "", "labels": labels} for name, labels in said.items()]}))
    write(meta / "pmk_labels.json", json.dumps({"labels": pair, "annotations": [
        {"key": f"anchors/{keys['dog']},frames/aaa_1000/frame-32.jpg", "labels": [0, 3]},
        {"key": f"anchors/{keys['dog']},frames/aaa_1000/frame-33.jpg", "labels": [1]},
        {"key": f"{keys['bad']},eee_5000/frame-151.jpg", "labels": [0, 2]}]}))
    write(meta / "ytbb_class_index.json", json.dumps({k: name for k, (name, _) in enumerate(PUBLISHED["ytbb"])}))
    write(meta / "rev_class_idx_map.json", json.dumps({k: ids for k, (_, ids) in enumerate(PUBLISHED["ytbb"]) if ids}))
    write(meta / "ytbb_robustness_test_anchors_full.csv", "ytid,time_ms,label\naaa,1000,19\nb_b,2000,22\n"
          "ccc,3000,6\nddd,4000,1\neee,5000,1\n")  # here 22 is a car
    for k, key in enumerate([*keys.values(), "aaa_1000/frame-32.jpg", "aaa_1000/frame-33.jpg"]):
        write(folder / "ytbb_videos" / key, JPEG[k % 4])


def binary(labels, head):
    """CIFAR's records: label bytes, then the red, green and blue plane of 32 x 32 each."""
    return b"".join(bytes([9] * (head - 1) + [label]) + b"".join(bytes([c]) * 1024 for c in COLOURS[label % 4])
                    for label in labels)


def flat(labels):
    return np.stack([np.full((32, 32, 3), COLOURS[label % 4], np.uint8) for label in labels])


def cifar(root):
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    folder, ten = root / "cifar-10-batches-bin", list(range(10))
    write(folder / "batches.meta.txt", "\n".join(names) + "\n\n")
    for k in range(1, 6):
        write(folder / f"data_batch_{k}.bin", binary(ten, 1))
    write(folder / "test_batch.bin", binary(ten, 1))
    for folder in ("CIFAR-10.1", "CIFAR-10.2", "CIFAR-10-C"):
        (root / folder).mkdir()
    np.save(root / "CIFAR-10.1" / "cifar10.1_v6_data.npy", flat(ten))
    np.save(root / "CIFAR-10.1" / "cifar10.1_v6_labels.npy", np.array(ten, np.int32))
    np.savez(root / "CIFAR-10.2" / "cifar102_test.npz", images=flat(ten), labels=np.array(ten),
             label_names=np.array(names), keywords=np.array(["x"] * 10, dtype=object))
    np.save(root / "CIFAR-10-C" / "labels.npy", np.array([1, 2] * 5, np.uint8))
    grey = np.repeat(np.arange(5, dtype=np.uint8), 2 * 3072).reshape(10, 32, 32, 3)  # as bright as it is severe
    for name in ("gaussian_noise shot_noise impulse_noise defocus_blur glass_blur motion_blur zoom_blur snow frost fog "
                 "brightness contrast elastic_transform pixelate jpeg_compression speckle_noise").split():
        np.save(root / "CIFAR-10-C" / f"{name}.npy", grey)
    hundred = root / "cifar-100-binary"
    write(hundred / "fine_label_names.txt", "\n".join([*(f"class_{k}" for k in range(99)), "worm"]) + "\n")
    write(hundred / "train.bin", binary(list(range(100)) * 2, 2))
    write(hundred / "test.bin", binary(list(range(100)), 2))


def cars(root):
    from scipy.io import savemat

    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    names = np.array([f"Maker Model {k} 2012" for k in range(196)], dtype=object)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": names})
    kinds = [(name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    for part, path, n in (("train", "devkit/cars_train_annos.mat", 2), ("test", "cars_test_annos_withlabels.mat", 1)):
        rows = [(1, 1, 9, 9, k % 196 + 1, f"{k + 1:05}.jpg") for k in range(196 * n)]
        savemat(folder / path, {"annotations": np.array(rows, dtype=kinds)})
        for row in rows:
            write(folder / f"cars_{part}" / row[5], JPEG[row[4] % 4])


def dtd(root):
    folder, names = root / "dtd" / "dtd", ["banded", "polka-dotted", *(f"texture_{k:02}" for k in range(45))]
    for i, part in enumerate(("train", "val", "test")):
        files = [f"{name}/{name}_{i:04}.jpg" for name in names]
        write(folder / "labels" / f"{part}1.txt", "\n".join(files) + "\n")
        for k, file in enumerate(files):
            write(folder / "images" / file, JPEG[k % 4])


def sun397(root):
    folder = root / "SUN397"
    names = ["/a/abbey", "/a/apartment_building/outdoor", *(f"/z/scene_{k}" for k in range(395))]
    write(folder / "ClassName.txt", "\n".join(names) + "\n")
    for part, n in (("Training_01", 2), ("Testing_01", 1)):
        files = [f"{name}/sun_{part[:2]}{i}.jpg" for name in names for i in range(n)]
        write(folder / "Partitions" / f"{part}.txt", "\n".join(files) + "\n")
        for k, file in enumerate(files):
            write(folder / file.lstrip("/"), JPEG[k % 4])


def food101(root):
    folder, names = root / "food-101", ["apple_pie", *(f"dish_{k:03}" for k in range(100))]
    write(folder / "meta" / "classes.txt", "\n".join(names) + "\n")
    for part, first in (("train", 1000), ("test", 2000)):
        files = [f"{name}/{first + i}" for name in names for i in range(2)]
        write(folder / "meta" / f"{part}.txt", "\n".join(files) + "\n")
        for k, file in enumerate(files):
            write(folder / "images" / f"{file}.jpg", JPEG[k % 4])


def fmow(root):
    """62 categories three times before 2013, then a shift of six images in three regions, one of them no region."""
    folder = root / "fmow_v1.1"
    names = ["airport", "airport_hangar", "zoo", *(f"category_{k:02}" for k in range(59))]
    rows = [(part, name, "USA", "2010-05-01T00:00:00Z") for part in ("train", "val", "test") for name in names]
    rows += [("seq", "zoo", "USA", "2010-05-01T00:00:00Z"), ("test", "zoo", "USA", "2014-05-01T00:00:00Z")]
    rows += [("test", "zoo", code, "2016-01-01T00:00:00.5Z") for code in ("USA", "USA", "KEN", "KEN", "XKX", "XKX")]
    write(folder / "rgb_metadata.csv", "split,category,country_code,timestamp\n"
          + "\n".join(",".join(row) for row in rows) + "\n")
    write(folder / "country_code_mapping.csv", "name,alpha-3,region\nUnited States,USA,Americas\nKenya,KEN,Africa\n")
    for k in range(len(rows)):
        write(folder / "images" / f"rgb_img_{k}.png", PNG[k % 4])


def iwildcam(root):
    folder = root / "iwildcam_v2.0"
    species = (Path(__file__).parent.parent.parent / "wiseft_lite" / "tasks" / "iwildcam_names.csv").read_text()
    names = [line.split(",")[0] for line in species.splitlines()[1:]]
    write(folder / "categories.csv", "y,category_id,name\n" + "".join(
        f"{y},{y + 1},{name}\n" for y, name in enumerate(names)) + "99999,400,didelphis sp\n")
    lines = ["split,location_remapped,location,sequence_remapped,seq_id,y,category_id,datetime,filename,image_id"]
    for part, labels in (("train", [0, 1, 2, 3]), ("val", [1]), ("test", [0, 0, 2]), ("id_val", [1]),
                         ("id_test", [0, 2])):
        for i, y in enumerate(labels):
            lines.append(f"{part},0,0,0,s,{y},{y + 1},2013-01-01 00:00:00.000,{part}{i}.jpg,{part}{i}")
            write(folder / "train" / f"{part}{i}.jpg", JPEG[y % 4])
    write(folder / "metadata.csv", "\n".join(lines) + "\n")


BUILDERS = (imagenet, imagenet_shifts, vid_robust, ytbb_robust, cifar, cars, dtd, sun397, food101, fmow, iwildcam)


def build(root):
    for builder in BUILDERS:
        builder(Path(root))


if __name__ == "__main__":
    build(sys.argv[1])
