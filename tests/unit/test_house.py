"""The house rules: layers, a light import, declared bounds."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LAYERS = {
    "errors": 0,
    "weights": 0,
    "metrics": 0,
    "robustness": 0,
    "diversity": 0,
    "ensembles": 0,
    "chebyshev": 0,
    "outputs": 0,
    "console": 0,
    "digest": 0,
    "textfiles": 0,
    "inert": 0,
    "cache": 0,
    "alphas": 0,
    "distributed": 0,
    "merging": 0,
    "samplewise": 0,
    "retrieval": 0,
    "colab": 0,
    "models": 1,
    "encoders": 1,
    "architectures": 1,
    "tasks": 1,
    "checkpoints": 1,
    "augmentation": 1,
    "resume": 1,
    "interchange": 1,
    "layouts": 1,
    "recipes": 1,
    "zeroshot": 2,
    "features": 2,
    "training": 2,
    "losses": 2,
    "memory": 2,
    "cost": 2,
    "baselines": 2,
    "averaging": 2,
    "prompts": 2,
    "calibration": 2,
    "fisher": 2,
    "arcface": 2,
    "flyp": 2,
    "rates": 2,
    "lora": 2,
    "sweeps": 3,
    "connectivity": 3,
    "landscape": 3,
    "results": 3,
    "ledger": 3,
    "runs": 3,
    "paper": 3,
    "soups": 3,
    "learned_soups": 3,
    "universal": 3,
    "embedders": 3,
    "figures": 4,
    "pipeline": 4,
    "teaching": 4,
    "doctor": 4,
    "inspection": 4,
    "experiments": 5,
    "exercises": 5,
    "claims": 5,
    "commands": 6,
    "soup_command": 6,
    "embed_command": 6,
    "cli": 6,
    "__main__": 6,
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wiseft_lite"):
            parts = node.module.split(".")
            yield from (
                [parts[1]] if len(parts) > 1 else [a.name for a in node.names if a.name in LAYERS]
            )
        elif isinstance(node, ast.Import):
            yield from [
                a.name.split(".")[1] for a in node.names if a.name.startswith("wiseft_lite.")
            ]


def room(path):
    return path.parent.name if path.parent.name != "wiseft_lite" else path.stem


def test_imports_point_to_the_same_or_a_lower_layer_without_cycles():
    graph = {}
    for path in (ROOT / "wiseft_lite").rglob("*.py"):
        if path.parent.name == "wiseft_lite" and path.stem == "__init__":
            continue
        graph.setdefault(room(path), set()).update(set(imports(path)) - {room(path)})
    assert set(graph) <= set(LAYERS)
    up = [(a, b) for a, others in graph.items() for b in others if LAYERS[b] > LAYERS[a]]
    assert not up, up
    seen = {}

    def visit(name):
        assert seen.get(name) != "open", f"cycle through {name}"
        if name not in seen:
            seen[name] = "open"
            for other in graph[name]:
                visit(other)
            seen[name] = "done"

    for name in graph:
        visit(name)


def test_only_encoders_knows_open_clip_and_only_figures_matplotlib():
    for path in (ROOT / "wiseft_lite").rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {
            a.name.split(".")[0]
            for n in ast.walk(tree)
            if isinstance(n, ast.Import)
            for a in n.names
        }
        names |= {
            (n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)
        }
        assert "open_clip" not in names or path.stem == "encoders", path
        assert "matplotlib" not in names or path.stem == "figures", path
        assert "pickle" not in names, path


def test_import_is_light():
    """By what it loads: what is slow on one machine is quick on another, but heavy packages are heavy on all."""
    code = (
        "import sys; before = set(sys.modules); import wiseft_lite; "
        "print({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "{'wiseft_lite'}"


def test_every_public_name_can_be_had():
    import wiseft_lite

    for name in wiseft_lite.__all__:
        assert getattr(wiseft_lite, name) is not None
