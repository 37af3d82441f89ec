"""Values to payload bytes and back, one codec per pool. Nothing here runs code that came in a payload: no pickle.

An array, alone (`ARRAY`) or inside msgpack (`MSGPACK`, extension type 1), is written as

    u8 length of the dtype's name · the name in ASCII, such as "float32" · u8 number of dimensions ·
    u64 little-endian per dimension · zeros up to a multiple of 16 bytes · the elements, row by row, little-endian

so that a client in any language can write one, and a payload in shared memory can be read in place. Decoded arrays are
read-only, since objects are immutable: copy one to change it. Malformed payloads raise InvalidArgument before anything
is allocated for them.
"""

from __future__ import annotations

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
    name = array.dtype.name
    if name not in _DTYPES or array.ndim > DIMENSIONS_MAX:
        known = ", ".join(_DTYPES)
        raise InvalidArgument(
            f"an array of {name} with {array.ndim} dimensions can't be written: its dtype must be one of {known}, "
            f"its dimensions at most {DIMENSIONS_MAX}"
        )
    header = struct.pack(f"<B{len(name)}sB{array.ndim}Q", len(name), name.encode(), array.ndim, *array.shape)
    padding = bytes(-len(header) % _ALIGNMENT_BYTES)
    return b"".join((header, padding, array.astype(_DTYPES[name], copy=False).tobytes()))


def decode_array(payload: bytes | memoryview) -> Array:
    """The array that `payload` holds, in place where the memory is aligned for it."""
    data = memoryview(payload)
    try:
        (length,) = struct.unpack_from("<B", data)
        name, dimensions = struct.unpack_from(f"<{length}sB", data, 1)
        shape = struct.unpack_from(f"<{min(dimensions, DIMENSIONS_MAX)}Q", data, 2 + length)
        dtype = _DTYPES[name.decode("ascii")]
    except (struct.error, UnicodeDecodeError, KeyError):
        raise InvalidArgument("the payload is not an array: its header is cut short, or names no known dtype") from None
    header = 2 + length + 8 * dimensions
    elements = data[header + -header % _ALIGNMENT_BYTES :]
    if dimensions > DIMENSIONS_MAX or math.prod(shape) * dtype.itemsize != len(elements):
        raise InvalidArgument(f"the payload is not an array: {len(elements)} bytes are not {dtype.name} of {shape}")
    try:
        array = np.frombuffer(elements, dtype).reshape(shape)
    except ValueError:  # an empty array with a dimension that no address space holds
        raise InvalidArgument(f"the payload is not an array: no array has the shape {shape}") from None
    if not array.flags.aligned:
        array = array.copy()
    array.flags.writeable = False
    return array


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
