"""The networks: their parameters are those of the papers, and they do what the module says of all of them."""

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")

from training.networks import NETWORKS, build_network  # noqa: E402 - Keras first

# Appendix A.2 of the paper, row by row; the name of its first layer is missing there.
APPENDIX_A2 = [
    ("image_array", (48, 48, 16), 800),
    ("batch_normalization_1", (48, 48, 16), 64),
    ("conv2d_1", (48, 48, 16), 12560),
    ("batch_normalization_2", (48, 48, 16), 64),
    ("activation_1", (48, 48, 16), 0),
    ("average_pooling2d_1", (24, 24, 16), 0),
    ("dropout_1", (24, 24, 16), 0),
    ("conv2d_2", (24, 24, 32), 12832),
    ("batch_normalization_3", (24, 24, 32), 128),
    ("conv2d_3", (24, 24, 32), 25632),
    ("batch_normalization_4", (24, 24, 32), 128),
    ("activation_2", (24, 24, 32), 0),
    ("average_pooling2d_2", (12, 12, 32), 0),
    ("dropout_2", (12, 12, 32), 0),
    ("conv2d_4", (12, 12, 64), 18496),
    ("batch_normalization_5", (12, 12, 64), 256),
    ("conv2d_5", (12, 12, 64), 36928),
    ("batch_normalization_6", (12, 12, 64), 256),
    ("activation_3", (12, 12, 64), 0),
    ("average_pooling2d_3", (6, 6, 64), 0),
    ("dropout_3", (6, 6, 64), 0),
    ("conv2d_6", (6, 6, 128), 73856),
    ("batch_normalization_7", (6, 6, 128), 512),
    ("conv2d_7", (6, 6, 128), 147584),
    ("batch_normalization_8", (6, 6, 128), 512),
    ("activation_4", (6, 6, 128), 0),
    ("average_pooling2d_4", (3, 3, 128), 0),
    ("dropout_4", (3, 3, 128), 0),
    ("conv2d_8", (3, 3, 256), 295168),
    ("batch_normalization_9", (3, 3, 256), 1024),
    ("conv2d_9", (3, 3, 7), 16135),
    ("global_average_pooling2d_1", (7,), 0),
]


def trainable_count(network: Any) -> int:
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_simple_cnn_is_the_papers_table() -> None:
    network = build_network("simple_cnn", 0.5)
    table = [(layer.name, layer.output.shape[1:], layer.count_params()) for layer in network.layers[2:]]
    assert table == APPENDIX_A2
    assert network.count_params() == 642_935
    assert trainable_count(network) == 641_463


def test_mini_xception_has_the_parameters_of_the_original() -> None:
    network = build_network("mini_xception", 0.0)
    assert network.count_params() == 58_423
    assert trainable_count(network) == 56_951


def test_our_own_network_keeps_to_the_edge_limit() -> None:
    network = build_network("slim_resnet", 0.2)
    assert network.count_params() == 736_423
    assert network.count_params() <= 1_000_000


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_raw_pixels_go_in_and_logits_come_out(name: str) -> None:
    network = build_network(name, 0.2)
    faces = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1)).astype(np.float32)
    logits = np.asarray(network.predict_on_batch(faces))
    assert network.input_shape == (None, 48, 48, 1)
    assert logits.shape == (2, 7)
    assert not np.allclose(logits.sum(axis=1), 1)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_normalisation_follows_a_convolution_directly(name: str) -> None:
    network = build_network(name, 0.2)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            before = layer.input._keras_history.operation
            assert isinstance(before, keras.layers.Conv2D | keras.layers.SeparableConv2D), layer.name


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ValueError, match="slim_resnet"):
        build_network("huge", 0.0)
