"""The figures and tables of the paper and their places in the book, for ``build_coverage.py``."""

from __future__ import annotations

from dataclasses import dataclass

_SIZES = (
    "the images of ImageNet and its shifts, the weights and a GPU; `wiseft-lite run --task imagenet` reads both "
    "as they are published"
)


@dataclass(frozen=True)
class Item:
    """A figure, table or experiment of the paper.

    Args:
        name: in the paper.
        what: what it shows.
        chapters: notebooks that reproduce it, without their suffix.
        functions: in ``wiseft_lite``, such as ``sweeps.sweep``.
        keys: ledger keys, or their beginnings.
        tables: recorded tables.
        note: how ours differs from the paper's.
        missing: the part that is not here, and what it needs.
    """

    name: str
    what: str
    chapters: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    note: str = ""
    missing: str = ""


# Each section's heading on the page, and the part of the paper as a sentence names it.
MAIN = ("The main text", "main text")
CHOICE = ("Appendix A and B: the method and its alpha", "appendices A and B")
BREAKDOWN = ("Appendix C.1 and C.2: shift by shift", "appendices C.1 and C.2")
CONTROLS = ("Appendix C.3 and C.4: controls", "appendices C.3 and C.4")
TASKS = ("Appendix C.5: other tasks, little data", "appendix C.5")
MODELS = ("Appendix C.6 to C.8: other models", "appendices C.6 to C.8")
REST = ("Appendix D, E and F", "appendices D, E and F")

SECTIONS: dict[tuple[str, str], tuple[Item, ...]] = {
    MAIN: (
        Item(
            "Figure 1",
            "Reference accuracy against the mean of the shifts: the curve of alpha, for probes and end to "
            "end, with the line of models trained on the reference alone",
            ("02_shift", "06_interpolate", "12_claims"),
            (
                "sweeps.sweep",
                "figures.frontier",
                "figures.among",
                "analysis.robustness.fit_baseline",
                "analysis.atlas.baseline",
            ),
            ("ch06.shifts", "ch02.shifts.rho", "atlas.rho.vit-l_14_336px"),
            ("ch07_curves", "ch02_baselines", "paper_curves"),
            note="Twice: with our models, and at real scale from public measurements. The line depends on the "
            "models that it is fitted to; chapter 2 shows four of ours and three of real ones.",
        ),
        Item(
            "Figure 2",
            "One class in the reference and in every shift",
            ("02_shift", "06_interpolate"),
            ("figures.gallery",),
        ),
        Item(
            "Table 1",
            "Zero-shot, probe, fine-tuned and interpolated, on the reference and every shift",
            ("03_linear_probe", "04_fine_tune", "06_interpolate"),
            ("training.linear_probe", "training.finetune"),
            ("ch03.change", "ch04.change", "ch06.test"),
            ("ch07_curves",),
        ),
        Item(
            "Figure 3",
            "Learning rates, epochs, regularisers, early stopping and averages of one run, beside the curve",
            ("05_hyperparameters", "10_controls"),
            (
                "losses.l2_to",
                "merging.moving_averages.MovingAverages",
                "analysis.correlation.partial_correlation",
            ),
            ("ch05.correlation", "ch05.early_stop", "atlas.tuned.lr"),
            ("ch05_grid",),
            note="Learning rates, epochs, augmentation and weight decay of 71 real fine-tunings too.",
        ),
        Item(
            "Table 2",
            "Seven tasks, a fine-tuned model for each, half way and at the best alpha",
            ("11_low_data",),
            ("tasks.load_task",),
            ("ch11.mean",),
            ("ch11_tasks",),
            note="Our seven tasks are sets of icons.",
        ),
        Item(
            "Figure 4",
            "Curves of ALIGN, BASIC-L and a ViT-H/14 trained on JFT",
            ("12_claims",),
            ("book.paper.curve",),
            tables=("paper_curves",),
            note="The paper's own curves, beside ours.",
            missing="The weights were never published, so no code could run.",
        ),
        Item(
            "Figure 5",
            "Diversity, overrides and margins of zero-shot and probe",
            ("08_why",),
            (
                "analysis.diversity.prediction_diversity",
                "analysis.diversity.cka_complement",
                "analysis.diversity.overrides",
                "analysis.diversity.margins",
            ),
            ("ch08.diversity", "ch08.overrides_lead", "ch08.margin_lead"),
            ("ch08_diversity", "ch08_overrides"),
        ),
        Item(
            "Figure 6",
            "Accuracy against alpha, split by split; observations 1 and 2",
            ("06_interpolate", "08_why"),
            (
                "figures.alpha_curves",
                "analysis.connectivity.observation_1",
                "analysis.connectivity.observation_2",
            ),
            ("ch08.observation_1", "ch08.observation_2"),
            ("ch08_observations",),
        ),
    ),
    CHOICE: (
        Item(
            "Algorithm 1",
            "The method in a few lines of code",
            ("06_interpolate",),
            ("weights.interpolate",),
        ),
        Item(
            "Table 3",
            "A fixed alpha of 0.5 against the best one",
            ("07_choose_alpha",),
            (),
            ("ch07.gap",),
            ("ch07_curves",),
        ),
    ),
    BREAKDOWN: (
        Item(
            "Figure 7",
            "Figure 1 for each shift by itself",
            ("02_shift", "06_interpolate"),
            (
                "analysis.robustness.effective_robustness",
                "analysis.robustness.robustness_interval",
                "analysis.atlas_figure.draw",
            ),
            ("ch02.emoji.rho", "atlas.line.standard"),
            ("ch02_baselines", "ch07_curves"),
        ),
        Item(
            "Figure 8",
            "Figure 7, enlarged",
            ("06_interpolate",),
            ("figures.alpha_curves",),
            tables=("ch07_curves",),
        ),
        Item(
            "Table 4",
            "The curves of ViT-L/14@336px, split by split",
            ("06_interpolate", "12_claims", "17_imagenet"),
            ("book.paper.curve", "sweeps.sweep"),
            tables=("paper_curves", "ch07_curves"),
            note="The paper's curve at steps of 0.1, beside ours.",
            missing=f"For ViT-L/14@336px itself: {_SIZES}.",
        ),
        Item(
            "Table 5",
            "The curves of ViT-B/16, split by split",
            ("06_interpolate", "12_claims", "17_imagenet"),
            ("book.paper.curve", "sweeps.sweep"),
            tables=("paper_curves", "ch07_curves"),
            note="The paper's curve at steps of 0.1, beside ours.",
            missing=f"For ViT-B/16 itself: {_SIZES}.",
        ),
        Item(
            "Figure 9",
            "Six further shifts: two of video, CIFAR-10.1 and 10.2, FMoW, iWildCam",
            ("16_cifar", "18_wilds_and_video"),
            (
                "metrics.pm_k",
                "metrics.worst_group",
                "metrics.macro_f1",
                "tasks.published.video.load_vid",
                "tasks.published.cifar.load",
                "tasks.published.wilds.load_fmow",
                "tasks.published.wilds.load_iwildcam",
            ),
            note="Measures, loaders and commands, run on a stand-in.",
            missing="The images, the weights and a GPU.",
        ),
        Item(
            "Table 6",
            "The numbers of figure 9",
            ("16_cifar", "18_wilds_and_video"),
            ("book.paper.published_table",),
            tables=("paper_tables",),
            note="The paper's numbers, with a column for yours.",
            missing="As figure 9.",
        ),
    ),
    CONTROLS: (
        Item(
            "Figure 10",
            "Averaging weights against averaging outputs",
            ("09_outputs_or_weights",),
            ("analysis.ensembles.output_ensemble", "sweeps.logits_along"),
            ("ch09.weights_over_outputs",),
            ("ch09_curves",),
        ),
        Item(
            "Figure 11",
            "Moving averages of the weights: decays, debiased or started at zero-shot",
            ("10_controls",),
            ("merging.moving_averages.MovingAverages",),
            ("ch10",),
        ),
        Item(
            "Figure 12",
            "Moving averages along the run, and interpolation on top of them",
            ("10_controls",),
            ("merging.moving_averages.MovingAverages", "weights.interpolate"),
            ("ch10",),
        ),
        Item(
            "Figure 13",
            "Random and softmax mixtures; L2 to zero-shot, distillation and other regularisers of a probe",
            ("09_outputs_or_weights", "10_controls"),
            (
                "analysis.ensembles.softmax_ensemble",
                "analysis.ensembles.random_ensemble",
                "losses.l2_to",
                "losses.distillation",
                "losses.l1",
                "losses.smoothed",
            ),
            ("ch09.weights_over_softmax", "ch09.weights_over_random"),
        ),
        Item(
            "Table 7",
            "Prompt learning (CoOp) with 16 images per class",
            ("10_controls",),
            ("finetuning.prompts.learn_prompt",),
            ("ch10",),
        ),
        Item(
            "Figure 14",
            "Table 7 as a figure",
            ("10_controls",),
            ("finetuning.prompts.learn_prompt",),
            ("ch10",),
        ),
        Item(
            "Figure 15",
            "Figure 3 with stronger augmentation (the paper's second figure 14)",
            ("10_controls",),
            ("augmentation.training_transform",),
            ("ch10",),
        ),
    ),
    TASKS: (
        Item(
            "Figure 16",
            "Accuracy against alpha on seven tasks",
            ("11_low_data",),
            ("sweeps.sweep",),
            ("ch11",),
            ("ch11_tasks",),
        ),
        Item(
            "Figure 17",
            "Probes from k images per class: gain over zero-shot",
            ("11_low_data",),
            ("tasks.draws.few_shot_rows",),
            ("ch11.searched_1",),
            ("ch11_shots",),
        ),
        Item(
            "Figure 18",
            "Probes from k images per class: gain over the probe",
            ("11_low_data",),
            ("tasks.draws.few_shot_rows",),
            ("ch11.searched_1",),
            ("ch11_shots",),
        ),
        Item(
            "Figure 19",
            "Probes from k images per class: gain over the better of both",
            ("11_low_data",),
            ("tasks.draws.few_shot_rows",),
            ("ch11.searched_1",),
            ("ch11_shots",),
        ),
    ),
    MODELS: (
        Item(
            "Figure 20",
            "All CLIP models from RN50 on, at a loss on the reference below a limit",
            (),
            ("encoders.load_clip",),
            missing=f"A dozen pre-trained models of several sizes; needed: {_SIZES}.",
        ),
        Item(
            "Figure 21",
            "Figure 1 for ViT-B/16, shift by shift",
            ("12_claims",),
            ("book.paper.curve",),
            tables=("paper_curves",),
            note="The paper's own curve, beside ours.",
            missing=f"To run it: {_SIZES}.",
        ),
        Item(
            "Table 8",
            "Six models: zero-shot, fine-tuned, half way, best alpha",
            ("12_claims", "17_imagenet"),
            ("book.paper.published_table",),
            tables=("paper_tables",),
            note="The paper's numbers, for ViT-B/16 with a row for yours.",
            missing="ALIGN, BASIC and JFT were never published; for ViT-B/16 as table 5.",
        ),
        *(
            Item(
                name,
                f"Curves of {model}",
                ("12_claims",),
                ("book.paper.curve",),
                tables=("paper_curves",),
                note="The paper's own curve, beside ours.",
                missing="The weights were never published.",
            )
            for name, model in (
                ("Figure 22", "ALIGN"),
                ("Table 9", "ALIGN"),
                ("Figure 23", "the ViT-H/14 trained on JFT"),
                ("Table 10", "the ViT-H/14 trained on JFT"),
                ("Figure 24", "BASIC-M and BASIC-L"),
                ("Table 11 and Table 12", "BASIC-M and BASIC-L"),
            )
        ),
        Item(
            "Figure 25",
            "Zero-shot CLIP and an independent network, averaged by outputs",
            ("09_outputs_or_weights",),
            ("analysis.ensembles.output_ensemble", "analysis.baselines.scratch_classifier"),
            ("ch09.strangers",),
            note="Our independent network is a small convnet trained on the reference.",
        ),
        Item(
            "Table 13",
            "The numbers of figure 25",
            ("09_outputs_or_weights",),
            ("analysis.ensembles.output_ensemble",),
            ("ch09.strangers",),
        ),
    ),
    REST: (
        Item(
            "Figure 26",
            "Class names of ImageNet or of ObjectNet",
            ("17_imagenet",),
            ("tasks.published.imagenet.load_objectnet",),
            note="Both lists, and why they differ; `wiseft-lite run --task objectnet` takes its own names. Claim 63 of "
            "chapter 12 compares published accuracies.",
            missing="The images of ObjectNet.",
        ),
        *(
            Item(
                f"Figure {n}",
                f"{measure}, for all CLIP models and data sets",
                ("08_why",),
                (f"analysis.diversity.{function}",),
                tables=("ch08_diversity",),
                note="For one model and its shifts.",
                missing="Other architectures, as for figure 20.",
            )
            for n, measure, function in (
                (27, "Prediction diversity", "prediction_diversity"),
                (28, "Cohen's kappa complement", "kappa_complement"),
                (29, "KL divergence", "kl_divergence"),
                (30, "CKA complement", "cka_complement"),
            )
        ),
        Item(
            "Proposition 1",
            "Where a network is linear along the path, weights and outputs average to the same",
            ("09_outputs_or_weights",),
            ("analysis.ensembles.output_ensemble",),
            ("ch09.departure",),
        ),
    ),
}
