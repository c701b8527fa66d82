"""Training of the emotion models: data, networks, the training loop, evaluation and export.

Nothing here is imported by the services, and nothing here imports them. Training itself needs only Keras, one of its
backends, NumPy and Pillow, so that it runs on any machine that has an accelerator.
"""
