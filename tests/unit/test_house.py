"""The house rules that no linter checks: a light import, and public names that editors find."""

import subprocess
import sys

import jedi

import wiseft_lite


def test_import_is_light():
    """By what it loads: what is slow on one machine is quick on another, but heavy packages are
    heavy on all."""
    code = (
        "import sys; before = set(sys.modules); import wiseft_lite; "
        "print({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() in (
        "{'wiseft_lite', 'lazy_loader'}",
        "{'lazy_loader', 'wiseft_lite'}",
    )


def test_every_public_name_can_be_had():
    for name in wiseft_lite.__all__:
        assert getattr(wiseft_lite, name) is not None


def test_an_editor_completes_every_public_name():
    script = jedi.Script("import wiseft_lite\nwiseft_lite.")
    assert set(wiseft_lite.__all__) <= {
        found.name for found in script.complete(2, len("wiseft_lite."))
    }


def test_an_editor_knows_what_a_public_name_is():
    script = jedi.Script("import wiseft_lite\nwiseft_lite.interpolate")
    (found,) = script.goto(2, len("wiseft_lite.inter"), follow_imports=True)
    assert found.module_name == "wiseft_lite.weights" and found.type == "function"
