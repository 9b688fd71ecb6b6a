"""What libraries say about damaged bytes, said in our words: theirs quote the data."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from calibrant.errors import BadRequest, TooLarge

_BUILT_IN = (OSError, EOFError, ValueError, KeyError, OverflowError, NotImplementedError)


@contextlib.contextmanager
def damaged() -> Iterator[None]:
    """Turn what a library raises over damaged bytes into `BadRequest` or `TooLarge`."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowMemoryError, MemoryError) as error:
        raise TooLarge("The file asks for more memory than it may have.") from error
    except (pa.ArrowException, zipfile.BadZipFile, zlib.error, *_BUILT_IN) as error:
        raise BadRequest("The file is damaged or ends early.") from error


def guarded(batches: Iterable[Any]) -> Iterator[Any]:
    """Give the same batches; only getting the next one is guarded, not what is done with it."""
    iterator = iter(batches)
    while True:
        with damaged():
            batch = next(iterator, None)
        if batch is None:
            return
        yield batch
