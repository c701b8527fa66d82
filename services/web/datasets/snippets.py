"""Lines that load an export, shown on the page. The tests run them exactly as they stand, where their library is."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Snippet:
    """Code in which FILE stands for the name of the unpacked export's folder."""

    library: str
    code: str
    by_hand: str | None = None
    """Where the library is too large for the development requirements: with what it was run last, and when."""

    def of(self, file: str) -> str:
        """The lines for an export of this name, without .zip."""
        return self.code.replace("FILE", file)


FOLDERS: Final = (
    Snippet("this project", "python -m training.data inspect --data FILE"),
    Snippet(
        "Keras",
        """\
import keras

train = keras.utils.image_dataset_from_directory(
    "FILE/train", color_mode="grayscale", image_size=(48, 48)
)
print(train.class_names)""",
    ),
    Snippet(
        "Hugging Face datasets",
        """\
from datasets import load_dataset

faces = load_dataset("imagefolder", data_dir="FILE")
print(faces["train"][0]["image"], faces["train"][0]["label"])""",
    ),
    Snippet(
        "torchvision",
        """\
from torchvision.datasets import ImageFolder

train = ImageFolder("FILE/train", allow_empty=True)
print(train.classes)""",
        by_hand="torchvision 0.29.1 (torch 2.14.1), November 2026",
    ),
    Snippet(
        "pandas",
        """\
import pandas

rows = pandas.read_json("FILE/train/metadata.jsonl", lines=True)
print(rows.label.value_counts())""",
    ),
)
FER2013: Final = (
    Snippet("this project", "python -m training.data inspect --data FILE/fer2013.csv --ferplus FILE/fer2013new.csv"),
    Snippet(
        "pandas",
        """\
import numpy
import pandas

rows = pandas.read_csv("FILE/fer2013.csv")
faces = numpy.stack([numpy.fromstring(row, dtype="uint8", sep=" ") for row in rows.pixels])
faces = faces.reshape(-1, 48, 48)
print(faces.shape, rows.Usage.value_counts())""",
    ),
)
WEBDATASET: Final = (
    Snippet(
        "webdataset",
        """\
import glob

import webdataset

shards = sorted(glob.glob("FILE/train-*.tar"))
train = webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("png", "cls", "json")
image, label, known = next(iter(train))
print(image.size, label, known["person"])""",
    ),
)
PARQUET: Final = (
    Snippet(
        "pandas",
        """\
import io

import pandas
from PIL import Image

rows = pandas.read_parquet("FILE/train-00000.parquet")
face = Image.open(io.BytesIO(rows.image[0]["bytes"]))
print(face.size, rows.label[0])""",
    ),
    Snippet(
        "Hugging Face datasets",
        """\
from datasets import Image, load_dataset

faces = load_dataset("parquet", data_files={"train": "FILE/train-*.parquet"})["train"]
faces = faces.cast_column("image", Image())
print(faces[0]["image"], faces[0]["label"])""",
    ),
)
