import copy
import json
import logging
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from open_clip import CLIP, add_model_config
from safetensors.torch import load_file, save_file
from scipy.stats import beta

from wiseft_lite import (
    Head,
    ImageClassifier,
    Recipe,
    Split,
    Task,
    UserError,
    accuracy,
    distance,
    encode,
    finetune,
    interpolate,
    linear_probe,
    load_clip,
    predict,
    save,
    sweep,
    zero_shot_head,
)
from wiseft_lite.callbacks import Callback
from wiseft_lite.checkpoints import read_weights
from wiseft_lite.cli.main import main
from wiseft_lite.features import pixels
from wiseft_lite.losses import cross_entropy, distillation, l1, l2_to, smoothed
from wiseft_lite.metrics import clopper_pearson
from wiseft_lite.models import freeze, last_blocks
from wiseft_lite.recipes import AUGMENTS
from wiseft_lite.results import summary
from wiseft_lite.training import learning_rate


def test_zero_shot_head_normalises_averages_normalises_scales(clip):
    names, templates = ["cat", "dog"], ["a {}.", "one {}", "{}"]
    head = zero_shot_head(clip, names, templates)
    with torch.no_grad():
        for row, name in zip(head.weight, names, strict=True):
            texts = clip.model.encode_text(clip.tokenizer([t.format(name) for t in templates]))
            mean = F.normalize(F.normalize(texts, dim=-1).mean(0), dim=-1)
            torch.testing.assert_close(row, clip.model.logit_scale.exp() * mean)
    assert torch.equal(head.bias, torch.zeros(2))


def test_zero_shot_logits_are_those_of_open_clip(clip, task, theta_0):
    images = torch.stack([theta_0.preprocess(task.test[i][0]) for i in range(5)])
    with torch.no_grad():
        ours = theta_0(images)
        features = clip.model.encode_image(images, normalize=True)
    torch.testing.assert_close(ours, features @ theta_0.head.weight.T)


def test_features_have_unit_length_and_the_model_mode_is_restored(theta_0, task):
    theta_0.train()
    features, labels = encode(theta_0, task.test, batch_size=7)
    assert theta_0.training and torch.equal(labels, task.test.labels)
    theta_0.eval()
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(len(task.test)))


def test_accuracy_counts_only_the_classes_of_the_split():
    logits = torch.tensor([[9.0, 1.0, 0.0], [9.0, 0.0, 1.0]])
    labels = torch.tensor([1, 2])
    assert accuracy(logits, labels).accuracy == 0
    assert accuracy(logits, labels, classes=(1, 2)).accuracy == 1


@pytest.mark.parametrize("correct, n", [(0, 10), (3, 10), (10, 10), (412, 950)])
def test_clopper_pearson_is_the_beta_quantile(correct, n):
    low, high = clopper_pearson(correct, n)
    assert low == pytest.approx(beta.ppf(0.025, correct, n - correct + 1) if correct else 0)
    assert high == pytest.approx(beta.ppf(0.975, correct + 1, n - correct) if correct < n else 1)


def test_finetune_learns_leaves_its_input_alone_and_repeats(theta_0, task, tuned):
    before = {k: v.clone() for k, v in theta_0.state_dict().items()}
    state = torch.random.get_rng_state()
    recipe = Recipe(epochs=3, lr=1e-2, batch_size=16)
    again = finetune(theta_0, task, recipe)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[k], v) for k, v in theta_0.state_dict().items())
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in tuned.state_dict().items())
    other = finetune(theta_0, task, Recipe(epochs=3, lr=1e-2, batch_size=16, seed=1))
    assert not torch.equal(other.head.weight, tuned.head.weight)
    score = lambda m: accuracy(predict(m, task.train), task.train.labels).accuracy  # noqa: E731
    assert score(tuned) > score(theta_0) + 0.2


def test_each_augmentation_is_another_run(theta_0, task):
    heads = [
        finetune(theta_0, task, Recipe(epochs=1, lr=1e-2, batch_size=16, augment=kind)).head.weight
        for kind in AUGMENTS
    ]
    assert not any(
        torch.equal(heads[i], heads[j]) for i, j in combinations(range(len(AUGMENTS)), 2)
    )
    with pytest.raises(UserError, match="'flip'"):
        Recipe(augment="flip")


def test_what_is_frozen_stays(theta_0, task):
    recipe = Recipe(epochs=1, lr=1e-2, batch_size=16)
    frozen = finetune(freeze(theta_0, last_blocks(theta_0, 0)), task, recipe).state_dict()
    moved = {k for k, v in theta_0.state_dict().items() if not torch.equal(v, frozen[k])}
    assert moved == {
        "head.weight",
        "head.bias",
        "encoder.proj",
        "encoder.ln_post.weight",
        "encoder.ln_post.bias",
    }
    assert last_blocks(theta_0, 1)("encoder.transformer.resblocks.0.ln_1.weight")
    assert all(p.requires_grad for p in theta_0.parameters())
    with pytest.raises(UserError, match="2 blocks, but the encoder has 1"):
        last_blocks(theta_0, 2)
    with pytest.raises(UserError, match="every parameter is frozen"):
        freeze(theta_0, lambda name: False)


WHOLE_IMAGES = Recipe(epochs=1, lr=1e-2, batch_size=16, augment="none")


@pytest.fixture(scope="module")
def resnet(task):
    """A classifier with batch norm in every stage of its encoder, CLIP's ResNet at the smallest
    size."""
    from open_clip.modified_resnet import ModifiedResNet

    torch.manual_seed(0)
    encoder = ModifiedResNet(layers=(1, 1, 1, 1), output_dim=16, heads=2, image_size=32, width=8)
    preprocess = lambda image: F.interpolate(  # noqa: E731
        torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255, size=32
    )[0]
    return ImageClassifier(
        encoder, Head(torch.randn(3, 16)), preprocess, task.class_names, "tiny ResNet"
    ).eval()


def moved(before, after):
    return {k for k, v in before.state_dict().items() if not torch.equal(v, after.state_dict()[k])}


FROZEN = {
    "encoder": lambda name: name.startswith("head."),
    "stem and first stages": lambda name: name.startswith(
        ("head.", "encoder.attnpool.", "encoder.layer4.")
    ),
    "last stages": lambda name: not name.startswith(("encoder.layer3.", "encoder.layer4.")),
    "weights but no batch norm": lambda name: ".bn" in name or name.startswith("head."),
}


@pytest.mark.parametrize("trains", FROZEN.values(), ids=FROZEN)
def test_no_parameter_and_no_buffer_of_a_frozen_layer_moves(resnet, task, trains):
    frozen = freeze(resnet, trains)
    tuned = finetune(frozen, task, WHOLE_IMAGES)
    free = {name for name, p in resnet.named_parameters() if trains(name)}
    norms = {
        name
        for name, module in resnet.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d) and trains(f"{name}.weight")
    }
    buffers = {
        f"{name}.{what}"
        for name in norms
        for what in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert moved(resnet, tuned) <= free | buffers and buffers <= moved(resnet, tuned)
    assert "head.weight" in moved(resnet, tuned)
    again = finetune(tuned.with_weights(tuned.state_dict()), task, WHOLE_IMAGES)
    assert moved(tuned, again) <= free | buffers  # a copy, and a second training, are frozen too


def test_frozen_layers_stay_in_eval_mode_whoever_sets_the_mode(resnet):
    frozen = freeze(resnet.train(), FROZEN["stem and first stages"])
    resnet.eval()
    for model in (frozen, copy.deepcopy(frozen), frozen.train(), frozen.eval().train()):
        assert model.training and model.encoder.layer4[0].bn1.training
        assert not model.encoder.bn1.training and not model.encoder.layer3[0].bn1.training
    assert not any(module.training for module in frozen.eval().modules())


def test_a_checkpoint_of_a_frozen_model_holds_the_buffers_that_stayed(resnet, task, tmp_path):
    tuned = finetune(freeze(resnet, FROZEN["encoder"]), task, WHOLE_IMAGES)
    weights = read_weights(save(tuned, tmp_path / "saved"))
    assert {k for k, v in weights.items() if not torch.equal(v, resnet.state_dict()[k])} <= {
        "head.weight",
        "head.bias",
    }


def test_the_last_blocks_of_another_encoder_are_not_guessed(resnet):
    with pytest.raises(UserError, match="the encoder of tiny ResNet is no vision transformer"):
        last_blocks(resnet, 0)


def test_a_spring_holds_and_a_teacher_pulls(theta_0, task):
    recipe = Recipe(epochs=3, lr=1e-2, batch_size=16, weight_decay=0.0)
    start = dict(theta_0.named_parameters())
    runs = [
        finetune(theta_0, task, recipe, objective=objective)
        for objective in (
            cross_entropy,
            l2_to({k: v.detach() for k, v in start.items()}, 1.0),
            distillation(theta_0, 1.0),
        )
    ]
    lengths = [distance(theta_0.state_dict(), run.state_dict()) for run in runs]
    assert lengths[1] < 0.5 * lengths[0]
    wanted = predict(theta_0, task.test).softmax(-1)
    apart = [
        F.kl_div(predict(run, task.test).log_softmax(-1), wanted, reduction="batchmean")
        for run in runs
    ]
    assert apart[2] < 0.5 * apart[0]
    for make in (lambda: distillation(theta_0, 1.5), lambda: smoothed(1.0)):
        with pytest.raises(UserError, match="give a number from 0"):
            make()


def test_objectives_at_their_ends_are_cross_entropy(theta_0, task):
    inputs, labels = pixels(theta_0, task.test), task.test.labels
    plain = cross_entropy(theta_0, inputs, labels)
    for objective in (
        smoothed(0.0),
        l2_to(dict(theta_0.named_parameters()), 5.0),
        l1(0.0),
        distillation(theta_0, 0.0),
    ):
        assert torch.allclose(objective(theta_0, inputs, labels), plain)
    head = theta_0.head
    assert l1(2.0)(head, torch.zeros(1, 16), torch.tensor([0])) > 2 * head.weight.abs().sum()


def test_a_callback_sees_every_step_and_every_epoch(theta_0, task):
    class Watch(Callback):
        def before_step(self, run):
            seen.append(("step", run.step, run.model.training))

        def after_step(self, run):
            seen.append(("stepped", run.step, run.model.training))

        def after_epoch(self, run):
            seen.append(("epoch", run.epoch, run.model.eval().training))

    seen = []
    finetune(theta_0, task, Recipe(epochs=2, batch_size=16), callbacks=[Watch()])
    assert [step for what, step, _ in seen if what == "step"] == list(range(8))
    assert [step for what, step, _ in seen if what == "stepped"] == list(range(1, 9))
    assert [event for event in seen if event[0] == "epoch"] == [
        ("epoch", 1, False),
        ("epoch", 2, False),
    ]
    assert all(training for what, _, training in seen if what != "epoch")


def test_probe_moves_the_head_only(theta_0, task):
    probe = linear_probe(theta_0, task)
    same = {k: torch.equal(v, probe.state_dict()[k]) for k, v in theta_0.state_dict().items()}
    assert not same.pop("head.weight") and not same.pop("head.bias") and all(same.values())


def test_learning_rate_warms_up_then_falls_to_zero():
    recipe = Recipe(lr=2.0, warmup=0.25)
    rates = [learning_rate(s, 8, recipe) for s in range(8)]
    assert rates[:3] == [1.0, 2.0, 2.0] and rates == rates[:3] + sorted(rates[3:], reverse=True)
    assert learning_rate(8, 8, recipe) == pytest.approx(0)
    with pytest.raises(UserError, match="500 warm-up steps.* only 160"):
        learning_rate(0, 160, Recipe(warmup=500))
    with pytest.raises(UserError, match="integer 500"):
        Recipe(warmup=500.0)


def test_a_rate_that_blows_up_is_one_clear_error(theta_0, task):
    with pytest.raises(UserError, match="lower the learning rate"):
        finetune(theta_0, task, Recipe(epochs=30, lr=1e30, clip_norm=1e30, warmup=0))


@pytest.mark.parametrize("kind", ["end-to-end", "probe"])
def test_sweep_agrees_with_separate_models(theta_0, tuned, task, kind):
    theta_1 = tuned if kind == "end-to-end" else linear_probe(theta_0, task)
    table = sweep(theta_0, theta_1, task.evaluation, [0, 0.5, 1])
    assert len(table) == 6
    for row in table.itertuples():
        model = theta_0.with_weights(
            interpolate(theta_0.state_dict(), theta_1.state_dict(), row.alpha)
        )
        split = task.evaluation[row.split]
        alone = accuracy(predict(model, split), split.labels, split.classes)
        assert (row.accuracy, row.n, row.low, row.high) == (
            alone.accuracy,
            alone.n,
            alone.low,
            alone.high,
        )


def test_sweep_refuses_other_classes_and_no_alpha(theta_0, clip, task):
    other = ImageClassifier(
        theta_0.encoder, Head(torch.zeros(1, 16)), theta_0.preprocess, ["x"], "x"
    )
    with pytest.raises(UserError, match="differ in their class names"):
        sweep(theta_0, other, task.evaluation)
    with pytest.raises(UserError, match="not finite"):
        sweep(theta_0, theta_0, task.evaluation, [0.5, float("nan")])
    with pytest.raises(UserError, match="at least one alpha"):
        sweep(theta_0, theta_0, task.evaluation, [])


def test_summary_is_the_plain_mean_over_shifts(theta_0, tuned, task):
    table = sweep(theta_0, tuned, {**task.evaluation, "again": task.shifts["two"]}, [0, 1])
    line = summary(table).set_index("alpha").loc[1.0]
    shifts = table[(table.alpha == 1) & (table.split != "test")]
    assert line["shifts"] == pytest.approx(shifts.accuracy.mean())
    with pytest.raises(UserError, match="reference split 'photo'"):
        summary(table, reference="photo")


def test_bad_tasks_are_refused(task):
    make = lambda **change: Task(**{**task.__dict__, **change})  # noqa: E731
    with pytest.raises(UserError, match="class names: disc"):
        make(class_names=("disc", "disc", "bar"))
    with pytest.raises(UserError, match="missing"):
        make(class_names=("disc", " ", "bar"))
    with pytest.raises(UserError, match="has no {}"):
        make(templates=("a photo.",))
    with pytest.raises(UserError, match="label 2 "):
        make(class_names=("disc", "square"))
    with pytest.raises(UserError, match="no images"):
        Split("empty", [], torch.zeros(0))
    with pytest.raises(UserError, match="no split 'night'; choose one of: train, val, test, two"):
        task.split("night")


def test_an_image_that_cannot_be_read_is_named(theta_0):
    class Broken(list):
        def __getitem__(self, i):
            raise OSError("truncated")

    with pytest.raises(UserError, match="image 0 of split 'bad' cannot be read"):
        predict(theta_0, Split("bad", Broken([1]), torch.tensor([0])))


def test_unknown_models_are_refused_with_near_names(tmp_path):
    with pytest.raises(UserError, match="unknown model 'ViT-B-32/opnai'.*ViT-B-32/openai"):
        load_clip("ViT-B-32/opnai")
    with pytest.raises(UserError, match="open_clip_config.json"):
        load_clip(f"local-dir:{tmp_path}")


@pytest.fixture
def folder(clip_folder, tmp_path):
    """A copy of the tiny model's folder, to spoil."""
    return Path(shutil.copytree(clip_folder, tmp_path / "model"))


def without(keys, more=()):
    def change(folder):
        weights = load_file(folder / "open_clip_model.safetensors")
        kept = {k: v for k, v in weights.items() if k not in keys} | {
            k: torch.ones(2) for k in more
        }
        save_file(kept, folder / "open_clip_model.safetensors")

    return change


def as_pickle(folder):
    weights = load_file(folder / "open_clip_model.safetensors")
    (folder / "open_clip_model.safetensors").unlink()
    torch.save(weights, folder / "open_clip_pytorch_model.bin")


SPOILED = {
    "no weights": (
        lambda folder: (folder / "open_clip_model.safetensors").unlink(),
        "no weights in .*/model: put open_clip_model.safetensors there",
    ),
    "an image encoder alone": (
        lambda folder: (folder / "open_clip_model.safetensors").rename(
            folder / "image_encoder.safetensors"
        ),
        "no weights in .*/model but image_encoder.safetensors",
    ),
    "a pickle": (
        as_pickle,
        "a pickle, open_clip_pytorch_model.bin, .* wiseft-lite import .*/open_clip_pytorch_model.bin",
    ),
    "half a file": (
        lambda folder: (folder / "open_clip_model.safetensors").write_bytes(
            (folder / "open_clip_model.safetensors").read_bytes()[:1000]
        ),
        "open_clip_model.safetensors is damaged",
    ),
    "a missing key": (
        without(["visual.proj"]),
        "open_clip_model.safetensors does not fit .*it lacks visual.proj",
    ),
    "another key": (without([], ["visual.more"]), "the model has no visual.more"),
    "another shape": (without([], ["visual.proj"]), "does not fit .*size mismatch for visual.proj"),
    "no configuration": (
        lambda folder: (folder / "open_clip_config.json").unlink(),
        "open_clip_config.json",
    ),
    "half a configuration": (
        lambda folder: (folder / "open_clip_config.json").write_text("{"),
        "open_clip_config.json",
    ),
    "another configuration": (
        lambda folder: (folder / "open_clip_config.json").write_text('{"model_cfg": {"a": 1}}'),
        "open_clip_config.json",
    ),
}


@pytest.mark.parametrize("spoil, message", SPOILED.values(), ids=SPOILED)
def test_a_model_folder_that_is_not_whole_is_refused(spoil, message, folder):
    spoil(folder)
    with pytest.raises(UserError, match=message) as caught:
        load_clip(f"local-dir:{folder}")
    assert str(folder) in str(caught.value)


def test_the_way_that_the_message_about_a_pickle_names_is_open(folder, tmp_path):
    config = {
        **json.loads((folder / "open_clip_config.json").read_text())["model_cfg"],
        "embed_dim": 24,
    }
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    (tmp_path / "of-this-test-alone.json").write_text(json.dumps(config))
    add_model_config(tmp_path / "of-this-test-alone.json")  # import knows architectures by name
    weights = CLIP(**config).state_dict()
    (folder / "open_clip_model.safetensors").unlink()
    torch.save(weights, folder / "open_clip_pytorch_model.bin")
    with pytest.raises(UserError, match="wiseft-lite import"):
        load_clip(f"local-dir:{folder}")
    assert (
        main(
            [
                "import",
                str(folder / "open_clip_pytorch_model.bin"),
                "--out",
                str(tmp_path / "new"),
                "--architecture",
                "of-this-test-alone",
            ]
        )
        == 0
    )
    again = load_clip(f"local-dir:{tmp_path / 'new'}").model.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in weights.items())


def test_random_weights_are_the_same_whatever_was_drawn_and_leave_the_generator_alone(caplog):
    with caplog.at_level(logging.WARNING):
        torch.manual_seed(1)
        state = torch.get_rng_state()
        first = load_clip("RN50/none").model.state_dict()
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        second = load_clip("RN50/none").model.state_dict()
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert len(first["visual.layer1.0.conv1.weight"].unique()) > 1000
    assert (
        not caplog.records and not logging.root.manager.disable
    )  # nothing to learn to ignore, and nothing hidden
