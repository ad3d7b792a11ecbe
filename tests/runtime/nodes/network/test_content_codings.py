"""Content codings: every one that servers use, one in another, and packed so that little holds much."""

import encodings
import gzip
import zlib
from collections.abc import Sequence

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import http_node, llm_node
from support.pieces import PieceResponse
from support.raw_http import RawServer, response

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.network import content_codings
from flowgram_core.nodes.network.content_codings import (
    PIECE,
    codings_of,
    read_decoded,
    zstd,  # type: ignore[attr-defined]  # which one is its part
)
from flowgram_core.nodes.network.decoded_body import DecodedBody

TEXT = "grüße ".encode() * 100


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACK = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


def coded(coding: str, pieces: Sequence[bytes]) -> PieceResponse:
    """A response that is labeled with a coding."""
    return PieceResponse([(b"content-encoding", coding.encode())], pieces)


class Slices:
    """Counts the time slices that were asked for."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1


async def unpack(coding: str, *pieces: bytes) -> bytes:
    return b"".join([part async for part in read_decoded(coded(coding, pieces), Slices())])


@pytest.mark.parametrize("coding", PACK)
async def test_every_coding_is_unpacked_however_it_is_cut(coding: str) -> None:
    """Byte by byte, and in one piece."""
    packed = PACK[coding](TEXT)
    assert await unpack(coding, packed) == TEXT
    assert await unpack(coding.upper(), *(bytes([byte]) for byte in packed)) == TEXT


async def test_deflate_may_lack_its_head() -> None:
    """As some servers send it."""
    assert await unpack("deflate", raw_deflate(TEXT)) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_several_members_are_one_body(coding: str) -> None:
    """One after the other; what comes after the last one of gzip, and is none, is left out."""
    packed = PACK[coding](b"one ") + PACK[coding](b"two")
    assert await unpack(coding, packed[:20], packed[20:]) == b"one two"
    assert await unpack("gzip", gzip.compress(b"one") + b"\0\0\0") == b"one"


async def test_codings_in_codings_are_unpacked() -> None:
    """In the order in which they were applied."""
    packed = gzip.compress(brotli.compress(zlib.compress(TEXT)))
    assert await unpack("deflate, br, gzip", packed) == TEXT


@pytest.mark.parametrize("more", ["identity", "utf-8", "UTF-8", "none", "aws-chunked", ""])
async def test_what_is_no_compression_is_left_out(more: str) -> None:
    """Some servers name a character set there."""
    assert await unpack(more, TEXT) == TEXT
    assert await unpack(f"gzip, {more}", gzip.compress(TEXT)) == TEXT


@pytest.mark.parametrize("run", [http_node.failure, llm_node.failure])
@pytest.mark.parametrize("coding", ["compress", "exi", "gzip, rot26"])
async def test_a_coding_that_is_not_known_is_named(run: object, coding: str) -> None:
    """Instead of showing compressed bytes as text."""
    async with RawServer(response(b"...", Content_Encoding=coding)) as server:
        message = await (http_node if run is http_node.failure else llm_node).failure(server.url)
    name = coding.rpartition(" ")[2]
    assert message == f'The response has the content coding "{name}", which cannot be decoded'


async def test_six_codings_are_one_too_many() -> None:
    """It is reported before anything is unpacked."""
    with pytest.raises(NodeError, match="The response is compressed 6 times: gzip, gzip"):
        await unpack(", ".join(["gzip"] * 6), b"")


@pytest.mark.parametrize("coding", PACK)
async def test_what_cannot_be_unpacked_is_an_error(coding: str) -> None:
    """Also where it begins well, and only its end does not fit."""
    packed = PACK[coding](TEXT)
    end = packed[:-8] + b"\0" * 8 if coding in {"gzip", "x-gzip", "deflate"} else packed[:12] + b"\xff" * 64
    for body in (b"\xff\xffnonsense", end):
        with pytest.raises(NodeError, match="HTTP response cannot be decompressed"):
            await unpack(coding, body)


@pytest.mark.parametrize("coding", PACK)
async def test_much_in_little_comes_in_small_pieces(coding: str) -> None:
    """With a time slice before each, so that the event loop is not held, and a reader can stop."""
    packed = PACK[coding](b"\0" * 20 * PIECE)
    slices = Slices()
    sizes = []
    async for part in read_decoded(coded(coding, [packed]), slices):
        sizes.append(len(part))
        assert slices.count >= len(sizes) - 1
    assert sum(sizes) == 20 * PIECE
    assert max(sizes) <= 3 * PIECE


async def test_layers_that_swell_inside_leave_time_for_others() -> None:
    """Though nothing comes out of them: a gzip of many empty gzip members."""
    inner = gzip.compress(b"") * 50_000
    slices = Slices()
    parts = [part async for part in read_decoded(coded("gzip, gzip", [gzip.compress(inner)]), slices)]
    assert parts == []
    assert slices.count >= len(inner) // PIECE


@given(st.binary(max_size=3000), st.lists(st.sampled_from(sorted(PACK)), max_size=4), st.integers(1, 500))
async def test_any_body_comes_back(data: bytes, codings: list[str], size: int) -> None:
    """Through any codings, cut anywhere."""
    packed = data
    for coding in codings:
        packed = PACK[coding](packed)
    pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
    assert await unpack(", ".join(codings), *pieces) == data


def test_codings_are_read_from_all_their_headers() -> None:
    """Whatever their case."""
    headers = [(b"content-encoding", b"GZip"), (b"x", b"y"), (b"content-encoding", b" identity , br")]
    assert codings_of(headers) == ["gzip", "br"]
    assert content_codings.ACCEPTED == "gzip, deflate"


async def test_bodies_are_read_in_bounded_pieces() -> None:
    """What came as one piece is given in several, between which others may go on; the end is known once it was read."""
    slices = Slices()
    body = DecodedBody(coded("identity", [bytes(2 * PIECE + 1), b"end"]), slices)
    assert [len(await body.read()) for _ in range(3)] == [PIECE, PIECE, 1]
    assert slices.count == 2
    assert not body.is_over
    assert [await body.read(), await body.read()] == [b"end", b""]
    assert body.is_over


async def test_compressed_bodies_are_read_in_bounded_pieces() -> None:
    """However much is packed into few bytes."""
    body = DecodedBody(coded("gzip", [gzip.compress(bytes(3 * PIECE))]), Slices())
    sizes = []
    while piece := await body.read():
        sizes.append(len(piece))
    assert max(sizes) <= PIECE
    assert sum(sizes) == 3 * PIECE


async def test_what_is_still_packed_is_bounded() -> None:
    """A coding in another may unpack to nothing, for as long as the server likes."""
    empty_blocks = b"\x00\x00\x00\xff\xff" * (14 * 1024 * 1024)
    with pytest.raises(NodeError, match="bytes where it is still compressed"):
        await unpack("deflate, gzip", gzip.compress(empty_blocks, 1))


def test_no_name_of_a_coding_is_kept() -> None:
    """Python keeps every encoding that it was asked for."""
    asked = "coding-" + "x" * 50_000
    assert codings_of([(b"content-encoding", asked.encode())]) == [asked]
    assert asked.replace("-", "_") not in encodings._cache  # type: ignore[attr-defined]  # what it keeps them in
    assert codings_of([(b"content-encoding", b"utf-8, gbk")]) == []
