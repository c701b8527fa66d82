"""The table of hourly totals: one row for each hour in which a device sent a detection."""

from datetime import timedelta
from typing import Final

from sqlalchemy import BigInteger, Column, Table, Text

from shared.db.tables import metadata, moment
from shared.emotions import EMOTIONS

HOUR: Final = timedelta(hours=1)
SUMS: Final = tuple(f"{emotion}_billionths" for emotion in EMOTIONS)
"""Columns of summed probabilities, in the classes' order."""

hourly_totals = Table(
    "hourly_totals",
    metadata,
    moment("hour", primary_key=True, comment="its begin; hours are whole ones of UTC, as partitions are whole days"),
    Column("device", Text, primary_key=True),
    Column("detections", BigInteger, nullable=False, server_default="0"),
    Column("faces", BigInteger, nullable=False, server_default="0"),
    *(
        Column(emotion, BigInteger, nullable=False, server_default="0", comment="faces of which it was dominant")
        for emotion in EMOTIONS
    ),
    *(
        Column(name, BigInteger, nullable=False, server_default="0", comment="its probabilities of all faces, added up")
        for name in SUMS
    ),
    comment="What each device read in each hour, added up of detections and faces, and kept in step with them.",
    postgresql_with={"fillfactor": 70},
)
