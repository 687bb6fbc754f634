"""Do each thing the usual way, as its users write it: what the benchmarks compare with."""

from __future__ import annotations

import copy
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from wiseft_lite.data import ImageDataset, ShuffledBatches, load
from wiseft_lite.errors import UserError
from wiseft_lite.losses import Objective
from wiseft_lite.metrics import predictions
from wiseft_lite.models import Head, ImageClassifier
from wiseft_lite.schedules import learning_rate
from wiseft_lite.tasks import Split
from wiseft_lite.tasks.images import Files
from wiseft_lite.training import Recipe


def as_files(split: Split, folder: Path) -> Split:
    """Return the same split with each image in a PNG file of its own."""
    folder.mkdir(parents=True)
    paths = [folder / f"{i:05}.png" for i in range(len(split))]
    for i, path in enumerate(paths):
        split.images[i].save(path)
    return replace(split, images=Files(paths))


class Decoding(torch.utils.data.Dataset):
    """Wrap a split as a PyTorch dataset."""

    def __init__(self, split: Split, preprocess):
        self.split, self.preprocess = split, preprocess

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.split[index]
        return self.preprocess(image), label


def per_alpha(
    zero_shot: ImageClassifier,
    fine_tuned: ImageClassifier,
    splits: Mapping[str, Split],
    alphas: Sequence[float],
    folder: Path,
    workers: int = 0,
    batch_size: int = 256,
) -> list[float]:
    """Evaluate as the paper's code does: mix, write the whole model to disk, read all images again.

    Returns:
        Accuracies as fractions: of all splits for the first alpha, then for the next.

    Source: ``src/wise_ft.py`` and ``src/models/eval.py`` of github.com/mlfoundations/wise-ft,
        rewritten. The saved model is not read back, as there.
    """
    model = copy.deepcopy(fine_tuned).eval()
    theta_0 = {key: tensor.clone() for key, tensor in zero_shot.state_dict().items()}
    theta_1 = {key: tensor.clone() for key, tensor in fine_tuned.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    scores = []
    for alpha in alphas:
        model.load_state_dict(
            {key: (1 - alpha) * theta_0[key] + alpha * theta_1[key] for key in theta_0}
        )
        torch.save(model, folder / f"alpha={alpha:.3f}.pt")
        for split in splits.values():
            loader = torch.utils.data.DataLoader(
                Decoding(split, model.preprocess), batch_size, num_workers=workers
            )
            right = 0
            with torch.no_grad():
                for images, labels in loader:
                    right += (predictions(model(images), split.classes) == labels).sum().item()
            scores.append(right / len(split))
    return scores


def bare_loop(
    classifier: ImageClassifier, images: ImageDataset, labels: Tensor, recipe: Recipe
) -> nn.Module:
    """Fine-tune in a plain PyTorch loop with the same batches, crops, schedule and clipping."""
    model = copy.deepcopy(classifier).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay
    )
    order = ShuffledBatches(len(images), recipe)
    for step, (keys, batch) in enumerate(zip(order, load(images, order), strict=True)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, len(order), recipe)
        loss = nn.functional.cross_entropy(model(batch), labels[[i for _, i in keys]])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def recomputed(objective: Objective, size: int) -> Objective:
    """Return an objective that computes a batch in micro-batches and each forward pass twice.

    The activations of a micro-batch are discarded after its forward pass and recomputed for its
    gradient: the alternative to accumulating gradients.

    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost", over images.
    """

    def in_turn(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        parts = zip(inputs.split(size), labels.split(size), strict=True)
        return sum(
            checkpoint(objective, model, x, y, use_reentrant=False) * (len(x) / len(inputs))
            for x, y in parts
        )

    return in_turn


def lbfgs_probe(
    start: Head,
    features: Tensor,
    labels: Tensor,
    iterations: int,
    *,
    tolerance: float = 1e-12,
    penalty: float = 0.0,
) -> Head:
    """Fit scikit-learn's logistic regression from the same start as ours.

    It minimises ``CE + penalty * |W|^2``, where ``W`` is the weight of the head without its bias.

    Raises:
        UserError: scikit-learn is not installed.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise UserError(
            "the benchmark of the probe needs scikit-learn; pip install scikit-learn"
        ) from None
    inverse = 1 / (2 * len(labels) * penalty) if penalty else float("inf")
    solver = LogisticRegression(C=inverse, max_iter=iterations, tol=tolerance, warm_start=True)
    present = labels.unique()
    solver.coef_, solver.intercept_ = (
        start.weight.detach().numpy()[present],
        start.bias.detach().numpy()[present],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early on purpose
        solver.fit(features.numpy(), labels.numpy())
    head = copy.deepcopy(start)
    with torch.no_grad():
        head.weight[present] = torch.from_numpy(solver.coef_).float()
        head.bias[present] = torch.from_numpy(solver.intercept_).float()
    return head


def main(zero_shot: str, fine_tuned: str, task: str, splits: str, folder: str) -> None:
    """Run the whole procedure in a process: read models and task, then write accuracies."""
    from wiseft_lite.checkpoints import load
    from wiseft_lite.sweeps import ALPHAS
    from wiseft_lite.tasks import load_task

    known = load_task(task)
    chosen = {name: known.split(name) for name in splits.split(",")}
    accuracies = per_alpha(load(zero_shot), load(fine_tuned), chosen, ALPHAS, Path(folder))
    (Path(folder) / "accuracies.json").write_text(json.dumps(accuracies))


if __name__ == "__main__":
    main(*sys.argv[1:])
