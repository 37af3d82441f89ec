"""Values to payload bytes and back, one codec per pool. Nothing here runs code that came in a payload: no pickle.

An array, alone (`ARRAY`) or inside msgpack (`MSGPACK`, extension type 1), is written as

    u8 length of the dtype's name · the name in ASCII, such as "float32" · u8 number of dimensions ·
    u64 little-endian per dimension · zeros up to a multiple of 16 bytes · the elements, row by row, little-endian

so that a client in any language can write one, and a payload in shared memory can be read in place. Decoded arrays are
read-only, since objects are immutable: copy one to change it. Malformed payloads raise InvalidArgument before anything
is allocated for them.
"""

from __future__ import annotations

import functools
import math
import struct
import sys
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from covey.declaration import Codec
from covey.errors import InvalidArgument, Reason
from covey.model import OBJECT_BYTES_MAX

DIMENSIONS_MAX = 32
ARRAY_EXTENSION = 1
_ALIGNMENT_BYTES = 16
_DTYPES: Final = {
    np.dtype(name).name: np.dtype(name).newbyteorder("<")
    for name in ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
}
_NAMES: Final = {order: name for name, dtype in _DTYPES.items() for order in (dtype, dtype.newbyteorder(">"))}
"""numpy puts a dtype's name together whenever it is asked."""

_HEADERS_MAX = 1024
"""A program's arrays have few shapes: so many headers are remembered."""

Array = npt.NDArray[Any]


def encode(codec: Codec, value: Any) -> bytes:
    """The payload of a value. Raises InvalidArgument when the codec has no way to write it, or not in so few bytes."""
    payload = _encode(codec, value)
    if len(payload) > OBJECT_BYTES_MAX:
        raise InvalidArgument(f"{len(payload)} bytes are over the limit of {OBJECT_BYTES_MAX}", Reason.TOO_LARGE)
    return payload


def decode(codec: Codec, payload: bytes) -> Any:
    """The value of a payload. Raises InvalidArgument when it is malformed."""
    match codec:
        case Codec.MSGPACK:
            try:
                return _DECODER.decode(payload)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                raise InvalidArgument(f"the payload is not msgpack: {error}") from None
        case Codec.ARRAY:
            return decode_array(payload)
        case Codec.BYTES:
            return payload


def encode_array(value: Any) -> bytes:
    """An array, a tensor or nested lists of numbers in the layout above."""
    array = _as_array(value)
    name = _NAMES.get(array.dtype)
    if name is None or array.ndim > DIMENSIONS_MAX:
        known = ", ".join(_DTYPES)
        raise InvalidArgument(
            f"an array of {array.dtype.name} with {array.ndim} dimensions can't be written: its dtype must be one of "
            f"{known}, its dimensions at most {DIMENSIONS_MAX}"
        )
    elements = np.ascontiguousarray(array, _DTYPES[name])
    return b"".join((_header(name, array.shape), elements.data))


def decode_array(payload: bytes | memoryview) -> Array:
    """The array that `payload` holds, in place where the memory is aligned for it."""
    data = memoryview(payload)
    try:
        end = 2 + data[0] + 8 * data[1 + data[0]]
    except IndexError:
        raise InvalidArgument("the payload is not an array: its header is cut short") from None
    dtype, shape, size = _read_header(data[:end].tobytes())
    start = end + -end % _ALIGNMENT_BYTES
    if size != len(data) - start:
        raise InvalidArgument(f"the payload is not an array: {len(data) - start} bytes are not {dtype.name} of {shape}")
    try:
        array: Array = np.ndarray(shape, dtype, data, start)
    except ValueError:  # an empty array with a dimension that no address space holds
        raise InvalidArgument(f"the payload is not an array: no array has the shape {shape}") from None
    if not array.flags.aligned:
        array = array.copy()
    array.setflags(write=False)
    return array


@functools.lru_cache(_HEADERS_MAX)
def _header(name: str, shape: tuple[int, ...]) -> bytes:
    """What stands before the elements."""
    header = struct.pack(f"<B{len(name)}sB{len(shape)}Q", len(name), name.encode(), len(shape), *shape)
    return header + bytes(-len(header) % _ALIGNMENT_BYTES)


@functools.lru_cache(_HEADERS_MAX)
def _read_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """The dtype, the shape and the bytes of the elements. Raises InvalidArgument."""
    length = header[0]
    dimensions = header[1 + length]
    try:
        dtype = _DTYPES[header[1 : 1 + length].decode("ascii")]
        shape = struct.unpack_from(f"<{min(dimensions, DIMENSIONS_MAX)}Q", header, 2 + length)
    except (struct.error, UnicodeDecodeError, KeyError):
        raise InvalidArgument("the payload is not an array: its header is cut short, or names no known dtype") from None
    if dimensions > DIMENSIONS_MAX:
        raise InvalidArgument(f"the payload is not an array: {dimensions} dimensions are over {DIMENSIONS_MAX}")
    return dtype, shape, math.prod(shape) * dtype.itemsize


def _encode(codec: Codec, value: Any) -> bytes:
    match codec:
        case Codec.MSGPACK:
            return _encode_msgpack(value)
        case Codec.ARRAY:
            return encode_array(value)
        case Codec.BYTES:
            if not isinstance(value, bytes | bytearray | memoryview):
                raise InvalidArgument(f"the bytes codec takes bytes, not {type(value).__name__}")
            return bytes(value)


def _as_array(value: Any) -> Array:
    """`value` as an array on the host. Torch is not imported for it: who has a tensor has loaded torch."""
    torch = sys.modules.get("torch")
    try:
        if torch is not None and isinstance(value, torch.Tensor):
            return np.asarray(value.detach().cpu().numpy())
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgument(f"{type(value).__name__} is not an array: {error}") from None


def _encode_msgpack(value: Any) -> bytes:
    try:
        return _ENCODER.encode(value)
    except (TypeError, OverflowError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"msgpack can't hold this {type(value).__name__}: {error}") from None


def _extend(value: Any) -> Any:
    """What msgspec itself can't write: arrays and tensors as an extension, numpy's numbers as numbers."""
    if isinstance(value, np.generic):
        return value.item()
    torch = sys.modules.get("torch")
    if isinstance(value, np.ndarray) or (torch is not None and isinstance(value, torch.Tensor)):
        return msgspec.msgpack.Ext(ARRAY_EXTENSION, encode_array(value))
    raise TypeError(f"{type(value).__name__} is neither data nor an array")


def _extension(code: int, data: memoryview) -> Array:
    if code != ARRAY_EXTENSION:
        raise InvalidArgument(f"the payload has msgpack extension {code}; {ARRAY_EXTENSION} (an array) is the only one")
    return decode_array(data)


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_extend)
_DECODER: Final = msgspec.msgpack.Decoder(ext_hook=_extension)
