import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

from kerasuite.errors import InputError
from kerasuite.evaluation.explain import examples_for_each_class, grad_cam
from kerasuite.evaluation.grad_cam_display import GradCamDisplay

PIXELS = np.random.default_rng(0).uniform(0, 255, (5, 6, 8, 3)).astype(np.float32)


def feature_maps():
    """A convolution whose three channels differ in sign, and dropout, which inference must leave alone."""
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 128, offset=-1)(inputs)
    x = keras.layers.Conv2D(3, 3, padding="same", name="conv")(x)
    return keras.Model(inputs, keras.layers.Dropout(0.5, name="map")(x), name="maps")


def pooled(backbone):
    """The mean of each channel is the logit of one class."""
    inputs = keras.Input((6, 8, 3))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="logits")(backbone(inputs)))


def wrapped(backbone, name):
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, backbone(inputs, training=False), name=name)


def expected_heat(backbone, classes):
    """Where a logit is the mean of one channel, the gradient weights that channel alone."""
    channel = np.maximum(backbone.predict(PIXELS, verbose=0)[np.arange(5), :, :, classes], 0)
    return channel / channel.max(axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_heat_of_a_logit_that_is_a_channels_mean_is_that_channel(depth):
    keras.utils.set_random_seed(3)
    backbone = nested = feature_maps()
    for level in range(depth - 1):
        nested = wrapped(nested, f"level_{level}")
    classes = np.array([0, 1, 2, 1, 0])
    heat = grad_cam(pooled(nested), PIXELS, classes)
    assert heat.dtype == np.float32
    np.testing.assert_allclose(heat, expected_heat(backbone, classes), atol=1e-5)


def test_pooling_inside_the_backbone_and_a_dense_head_give_the_class_activation_map():
    keras.utils.set_random_seed(1)
    maps = feature_maps()
    inputs = keras.Input((6, 8, 3))
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(maps(inputs)), name="backbone")
    head = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="logits")], name="head")
    inputs = keras.Input((6, 8, 3))
    model = keras.Model(inputs, head(backbone(inputs)))
    classes = np.array([0, 1, 1, 0, 1])
    # Zhou et al. (2016), Learning deep features for discriminative localization: the head's weights over the channels.
    weights = head.get_layer("logits").kernel.numpy()[:, classes]
    heat = np.maximum(np.einsum("nhwc,cn->nhw", maps.predict(PIXELS, verbose=0), weights), 0)
    np.testing.assert_allclose(grad_cam(model, PIXELS, classes), heat / heat.max(axis=(1, 2), keepdims=True), atol=1e-5)


def test_what_speaks_against_the_class_everywhere_is_zero_heat():
    maps = feature_maps()
    maps.get_layer("conv").set_weights([np.zeros((3, 3, 3, 3)), np.array([-1.0, 1.0, 0.0])])
    assert (grad_cam(pooled(maps), PIXELS[:1], np.array([0])) == 0).all()
    assert (grad_cam(pooled(maps), PIXELS[:1], np.array([1])) == 1).all()


def test_more_rows_than_a_batch_have_the_heat_that_each_has_alone():
    model = pooled(wrapped(feature_maps(), "outer"))
    many = np.tile(PIXELS, (4, 1, 1, 1))
    heat = grad_cam(model, many, np.arange(20) % 3)
    alone = np.concatenate([grad_cam(model, many[k : k + 1], np.array([k % 3])) for k in range(20)])
    np.testing.assert_allclose(heat, alone, atol=1e-5)


def test_layers_can_be_chosen_by_name_and_by_path():
    model = pooled(wrapped(feature_maps(), "outer"))
    classes = np.zeros(5, int)
    for name in ("conv", "maps/conv", "outer/maps/conv", "outer"):
        np.testing.assert_array_equal(grad_cam(model, PIXELS, classes, name), grad_cam(model, PIXELS, classes))
    with pytest.raises(InputError, match="No layer 'convv' gives a map: expected one such as conv"):
        grad_cam(model, PIXELS, classes, "convv")
    with pytest.raises(InputError, match="expected one such as conv, map, maps, outer"):
        grad_cam(model, PIXELS, classes, "logits")


def test_a_name_that_occurs_twice_is_refused_with_both_paths():
    inputs = keras.Input((6, 8, 3))
    first, second = wrapped(feature_maps(), "first"), wrapped(feature_maps(), "second")
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(second(first(inputs))))
    with pytest.raises(InputError, match="first/maps/conv, second/maps/conv"):
        grad_cam(model, PIXELS, np.zeros(5, int), "conv")


@keras.saving.register_keras_serializable("tests")
class Opaque(keras.layers.Layer):
    """Pixels to a vector in one step, as an imported model does it."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4))

    def call(self, pixels):
        return keras.ops.mean(pixels, (1, 2)) @ self.kernel


def test_a_backbone_that_only_gives_a_vector_has_no_heat():
    inputs = keras.Input((6, 8, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(Opaque()(x)))
    with pytest.raises(InputError, match="not available"):
        grad_cam(model, PIXELS, np.zeros(5, int))


def test_the_model_is_left_as_it_was(tmp_path):
    model = pooled(wrapped(feature_maps(), "outer"))
    before = model.predict(PIXELS, verbose=0)
    config = model.to_json()
    grad_cam(model, PIXELS, np.zeros(5, int))
    assert model.to_json() == config
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(PIXELS, verbose=0), before)


def test_classes_that_the_model_does_not_have_are_refused():
    model = pooled(feature_maps())
    with pytest.raises(InputError, match="Row 1 of the classes is 3"):
        grad_cam(model, PIXELS[:2], np.array([0, 3]))
    with pytest.raises(InputError, match="5 images and 2 classes"):
        grad_cam(model, PIXELS, np.array([0, 1]))


def test_examples_are_the_surest_right_and_the_surest_wrong_row_of_each_class():
    first = np.array([0.6, 0.9, 0.2, 0.3, 0.1, 0.9])
    labels = np.array([0, 0, 0, 1, 1, 0])
    rows = examples_for_each_class(labels, np.column_stack((first, 1 - first)))
    assert rows.tolist() == [1, 2, 4]  # of the equal rows 1 and 5 the first; no row of class 1 is wrong


def test_of_many_classes_those_with_the_lowest_recall_are_shown_lowest_first():
    labels = np.repeat(np.arange(4), 2)
    answers = np.array([0, 0, 0, 0, 2, 1, 3, 3])  # recalls 1, 0, 1/2, 1
    probabilities = np.full((8, 5), 0.1)  # the last class has no rows
    probabilities[np.arange(8), answers] = 0.6
    assert examples_for_each_class(labels, probabilities, most=2).tolist() == [2, 4, 5]


def display(num_classes=2, rows=(0, 1)):
    probabilities = np.full((2, num_classes), 0.1 / (num_classes - 1))
    probabilities[:, 0] = 0.9
    heat = np.zeros((2, 2, 4))
    heat[0, 0, 3] = heat[1, 1, 0] = 1
    names = [f"class {k}" for k in range(num_classes)]
    images = [np.full((8, 8, 3), 100, np.uint8), np.full((4, 6, 1), 100, np.uint8)][: len(rows)]
    return GradCamDisplay.from_predictions(
        np.array([0, 1]), probabilities, ["a.jpg", "b.jpg"], names, rows=np.array(rows), images=images, heat=heat
    )


def test_the_frame_says_where_the_heat_is_greatest():
    assert display().frame().rows() == [
        (0, "a.jpg", "class 0", "class 0", 0.9, 0.25, 0.875),
        (1, "b.jpg", "class 1", "class 0", 0.9, 0.75, 0.125),
    ]


def test_each_photo_stands_beside_itself_under_the_heat():
    shown = display().plot(Figure()).ax_.ravel()
    assert shown[0].get_title() == "a.jpg\nsays class 0 0.90\nis class 0"
    assert shown[1].get_title() == "what speaks for\nclass 0"
    photo, heated = (panel.images[0].get_array() for panel in shown[:2])
    assert heated.shape == photo.shape
    np.testing.assert_allclose(heated[-1, 0], photo[-1, 0], atol=1e-5)  # cold: the photo, here gray, as it was
    assert np.ptp(heated[0, -1]) > 0.2  # hot: coloured
    assert shown[3].images[0].get_array().shape == (4, 6, 3)


def test_the_title_says_when_not_every_class_is_shown():
    assert "of each class" in display().plot(Figure()).figure_.get_suptitle()
    title = display(40).plot(Figure()).figure_.get_suptitle()
    assert "the 2 of 40 classes that are found least often" in title


def test_rows_without_their_images_are_refused():
    with pytest.raises(InputError, match="1 rows have 1 images and 2 maps"):
        display(rows=(0,))
