"""The tensor: a handle on memory with PyTorch's methods.

The methods are the operations of `numgrad.ops`, bound here by name: `x.sum(dim=0)` and
`numgrad.sum(x, dim=0)` are the same function.
"""

from __future__ import annotations

import copy as copying
import operator
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np

from . import device as devices
from . import ops
from ._printing import tensor_str
from .autograd import backward as _backward
from .autograd import tape
from .autograd.tape import Variable
from .device import cpu
from .dtypes import (
    CPU,
    FROM_NUMPY,
    Size,
    device,
    dtype,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    strided,
    uint8,
)
from .dtypes import bool_ as bool_dtype


def _reflected(operation: Callable) -> Callable[..., Tensor]:
    """`number - tensor` from the operation of `tensor - number`."""

    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (Variable, bool, int, float, np.generic)):
            return NotImplemented
        return operation(other, self)

    return method


def _operator(operation: Callable, name: str) -> Callable[..., Tensor]:
    """An operator method: NotImplemented for what is neither tensor nor number."""

    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (Variable, bool, int, float, np.generic, np.ndarray)):
            return NotImplemented
        return operation(self, other)

    method.__name__ = method.__qualname__ = name
    return method


_grad_fn_classes: dict[str, type] = {}


class GradFn:
    """A tensor's `grad_fn`: one node of the graph, for looking at it and for hooks.

    >>> y = numgrad.ones(1, requires_grad=True) * 2
    >>> y.grad_fn.name(), y.grad_fn.next_functions[0][0].name()
    ('MulBackward0', 'torch::autograd::AccumulateGrad')
    """

    def __new__(cls, node: Any) -> GradFn:
        """An object of the class that has the node's name, as PyTorch's have."""
        name = "AccumulateGrad" if isinstance(node, Variable) else node.name
        own = _grad_fn_classes.get(name)
        if own is None:
            own = _grad_fn_classes[name] = type(name, (GradFn,), {})
        return object.__new__(own)

    def __init__(self, node: Any) -> None:
        self._node = node

    def name(self) -> str:
        """The node's name, as PyTorch's."""
        if isinstance(self._node, Variable):
            return "torch::autograd::AccumulateGrad"
        return self._node.name

    @property
    def variable(self) -> Any:
        """The leaf, for an AccumulateGrad node."""
        if isinstance(self._node, Variable):
            return self._node
        raise AttributeError("'GradFn' object has no attribute 'variable'")

    @property
    def next_functions(self) -> tuple:
        """The nodes that its gradients go to, each with the number of its output."""
        if isinstance(self._node, Variable):
            return ()
        node = self._node.edges[0] if isinstance(self._node, tape.Output) else self._node
        found: list[tuple] = []
        for target in node.edges:
            if target is None:
                found.append((None, 0))
            else:
                index = target.index if isinstance(target, tape.Output) else 0
                found.append((GradFn(target), index))
        return tuple(found)

    def register_hook(self, hook: Callable) -> Any:
        """Call `hook(grad_inputs, grad_outputs)` after the node's backward."""
        node = self._node.edges[0] if isinstance(self._node, tape.Output) else self._node
        if node.hooks is None:
            node.hooks = {}
        return RemovableHandle(node.hooks, hook)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other._node is self._node

    def __hash__(self) -> int:
        return id(self._node)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {hex(id(self._node))}>"


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook off again."""

    _next = 0

    def __init__(self, hooks: dict, hook: Any, prepend: bool = False) -> None:
        tape.changes.count += 1
        self.id = RemovableHandle._next
        RemovableHandle._next += 1
        self._hooks = hooks
        if prepend:
            rest = dict(hooks)
            hooks.clear()
            hooks[self.id] = hook
            hooks.update(rest)
        else:
            hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook off; a second time does nothing."""
        tape.changes.count += 1
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Tensor(Variable):
    """An n-dimensional array of numbers of one dtype that can be differentiated through.

    Make one with `numgrad.tensor`, `zeros`, `rand` …; operations on tensors with
    `requires_grad=True` are recorded, and `backward()` computes gradients.

    >>> x = numgrad.tensor([1., 2.], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ()
    __array_priority__ = 1000

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if cls is not Tensor:
            return super().__new__(cls)
        if len(args) == 1 and not isinstance(args[0], int):
            made: Any = ops.tensor(args[0], dtype=get_default_dtype())
        else:
            made = ops.empty(*args or ((0,),))
        return made

    # -------------------------------------------------------------- what it is

    @property
    def shape(self) -> Size:
        """The size of each dimension."""
        return Size(self._data.shape)

    @property
    def dtype(self) -> dtype:
        """The type of the elements."""
        return FROM_NUMPY[self._data.dtype]

    @property
    def device(self) -> device:
        """Where the memory is."""
        data = self._data
        return CPU if type(data) is np.ndarray else data.device

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    @property
    def layout(self) -> Any:
        """Always the strided layout."""
        return strided

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._data.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._data.size * self._data.itemsize

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded."""
        if self._view is not None:
            tape.refresh(self)
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self._data.dtype.kind != "f":
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if not value and self._node is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad`; returns the tensor.

        >>> numgrad.ones(2).requires_grad_()
        tensor([1., 1.], requires_grad=True)
        """
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user, and not by a recorded operation."""
        if self._view is not None:
            tape.refresh(self)
        return self._node is None

    @property
    def grad_fn(self) -> GradFn | None:
        """The operation that made the tensor; None for a leaf."""
        if self._view is not None:
            tape.refresh(self)
        node = self._node
        return None if node is None else GradFn(node)

    @property
    def grad(self) -> Any:
        """The accumulated gradient, None before the first `backward`."""
        if (
            self._grad is None
            and self._node is not None
            and self._requires_grad
            and "_retains_grad" not in self.__dict__
        ):
            import warnings

            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its "
                ".grad attribute won't be populated during autograd.backward(). If you indeed "
                "want the .grad field to be populated for a non-leaf Tensor, use .retain_grad() "
                "on the non-leaf Tensor.",
                UserWarning,
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            if not isinstance(value, Variable):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got {type(value).__name__}"
                )
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value._data.dtype != self._data.dtype:
                raise RuntimeError(
                    f"assigned grad has data of a different type: expected {self.dtype}, got "
                    f"{value.dtype}"  # type: ignore[attr-defined]
                )
            if value._data.shape != self._data.shape:
                raise RuntimeError(
                    f"assigned grad has data of a different size: expected {list(self.shape)}, "
                    f"got {list(value._data.shape)}"
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def data(self) -> Tensor:
        """The same memory outside the graph, with a version counter of its own."""
        return tape.wrap(self._data)

    @data.setter
    def data(self, other: Tensor) -> None:
        if not isinstance(other, Variable):
            raise TypeError(f"Variable data has to be a tensor, but got {type(other).__name__}")
        self._data = other._data

    @property
    def _version(self) -> int:
        """How often the memory has been written to in place."""
        return tape.version(self)

    @property
    def _base(self) -> Any:
        """The tensor that this one is a view of, None if it is not a view."""
        return None if self._view is None else self._view.base

    @property
    def is_cuda(self) -> bool:
        """Whether the memory is on a GPU."""
        return type(self._data) is not np.ndarray

    @property
    def is_cpu(self) -> bool:
        """Whether the memory is the host's."""
        return type(self._data) is np.ndarray

    is_sparse = False
    is_quantized = False
    is_meta = False
    is_mps = False

    @property
    def names(self) -> tuple:
        """Always without names."""
        return (None,) * self._data.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return Size(self._data.shape)
        return self._data.shape[ops.normalize_dim(dim, self._data.ndim)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self._data.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._data.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Elements to skip for the next index of each dimension."""
        itemsize = self._data.itemsize
        strides = tuple([s // itemsize for s in self._data.strides])
        shape = self._data.shape
        if not self._data.size or 1 in shape:
            # NumPy may hold any stride where it never matters: give the one of dense memory.
            if self._data.flags.c_contiguous:
                dense, step = [], 1
                for n in reversed(shape):
                    dense.append(step)
                    step *= max(n, 1)
                strides = tuple(reversed(dense))
        return strides if dim is None else strides[ops.normalize_dim(dim, self._data.ndim)]

    def storage_offset(self) -> int:
        """Elements between the start of the memory and this tensor's first."""
        data = self._data
        return (devices.address(data) - devices.address(devices.root(data))) // data.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        return devices.address(self._data)

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in memory in the order of the last dimension first."""
        return bool(self._data.flags.c_contiguous)

    def is_floating_point(self) -> bool:
        """Whether the dtype is floating."""
        return self._data.dtype.kind == "f"

    def is_complex(self) -> bool:
        """Always False: numgrad has no complex dtype."""
        return False

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        return self._data.dtype.kind in "if"

    def is_shared(self) -> bool:
        """Whether the memory is shared between processes."""
        return False

    def is_set_to(self, tensor: Tensor) -> bool:
        """Whether both show exactly the same memory."""
        return (
            self.data_ptr() == tensor.data_ptr()
            and self.shape == tensor.shape
            and self.stride() == tensor.stride()
        )

    def get_device(self) -> int:
        """The GPU's number, -1 for the CPU."""
        return -1 if self.is_cpu else self.device.index or 0

    def pin_memory(self, device: Any = None) -> Tensor:
        """A copy in page-locked memory, which a GPU copies from by itself; itself without a GPU."""
        return ops.pin_memory(self)

    def is_pinned(self, device: Any = None) -> bool:
        """Whether the memory is page-locked."""
        return self.is_cpu and devices.cuda.is_pinned(self._data)

    def record_stream(self, stream: Any) -> None:
        """Keep the memory, when the tensor goes, until what is on this stream now is done."""
        if self.is_cpu:
            raise RuntimeError("record_stream: the tensor is on the CPU, which has no streams")
        self._data.memory.record_stream(stream._own)

    def share_memory_(self) -> Tensor:
        """Accepted; the data loader's workers move tensors through shared memory themselves."""
        return self

    # ------------------------------------------------------------- autograd

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add the gradients of this tensor to the `.grad` of the leaves it was made from."""
        _backward(self, gradient, retain_graph, create_graph, inputs)

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(grad)` when this tensor's gradient is known; what it returns replaces it.

        >>> x = numgrad.ones(1, requires_grad=True)
        >>> handle = x.register_hook(lambda grad: grad * 10)
        >>> (x * 2).backward(); x.grad
        tensor([20.])
        """
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self._node is not None:
            if self._node.pre_hooks is None:
                self._node.pre_hooks = {}
            return RemovableHandle(self._node.pre_hooks, hook)
        if self._hooks is None:
            self._hooks = {}
        return RemovableHandle(self._hooks, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(tensor)` after a leaf's gradient was accumulated."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self._node is not None:
            raise RuntimeError(
                "post accumulate grad hooks cannot be registered on non-leaf tensors"
            )
        hooks = self.__dict__.setdefault("_post_accumulate_hooks", {})
        return RemovableHandle(hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this tensor in `.grad` although it is not a leaf."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self._node is None or "_retains_grad" in self.__dict__:
            return
        import weakref

        self._retains_grad = True
        self._node.retained_by = weakref.ref(self)

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was called."""
        return "_retains_grad" in self.__dict__

    def detach_(self) -> Tensor:
        """Take this tensor out of the graph."""
        if self._view is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._node = None
        self._requires_grad = False
        return self

    detach = ops.detach

    # ----------------------------------------------------- values and text

    def item(self) -> Any:
        """The value of a one-element tensor as a Python number.

        >>> numgrad.tensor([2.5]).item()
        2.5
        """
        data = self._data
        if data.size != 1:
            raise RuntimeError(f"a Tensor with {data.size} elements cannot be converted to Scalar")
        return self._host().item()

    def _host(self) -> np.ndarray:
        """The values, for Python to look at."""
        data = self._data
        if cpu.recorder is not None:
            cpu.values(data, "the function")
        return data if type(data) is np.ndarray else ops.to_device(self, CPU)._data

    def tolist(self) -> Any:
        """The values as nested lists (a number for a 0-d tensor).

        >>> numgrad.tensor([[1, 2], [3, 4]]).tolist()
        [[1, 2], [3, 4]]
        """
        return self._host().tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The memory as a NumPy array, shared. `force` detaches and copies to the host first."""
        if force:
            return self.detach()._host()
        if type(self._data) is not np.ndarray:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to "
                "copy the tensor to host memory first."
            )
        if self.requires_grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                "instead."
            )
        return self._host()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        data = self.numpy()
        if dtype is not None and np.dtype(dtype) != data.dtype:
            return data.astype(dtype)
        return data.copy() if copy else data

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return ops.from_numpy(np.array(array))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        operation = _UFUNCS.get(ufunc.__name__)
        if method == "__call__" and operation is not None and not kwargs:
            converted = [
                ops.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x for x in inputs
            ]
            return operation(*converted)
        arrays = [x.numpy() if isinstance(x, Tensor) else x for x in inputs]
        result = getattr(ufunc, method)(*arrays, **kwargs)
        if isinstance(result, np.ndarray) and result.dtype in FROM_NUMPY:
            return ops.from_numpy(result)
        return result

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return ops.to_dlpack(self, stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple:
        if self.is_cpu:
            return self._data.__dlpack_device__()
        return 2, self.get_device()  # kDLCUDA

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Where the memory on the GPU is, for Numba, CuPy and others."""
        if self.is_cpu:
            raise AttributeError(
                "Can't get __cuda_array_interface__ on non-CUDA tensor type: "
                f"torch.{ops.type_name(self._data.dtype)}Tensor If CUDA data is required use "
                "tensor.cuda() to copy tensor to device memory."
            )
        if self.requires_grad:
            raise RuntimeError(
                "Can't get __cuda_array_interface__ on Variable that requires grad. If gradients "
                "aren't required, use var.detach() to get Variable that doesn't require grad."
            )
        return devices.cuda.interface(self._data)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        name = None
        if self.requires_grad and self._node is not None:
            name = self._node.name
        where = None if self.is_cpu else str(self.device)
        return tensor_str(
            self._host(),
            dtype_name=self.dtype.name,
            default_dtype_name=get_default_dtype().name,
            device=where,
            grad_fn=name,
            requires_grad=self._requires_grad,
        )

    def _repr_html_(self) -> str | None:
        """What a notebook shows of images and long arrays; None: the text, as for everything else."""
        from ._display import tensor_html

        return tensor_html(self)

    def __format__(self, spec: str) -> str:
        if self._data.ndim == 0:
            return self.item().__format__(spec)
        return object.__format__(self, spec)

    def __len__(self) -> int:
        if self._data.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._data.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if self._data.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(ops.unbind(self, 0))

    def __reversed__(self) -> Any:
        return ops.flip(self, (0,)) if self._data.ndim else self

    def __contains__(self, element: Any) -> bool:
        if isinstance(element, (Tensor, int, float, bool, np.generic)):
            return bool(cpu.values(ops.eq(self, element)._data, "`in`").any())
        raise RuntimeError(
            "Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
            f"{type(element)}."
        )

    def __bool__(self) -> bool:
        data = self._data
        if data.size != 1:
            if data.size == 0:
                raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return bool(self._host().item())

    def __int__(self) -> int:
        return int(self._one(ValueError))

    def __float__(self) -> float:
        return float(self._one(ValueError))

    def __index__(self) -> int:
        if self._data.dtype.kind == "f" or self._data.size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        value = self._one()
        return operator.index(int(value))

    def _one(self, error: type[Exception] = RuntimeError) -> Any:
        if self._data.size != 1:
            raise error("only one element tensors can be converted to Python scalars")
        return self._host().item()

    __hash__ = object.__hash__

    def __deepcopy__(self, memo: dict) -> Tensor:
        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol at the moment.  If you were attempting to deepcopy a module, this may be "
                "because of a torch.nn.utils.weight_norm usage, see "
                "https://github.com/pytorch/pytorch/pull/103001"
            )
        with tape.set_grad(False):
            copied = ops.clone(self)
        result = self._same_class(copied._data)
        result._requires_grad = self._requires_grad
        memo[id(self)] = result
        if self._grad is not None:
            result._grad = copying.deepcopy(self._grad, memo)
        kept = {k: v for k, v in self.__dict__.items() if not k.startswith("_")}
        result.__dict__.update(copying.deepcopy(kept, memo))
        return result

    def _same_class(self, data: Any) -> Any:
        """A tensor of this one's class on `data`."""
        made = tape.wrap(data)
        if type(self) is Tensor:
            return made
        result = object.__new__(type(self))
        for name in Variable.__slots__[:-2]:
            setattr(result, name, getattr(made, name))
        return result

    def __reduce_ex__(self, protocol: Any) -> tuple:
        if self._node is not None:
            raise RuntimeError("Only leaf tensors can be pickled: detach() it first")
        data = self._host()
        if not data.flags.owndata or not data.flags.c_contiguous:
            data = np.array(data, order="C")
        kept = {k: v for k, v in self.__dict__.items() if k != "_post_accumulate_hooks"}
        return _rebuild, (type(self), data, self._requires_grad, kept)

    # ------------------------------------------------------------- operators

    __add__ = _operator(ops.add, "__add__")
    __radd__ = _operator(ops.add, "__radd__")
    __sub__ = _operator(ops.sub, "__sub__")
    __rsub__ = _operator(ops.rsub, "__rsub__")
    __mul__ = _operator(ops.mul, "__mul__")
    __rmul__ = _operator(ops.mul, "__rmul__")
    __truediv__ = _operator(ops.div, "__truediv__")
    __rtruediv__ = _reflected(lambda other, self: ops.mul(ops.reciprocal(self), other))
    __floordiv__ = _operator(ops.floor_divide, "__floordiv__")
    __rfloordiv__ = _reflected(ops.floor_divide)
    __mod__ = _operator(ops.remainder, "__mod__")
    __rmod__ = _reflected(ops.remainder)
    __pow__ = _operator(ops.pow, "__pow__")
    __rpow__ = _reflected(ops.pow)
    __neg__ = ops.neg
    __pos__ = ops.positive
    __abs__ = ops.abs
    __invert__ = ops.bitwise_not
    __and__ = __rand__ = _operator(ops.bitwise_and, "__and__")
    __or__ = __ror__ = _operator(ops.bitwise_or, "__or__")
    __xor__ = __rxor__ = _operator(ops.bitwise_xor, "__xor__")
    __lshift__ = _operator(ops.bitwise_left_shift, "__lshift__")
    __rshift__ = _operator(ops.bitwise_right_shift, "__rshift__")
    __rlshift__ = _reflected(ops.bitwise_left_shift)
    __rrshift__ = _reflected(ops.bitwise_right_shift)
    __eq__ = _operator(ops.eq, "__eq__")  # type: ignore[assignment]
    __ne__ = _operator(ops.ne, "__ne__")  # type: ignore[assignment]
    __lt__ = _operator(ops.lt, "__lt__")
    __le__ = _operator(ops.le, "__le__")
    __gt__ = _operator(ops.gt, "__gt__")
    __ge__ = _operator(ops.ge, "__ge__")
    __iadd__ = _operator(ops.add_, "__iadd__")
    __isub__ = _operator(ops.sub_, "__isub__")
    __imul__ = _operator(ops.mul_, "__imul__")
    __itruediv__ = _operator(ops.div_, "__itruediv__")
    __ifloordiv__ = _operator(ops.floor_divide_, "__ifloordiv__")
    __imod__ = _operator(ops.remainder_, "__imod__")
    __ipow__ = _operator(ops.pow_, "__ipow__")
    __iand__ = _operator(ops.bitwise_and_, "__iand__")
    __ior__ = _operator(ops.bitwise_or_, "__ior__")
    __ixor__ = _operator(ops.bitwise_xor_, "__ixor__")

    def __scalar_function__(self, function: Any, args: tuple) -> Any:
        return ops.traced(function, args)

    # ------------------------------------------------- operations as methods

    # METHODS
    abs = ops.abs
    arcsin_ = ops.arcsin_
    arccos_ = ops.arccos_
    arctan_ = ops.arctan_
    fix_ = ops.fix_
    true_divide_ = ops.true_divide_
    greater_ = ops.greater_
    less_ = ops.less_
    not_equal_ = ops.not_equal_
    greater_equal_ = ops.greater_equal_
    less_equal_ = ops.less_equal_
    bitwise_left_shift_ = ops.bitwise_left_shift_
    bitwise_right_shift_ = ops.bitwise_right_shift_
    atan2_ = ops.atan2_
    arctan2_ = ops.arctan2_
    copysign_ = ops.copysign_
    xlogy_ = ops.xlogy_
    frac_ = ops.frac_
    abs_ = ops.abs_
    absolute = ops.absolute
    absolute_ = ops.absolute_
    acos = ops.acos
    acos_ = ops.acos_
    add = ops.add
    add_ = ops.add_
    addcdiv = ops.addcdiv
    addcdiv_ = ops.addcdiv_
    addcmul = ops.addcmul
    addcmul_ = ops.addcmul_
    allclose = ops.allclose
    arccos = ops.arccos
    arcsin = ops.arcsin
    arctan = ops.arctan
    arctan2 = ops.arctan2
    asin = ops.asin
    asin_ = ops.asin_
    atan = ops.atan
    atan2 = ops.atan2
    atan_ = ops.atan_
    bitwise_and = ops.bitwise_and
    bitwise_and_ = ops.bitwise_and_
    bitwise_left_shift = ops.bitwise_left_shift
    bitwise_not = ops.bitwise_not
    bitwise_not_ = ops.bitwise_not_
    bitwise_or = ops.bitwise_or
    bitwise_or_ = ops.bitwise_or_
    bitwise_right_shift = ops.bitwise_right_shift
    bitwise_xor = ops.bitwise_xor
    bitwise_xor_ = ops.bitwise_xor_
    ceil = ops.ceil
    ceil_ = ops.ceil_
    clamp = ops.clamp
    clamp_ = ops.clamp_
    clamp_max = ops.clamp_max
    clamp_max_ = ops.clamp_max_
    clamp_min = ops.clamp_min
    clamp_min_ = ops.clamp_min_
    clip = ops.clip
    clip_ = ops.clip_
    copysign = ops.copysign
    cos = ops.cos
    cos_ = ops.cos_
    cosh = ops.cosh
    cosh_ = ops.cosh_
    div = ops.div
    div_ = ops.div_
    divide = ops.divide
    divide_ = ops.divide_
    eq = ops.eq
    eq_ = ops.eq_
    equal = ops.equal
    erf = ops.erf
    erf_ = ops.erf_
    exp = ops.exp
    exp2 = ops.exp2
    exp2_ = ops.exp2_
    exp_ = ops.exp_
    expm1 = ops.expm1
    expm1_ = ops.expm1_
    fix = ops.fix
    floor = ops.floor
    floor_ = ops.floor_
    floor_divide = ops.floor_divide
    floor_divide_ = ops.floor_divide_
    fmax = ops.fmax
    fmin = ops.fmin
    fmod = ops.fmod
    fmod_ = ops.fmod_
    frac = ops.frac
    ge = ops.ge
    ge_ = ops.ge_
    greater = ops.greater
    greater_equal = ops.greater_equal
    gt = ops.gt
    gt_ = ops.gt_
    hardshrink = ops.hardshrink
    isclose = ops.isclose
    isfinite = ops.isfinite
    isinf = ops.isinf
    isnan = ops.isnan
    le = ops.le
    le_ = ops.le_
    lerp = ops.lerp
    lerp_ = ops.lerp_
    less = ops.less
    less_equal = ops.less_equal
    log = ops.log
    log10 = ops.log10
    log10_ = ops.log10_
    log1p = ops.log1p
    log1p_ = ops.log1p_
    log2 = ops.log2
    log2_ = ops.log2_
    log_ = ops.log_
    logaddexp = ops.logaddexp
    logical_and = ops.logical_and
    logical_and_ = ops.logical_and_
    logical_not = ops.logical_not
    logical_not_ = ops.logical_not_
    logical_or = ops.logical_or
    logical_or_ = ops.logical_or_
    logical_xor = ops.logical_xor
    logical_xor_ = ops.logical_xor_
    lt = ops.lt
    lt_ = ops.lt_
    maximum = ops.maximum
    minimum = ops.minimum
    mul = ops.mul
    mul_ = ops.mul_
    multiply = ops.multiply
    multiply_ = ops.multiply_
    ne = ops.ne
    ne_ = ops.ne_
    neg = ops.neg
    neg_ = ops.neg_
    negative = ops.negative
    negative_ = ops.negative_
    not_equal = ops.not_equal
    positive = ops.positive
    pow = ops.pow
    pow_ = ops.pow_
    reciprocal = ops.reciprocal
    reciprocal_ = ops.reciprocal_
    relu = ops.relu
    relu_ = ops.relu_
    remainder = ops.remainder
    remainder_ = ops.remainder_
    round = ops.round
    round_ = ops.round_
    rsqrt = ops.rsqrt
    rsqrt_ = ops.rsqrt_
    sigmoid = ops.sigmoid
    sigmoid_ = ops.sigmoid_
    sign = ops.sign
    sign_ = ops.sign_
    sin = ops.sin
    sin_ = ops.sin_
    sinh = ops.sinh
    sinh_ = ops.sinh_
    sqrt = ops.sqrt
    sqrt_ = ops.sqrt_
    square = ops.square
    square_ = ops.square_
    sub = ops.sub
    sub_ = ops.sub_
    subtract = ops.subtract
    subtract_ = ops.subtract_
    tan = ops.tan
    tan_ = ops.tan_
    tanh = ops.tanh
    tanh_ = ops.tanh_
    true_divide = ops.true_divide
    trunc = ops.trunc
    trunc_ = ops.trunc_
    xlogy = ops.xlogy
    is_nonzero = ops.is_nonzero
    T: Tensor = property(ops.T)  # type: ignore[assignment]
    adjoint = ops.adjoint
    as_strided = ops.as_strided
    broadcast_to = ops.broadcast_to
    chunk = ops.chunk
    clone = ops.clone
    contiguous = ops.contiguous
    diagonal = ops.diagonal
    expand = ops.expand
    expand_as = ops.expand_as
    flatten = ops.flatten
    mT: Tensor = property(ops.mT)  # type: ignore[assignment]
    moveaxis = ops.moveaxis
    movedim = ops.movedim
    narrow = ops.narrow
    permute = ops.permute
    ravel = ops.ravel
    reshape = ops.reshape
    reshape_as = ops.reshape_as
    select = ops.select
    split = ops.split
    squeeze = ops.squeeze
    swapaxes = ops.swapaxes
    swapdims = ops.swapdims
    t = ops.t
    tensor_split = ops.tensor_split
    transpose = ops.transpose
    unbind = ops.unbind
    unflatten = ops.unflatten
    unsqueeze = ops.unsqueeze
    view = ops.view
    view_as = ops.view_as
    copy_ = ops.copy_
    fill_ = ops.fill_
    to = ops.to
    zero_ = ops.zero_
    repeat = ops.repeat
    tile = ops.tile
    __getitem__ = ops.getitem
    index_put = ops.index_put
    index_put_ = ops.index_put_
    __setitem__ = ops.setitem
    gather = ops.gather
    scatter = ops.scatter
    scatter_ = ops.scatter_
    scatter_add = ops.scatter_add
    scatter_add_ = ops.scatter_add_
    scatter_reduce = ops.scatter_reduce
    scatter_reduce_ = ops.scatter_reduce_
    take_along_dim = ops.take_along_dim
    argsort = ops.argsort
    kthvalue = ops.kthvalue
    median = ops.median
    mode = ops.mode
    msort = ops.msort
    nanmedian = ops.nanmedian
    nanquantile = ops.nanquantile
    quantile = ops.quantile
    sort = ops.sort
    topk = ops.topk
    all = ops.all
    amax = ops.amax
    amin = ops.amin
    any = ops.any
    count_nonzero = ops.count_nonzero
    mean = ops.mean
    nanmean = ops.nanmean
    nansum = ops.nansum
    prod = ops.prod
    sum = ops.sum
    trace = ops.trace
    cummax = ops.cummax
    cummin = ops.cummin
    cumprod = ops.cumprod
    cumsum = ops.cumsum
    cumsum_ = ops.cumsum_
    cumprod_ = ops.cumprod_
    diff = ops.diff
    logcumsumexp = ops.logcumsumexp
    bmm = ops.bmm
    dot = ops.dot
    ger = ops.ger
    matmul = ops.matmul
    __matmul__ = _operator(ops.matmul, "__matmul__")
    __rmatmul__ = _reflected(ops.matmul)
    mm = ops.mm
    mv = ops.mv
    outer = ops.outer
    vdot = ops.vdot
    log_softmax = ops.log_softmax
    logsumexp = ops.logsumexp
    softmax = ops.softmax
    bernoulli = ops.bernoulli
    bernoulli_ = ops.bernoulli_
    cauchy_ = ops.cauchy_
    exponential_ = ops.exponential_
    geometric_ = ops.geometric_
    log_normal_ = ops.log_normal_
    multinomial = ops.multinomial
    normal_ = ops.normal_
    random_ = ops.random_
    uniform_ = ops.uniform_
    addbmm = ops.addbmm
    addbmm_ = ops.addbmm_
    addmm = ops.addmm
    addmm_ = ops.addmm_
    addmv = ops.addmv
    addmv_ = ops.addmv_
    addr = ops.addr
    addr_ = ops.addr_
    baddbmm = ops.baddbmm
    baddbmm_ = ops.baddbmm_
    diag = ops.diag
    diag_embed = ops.diag_embed
    diagflat = ops.diagflat
    flip = ops.flip
    fliplr = ops.fliplr
    flipud = ops.flipud
    repeat_interleave = ops.repeat_interleave
    roll = ops.roll
    rot90 = ops.rot90
    tril = ops.tril
    tril_ = ops.tril_
    triu = ops.triu
    triu_ = ops.triu_
    bincount = ops.bincount
    histc = ops.histc
    unique = ops.unique
    unique_consecutive = ops.unique_consecutive
    inner = ops.inner
    kron = ops.kron
    aminmax = ops.aminmax
    argmax = ops.argmax
    argmin = ops.argmin
    max = ops.max
    min = ops.min
    argwhere = ops.argwhere
    masked_fill = ops.masked_fill
    masked_fill_ = ops.masked_fill_
    masked_scatter = ops.masked_scatter
    masked_scatter_ = ops.masked_scatter_
    masked_select = ops.masked_select
    nonzero = ops.nonzero
    dist = ops.dist
    norm = ops.norm
    index_add = ops.index_add
    index_add_ = ops.index_add_
    index_copy = ops.index_copy
    index_copy_ = ops.index_copy_
    index_fill = ops.index_fill
    index_fill_ = ops.index_fill_
    index_select = ops.index_select
    put = ops.put
    put_ = ops.put_
    take = ops.take
    std = ops.std
    var = ops.var

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """This tensor's elements where the condition holds, else those of `other`.

        >>> numgrad.tensor([1., 2.]).where(numgrad.tensor([True, False]), 0.)
        tensor([1., 0.])
        """
        return ops.where(condition, self, other)

    # ----------------------------------------------------------- conversions

    def float(self) -> Tensor:
        """As float32."""
        return ops.cast(self, float32.numpy)

    def double(self) -> Tensor:
        """As float64."""
        return ops.cast(self, float64.numpy)

    def int(self) -> Tensor:
        """As int32."""
        return ops.cast(self, int32.numpy)

    def long(self) -> Tensor:
        """As int64."""
        return ops.cast(self, int64.numpy)

    def short(self) -> Tensor:
        """As int16."""
        return ops.cast(self, int16.numpy)

    def char(self) -> Tensor:
        """As int8."""
        return ops.cast(self, int8.numpy)

    def byte(self) -> Tensor:
        """As uint8."""
        return ops.cast(self, uint8.numpy)

    def bool(self) -> Tensor:
        """As bool."""
        return ops.cast(self, bool_dtype.numpy)

    def type(self, dtype: Any = None, **kwargs: Any) -> Any:
        """The type's name, or the tensor converted to another."""
        if dtype is None:
            return f"torch.{ops.type_name(self._data.dtype)}Tensor"
        return ops.to(self, dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """With the dtype of `other`."""
        return ops.cast(self, other._data.dtype)

    def cpu(self) -> Tensor:
        """On the CPU."""
        return ops.to(self, CPU)

    def cuda(self, device: Any = None, non_blocking: Any = False) -> Tensor:
        """On a GPU."""
        return ops.to(self, "cuda" if device is None else device, non_blocking)

    def new_tensor(self, data: Any, *, dtype: Any = None, requires_grad: Any = False) -> Tensor:
        """A tensor of the data with this one's dtype."""
        return ops.tensor(
            data, dtype=dtype or self.dtype, device=self.device, requires_grad=requires_grad
        )

    def new_empty(self, *size: Any, dtype: Any = None, requires_grad: Any = False) -> Tensor:
        """An uninitialised tensor with this one's dtype."""
        return ops.empty(
            *size, dtype=dtype or self.dtype, device=self.device, requires_grad=requires_grad
        )

    def new_zeros(self, *size: Any, dtype: Any = None, requires_grad: Any = False) -> Tensor:
        """Zeros with this one's dtype."""
        return ops.zeros(
            *size, dtype=dtype or self.dtype, device=self.device, requires_grad=requires_grad
        )

    def new_ones(self, *size: Any, dtype: Any = None, requires_grad: Any = False) -> Tensor:
        """Ones with this one's dtype."""
        return ops.ones(*size, dtype=dtype or self.dtype, requires_grad=requires_grad)

    def new_full(
        self, size: Any, fill_value: Any, *, dtype: Any = None, requires_grad: Any = False
    ) -> Tensor:
        """A filled tensor with this one's dtype."""
        return ops.full(size, fill_value, dtype=dtype or self.dtype, requires_grad=requires_grad)


def _rebuild(cls: Any, data: np.ndarray, requires_grad: bool, attributes: dict) -> Any:
    """Make a pickled tensor again."""
    own = np.empty(data.shape, FROM_NUMPY[data.dtype].numpy)  # an unpickled dtype is another object
    np.copyto(own, data)
    tensor = tape.wrap(own)
    if cls is not Tensor:
        blank = object.__new__(cls)
        for name in Variable.__slots__[:-2]:
            setattr(blank, name, getattr(tensor, name))
        tensor = blank
    tensor._requires_grad = requires_grad
    tensor.__dict__.update(attributes)
    return tensor


_UFUNCS: dict[str, Callable[..., Any]] = {
    "add": ops.add,
    "subtract": lambda a, b: ops.rsub(b, a) if not isinstance(a, Tensor) else ops.sub(a, b),
    "multiply": ops.mul,
    "divide": ops.div,
    "true_divide": ops.div,
    "floor_divide": ops.floor_divide,
    "remainder": ops.remainder,
    "power": ops.pow,
    "negative": ops.neg,
    "absolute": ops.abs,
    "exp": ops.exp,
    "log": ops.log,
    "sqrt": ops.sqrt,
    "sin": ops.sin,
    "cos": ops.cos,
    "tanh": ops.tanh,
    "maximum": ops.maximum,
    "minimum": ops.minimum,
    "equal": ops.eq,
    "not_equal": ops.ne,
    "less": ops.lt,
    "less_equal": ops.le,
    "greater": ops.gt,
    "greater_equal": ops.ge,
}

tape.set_tensor_class(Tensor)
tensor = ops.tensor
