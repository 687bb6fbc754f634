import json

import pytest
import torch

from wiseft_lite import Recipe, UserError, load, predict, save


def test_round_trip_keeps_every_bit_and_the_card(theta_0, task, tmp_path):
    folder = save(theta_0, tmp_path / "a", recipe=Recipe(lr=0.5), metrics={"test": 0.25})
    again = load(folder)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in theta_0.state_dict().items())
    assert torch.equal(predict(again, task.test), predict(theta_0, task.test))
    card = json.loads((folder / "card.json").read_text())
    assert card["recipe"]["lr"] == 0.5 and card["metrics"] == {"test": 0.25}
    assert card["class_names"] == list(task.class_names)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]  # no temporary folder is left


def test_nothing_is_overwritten_unasked(theta_0, tuned, tmp_path):
    folder = save(theta_0, tmp_path / "a")
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match="exists"):
        save(tuned, folder)
    assert (folder / "model.safetensors").read_bytes() == before
    save(tuned, folder, overwrite=True)
    assert torch.equal(load(folder).head.weight, tuned.head.weight)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="no checkpoint and is left alone"):
        save(theta_0, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def flip(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm, message", [
    (truncate, "missing or damaged"),
    (flip, "missing or damaged"),
    (lambda f: (f / "model.safetensors").unlink(), "missing or damaged"),
    (lambda f: (f / "card.json").unlink(), "no card.json"),
    (lambda f: (f / "card.json").write_text("{\"schema\": 1"), "card.json is damaged"),
    (lambda f: (f / "card.json").write_text("{\"schema\": 1}"), "lacks encoder"),
    (lambda f: (f / "card.json").write_text(
        (f / "card.json").read_text().replace('"schema": 2', '"schema": 9')), "upgrade"),
])
def test_damage_is_noticed(theta_0, tmp_path, harm, message):
    folder = save(theta_0, tmp_path / "a")
    harm(folder)
    with pytest.raises(UserError, match=message):
        load(folder)


def test_a_failed_save_keeps_the_old_checkpoint(theta_0, tuned, tmp_path, monkeypatch):
    folder = save(theta_0, tmp_path / "a")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(UserError, match="No space left"):
        save(tuned, folder, overwrite=True)
    assert torch.equal(load(folder).head.weight, theta_0.head.weight)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
