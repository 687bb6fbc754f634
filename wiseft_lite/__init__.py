"""WiSE-FT in plain sight: zero-shot heads, fine-tuning and the line between two models.

Public names are loaded when they are first used, so ``import wiseft_lite`` stays quick.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "interpolate": "weights", "average": "weights", "difference": "weights", "distance": "weights",
    "compatible": "weights", "connected": "connectivity", "barrier": "connectivity",
    "accuracy": "metrics", "Accuracy": "metrics", "macro_f1": "metrics", "worst_group": "metrics",
    "calibration_error": "metrics", "effective_robustness": "robustness",
    "prediction_diversity": "diversity", "output_ensemble": "ensembles",
    "Head": "models", "ImageClassifier": "models", "freeze": "models",
    "Clip": "encoders", "load_clip": "encoders",
    "Split": "tasks", "Task": "tasks", "load_task": "tasks", "task_names": "tasks",
    "folder_task": "tasks.own", "csv_task": "tasks.own",
    "save": "checkpoints", "load": "checkpoints",
    "import_checkpoint": "interchange", "import_clip": "interchange", "export_open_clip": "interchange",
    "zero_shot_head": "zeroshot", "zero_shot_classifier": "zeroshot",
    "encode": "features", "predict": "features",
    "Recipe": "training", "finetune": "training", "linear_probe": "training",
    "MovingAverages": "averaging", "learn_prompt": "prompts",
    "fit_temperature": "calibration", "calibrated": "calibration",
    "sweep": "sweeps", "summary": "results", "best_alpha": "alphas",
    "layerwise": "merging", "lines": "merging", "task_arithmetic": "merging", "ties": "merging", "dare": "merging",
    "model_stock": "merging", "diagonal_fisher": "fisher", "fisher_average": "fisher",
    "uniform_soup": "soups", "greedy_soup": "soups", "learned_soup": "learned_soups",
    "entropy_shares": "samplewise", "failure_shares": "samplewise",
    "text_projection": "retrieval", "Embedder": "arcface", "with_lora": "lora", "merged": "lora",
    "frontier": "figures", "alpha_curves": "figures",
    "UserError": "errors",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
