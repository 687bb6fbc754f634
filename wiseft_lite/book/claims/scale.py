"""Claims that a small benchmark of icons cannot decide, and what each of them needs."""

from __future__ import annotations

from wiseft_lite.book.claims.rules import Claim

CLAIMS = (
    Claim(
        60,
        "It works for image-text models of other families: ALIGN, BASIC and a ViT-H/14 trained on JFT.",
        "Figure 4, table 8",
        "half way on the shifts against fine-tuned: ALIGN 75.0 to 78.4, JFT 69.8 to 72.1, BASIC-L 76.3 to 83.4 %",
        chapter="12_claims",
        needs="Their weights were never published. The figure of this chapter shows the curves that the paper prints.",
    ),
    Claim(
        61,
        "It works over orders of magnitude of pre-training compute.",
        "Appendix C.6, figure 20",
        "twelve CLIP models from RN50 to ViT-L/14@336px",
        needs="A dozen pre-trained models of several sizes. There is only one here, IconCLIP.",
    ),
    Claim(
        62,
        "It helps under shifts of other kinds: video, satellites, camera traps, and CIFAR-10 collected anew.",
        "Appendix C.2, figure 9, table 6",
        "over fine-tuned: CIFAR-10.1 95.9 to 97.6, FMoW worst region 46.0 to 49.5, iWildCam macro-F1 39.9 to 46.1",
        needs="These images and a CLIP that was trained on photographs. Loaders and measures are here: pm-k, worst group, "
        "macro-F1.",
    ),
    Claim(
        63,
        "A data set's own class names raise zero-shot accuracy.",
        "Appendix D.4, figure 26",
        "ObjectNet's own names: +2.3 points",
        needs="ObjectNet, whose classes have names of their own; it can be loaded with both. All of our shifts have "
        "the same list of names.",
    ),
    Claim(
        64,
        "The diversity of zero-shot and fine-tuned models is found in all architectures.",
        "Appendix E, figures 27 to 30",
        "four measures, all CLIP models, all data sets",
        needs="Pre-trained models of several architectures.",
    ),
    Claim(
        65,
        "The mean accuracy over the shifts of models that were trained on the reference alone lies on a line, with "
        "logits on both axes.",
        "Figure 1, section 3",
        "the line of the standard models, drawn through the test bed of Taori et al. (2020)",
        chapter="02_shift",
        needs="Models by the dozen. Ours are nine, of three kinds, and their lines differ.",
    ),
    Claim(
        66,
        "So does their accuracy on each shift by itself.",
        "Figure 7",
        "a line in each of the five panels",
        chapter="02_shift",
        needs="Models by the dozen, as for claim 65.",
    ),
    Claim(
        67,
        "So does it on videos, for single frames (pm-0) and for all similar frames (pm-10).",
        "Appendix C.2, table 6; Taori et al. 2020, figure 2",
        "two video data sets are among the shifts to which the measure is applied",
        chapter="02_shift",
        needs="Videos, and models by the dozen.",
    ),
    Claim(
        68,
        "On videos zero-shot CLIP lies above that line.",
        "Appendix C.2, table 6",
        "zero-shot 95.9 and 95.8 % on pm-0, the probe 86.5 and 66.5 %",
        chapter="02_shift",
        needs="Videos.",
    ),
    Claim(
        69,
        "Zero-shot models that others pre-trained, on other data, lie above the line too.",
        "Figure 1, section 3, where all models are OpenAI's; figure 4 for ALIGN and BASIC",
        "every CLIP model lies above the line of the standard models",
        chapter="02_shift",
        needs="Zero-shot models with other pre-training data. There is only one here, IconCLIP.",
    ),
    Claim(
        70,
        "Averaging the weights of many fine-tuned models wins accuracy under shift back, at no cost on the reference.",
        'Wortsman et al. 2022, "Model soups", section 3',
        "all 72: 80.0 % on ImageNet and 51.5 % under shift; the best run alone: 80.4 and 47.8 %",
        chapter="13_soups",
        needs="Dozens of runs of a real CLIP. Chapter 13 averages thirteen of IconCLIP.",
    ),
)
