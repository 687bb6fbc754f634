"""The files of the playground page: weights in 16 bits, words in 8, and what the ledger has on them."""

import base64
import json

import pytest
import torch

from wiseft_lite import UserError, load_clip, load_task, zero_shot_classifier, zero_shot_head
from wiseft_lite.book import ledger, playground


@pytest.fixture(scope="module")
def zero_shot():
    return zero_shot_classifier(load_clip("iconclip"), load_task("iconshift"))


def models():
    generator = torch.Generator().manual_seed(0)
    theta_0 = {
        "w": torch.randn(6, 3, 2, 2, generator=generator),
        "b": torch.randn(6, generator=generator),
    }
    noise = {k: 0.1 * torch.randn(v.shape, generator=generator) for k, v in theta_0.items()}
    return theta_0, {k: v + noise[k] for k, v in theta_0.items()}


def test_what_is_decoded_is_within_half_a_step_of_what_was_encoded():
    theta_0, theta_1 = models()
    shapes = {k: v.shape for k, v in theta_0.items()}
    zero, one = playground.decode(playground.encode(theta_0, theta_1), shapes)
    assert torch.equal(zero["b"], theta_0["b"])
    assert torch.allclose(one["b"], theta_1["b"], atol=1e-6)
    rows = theta_0["w"].flatten(1)
    step = rows.abs().amax(1) / (2 ** (playground.ZERO_SHOT_BITS - 1) - 1)
    assert ((zero["w"].flatten(1) - rows).abs() <= 0.501 * step[:, None]).all()
    rest = (theta_1["w"] - zero["w"]).flatten(1)  # what alpha = 1 is wrong by is the change's alone
    step = rest.abs().amax(1) / (2 ** (playground.DIFFERENCE_BITS - 1) - 1)
    wrong = (one["w"] - theta_1["w"]).flatten(1).abs()
    assert (wrong <= 0.501 * step[:, None]).all()


def test_a_row_of_zeros_stays_one():
    codes, steps = playground.quantise(torch.zeros(1, 4), 8)
    assert (codes == 0).all() and steps.isfinite().all()


def test_the_scripts_hold_what_was_written(tmp_path):
    theta_0, theta_1 = models()
    data = playground.encode(theta_0, theta_1)
    tensors = [(k, list(v.shape)) for k, v in theta_0.items()]
    playground.write(data, {"tensors": tensors}, tmp_path)
    expected = playground.decode(data, {k: v.shape for k, v in theta_0.items()})
    for read, made in zip(playground.shipped(tmp_path), expected, strict=True):
        assert all(torch.equal(read[k], made[k]) for k in made)
    (tmp_path / "weights-0.js").unlink()
    with pytest.raises(UserError, match="does not hold the weights of the playground"):
        playground.shipped(tmp_path)


def test_the_shipped_zero_shot_model_is_iconclip(zero_shot):
    """The fine-tuned one may differ from one that this machine trains."""
    theta_0, theta_1 = playground.shipped()
    full = zero_shot.state_dict()
    assert list(theta_0) == list(theta_1) == list(full)
    for name, tensor in full.items():
        assert torch.allclose(theta_0[name], tensor, atol=float(tensor.abs().max()) / 1000), name


def test_the_words_have_the_rows_of_a_zero_shot_head():
    lines = (playground.FOLDER / "words.js").read_text().splitlines()
    names, rows = (json.loads(line.split(" = ", 1)[1].rstrip(";")) for line in lines)
    assert names == sorted(set(names)) and len(names) > 3000
    assert {"cat", "dog", "house", "smile", *load_task("iconshift").class_names} <= set(names)
    assert (playground.FOLDER / "words.js").stat().st_size < 1e6
    data = bytearray(base64.b85decode(rows))
    steps = torch.frombuffer(data, dtype=torch.float32, count=len(names))
    codes = torch.frombuffer(data, dtype=torch.int8, offset=4 * len(names)).view(len(names), -1)
    chosen = ["cat", "house", names[0], names[-1]]
    head = zero_shot_head(load_clip("iconclip"), chosen, load_task("iconshift").templates)
    for name, row in zip(chosen, head.weight, strict=True):
        k = names.index(name)
        assert ((codes[k] * steps[k] - row).abs() <= 0.51 * steps[k]).all()


def test_the_shipped_weights_are_as_accurate_as_the_full_models():
    record = {k: v["value"] for k, v in ledger.read().items() if k.startswith("playground.")}
    changes = [v for k, v in record.items() if k.endswith(".change")]
    agreements = [v for k, v in record.items() if k.endswith(".agreement")]
    assert len(changes) == len(agreements) == 3 * len(load_task("iconshift").evaluation)
    assert max(map(abs, changes)) <= 0.3 and min(agreements) >= 99


def test_the_code_of_the_model_can_be_read_in_one_go():
    assert len((playground.FOLDER / "model.js").read_text().splitlines()) <= 200
