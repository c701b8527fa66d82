"""Training of the emotion models: data, networks, the training loop, evaluation and export.

Nothing here is imported by the services, and nothing here imports them. Training itself needs only Keras, one of its
backends and NumPy, so that it runs on any machine that has an accelerator.

Unless ``KERAS_BACKEND`` says otherwise, Keras runs on torch where that is installed, since on a CPU it trains these
networks several times faster than TensorFlow.
"""

import importlib.util
import os

if "KERAS_BACKEND" not in os.environ:
    _present = (name for name in ("torch", "jax", "tensorflow") if importlib.util.find_spec(name) is not None)
    os.environ["KERAS_BACKEND"] = next(_present, "tensorflow")
