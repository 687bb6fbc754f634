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
)
