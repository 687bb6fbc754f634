"""Chapter 14: one embedding for everything, tested on classes never trained on. (Draft: written, never run.)"""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pandas as pd

from wiseft_lite.encoders import load_clip
from wiseft_lite.ledger import Record
from wiseft_lite.retrieval import retrieval, text_projection
from wiseft_lite.soups import uniform_soup
from wiseft_lite.sweeps import batched
from wiseft_lite.tasks import load_task, task_names
from wiseft_lite.universal import EMBED, chosen, finetuned, from_text, line, universe

TOWERS = (0.03, 0.1, 0.3)  # the ingredients of the soup: the tower's share of the rate
METRICS = ("mp_5", "recall_1", "recall_5", "mrr_5")


def run(record: Record, seeds: list[int]) -> None:
    clip = load_clip("iconclip")
    tasks = [load_task(name) for name in task_names()]
    rows, n = [], []
    for seed in seeds:
        world = universe(clip, tasks, seed)
        parts = {"val": world.val, "test": world.test}
        n.append(len(world.test.labels))
        start = from_text(clip, world.prompts)
        whole = text_projection(clip.encode_text(world.prompts))
        for name, part in parts.items():  # without training: all 128 dimensions, and names alone in 64
            features = batched(start.encoder, part.images, 256)
            features = features / features.norm(dim=1, keepdim=True)
            for kind, embeddings in (("CLIP, 128 dimensions", features), ("names alone", whole(features))):
                rows.append({"kind": kind, "seed": seed, "split": name,
                             **dataclasses.asdict(retrieval(embeddings, part.labels))})
        tuned = {share: finetuned(start, world.train, replace(EMBED, seed=seed), tower=share) for share in TOWERS}
        soup = finetuned(start, world.train, replace(EMBED, epochs=1, seed=seed), tower=0.0)
        soup.load_state_dict(uniform_soup(model.state_dict() for model in tuned.values()))
        for kind, model in (("fine-tuned", tuned[0.1]), ("soup", soup)):
            table = line(start, model, parts)
            alpha = chosen(table)
            rows += [{**row, "kind": kind, "seed": seed, "chosen": row["alpha"] == alpha}
                     for row in table.to_dict("records")]
    table = record.tables["ch14_retrieval"] = pd.DataFrame(rows)
    test = table[table["split"] == "test"]
    for kind, part in test.groupby("kind", sort=False):
        points = {"": part} if part["alpha"].isna().all() else {
            ".alpha_0": part[part["alpha"] == 0], ".alpha_1": part[part["alpha"] == 1], ".chosen": part[part["chosen"] == True]}  # noqa: E712
        for point, some in points.items():
            for metric in METRICS:
                record.number(f"ch14.{kind.replace(',', '').replace(' ', '_')}{point}.{metric}",
                              (100 * some[metric]).tolist(), "percent", n[0], seeds)
