"""Codecs: what goes in comes out, and what is malformed is refused before anything is allocated for it."""

import contextlib
import math
import pickle
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from covey.codec import ARRAY_EXTENSION, decode, decode_array, encode, encode_array
from covey.declaration import Codec
from covey.errors import InvalidArgument, Reason

DTYPES = ["bool", "i1", "<i2", ">i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">f8", "c8", "c16"]
any_array = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays.arrays(np.dtype(dtype), arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()
)
data = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


def same(left: Any, right: Any) -> bool:
    return bool(left.dtype == right.dtype.newbyteorder("<")) and np.array_equal(
        left, right, equal_nan=left.dtype.kind in "fc"
    )


@given(any_array)
def test_arrays_survive_both_codecs(array: Any) -> None:
    """An array of any shape and allowed dtype is read as it was written, little-endian and read-only."""
    for codec in (Codec.ARRAY, Codec.MSGPACK):
        decoded = decode(codec, encode(codec, array))
        assert decoded.shape == array.shape
        assert same(decoded, array)
        assert decoded.flags.aligned
        assert not decoded.flags.writeable


@given(data)
def test_plain_data_survives_msgpack(value: Any) -> None:
    """Nested lists, dicts, text, bytes and numbers are read as they were written."""
    assert decode(Codec.MSGPACK, encode(Codec.MSGPACK, value)) == value


@given(st.dictionaries(st.text(), any_array, max_size=4))
def test_arrays_nest_in_msgpack(value: dict[str, Any]) -> None:
    """Arrays may stand anywhere inside msgpack."""
    decoded = decode(Codec.MSGPACK, encode(Codec.MSGPACK, {"inner": [value]}))["inner"][0]
    assert decoded.keys() == value.keys()
    assert all(same(decoded[name], value[name]) for name in value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_refused(payload: bytes) -> None:
    """No payload makes a decoder raise anything but InvalidArgument."""
    for codec in Codec:
        with contextlib.suppress(InvalidArgument):
            decode(codec, payload)


@given(any_array, st.data())
def test_an_array_with_a_byte_changed_or_missing_is_an_array_or_refused(array: Any, draw: st.DataObject) -> None:
    """Damage is refused, or gives an array that fits the bytes that are there."""
    payload = bytearray(encode_array(array))
    position = draw.draw(st.integers(0, len(payload) - 1))
    if draw.draw(st.booleans()):
        payload[position] = draw.draw(st.integers(0, 255))
    else:
        del payload[position:]
    with contextlib.suppress(InvalidArgument):
        assert decode_array(bytes(payload)).nbytes <= len(payload)


def header(name: bytes, *shape: int) -> bytes:
    packed = struct.pack(f"<B{len(name)}sB{len(shape)}Q", len(name), name, len(shape), *shape)
    return packed + bytes(-len(packed) % 16)


@pytest.mark.parametrize(
    "payload",
    [
        header(b"float64", 2**40),
        header(b"float64", 2**63, 2**63),
        header(b"float64", 0, 2**63),
        header(b"object", 1) + bytes(8),
        header(b"float32", 2) + bytes(9),
        header(b"float32", *[1] * 33) + bytes(4),
        b"",
    ],
)
def test_a_header_that_lies_is_refused(payload: bytes) -> None:
    """Shape, dtype and length must agree; nothing is allocated for a shape that the bytes do not fill."""
    for codec, coded in (
        (Codec.ARRAY, payload),
        (Codec.MSGPACK, msgspec.msgpack.encode(msgspec.msgpack.Ext(ARRAY_EXTENSION, payload))),
    ):
        with pytest.raises(InvalidArgument, match="not an array"):
            decode(codec, coded)


def test_only_our_extension_is_read() -> None:
    """Other msgpack extensions are refused, and so is nesting that would exhaust the stack."""
    with pytest.raises(InvalidArgument, match="extension 5"):
        decode(Codec.MSGPACK, msgspec.msgpack.encode(msgspec.msgpack.Ext(5, b"abc")))
    with pytest.raises(InvalidArgument, match="recursion"):
        decode(Codec.MSGPACK, b"\x91" * 100_000)


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (Codec.MSGPACK, object()),
        (Codec.MSGPACK, 2**70),
        (Codec.MSGPACK, "\ud800"),
        (Codec.MSGPACK, np.array([object()])),
        (Codec.ARRAY, np.array(["text"])),
        (Codec.ARRAY, [[1.0], [1.0, 2.0]]),
        (Codec.ARRAY, {"a": 1}),
        (Codec.BYTES, "text"),
    ],
)
def test_what_a_codec_cannot_write_is_a_clear_error(codec: Codec, value: Any) -> None:
    """A value that its codec has no way to write is InvalidArgument, with a sentence."""
    with pytest.raises(InvalidArgument, match=r".{10,}"):
        encode(codec, value)


def test_a_value_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No payload is larger than a datastore takes."""
    monkeypatch.setattr("covey.codec.OBJECT_BYTES_MAX", 10)
    with pytest.raises(InvalidArgument, match="over the limit") as caught:
        encode(Codec.BYTES, bytes(11))
    assert caught.value.reason is Reason.TOO_LARGE


def test_pickles_are_only_bytes() -> None:
    """A pickle is never loaded: it is refused, or stays the bytes that it is."""
    payload = pickle.dumps(math.sqrt)
    assert decode(Codec.BYTES, payload) is payload
    with pytest.raises(InvalidArgument):
        decode(Codec.ARRAY, payload)


def test_numpy_numbers_are_numbers() -> None:
    """A number that came out of an array is written as a number."""
    value = {"int": np.int64(3), "float": np.float32(0.5), "bool": np.bool_(True)}
    assert decode(Codec.MSGPACK, encode(Codec.MSGPACK, value)) == {"int": 3, "float": 0.5, "bool": True}


def test_tensors_are_written_as_arrays() -> None:
    """A tensor, even one that requires gradients, is an array at the reader's; dtypes that numpy lacks are refused."""
    torch = pytest.importorskip("torch")
    tensor = torch.arange(6.0, requires_grad=True).reshape(2, 3)
    for codec in (Codec.ARRAY, Codec.MSGPACK):
        assert decode(codec, encode(codec, tensor)).tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    with pytest.raises(InvalidArgument):
        encode(Codec.ARRAY, torch.zeros(2, dtype=torch.bfloat16))
