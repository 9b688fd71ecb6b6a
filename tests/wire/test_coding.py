from __future__ import annotations

import gzip
import time

import pytest
import zstandard

from calibrant.errors import BadRequest, TooLarge, UnsupportedMedia
from calibrant.wire.coding import coding_decoder, decompress

CODE = {"gzip": gzip.compress, "zstd": zstandard.compress}
CONTENT = bytes(range(256)) * 400


@pytest.mark.parametrize("coding", CODE)
def test_a_coded_body_comes_back(coding):
    assert decompress(CODE[coding](CONTENT), coding, len(CONTENT)) == CONTENT


@pytest.mark.parametrize("coding", CODE)
@pytest.mark.parametrize("step", [1, 7, 5000])
def test_pieces_of_any_size_give_the_same_body(coding, step):
    coded = CODE[coding](CONTENT)
    decoder = coding_decoder(coding, len(CONTENT))
    pieces = [decoder.feed(coded[at : at + step]) for at in range(0, len(coded), step)]
    decoder.finish()
    assert b"".join(pieces) == CONTENT


@pytest.mark.parametrize("coding", CODE)
def test_members_in_a_row_are_one_body(coding):
    assert decompress(CODE[coding](b"a") + CODE[coding](b"b"), coding, 2) == b"ab"


@pytest.mark.parametrize("coding", CODE)
def test_one_byte_over_the_limit_is_too_large(coding):
    assert decompress(CODE[coding](b"12345"), coding, 5) == b"12345"
    with pytest.raises(TooLarge):
        decompress(CODE[coding](b"123456"), coding, 5)


@pytest.mark.parametrize("coding", CODE)
def test_a_bomb_is_cut_off_early(coding):
    bomb = CODE[coding](bytes(200_000_000))
    start = time.perf_counter()
    with pytest.raises(TooLarge):
        decompress(bomb, coding, 1_000_000)
    assert time.perf_counter() - start < 0.5


DAMAGE = {
    "cut": lambda coded: coded[:-3],
    "empty": lambda coded: coded[:0],
    "before": lambda coded: b"xx" + coded,
    "after": lambda coded: coded + b"x",
}


@pytest.mark.parametrize("coding", CODE)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_body_is_a_bad_request(coding, damage):
    with pytest.raises(BadRequest):
        decompress(DAMAGE[damage](CODE[coding](CONTENT)), coding, len(CONTENT))


def test_a_window_beyond_eight_mebibytes_is_refused():
    wide = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27)
    ).compressobj()
    coded = wide.compress(bytes(2**20)) + wide.flush()
    with pytest.raises(BadRequest):
        decompress(coded, "zstd", 2**24)


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "deflate", "snappy"])
def test_other_codings_are_not_read(coding):
    with pytest.raises(UnsupportedMedia):
        decompress(b"", coding, 10)


def test_no_coding_is_counted_too():
    assert decompress(b"12345", "identity", 5) == b"12345"
    with pytest.raises(TooLarge):
        decompress(b"123456", "", 5)
