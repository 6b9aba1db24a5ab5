"""Files of weights -> named NumPy arrays: `.npz`, safetensors, and what `torch.save` writes,
without PyTorch.

A checkpoint is a pickle, which can name any function to run. Ours resolves the few names that
tensors need; every other name becomes an inert stand-in that swallows whatever is done to it.
"""

import dataclasses
import functools
import io
import json
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmjax.convert.state_dict import WeightsError

Bytes = io.BytesIO | io.BufferedReader  # open binary files
Order = Literal["<", ">"]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
DAMAGED = "truncated or damaged; copy or download it again"
RESAVE = (
    "re-save it with a recent PyTorch: torch.save(model.state_dict(), 'weights.pt') "
    "(`pip install mmjax[benchmarks]` brings PyTorch)"
)
# A repeated (stride 0) tensor may be larger than its storage, but not so that it fills the memory.
MAX_REPEATED = 1 << 24

STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "ComplexFloatStorage": "c8",
    "ComplexDoubleStorage": "c16",
    "UntypedStorage": "u1",  # counts bytes
}
SAFETENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_arrays(path: Path | str) -> dict[str, np.ndarray]:
  """The arrays of an `.npz`, of safetensors or of the state dict in a PyTorch checkpoint, by name.

  The state dict is looked for under `state_dict`, under `model`, then at the top; failing that,
  whole modules at the top give theirs, under the names that they have there. bfloat16 is returned
  as float32, every other type as it is. What is in the file, not its suffix, tells the format.

  Raises:
    WeightsError: the file is missing, damaged, no checkpoint, or has no arrays.
  """
  path = Path(path)
  try:
    with path.open("rb") as file:
      return _read(file)
  except WeightsError as e:
    raise WeightsError(f"{path}: {e}") from e
  except FileNotFoundError as e:
    raise WeightsError(f"{path}: no such file") from e
  except IsADirectoryError as e:
    raise WeightsError(f"{path}: a folder; give the file of weights in it") from e
  except PermissionError as e:
    raise WeightsError(f"{path}: no permission to read it") from e
  except Exception as e:  # A damaged pickle or zip can raise anything.
    raise WeightsError(f"{path}: {DAMAGED} ({type(e).__name__}: {e})") from e


def _read(file: Bytes) -> dict[str, np.ndarray]:
  start = file.read(9)
  file.seek(0)
  head = start[:4]
  if not head:
    raise WeightsError("the file is empty")
  if start[4:] == b"\0\0\0\0{":  # before pickles: the length of the header may begin with 80
    return _read_safetensors(file)
  if head[:1] == b"\x80":
    return _read_legacy(file)
  if head != b"PK\x03\x04":
    raise WeightsError(
        "not a checkpoint: expected an .npz, .safetensors, or a file written by torch.save"
    )
  with zipfile.ZipFile(file) as archive:
    names = archive.namelist()
    roots = [n.removesuffix("data.pkl") for n in names if n.split("/")[-1] == "data.pkl"]
    if roots:
      return _read_zip(archive, min(roots, key=len))
    if any(n.endswith(".npy") for n in names):
      return _read_npz(file)
  raise WeightsError("a zip that has neither arrays (.npy) nor a PyTorch checkpoint (data.pkl)")


def _read_npz(file: Bytes) -> dict[str, np.ndarray]:
  file.seek(0)
  arrays = {}
  with np.load(file, allow_pickle=False) as archive:
    for name in archive.files:
      try:
        arrays[name] = archive[name]
      except ValueError as e:
        raise WeightsError(f"array {name} holds Python objects or is damaged ({e})") from e
      if getattr(arrays[name], "dtype", np.dtype("V")).kind == "V":
        raise WeightsError(f"{name} is no array of a NumPy type; save bfloat16 as float32")
  return arrays


def _read_safetensors(file: Bytes) -> dict[str, np.ndarray]:
  """The length of a JSON header in 8 bytes, the header, and the arrays' bytes."""
  header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
  header.pop("__metadata__", None)
  data = file.read()
  arrays = {}
  for name, entry in header.items():
    kind, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if kind not in SAFETENSORS:
      raise WeightsError(f"weight {name} is of a type that is not read: {kind}")
    dtype = np.dtype("<u2" if kind == "BF16" else SAFETENSORS[kind])
    if not 0 <= start <= end <= len(data) or end - start != math.prod(shape) * dtype.itemsize:
      raise WeightsError(
          f"weight {name} of shape {shape} lies at {start}..{end} of {len(data)} bytes: {DAMAGED}"
      )
    array = np.frombuffer(data[start:end], dtype).reshape(shape)
    if kind == "BF16":  # the upper half of a float32
      array = (array.astype(np.uint32) << 16).view(np.float32)
    arrays[name] = array
  if not arrays:
    raise WeightsError("holds no arrays")
  return arrays


# What unpickling makes. Nothing here reads a weight before it is known to be wanted: optimizer
# states make checkpoints three times as large as the weights.


@dataclasses.dataclass(frozen=True)
class _Storage:
  kind: str
  key: str
  count: int

  @property
  def dtype(self) -> np.dtype:
    return np.dtype("u2" if self.kind == "bfloat16" else self.kind)


@dataclasses.dataclass(frozen=True)
class _Tensor:
  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]


class _Dict(dict):
  """An OrderedDict whose attributes (`_metadata`) are dropped."""

  def __setstate__(self, state):
    pass


class _Inert:
  """Stands for an object that is not wanted, and swallows what pickles do to objects.

  Of a whole PyTorch module it holds the dicts of weights and of modules inside.
  """

  origin = ""
  holds: dict | None = None

  def __new__(cls, *args, **kwargs):
    return super().__new__(cls)

  def __init__(self, *args, **kwargs):
    pass

  def _swallow(self, *args, **kwargs):
    return self

  __call__ = __setitem__ = append = extend = add = _swallow

  def __setstate__(self, state):
    if isinstance(state, dict) and {"_parameters", "_buffers", "_modules"} <= state.keys():
      self.holds = state


class _Unpickler(pickle.Unpickler):
  """Restricted: no name in the pickle is ever imported. Reads one pickle, from where `file` is."""

  def __init__(self, file: Bytes):
    start = file.tell()
    for op, number, _ in pickletools.genops(file):
      # The unpickler allocates as many places as the largest number it is told to remember by.
      if number is not None and "PUT" in op.name and number > file.tell():
        raise WeightsError(f"memo number {number} is beyond the file: {DAMAGED}")
    file.seek(start)
    super().__init__(file, encoding="utf-8")
    self.storages: dict[str, _Storage] = {}

  def find_class(self, module: str, name: str) -> Any:
    if module in ("torch", "torch.storage") and name in STORAGES:
      return STORAGES[name]
    # Bound methods, not classes: a pickle can set attributes of a class that it names.
    known = {
        ("collections", "OrderedDict"): self._dict,
        ("torch._utils", "_rebuild_tensor"): self._tensor,
        ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
        ("torch._utils", "_rebuild_parameter"): self._parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): self._parameter,
        ("torch._tensor", "_rebuild_from_type_v2"): self._subclass,
    }
    return known.get((module, name)) or _inert_class(f"{module}.{name}")

  def persistent_load(self, pid: Any) -> Any:
    if pid[0] == "module":  # a class and its source, as PyTorch before 1.6 stored it
      return pid[1]
    if pid[0] != "storage":
      return _inert_class(f"persistent {pid[0]}")
    _, kind, key, _, count, *view = pid
    if view and view[0] is not None:
      raise WeightsError(f"its storages are views of others, as PyTorch 0.3 wrote; {RESAVE}")
    if kind not in STORAGES.values():
      return kind()
    storage = _Storage(kind, str(key), int(count))
    self.storages[storage.key] = storage
    return storage

  def _dict(self, *args):
    return _Dict(*args)

  def _tensor(self, storage, offset, shape, strides, *_):
    if not isinstance(storage, _Storage):
      return _inert_class(f"_rebuild_tensor of {getattr(storage, 'origin', storage)}")()
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))

  def _parameter(self, data, *_):
    return data

  def _subclass(self, function, _, args, *__):
    return function(*args)


def _inert_class(origin: str) -> type[_Inert]:
  # A class of its own: a pickle may set its attributes.
  return type("Inert", (_Inert,), {"origin": origin})


def _read_zip(archive: zipfile.ZipFile, root: str) -> dict[str, np.ndarray]:
  """The format of torch.save since 1.6: `data.pkl`, and one member for every storage."""
  top = _Unpickler(io.BytesIO(archive.read(root + "data.pkl"))).load()
  order: Order = ">" if _member(archive, root + "byteorder") == b"big" else "<"
  return _state_dict(top, lambda s: _member(archive, f"{root}data/{s.key}"), order)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
  return archive.read(name) if name in archive.NameToInfo else b""


def _read_legacy(file: Bytes) -> dict[str, np.ndarray]:
  """The format of torch.save before 1.6: five pickles, then the storages one after another."""
  magic = _Unpickler(file).load()
  if magic != LEGACY_MAGIC:
    raise WeightsError(f"a pickle, but not one of torch.save; {RESAVE}")
  version = _Unpickler(file).load()
  system = _Unpickler(file).load()
  if version != 1001 or not isinstance(system, dict):
    raise WeightsError(f"its format (version {version}) is not known; {RESAVE}")
  order: Order = "<" if system.get("little_endian", True) else ">"
  unpickler = _Unpickler(file)
  top = unpickler.load()
  starts = {}
  for key in _Unpickler(file).load():
    if key not in unpickler.storages:
      raise WeightsError(f"storage {key} is of a type that is not read; {RESAVE}")
    size = int.from_bytes(file.read(8), "little" if order == "<" else "big")
    starts[key] = file.tell()
    file.seek(size * unpickler.storages[key].dtype.itemsize, 1)

  def read(storage: _Storage) -> bytes:
    file.seek(starts[storage.key])
    return file.read(storage.count * storage.dtype.itemsize)

  return _state_dict(top, read, order)


def _state_dict(top: Any, read: Callable[[_Storage], bytes], order: Order) -> dict[str, np.ndarray]:
  if isinstance(top, _Inert) and top.holds:
    top = {"": top}
  if not isinstance(top, dict):
    raise WeightsError(f"holds one object, not a dict of tensors; {RESAVE}")
  for state in (top.get("state_dict"), top.get("model"), top, _of_modules(top, "", set())):
    if isinstance(state, dict) and any(isinstance(v, _Tensor) for v in state.values()):
      break
  else:
    raise WeightsError(f"no dict of tensors under any of {list(top)[:8]}; {RESAVE}")

  @functools.cache  # Tensors may share a storage.
  def values(storage: _Storage) -> np.ndarray:
    data = read(storage)
    if len(data) < storage.count * storage.dtype.itemsize:
      raise WeightsError(f"storage {storage.key} is cut short: {DAMAGED}")
    array = np.frombuffer(data, storage.dtype.newbyteorder(order), storage.count)
    if storage.kind == "bfloat16":  # the upper half of a float32
      return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(storage.dtype)

  arrays = {}
  for name, value in state.items():
    if isinstance(value, _Tensor):
      arrays[str(name)] = _array(str(name), value, values)
    elif isinstance(value, _Inert) and "_rebuild" in value.origin:
      raise WeightsError(f"weight {name} is of a kind that is not read: {value.origin}; {RESAVE}")
  return arrays


def _of_modules(modules: dict, prefix: str, seen: set[int]) -> dict[str, Any]:
  """The state dict of whole modules, each of them once however often it is named."""
  found: dict[str, Any] = {}
  for name, module in modules.items():
    if not isinstance(module, _Inert) or not module.holds or id(module) in seen:
      continue
    seen.add(id(module))
    inside = f"{prefix}{name}." if name else prefix
    own = module.holds["_parameters"] | module.holds["_buffers"]
    found |= {f"{inside}{key}": value for key, value in own.items() if value is not None}
    found |= _of_modules(module.holds["_modules"], inside, seen)
  return found


def _array(name: str, tensor: _Tensor, values: Callable[[_Storage], np.ndarray]) -> np.ndarray:
  """The tensor's own elements, contiguous."""
  shape, strides, count = tensor.shape, tensor.strides, tensor.storage.count
  size = math.prod(shape)
  last = tensor.offset + sum((n - 1) * s for n, s in zip(shape, strides))
  if (
      len(shape) != len(strides)
      or min((tensor.offset, *shape, *strides)) < 0
      or (size and last >= count)
      or size > max(count, MAX_REPEATED)
  ):
    raise WeightsError(
        f"weight {name} of shape {shape}, strides {strides}, offset {tensor.offset} reaches "
        f"outside its storage of {count} values: {DAMAGED}"
    )
  flat = values(tensor.storage)
  if not size:
    return np.zeros(shape, flat.dtype)
  steps = [s * flat.itemsize for s in strides]
  return np.lib.stride_tricks.as_strided(flat[tensor.offset :], shape, steps).copy(order="C")
