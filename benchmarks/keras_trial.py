"""One training trial of the masked autoencoder-classifier in Keras: the measure for ``training_vs_keras.py``.

Runs in Keras' own environment (``keras_env.txt``), never in the project's. Same network, loss, optimiser, batch size
and number of samples; images are random, because their values do not change the time. Written as a careful Keras user
would: data in memory behind tf.data (cached, shuffled, prefetched), ``tf.image.ssim``, no metrics, no callback but
a clock.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, when tensorflow is imported

import keras
import numpy as np
import tensorflow as tf
from keras import layers


class EpochClock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds.append(time.perf_counter() - self._start)


class MaskBottleneck(layers.Layer):
    """Multiply the encoder's maps by the lesion mask; what lies outside it is penalised."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        maps, mask = inputs
        self.add_loss(0.2 * tf.reduce_mean(tf.square(maps * (1 - mask))))
        return maps * mask


def build_network() -> keras.Model:
    """64×64 image and 16×16 mask in; reconstruction and probability out. 43 thousand parameters."""
    image = keras.Input((64, 64, 1))
    mask = keras.Input((16, 16, 1))
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(image)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(5, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    maps = MaskBottleneck()([x, mask])

    x = layers.UpSampling2D()(maps)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = layers.UpSampling2D()(x)
    reconstruction = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(x)

    x = layers.Dense(32, activation="relu")(layers.Flatten()(maps))
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.1)(x)
    response = layers.Dense(1, activation="sigmoid")(x)
    return keras.Model([image, mask], [reconstruction, response])


def reconstruction_loss(target: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
    """0.2 (1 − SSIM) + 0.6 pixel cross-entropy, per image; the features' term is added by MaskBottleneck."""
    pixels = tf.reduce_mean(keras.losses.binary_crossentropy(target, output), axis=(1, 2))
    return 0.2 * (1 - tf.image.ssim(target, output, max_val=1.0)) + 0.6 * pixels


def random_samples(count: int, batch: int) -> tf.data.Dataset:
    """Images with round lesions of 8 to 20 pixels radius."""
    rng = np.random.default_rng(0)
    image = rng.random((count, 64, 64, 1), dtype=np.float32)
    row, column = np.mgrid[:64, :64] - 32
    mask = (row**2 + column**2 < rng.uniform(8, 20, (count, 1, 1)) ** 2)[..., None].astype(np.float32)
    coarse = mask.reshape(count, 16, 4, 16, 4, 1).max((2, 4))
    label = rng.integers(0, 2, (count, 1)).astype(np.float32)
    samples = tf.data.Dataset.from_tensor_slices(((image, coarse), (image * mask, label)))
    return samples.cache().shuffle(count).batch(batch).prefetch(tf.data.AUTOTUNE)


def main() -> None:
    """Train once and write the times as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=414)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--jit", action="store_true", help="compile with XLA")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    keras.utils.set_random_seed(0)
    model = build_network()
    optimizer = keras.optimizers.AdamW(learning_rate=5e-4, weight_decay=1e-4, epsilon=1e-8)
    model.compile(optimizer, loss=[reconstruction_loss, "binary_crossentropy"], jit_compile=args.jit)
    clock = EpochClock()
    samples = random_samples(args.samples, args.batch)
    start = time.perf_counter()
    history = model.fit(samples, epochs=args.epochs, verbose=0, callbacks=[clock])
    result = {
        "fit_seconds": time.perf_counter() - start,
        "epoch_seconds": clock.seconds,
        "final_loss": history.history["loss"][-1],
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__},
    }
    args.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
