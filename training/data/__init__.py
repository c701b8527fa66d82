"""Reading data sets strictly: every row or picture is either understood, or counted and named; none is guessed at.

``read_faces`` reads all forms; ``python -m training.data inspect`` shows what is in a data set.
"""

from training.data.faces import (
    BOUND_BY,
    NUM_CLASSES,
    SIDE,
    USAGES,
    BadRow,
    DataError,
    Faces,
    linked_rows,
    pixel_hashes,
)
from training.data.ferplus import FERPLUS_COLUMNS, ferplus_majority, read_ferplus
from training.data.reading import fingerprint, read_faces

__all__ = [
    "BOUND_BY",
    "FERPLUS_COLUMNS",
    "NUM_CLASSES",
    "SIDE",
    "USAGES",
    "BadRow",
    "DataError",
    "Faces",
    "ferplus_majority",
    "fingerprint",
    "linked_rows",
    "pixel_hashes",
    "read_faces",
    "read_ferplus",
]
