"""Reading weights. The PyTorch files are written here by hand, opcode by opcode: no PyTorch."""

import dataclasses
import io
import pickle
import struct
import zipfile
from typing import Any

import numpy as np
import pytest

from mmjax.convert.arrays import LEGACY_MAGIC, read_arrays
from mmjax.convert.state_dict import WeightsError


@dataclasses.dataclass(frozen=True)
class Name:
  """A name that the pickle says to import."""

  module: str
  name: str


@dataclasses.dataclass(frozen=True)
class Call:
  function: Name
  args: tuple
  state: Any = None


@dataclasses.dataclass(frozen=True)
class Source:
  """A class of modules with its source, as PyTorch before 1.6 stored it."""

  of: Name


@dataclasses.dataclass(frozen=True)
class Storage:
  kind: str
  key: str
  data: bytes
  count: int


class TorchPickler(pickle._Pickler):  # the Python one: its C twin imports each name it writes
  dispatch = pickle._Pickler.dispatch.copy()

  def save_name(self, obj):
    self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())

  def save_call(self, obj):
    self.save(obj.function)
    self.save(obj.args)
    self.write(pickle.REDUCE)
    if obj.state is not None:
      self.save(obj.state)
      self.write(pickle.BUILD)
    self.memoize(obj)

  dispatch[Name] = save_name
  dispatch[Call] = save_call

  def __init__(self, file):
    super().__init__(file, 2)
    self.storages = {}

  def persistent_id(self, obj):
    if isinstance(obj, Source):
      return ("module", obj.of, f"{obj.of.module}.py", "class ...")
    if not isinstance(obj, Storage):
      return None
    self.storages[obj.key] = obj
    return ("storage", Name("torch", obj.kind), obj.key, "cpu", obj.count)


ORDERED = Name("collections", "OrderedDict")


def storage(key, values, kind="FloatStorage"):
  values = np.asarray(values)
  return Storage(kind, key, values.tobytes(), values.size)


def tensor(store, shape, strides, offset=0):
  args = (store, offset, shape, strides, False, Call(ORDERED, ()))
  return Call(Name("torch._utils", "_rebuild_tensor_v2"), args)


def vector(key, values, kind="FloatStorage"):
  return tensor(storage(key, values, kind), (len(values),), (1,))


def write_zip(path, top, byteorder=None, root="archive"):
  data = io.BytesIO()
  pickler = TorchPickler(data)
  pickler.dump(top)
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr(f"{root}/data.pkl", data.getvalue())
    if byteorder:
      archive.writestr(f"{root}/byteorder", byteorder)
    for key, store in pickler.storages.items():
      archive.writestr(f"{root}/data/{key}", store.data)
  return path


def write_legacy(path, top):
  with path.open("wb") as f:
    for value in (LEGACY_MAGIC, 1001, {"little_endian": True, "protocol_version": 1001}):
      pickle.dump(value, f, protocol=2)
    pickler = TorchPickler(f)
    pickler.dump(top)
    pickle.dump(sorted(pickler.storages), f, protocol=2)
    for key in sorted(pickler.storages):
      f.write(struct.pack("<q", pickler.storages[key].count) + pickler.storages[key].data)
  return path


F32 = np.float32
WRITERS = pytest.mark.parametrize("write", [write_zip, write_legacy])


@WRITERS
def test_views_of_a_shared_storage(tmp_path, write):
  values = np.arange(24, dtype=F32)
  table = values.reshape(4, 6)
  whole = storage("0", values)
  top = {
      "state_dict": {
          "whole": tensor(whole, (4, 6), (6, 1)),
          "transposed": tensor(whole, (6, 4), (1, 6)),
          "every_other": tensor(whole, (2, 3), (6, 2), offset=7),
          "repeated": tensor(whole, (3, 2), (0, 1)),
          "scalar": tensor(whole, (), (), offset=5),
          "empty": tensor(whole, (0, 3), (3, 1)),
      }
  }
  arrays = read_arrays(write(tmp_path / "a.ckpt", top))
  np.testing.assert_array_equal(arrays["whole"], table)
  np.testing.assert_array_equal(arrays["transposed"], table.T)
  np.testing.assert_array_equal(arrays["every_other"], table[1:3, 1::2])
  np.testing.assert_array_equal(arrays["repeated"], [[0, 1]] * 3)
  assert arrays["scalar"] == 5 and arrays["scalar"].shape == ()
  assert arrays["empty"].shape == (0, 3)
  assert all(a.flags.c_contiguous and a.flags.writeable for a in arrays.values())


TYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


@WRITERS
def test_types(tmp_path, write):
  top = {kind: vector(kind, np.array([1, 0, 3], t), kind) for kind, t in TYPES.items()}
  arrays = read_arrays(write(tmp_path / "a.pt", top))
  assert {k: a.dtype for k, a in arrays.items()} == TYPES
  for kind, t in TYPES.items():
    np.testing.assert_array_equal(arrays[kind], np.array([1, 0, 3], t))


def test_bfloat16_becomes_float32(tmp_path):
  bits = np.array([0x3F80, 0xC000, 0x3E20], np.uint16)  # 1, -2, 0.15625
  top = {"w": vector("0", bits, "BFloat16Storage")}
  got = read_arrays(write_zip(tmp_path / "a.pt", top))["w"]
  assert got.dtype == F32
  np.testing.assert_array_equal(got, np.array([1, -2, 0.15625], F32))


@pytest.mark.parametrize(("byteorder", "dtype"), [("little", "<f4"), ("big", ">f4")])
def test_byte_order(tmp_path, byteorder, dtype):
  path = write_zip(tmp_path / "a.pt", {"w": vector("0", np.array([1.5, -2], dtype))}, byteorder)
  got = read_arrays(path)["w"]
  assert got.dtype == F32 and got.dtype.isnative
  np.testing.assert_array_equal(got, [1.5, -2])


def lightning(weights):
  """What a trainer puts around the weights."""
  parameter = Name("torch._utils", "_rebuild_parameter")
  hyper = Name("pytorch_lightning.utilities.parsing", "AttributeDict")
  scalar = Name("numpy.core.multiarray", "scalar")
  callback = Name("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
  state = Call(ORDERED, (), state={"_metadata": Call(ORDERED, ()), "items": 3})
  state = Call(ORDERED, (list(weights.items()),), state=state.state)
  wrapped = Call(parameter, (vector("p", np.ones(2, F32)), True, Call(ORDERED, ())))
  return {
      "epoch": 3,
      "optimizer_states": [{"state": {0: {"exp_avg": vector("o", np.zeros(2, F32))}}}],
      "callbacks": {callback: {"best": Call(scalar, (Name("numpy", "dtype"), b"x"))}},
      "hyper_parameters": Call(hyper, ({"lr": 1},), state={"lr": 1}),
      "args": Call(Name("argparse", "Namespace"), (), state={"lr": 1.0}),
      "device": Call(Name("torch", "device"), ("cpu",)),
      "state_dict": state,
      "schedule": Call(Name("functools", "partial"), (Name("os", "getcwd"),)),
      "loops": {"parameter": wrapped},
  }


@WRITERS
def test_what_surrounds_the_weights_is_ignored(tmp_path, write):
  weights = {"bttr.a.weight": vector("0", np.arange(3, dtype=F32)), "extra": "not a tensor"}
  arrays = read_arrays(write(tmp_path / "a.ckpt", lightning(weights)))
  assert list(arrays) == ["bttr.a.weight"]
  np.testing.assert_array_equal(arrays["bttr.a.weight"], [0, 1, 2])


def test_place_of_the_state_dict_and_parameters(tmp_path):
  parameter = Name("torch._utils", "_rebuild_parameter")
  weights = {"w": Call(parameter, (vector("0", np.ones(2, F32)), True, Call(ORDERED, ())))}
  for top in ({"model": weights}, weights, {"state_dict": weights}):
    arrays = read_arrays(write_zip(tmp_path / "a.pth", top))
    np.testing.assert_array_equal(arrays["w"], [1, 1])


def module(name, children=(), buffers=(), **parameters):
  """A whole module of a class `models.{name}`; classes of PyTorch come without a source."""
  of = Name("models", name) if name[0] == "D" else Name("torch.nn.modules", name)
  ordered = lambda items: Call(ORDERED, (list(map(list, dict(items).items())),))
  state = {
      "training": True,
      "_parameters": ordered(parameters),
      "_buffers": ordered(buffers),
      "_backward_hooks": ordered(()),
      "_modules": ordered(children),
  }
  return Call(Source(of) if of.module == "models" else of, (), state)


@WRITERS
def test_whole_modules_give_their_state_dicts(tmp_path, write):
  values = [vector(str(i), np.full(2, i, F32)) for i in range(5)]
  norm = module("BatchNorm", buffers={"running_mean": values[0]}, weight=values[1], bias=None)
  layers = module("Sequential", {"0": norm, "3": module("Linear", weight=values[2]), "4": None})
  decoder = module("Decoder", {"net": layers, "same": norm}, scale=values[3])
  top = {"epoch": 3, "encoder": module("Linear", weight=values[4]), "decoder": decoder, "best": 0.5}
  arrays = read_arrays(write(tmp_path / "a.tar", top))
  assert {k: v.tolist() for k, v in arrays.items()} == {
      "encoder.weight": [4, 4],
      "decoder.scale": [3, 3],
      "decoder.net.0.weight": [1, 1],
      "decoder.net.0.running_mean": [0, 0],
      "decoder.net.3.weight": [2, 2],
  }
  assert read_arrays(write(tmp_path / "b.pt", decoder)).keys() == {
      k.removeprefix("decoder.") for k in arrays if k.startswith("decoder.")
  }


@WRITERS
@pytest.mark.parametrize(
    "attack",
    [
        Name("os", "system"),
        Name("posix", "system"),
        Name("builtins", "exec"),
        Name("builtins", "eval"),
        Name("subprocess", "getoutput"),
    ],
)
def test_malicious_pickles_run_nothing(tmp_path, write, attack):
  proof = tmp_path / "proof"
  shell = attack.name in ("system", "getoutput")
  code = f"touch {proof}" if shell else f"open({str(proof)!r}, 'w').close()"
  call = Call(attack, (code,))
  nested = Call(Name("torch._tensor", "_rebuild_from_type_v2"), (attack, None, (code,), None))
  weights = {"w": vector("0", np.ones(2, F32)), "x": call}
  top = {"boom": call, "nested": nested, "state_dict": weights}
  assert list(read_arrays(write(tmp_path / "a.pt", top))) == ["w"]
  assert not proof.exists()
  with pytest.raises(WeightsError, match="not a dict of tensors"):
    read_arrays(write(tmp_path / "b.pt", call))
  assert not proof.exists()
  data = io.BytesIO()
  TorchPickler(data).dump(call)
  pickle.loads(data.getvalue())
  assert proof.exists()  # the attack is a real one


def test_a_pickle_cannot_make_us_allocate(tmp_path):
  """Numbers that C would allocate for: memo places, repeated or far-away elements."""
  path = tmp_path / "memo.pt"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("a/data.pkl", b"\x80\x02}r\xff\xff\xff\x7f.")
  with pytest.raises(WeightsError, match="memo number 2147483647"):
    read_arrays(path)
  store = storage("0", np.ones(4, F32))
  for shape, strides, offset in (
      ((1 << 40,), (0,), 0),
      ((3, 2), (2, 1), 0),
      ((2,), (1,), -1),
      ((2,), (-1,), 3),
      ((1,), (1,), 4),
      ((2, 2), (1,), 0),
  ):
    with pytest.raises(WeightsError, match=r"weight w .*outside its storage of 4"):
      read_arrays(write_zip(tmp_path / "a.pt", {"w": tensor(store, shape, strides, offset)}))


def test_kinds_of_tensor_that_are_not_read_are_named(tmp_path):
  sparse = Call(Name("torch._utils", "_rebuild_sparse_tensor"), (1,))
  top = {"w": vector("0", np.ones(2, F32)), "s": sparse}
  with pytest.raises(WeightsError, match=r"weight s is of a kind.*sparse.*re-save"):
    read_arrays(write_zip(tmp_path / "a.pt", top))


@WRITERS
def test_truncated(tmp_path, write):
  whole = write(tmp_path / "a.ckpt", {"w": vector("0", np.ones(100, F32))}).read_bytes()
  path = tmp_path / "cut.ckpt"
  for size in range(20, len(whole) - 1, 37):
    path.write_bytes(whole[:size])
    with pytest.raises(WeightsError, match=r"cut\.ckpt: .*truncated or damaged; copy"):
      read_arrays(path)


def test_storage_missing_or_short_in_the_zip(tmp_path):
  short = Storage("FloatStorage", "0", b"12", 9)
  path = write_zip(tmp_path / "a.pt", {"w": tensor(short, (9,), (1,))})
  with pytest.raises(WeightsError, match="storage 0 is cut short"):
    read_arrays(path)


def test_npz(tmp_path):
  path = tmp_path / "a.npz"
  np.savez(path, **{"state/w": np.eye(2, dtype=F32), "hparams": '{"d": 3}'})
  arrays = read_arrays(path)
  np.testing.assert_array_equal(arrays["state/w"], np.eye(2))
  assert arrays["hparams"].item() == '{"d": 3}'
  (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:-30])
  with pytest.raises(WeightsError, match="truncated or damaged"):
    read_arrays(tmp_path / "cut.npz")
  np.savez(tmp_path / "objects.npz", o=np.array([{}], object))
  with pytest.raises(WeightsError, match="array o holds Python objects"):
    read_arrays(tmp_path / "objects.npz")


def test_not_weights(tmp_path):
  for name, data, message in (
      ("text.ckpt", b"epoch 1: loss 3\n", "not a checkpoint: expected"),
      ("empty.pt", b"", "the file is empty"),
      ("plain.pt", pickle.dumps({"w": [1.0]}, 2), "not one of torch.save"),
      ("array.pt", pickle.dumps({"w": np.ones(2)}, 4), "not one of torch.save"),
  ):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match=f"{name}: .*{message}|{name}: {message}"):
      read_arrays(tmp_path / name)
  with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
    archive.writestr("readme.txt", "hello")
  with pytest.raises(WeightsError, match="neither arrays"):
    read_arrays(tmp_path / "other.zip")
  with pytest.raises(WeightsError, match=r"none\.ckpt: no such file"):
    read_arrays(tmp_path / "none.ckpt")
  with pytest.raises(WeightsError, match="a folder"):
    read_arrays(tmp_path)
  with pytest.raises(WeightsError, match=r"no dict of tensors under any of \['epoch'\]"):
    read_arrays(write_zip(tmp_path / "a.pt", {"epoch": 1}))
