"""InceptionV3 and what learns of it in which stage."""

import urllib.error
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")

from training import transfer  # noqa: E402 - Keras first
from training.data import DataError  # noqa: E402 - Keras first
from training.networks import build_network  # noqa: E402 - Keras first


@pytest.fixture(scope="module")
def network() -> Any:
    """One for all tests, since it takes seconds to build."""
    return build_network("inception_v3", 0.0)


def trainable_count(network: Any) -> int:
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_it_is_kerass_body_with_a_new_top(network: Any) -> None:
    assert network.count_params() == 21_802_784 + 14_343
    assert len({variable.path for variable in network.variables}) == len(network.variables)


def test_only_the_top_learns_first_then_the_last_two_blocks_as_well(network: Any) -> None:
    transfer.freeze_body(network)
    assert trainable_count(network) == 2048 * 7 + 7
    transfer.unfreeze_blocks(network, 2)
    # Keras's own recipe unfreezes the same: everything from layer 249 on.
    assert trainable_count(network) == 11_114_880 + 14_343
    transfer.unfreeze_blocks(network, 1)
    assert trainable_count(network) < 11_114_880
    with pytest.raises(ValueError, match="1 to 10"):
        transfer.unfreeze_blocks(network, 11)


def test_a_second_network_in_the_process_has_the_same_names(network: Any) -> None:
    other = build_network("inception_v3", 0.0)
    assert [variable.path for variable in other.variables] == [variable.path for variable in network.variables]


def test_imagenet_weights_reach_the_body(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = transfer._imagenet_body(weights=None)
    monkeypatch.setattr(transfer, "_imagenet_body", lambda weights: source)
    transfer.load_imagenet(network)
    for mine, theirs in zip(network.get_layer(transfer.BODY).get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_weights_that_cannot_be_had_are_said_in_a_sentence(
    network: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", unreachable)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(DataError, match=r"cannot be had .*Name or service not known.*--weights none"):
        transfer.load_imagenet(network)


def test_other_networks_have_no_imagenet_weights() -> None:
    with pytest.raises(DataError, match="only for inception_v3"):
        transfer.load_imagenet(build_network("mini_xception", 0.0))
