"""Backbones from every source, through the same invariants."""

import urllib.error
import zipfile
from functools import cache
from inspect import getmodule

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.utils import file_utils

from kerasuite.errors import InputError
from kerasuite.models import applications, backbones, graph, resnet, transfer

LAYERS = keras.layers
NAMES = ["mobilenetv2", "vgg16", "efficientnet_lite0"]
each_backbone = pytest.mark.parametrize("name", NAMES)


@cache
def random_backbone(name, side=32):
    keras.utils.set_random_seed(0)
    return backbones.load(name, (side, side), pretrained=False)


def pixels(side=32, n=2):
    return np.random.default_rng(0).uniform(0, 255, (n, side, side, 3)).astype(np.float32)


@each_backbone
def test_the_halves_of_every_cut_give_the_features(name):
    model = random_backbone(name).model
    names = backbones.cuts(model)
    expected = model(pixels(), training=False)
    for layer in [*names[:: len(names) // 3], names[-1]]:
        lower, upper = backbones.split(model, layer)
        np.testing.assert_array_equal(upper(lower(pixels(), training=False), training=False), expected)


@each_backbone
def test_the_upper_half_has_the_last_of_the_models_own_variables(name):
    model = random_backbone(name).model
    lower, upper = backbones.split(model, backbones.last_stage_cut(model))
    ours = [id(v) for v in model.trainable_variables]
    assert [id(v) for v in (*lower.trainable_variables, *upper.trainable_variables)] == ours
    assert len(lower.trainable_variables) > 1
    assert len(upper.trainable_variables) > 1


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("mobilenetv2", "block_12_add"),
        ("vgg16", "block4_pool"),
        ("resnet50", "conv4_block6_out"),
        ("resnet18", "stage_3"),
        ("efficientnet_lite0", "block_10"),
    ],
)
def test_the_last_stage_begins_behind_the_last_block_of_the_size_before(name, layer):
    model = random_backbone(name).model
    assert backbones.last_stage_cut(model) == layer
    # Pooling at the end, as for a classifier, changes nothing.
    assert backbones.last_stage_cut(transfer.pooled(model)) == layer


@each_backbone
def test_a_saved_model_gives_the_same_logits_and_needs_no_code_of_ours(name, tmp_path):
    model = transfer.joined([transfer.pooled(random_backbone(name).model)], transfer.head(classes(name), 3))
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        assert "kerasuite" not in file.read("config.json").decode()
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(again(pixels(), training=False), model(pixels(), training=False))


@each_backbone
def test_a_copy_has_the_same_features_and_its_own_weights(name):
    model = random_backbone(name).model
    copy = transfer.copied(model)
    np.testing.assert_array_equal(copy(pixels(), training=False), model(pixels(), training=False))
    assert not {id(v) for v in copy.variables} & {id(v) for v in model.variables}


@each_backbone
def test_a_gradient_reaches_every_trainable_weight(name):
    model = transfer.copied(random_backbone(name).model)
    # A residual block's last scale can start at 0, behind which nothing would move.
    for weight in model.trainable_weights:
        if "gamma" in weight.path:
            weight.assign(weight + 0.5)
    # Of random weights, so that a normalisation at the end does not make the sum a constant.
    weights = np.random.default_rng(1).normal(size=model.output_shape[1:]).astype(np.float32)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(pixels(), training=True) * weights)
    gradients = tape.gradient(total, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None and float(tf.reduce_max(tf.abs(gradient))) > 0, variable.path  # noqa: PT018


def classes(name):
    return random_backbone(name).model.output_shape[-1]


# Where a model can be cut


def branched():
    inputs = keras.Input((8, 8, 3), name="pixels")
    x = LAYERS.Conv2D(4, 3, 2, padding="same", name="stem")(inputs)
    y = LAYERS.Conv2D(4, 3, padding="same", name="left")(x)
    x = LAYERS.Add(name="join")((x, y))
    y, z = LAYERS.Conv2D(4, 1, name="up")(x), LAYERS.Conv2D(4, 1, name="down")(x)
    return keras.Model(inputs, LAYERS.Concatenate(name="end")((y, z)))


def test_a_model_is_cut_where_one_tensor_is_all_that_is_needed_behind():
    assert backbones.cuts(branched()) == ["stem", "join"]


def test_a_layer_called_twice_is_no_place_to_cut():
    inputs = keras.Input((4,))
    twice, relu = LAYERS.Dense(4, name="twice"), LAYERS.ReLU(name="relu")
    assert backbones.cuts(keras.Model(inputs, LAYERS.ReLU(name="end")(twice(relu(twice(inputs)))))) == ["relu"]


def test_a_cut_inside_a_branch_is_refused_with_what_there_is():
    with pytest.raises(InputError, match=r"cannot be cut behind 'left'.*stem, join"):
        backbones.split(branched(), "left")


def test_a_model_of_one_size_has_no_last_stage():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, LAYERS.Conv2D(4, 3, padding="same", name="b")(LAYERS.ReLU(name="a")(inputs)))
    with pytest.raises(InputError, match="--unfreeze all"):
        backbones.last_stage_cut(model)


def test_a_network_that_can_be_cut_in_its_stem_alone_has_no_last_stage():
    model = random_backbone("nasnetmobile").model
    with pytest.raises(InputError, match="1% of its weights or more before that.*--unfreeze all"):
        backbones.last_stage_cut(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", applications.functions())
def test_every_network_of_keras_is_built_and_has_a_last_stage(name):
    model = backbones.load(name, (96, 96), pretrained=False).model
    assert len(model.output_shape) == 4
    if name.startswith("nasnet"):
        return
    _, upper = backbones.split(model, backbones.last_stage_cut(model))
    whole, last = (sum(weight.value.shape.num_elements() for weight in part.weights) for part in (model, upper))
    assert 0.2 < last / whole < 0.85


# keras.applications


@pytest.mark.parametrize("name", ["mobilenetv2", "vgg16", "resnet50"])
def test_the_features_are_kerass_own_after_its_own_preprocessing(name):
    model, function = random_backbone(name).model, applications.functions()[name]
    network = function(weights=None, include_top=False, input_shape=(32, 32, 3))
    network.set_weights(model.get_weights())
    expected = network(getmodule(function).preprocess_input(pixels()))
    np.testing.assert_allclose(model(pixels()), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_every_preprocessing_of_keras_is_made_of_its_layers():
    found = {getmodule(function).preprocess_input for function in applications.functions().values()}
    assert len(found) > 10
    inputs = keras.Input((4, 4, 3))
    for function in found:
        model = keras.Model(inputs, applications.preprocessed(inputs, function) + 0)
        np.testing.assert_allclose(model(pixels(4)), function(pixels(4)), atol=1e-4)


def test_a_preprocessing_that_is_no_scale_and_shift_is_refused():
    with pytest.raises(TypeError, match="scale and shift"):
        applications.preprocessed(keras.Input((4, 4, 3)), lambda x: x**2)
    with pytest.raises(TypeError, match="scale and shift"):
        applications.preprocessed(keras.Input((4, 4, 3)), lambda x: x - x.mean(-1, keepdims=True))


def test_the_default_sizes_are_those_that_keras_demands_for_the_imagenet_head():
    checked = 0
    for name, function in applications.functions().items():
        with pytest.raises(ValueError, match="input_shape") as refusal:
            function(weights="imagenet", include_top=True, input_shape=(1, 1, 3))
        # MobileNetV3 says something else first.
        if "should be" in str(refusal.value):
            side = applications.default_image_size(name)[0]
            assert f"({side}, {side}, 3)" in str(refusal.value), name
            checked += 1
    assert checked > 30


def test_a_network_goes_by_its_name_however_it_is_written():
    assert [applications.canonical(name) for name in ("ResNet50", "efficientnetv2-b0", "MobileNet_V2")] == [
        "resnet50",
        "efficientnetv2b0",
        "mobilenetv2",
    ]


def test_a_wrong_name_is_refused_with_the_nearest_and_the_way_to_see_all():
    with pytest.raises(InputError, match=r"nearest is mobilenetv2\..*backbones.names"):
        backbones.load("mobilnetv2", None)
    assert {"resnet50", "convnexttiny", "resnet14", "efficientnet_lite0"} < set(backbones.names())


def test_layers_that_keras_names_are_called_alike_each_time():
    build = lambda: [layer.name for layer in applications.build("mobilenetv3small", (32, 32), pretrained=False).layers]  # noqa: E731
    first = build()
    between = LAYERS.ReLU().name
    assert build() == first
    assert "re_lu" in first
    assert between not in first


def test_an_image_too_small_for_the_network_is_refused_with_sizes_that_work():
    with pytest.raises(InputError, match=r"xception does not take images of 64x64.*71x71.*299 299"):
        backbones.load("xception", (64, 64))


def test_an_image_too_small_for_a_resnet_that_pools_is_refused_with_the_smallest_that_works():
    with pytest.raises(InputError, match=r"resnet14 does not take images of 64x15.*--image-size 16 16 or.* 32 32\."):
        backbones.load("resnet14", (64, 15))
    assert backbones.load("resnet14", (16, 16)).model.output_shape == (None, 1, 1, 160)


@pytest.mark.parametrize("fault", [urllib.error.URLError("no route"), TimeoutError("timed out")], ids=str)
def test_weights_that_cannot_be_downloaded_are_named_with_their_place_and_the_flag(fault, tmp_path, monkeypatch):
    def fail(*args):
        raise fault

    monkeypatch.setattr(file_utils, "urlretrieve", fail)
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    with pytest.raises(InputError) as refusal:
        backbones.load("mobilenetv2", (32, 32))
    file = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    for part in (f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/{file}", "--weights FILE"):
        assert part in str(refusal.value)
    assert f"{tmp_path / 'models' / file}" in str(refusal.value)
    assert any(reason in str(refusal.value) for reason in ("no route", "timed out"))


@pytest.mark.parametrize(("file", "with_head"), [("w.h5", False), ("w.weights.h5", True), ("w.keras", True)])
def test_local_weights_may_come_with_or_without_the_head(file, with_head, tmp_path):
    shape = (224, 224, 3) if with_head else (32, 32, 3)
    network = keras.applications.MobileNetV2(weights=None, include_top=with_head, input_shape=shape)
    (network.save_weights if ".weights." in file else network.save)(tmp_path / file)
    loaded = backbones.load("mobilenetv2", (32, 32), weights=tmp_path / file).model.get_weights()
    assert len(loaded) == 260
    for ours, theirs in zip(loaded, network.get_weights()):
        np.testing.assert_array_equal(ours, theirs)


def test_local_weights_go_into_the_network_that_keras_builds_for_imagenet(tmp_path):
    keras.applications.EfficientNetB0(weights=None, include_top=False).save_weights(tmp_path / "w.weights.h5")
    model = backbones.load("efficientnetb0", (32, 32), weights=tmp_path / "w.weights.h5").model
    assert sum(isinstance(layer, LAYERS.Rescaling) for layer in model.layers) == 2


def test_local_weights_that_do_not_fit_are_refused(tmp_path):
    keras.applications.MobileNet(weights=None, include_top=False).save_weights(tmp_path / "other.weights.h5")
    (tmp_path / "broken.h5").write_bytes(b"no weights")
    for file in ("other.weights.h5", "broken.h5"):
        with pytest.raises(InputError, match="does not fit mobilenetv2"):
            backbones.load("mobilenetv2", (32, 32), weights=tmp_path / file)
    with pytest.raises(InputError, match="is no file"):
        backbones.load("mobilenetv2", (32, 32), weights=tmp_path / "none.h5")


# Our own networks


def weights_file(path, change=lambda arrays: None):
    """What the training of resnet14 writes: float16 arrays by path, with the head."""
    model = resnet.build((32, 32), 3, 10, **resnet.SHAPES["resnet14"])
    arrays = {weight.path: (weight.numpy() + 0.25).astype(np.float16) for weight in model.weights}
    change(arrays)
    np.savez_compressed(path, **arrays)
    return path, arrays


def test_resnet14_takes_the_arrays_of_its_backbone_alone(tmp_path):
    path, arrays = weights_file(tmp_path / "resnet14.npz")
    model = backbones.load("resnet14", (64, 64), weights=path).model
    assert model.output_shape == (None, 4, 4, 160)
    assert len(model.weights) == len(arrays) - 2
    for weight in model.weights:
        np.testing.assert_array_equal(weight.numpy(), arrays[weight.path].astype(np.float32))


def test_arrays_that_do_not_fit_are_named(tmp_path):
    path, _ = weights_file(tmp_path / "missing.npz", lambda arrays: arrays.pop("stage_1_1/kernel"))
    with pytest.raises(InputError, match="no array 'stage_1_1/kernel'"):
        backbones.load("resnet14", None, weights=path)
    path, _ = weights_file(tmp_path / "shape.npz", lambda arrays: arrays.update({"stem/kernel": np.zeros((2, 2))}))
    with pytest.raises(InputError, match=r"'stem/kernel' is of shape \(2, 2\), expected \(3, 3, 3, 32\)"):
        backbones.load("resnet14", None, weights=path)


@pytest.mark.parametrize("content", ["half", "no archive", "one array", "empty", "a bit"])
def test_a_broken_file_of_arrays_is_named(content, tmp_path):
    path, _ = weights_file(tmp_path / "w.npz")
    whole = path.read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(3))
    flipped = bytearray(whole)
    flipped[200] ^= 255
    broken = {
        "half": whole[: len(whole) // 2],
        "no archive": b"PK\x03\x04" + bytes(50),
        "one array": (tmp_path / "one.npy").read_bytes(),
        "empty": b"",
        "a bit": bytes(flipped),
    }
    path.write_bytes(broken[content])
    with pytest.raises(InputError, match=r"w\.npz cannot be read as an \.npz of weights"):
        backbones.load("resnet14", None, weights=path)


def test_a_network_without_pretrained_weights_says_what_to_pass():
    with pytest.raises(InputError, match="--train-from-scratch"):
        backbones.load("resnet18", None)


# .keras files


def classifier(path, size=(16, 16)):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            LAYERS.Input((*size, 3)),
            LAYERS.Conv2D(4, 3, 2, name="conv"),
            LAYERS.GlobalAveragePooling2D(name="pool"),
            LAYERS.Dropout(0.5, name="dropout"),
            LAYERS.Dense(2, name="logits"),
            LAYERS.Softmax(name="probabilities"),
        ]
    )
    model.save(path)
    return model


def test_the_features_of_a_file_are_what_its_classifier_takes(tmp_path):
    model = classifier(tmp_path / "m.keras")
    loaded = backbones.load(str(tmp_path / "m.keras"), None)
    assert (loaded.feature_layer, loaded.model.output_shape) == ("pool", (None, 4))
    expected = keras.Model(model.inputs, model.get_layer("pool").output)(pixels(16))
    np.testing.assert_array_equal(loaded.model(pixels(16)), expected)


def test_another_layer_can_be_named_and_one_that_is_not_there_is_refused(tmp_path):
    classifier(tmp_path / "m.keras")
    assert backbones.load(str(tmp_path / "m.keras"), None, feature_layer="conv").model.output_shape == (None, 7, 7, 4)
    with pytest.raises(InputError, match=r"no layer 'pol' \(did you mean pool\?\); there are conv, pool"):
        backbones.load(str(tmp_path / "m.keras"), None, feature_layer="pol")


def test_a_layer_that_gives_neither_a_map_nor_a_vector_is_refused(tmp_path):
    inputs = keras.Input((16, 16, 3))
    x = LAYERS.Reshape((-1, 3), name="sequence")(inputs)
    keras.Model(inputs, LAYERS.Dense(2)(LAYERS.Flatten()(x))).save(tmp_path / "m.keras")
    with pytest.raises(InputError, match=r"sequence .*\(None, 256, 3\).*--feature-layer"):
        backbones.load(str(tmp_path / "m.keras"), None, feature_layer="sequence")


def test_an_image_too_small_for_a_file_is_refused_with_what_keras_found_wrong(tmp_path):
    classifier(tmp_path / "any.keras", (None, None))
    with pytest.raises(InputError, match=r"any.keras cannot be used at 2x2: .*output.*size"):
        backbones.load(str(tmp_path / "any.keras"), (2, 2))


def test_models_inside_a_file_are_laid_open(tmp_path):
    inner = random_backbone("mobilenetv2").model
    inputs = keras.Input((32, 32, 3))
    x = keras.Sequential([LAYERS.RandomFlip(), LAYERS.RandomRotation(0.1)])(inputs)
    features = LAYERS.GlobalAveragePooling2D(name="pool")(inner(x, training=False))
    keras.Model(inputs, LAYERS.Dense(3)(LAYERS.Dropout(0.2)(features))).save(tmp_path / "nested.keras")
    model = backbones.load(str(tmp_path / "nested.keras"), None).model
    assert backbones.last_stage_cut(model) == "block_12_add"
    expected = keras.Model(inputs, features)(pixels(), training=False)
    np.testing.assert_array_equal(model(pixels(), training=False), expected)


@pytest.mark.parametrize(
    ("name", "black", "white"),
    [("none", 0, 255), ("unit", 0, 1), ("signed", -1, 1), ("lite", -127 / 128, 1), ("imagenet", -2.1179, 2.2489)],
)
def test_pixels_become_what_a_file_expects(name, black, white):
    # ImageNet's red: (0 - 0.485) / 0.229 and (1 - 0.485) / 0.229
    inputs = keras.Input((1, 2, 3))
    model = keras.Model(inputs, backbones.preprocessed(inputs, name) + 0)
    result = model(np.array([[[[0] * 3, [255] * 3]]], np.float32))
    np.testing.assert_allclose(result[0, 0, :, 0], (black, white), atol=1e-4)


def test_a_file_takes_its_own_size_alone_unless_it_takes_any(tmp_path):
    classifier(tmp_path / "fixed.keras")
    classifier(tmp_path / "any.keras", (None, None))
    assert backbones.load(str(tmp_path / "fixed.keras"), None).model.input_shape == (None, 16, 16, 3)
    assert backbones.load(str(tmp_path / "any.keras"), None).model.input_shape == (None, 224, 224, 3)
    assert backbones.load(str(tmp_path / "any.keras"), (24, 20)).model.input_shape == (None, 24, 20, 3)
    with pytest.raises(InputError, match=r"--image-size is 24 20, but .*16x16 only.*--image-size 16 16"):
        backbones.load(str(tmp_path / "fixed.keras"), (24, 20))


def test_from_scratch_a_file_gives_its_layers_with_other_weights(tmp_path):
    trained = classifier(tmp_path / "m.keras").get_layer("conv").kernel.numpy()
    keras.utils.set_random_seed(1)
    model = backbones.load(str(tmp_path / "m.keras"), None, pretrained=False).model
    assert model.output_shape == (None, 4)
    assert np.abs(model.get_layer("conv").kernel.numpy() - trained).min() > 0


def test_files_of_another_kind_are_refused(tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(InputError, match="is no .keras file"):
        backbones.load(str(tmp_path / "text.keras"), None)
    with pytest.raises(InputError, match="There is no file"):
        backbones.load(str(tmp_path / "none.keras"), None)
    vector = keras.Input((4,))
    keras.Model(vector, LAYERS.Dense(2)(vector)).save(tmp_path / "vector.keras")
    with pytest.raises(InputError, match=r"\(None, 4\).*RGB"):
        backbones.load(str(tmp_path / "vector.keras"), None)


def test_a_file_that_needs_other_code_is_refused_with_the_name_of_it(tmp_path):
    inputs = keras.Input((8, 8, 3))
    keras.Model(inputs, LAYERS.Lambda(lambda x: 2 * x)(inputs)).save(tmp_path / "lambda.keras")
    with pytest.raises(InputError, match=r"(?s)cannot be loaded.*Lambda"):
        backbones.load(str(tmp_path / "lambda.keras"), None)

    class Foreign(LAYERS.Layer):
        def call(self, x):
            return x

    keras.Model(inputs, Foreign()(inputs)).save(tmp_path / "foreign.keras")
    with pytest.raises(InputError, match="Could not locate class 'Foreign'"):
        backbones.load(str(tmp_path / "foreign.keras"), None)


def test_a_classifier_on_a_map_of_one_place_is_found_too():
    inputs = keras.Input((8, 8, 3))
    x = LAYERS.GlobalAveragePooling2D(keepdims=True, name="pool")(inputs)
    x = LAYERS.Flatten()(LAYERS.Conv2D(5, 1)(LAYERS.Dropout(0.1)(x)))
    assert graph.before_classifier(keras.Model(inputs, LAYERS.Softmax()(x))) == "pool"
    assert graph.before_classifier(branched()) == "end"


# Settings


def test_the_digest_is_of_weights_and_of_what_else_decides_the_features(tmp_path):
    path = str(tmp_path / "m.keras")
    model = classifier(path)
    first = backbones.load(path, None).weights_digest
    assert first == backbones.load(path, None).weights_digest
    assert len(first) >= 16
    assert int(first, 16)
    others = {backbones.load(path, None, preprocessing="unit").weights_digest}
    others.add(backbones.load(path, None, feature_layer="conv").weights_digest)
    # The same weights behind other pixels: what a file's own first layer does counts.
    unit = keras.Sequential([LAYERS.Input((16, 16, 3)), LAYERS.Rescaling(1 / 255), *model.layers])
    unit.save(path)
    others.add(backbones.load(path, None).weights_digest)
    model.get_layer("conv").bias.assign([0, 0, 0, 1e-6])
    model.save(path)
    others.add(backbones.load(path, None).weights_digest)
    assert len(others - {first}) == 4


def test_settings_that_do_not_go_with_the_backbone_are_refused(tmp_path):
    path = str(tmp_path / "m.keras")
    classifier(path)
    with pytest.raises(InputError, match="knows its own"):
        backbones.load("resnet50", None, preprocessing="unit")
    with pytest.raises(InputError, match="contradict"):
        backbones.load("resnet50", None, weights="w.h5", pretrained=False)
    with pytest.raises(InputError, match="weights of its own"):
        backbones.load(path, None, weights="w.h5")
    with pytest.raises(InputError, match=r"--preprocessing is 'sign'.*signed"):
        backbones.load(path, None, preprocessing="sign")
    with pytest.raises(InputError, match="no saved_model.pb"):
        backbones.load(str(tmp_path), None)
