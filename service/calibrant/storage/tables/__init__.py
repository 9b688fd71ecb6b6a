"""Tables of rows in files: any format in, one canonical format kept, predictions out."""

from calibrant.storage.tables.canonical import canonical
from calibrant.storage.tables.proposal import Guess, Proposal, Sample, propose, take_sample
from calibrant.storage.tables.shape import (
    BATCH_ROWS,
    ColumnInfo,
    ColumnMapping,
    Limits,
    TableInfo,
)
from calibrant.storage.tables.sniffing import READABLE, Sniffed, format_of, sniff
from calibrant.storage.tables.source import TableSource
from calibrant.storage.tables.writing import write_columns

__all__ = [
    "BATCH_ROWS",
    "READABLE",
    "ColumnInfo",
    "ColumnMapping",
    "Guess",
    "Limits",
    "Proposal",
    "Sample",
    "Sniffed",
    "TableInfo",
    "TableSource",
    "canonical",
    "format_of",
    "propose",
    "sniff",
    "take_sample",
    "write_columns",
]
