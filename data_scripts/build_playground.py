"""Make the files of the playground page, and check them: python data_scripts/build_playground.py

Writes ``book/_static/playground``: the two models in 16 bits per weight, the class names with two
examples of each style, and the text embeddings of a few thousand nouns. Then reads the weights back
and compares them with the full models, on all images of IconShift.

The nouns are, in lower case: the classes of the shipped tasks, the names of emoji in Unicode, the
names in WordNet of ImageNet-21k's classes that are one token of CLIP's tokenizer, and a few words
that one may draw.
"""

from __future__ import annotations

import base64
import io
import json
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import arguments
import timm
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from wiseft_lite import Clip, Recipe, Task, load_clip, load_task, task_names, zero_shot_classifier
from wiseft_lite.book import playground
from wiseft_lite.book.experiments.playground import compare
from wiseft_lite.book.runs import trained
from wiseft_lite.features import predict
from wiseft_lite.models import ImageClassifier
from wiseft_lite.zeroshot import zero_shot_head

EMOJI = ((0x2600, 0x27C0), (0x1F300, 0x1F650), (0x1F680, 0x1F700), (0x1F900, 0x1FB00))
DRAWN = """smile, smiley, angry, sad, happy, circle, square, triangle, line, spiral, zigzag, cross, check, plus,
minus, question mark, exclamation mark, letter, number, computer, screen, money, coin, rain, lightning, planet, island,
angel, ninja, pirate, snowman, dinosaur, monster, stick figure, person, house, plane, nose, leaf, sea, wave"""
RUDE = {"ass", "bitch", "boob", "cock", "cunt", "hooker", "nigger", "shit", "slut", "tit", "tits"}
LARGEST = 0.3, 99.0  # points of accuracy on a split, percent of equal predictions: the check


def nouns() -> list[str]:
    """Return the words of the page's own classes, in alphabetical order."""
    found = {name for task in task_names() for name in load_task(task).class_names}
    for first, end in EMOJI:
        names = (unicodedata.name(chr(code), "").lower() for code in range(first, end))
        found |= {name for name in names if re.fullmatch("[a-z]+( [a-z]+)?", name)}
    info, tokenizer = Path(timm.__file__).parent / "data" / "_info", SimpleTokenizer()
    kept = set((info / "imagenet21k_miil_w21_synsets.txt").read_text().split())
    for line in (info / "imagenet_synset_to_lemma.txt").read_text().splitlines():
        synset, names = line.split("\t")
        words = names.split(", ") if synset in kept else []
        found |= {
            word
            for word in words
            if re.fullmatch("[a-z]{2,}", word) and len(tokenizer.encode(word)) == 1
        }
    found |= set(DRAWN.replace("\n", " ").split(", "))
    return sorted({name.lower() for name in found} - RUDE)


def words_script(clip: Clip, task: Task) -> str:
    """Return the script with the nouns and their embeddings, rows of a zero-shot head in 8 bits."""
    names = nouns()
    head = zero_shot_head(clip, names, task.templates)
    codes, steps = playground.quantise(head.weight.detach(), 8)
    data = steps.numpy().tobytes() + codes.to(torch.int8).numpy().tobytes()
    return playground.script("WISEFT_WORDS", json.dumps(names)) + playground.script(
        "WISEFT_WORD_ROWS", playground.embedded(data)
    )


def examples(task: Task, logits: Mapping[str, list[Tensor]]) -> list[dict]:
    """Return two images of each style: the first that fine-tuning loses, the first that it gains.

    No class is shown twice.

    Args:
        task: its evaluation splits are the styles.
        logits: by split, of the zero-shot and of the fine-tuned model, over all classes.
    """
    found, seen = [], set()
    for name, split in task.evaluation.items():
        right = [rows.argmax(1) == split.labels for rows in logits[name]]
        for before, after in (right, right[::-1]):
            row = next(
                row
                for row in (before & ~after).nonzero().flatten().tolist()
                if int(split.labels[row]) not in seen
            )
            image, label = split[row]
            seen.add(label)
            file = io.BytesIO()
            image.save(file, "webp", lossless=True)
            source = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
            found.append({"style": name, "label": task.class_names[label], "src": source})
    return found


def check(zero_shot: ImageClassifier, fine_tuned: ImageClassifier, task: Task) -> None:
    """Print the shipped models beside the full ones.

    Raises:
        SystemExit: an accuracy or the predictions differ too much.
    """
    table = compare(zero_shot, fine_tuned, playground.shipped(), task)
    print(table.round(2).to_string(index=False))
    points, equal = (table["shipped"] - table["full"]).abs().max(), table["agreement"].min()
    if points > LARGEST[0] or equal < LARGEST[1]:
        raise SystemExit(
            f"{points:.2f} points apart, {equal:.1f} % equal predictions: not {LARGEST}"
        )


def main() -> None:
    arguments.parser(__doc__).parse_args()
    task, clip = load_task("iconshift"), load_clip("iconclip")
    zero_shot = zero_shot_classifier(clip, task)
    fine_tuned = trained(zero_shot, task, Recipe(seed=0))
    theta_0, theta_1 = zero_shot.state_dict(), fine_tuned.state_dict()
    folder = playground.FOLDER
    folder.mkdir(exist_ok=True)
    logits = {
        name: [predict(model, split) for model in (zero_shot, fine_tuned)]
        for name, split in task.evaluation.items()
    }
    about = {
        "classes": task.class_names,
        "tensors": [(name, list(tensor.shape)) for name, tensor in theta_0.items()],
        "examples": examples(task, logits),
    }
    playground.write(playground.encode(theta_0, theta_1), about, folder)
    (folder / "words.js").write_text(words_script(clip, task))
    for path in sorted(folder.glob("*.js")):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    check(zero_shot, fine_tuned, task)


if __name__ == "__main__":
    main()
