"""`Module`: parameters, buffers and submodules by name, called like a function."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from .. import ops
from ..autograd.grad_mode import no_grad
from ..autograd.tape import Holding, changes
from ..dtypes import dtype as dtype_class
from ..tensor import RemovableHandle, Tensor
from ._hooks import FLAGS as CALL_FLAGS
from ._hooks import HOOKS as CALL_HOOKS
from ._hooks import HookedCall
from ._registry import Registry
from ._state_dict import HOOKS as STATE_HOOKS
from ._state_dict import StateDict
from .parameter import Buffer, Parameter

__all__ = ["Module"]

Self = TypeVar("Self", bound="Module")

_REGISTRIES = ("_parameters", "_buffers", "_modules")
_CONSTANTS = (bool, int, float, str, type(None))
_HOOKS = (*CALL_HOOKS, *CALL_FLAGS, *STATE_HOOKS)


class Module(HookedCall, StateDict):
    """The base of every layer and network.

    Parameters, buffers and other modules are registered when they are assigned as attributes.
    A subclass calls `super().__init__()` before it assigns any, and defines `forward`; calling
    the module runs that, and the hooks.

    >>> class Scale(numgrad.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = numgrad.nn.Parameter(numgrad.tensor(2.))
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(numgrad.ones(2))
    tensor([2., 2.], grad_fn=<MulBackward0>)
    """

    training: bool
    _parameters: Registry
    _buffers: Registry
    _modules: Registry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs:
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                f"'{next(iter(kwargs))}'"
            )
        if args:
            raise TypeError(
                f"{type(self).__name__}.__init__() takes 1 positional argument but "
                f"{len(args) + 1} were given"
            )
        own = self.__dict__
        own["training"] = True
        for name in _REGISTRIES:
            own[name] = Registry(self)
        own["_non_persistent_buffers_set"] = set()
        for name in _HOOKS:
            own[name] = OrderedDict()

    def __reached__(self) -> Holding:
        """What a compiled program that runs this module depends on."""
        held: list[Any] = []
        state: list[tuple] = []
        for name, value in self.__dict__.items():
            if isinstance(value, (Tensor, Module)):
                held.append(value)
                state.append((name, id(value)))
            elif isinstance(value, OrderedDict):  # hooks
                held += value.values()
                state.append((name, *map(id, value.values())))
            elif isinstance(value, _CONSTANTS) or (
                type(value) is tuple and all(isinstance(item, _CONSTANTS) for item in value)
            ):
                state.append((name, type(value), value))
            elif name not in _REGISTRIES:
                held.append(value)
                state.append((name, id(value)))
        return Holding(held, tuple(state))

    def forward(self, *input: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    # -------------------------------------------------------------------- registering

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None reserves the name for one.

        TypeError for what is not a parameter, KeyError for a name that is taken or not one.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name(name, "parameter", self._parameters)
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{typename(param)}' object to parameter '{name}' "
                    "(torch.nn.Parameter or None required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must "
                    f"be created explicitly. To express '{name}' as a function of another Tensor, "
                    "compute the value in the forward() method."
                )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but not trained; with `persistent`, part of `state_dict`.

        TypeError for what is not a tensor, KeyError for a name that is taken or not one.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name(name, "buffer", self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{typename(tensor)}' object to buffer '{name}' (torch Tensor or "
                "None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule.

        TypeError for what is not a module, KeyError for a name that is taken or not one.
        """
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{typename(module)} is not a Module subclass")
        self._check_name(name, "module", self._modules)
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Alias of `add_module`."""
        self.add_module(name, module)

    def _check_name(self, name: Any, kind: str, registry: Registry) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {typename(name)}")
        if hasattr(self, name) and name not in registry:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            if kind == "module":
                raise KeyError(f'module name can\'t contain ".", got: {name}')
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    # --------------------------------------------------------------------- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, Parameter):
            if "_parameters" not in own:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, keep="_parameters")
            self.register_parameter(name, value)
        elif name in own.get("_parameters", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as parameter '{name}' "
                    "(torch.nn.Parameter or None expected)"
                )
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            if "_modules" not in own:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, keep="_modules")
            self._modules[name] = value
        elif name in own.get("_modules", ()):
            if value is not None:
                raise TypeError(
                    f"cannot assign '{typename(value)}' as child module '{name}' "
                    "(torch.nn.Module or None expected)"
                )
            self._modules[name] = value
        elif isinstance(value, Buffer) or name in own.get("_buffers", ()):
            self._set_buffer(name, value)
        elif name in _REGISTRIES:
            own[name] = Registry(self, value)
        else:
            super().__setattr__(name, value)
        changes.count += 1

    def _set_buffer(self, name: str, value: Any) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"cannot assign '{typename(value)}' as buffer '{name}' "
                "(torch.nn.Buffer, torch.Tensor or None expected)"
            )
        if isinstance(value, Buffer):
            self._forget(name, keep="_buffers")
            self.register_buffer(name, value, value.persistent)
        else:
            self.register_buffer(name, value, name not in self._non_persistent_buffers_set)

    def _forget(self, name: str, keep: str) -> None:
        """Take a name that is about to be registered in `keep` out of everything else."""
        for registry in _REGISTRIES:
            if registry != keep:
                self.__dict__[registry].pop(name, None)
        if keep != "_buffers":
            self._non_persistent_buffers_set.discard(name)
        if name not in self.__dict__[keep]:
            self.__dict__.pop(name, None)

    # Registered objects are in the instance's own dictionary (see `Registry`), so this is only
    # reached where there is no such attribute. Subclasses that define their own call it.
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        changes.count += 1
        for registry in _REGISTRIES:
            held = self.__dict__.get(registry, ())
            if name in held:
                del held[name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted(name for name in object.__dir__(self) if not name[0].isdigit())

    def __setstate__(self, state: dict[str, Any]) -> None:
        own = self.__dict__
        own.update(state)
        for name in _HOOKS:
            hooks = own.setdefault(name, OrderedDict())
            if hooks:  # the ids that this process gives from now on must not meet these
                RemovableHandle._next = max(RemovableHandle._next, max(hooks) + 1)
        for name in _REGISTRIES:
            own[name] = Registry(self, state.get(name))
        own.setdefault("_non_persistent_buffers_set", set())

    # ---------------------------------------------------------------------- traversal

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, depth first, with their dotted names."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                below = prefix + ("." if prefix else "") + name
                yield from module.named_modules(memo, below, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below it, each once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules, each once, with their names."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self,
        get_members_fn: Callable[[Module], Any],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules: Any = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in modules:
            for name, member in get_members_fn(module):
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield path + ("." if path else "") + name, member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names; `recurse=False`: the module's own.

        >>> [name for name, _ in numgrad.nn.Sequential(numgrad.nn.Linear(2, 1)).named_parameters()]
        ['0.weight', '0.bias']
        """
        return self._named_members(
            lambda module: module._parameters.items(), prefix, recurse, remove_duplicate
        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once; `recurse=False`: the module's own.

        >>> sum(p.numel() for p in numgrad.nn.Linear(2, 3).parameters())
        9
        """
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their dotted names; `recurse=False`: the module's own."""
        return self._named_members(
            lambda module: module._buffers.items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once; `recurse=False`: the module's own."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The submodule with a dotted name; AttributeError where there is none."""
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module in the place of the submodule with a dotted name.

        With `strict` there has to be one already.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}.")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with a dotted name; AttributeError where there is none."""
        module, name = self._owner_of(target)
        found = getattr(module, name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer with a dotted name; AttributeError where there is none."""
        module, name = self._owner_of(target)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return getattr(module, name)

    def _owner_of(self, target: str) -> tuple[Module, str]:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        return module, name

    # ------------------------------------------------------------------ modes and grads

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode here and below: dropout and batch normalisation go by it.

        ValueError where `mode` is not a bool.
        """
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Set evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` of every parameter."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget every parameter's gradient, or set them to zero with `set_to_none=False`."""
        for parameter in self.parameters():
            grad = parameter._grad
            if grad is None:
                continue
            if set_to_none:
                parameter._grad = None
            else:
                if grad.grad_fn is not None:
                    grad = parameter._grad = grad.detach()
                grad.requires_grad_(False).zero_()

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every submodule, then on this module: to initialise parameters, say."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # --------------------------------------------------------------------- conversions

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the memory of parameters, their gradients and the buffers by `fn` of it."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        with no_grad():
            for parameter in self._parameters.values():
                if parameter is not None:
                    parameter.data = fn(parameter)
                    if parameter._grad is not None:
                        parameter._grad = fn(parameter._grad)
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Move and/or convert, in place: `to(device)`, `to(dtype)`, both, or `to(tensor)`.

        A dtype has to be a floating one (TypeError), and converts floating parameters and buffers
        only. Parameters keep their identity, so an optimizer made before still holds them.

        >>> numgrad.nn.Linear(2, 1).to(numgrad.float64).bias.dtype
        torch.float64
        """
        wanted = kwargs.get("dtype")
        placed = []
        for value in args:
            if isinstance(value, Tensor):
                wanted = value.dtype
                placed.append(value.device)
            elif isinstance(value, dtype_class):
                wanted = value
            else:
                placed.append(value)
        if wanted is not None and not wanted.is_floating_point:
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={wanted}"
            )
        rest = {name: value for name, value in kwargs.items() if name != "dtype"}

        def convert(tensor: Tensor) -> Tensor:
            dtype = wanted if tensor.is_floating_point() else None
            return ops.to(tensor, *placed, dtype=dtype, **rest)

        return self._apply(convert)

    def cpu(self: Self) -> Self:
        """Move parameters and buffers to the CPU."""
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self: Self, device: Any = None) -> Self:
        """Move parameters and buffers to a GPU."""
        return self._apply(lambda tensor: tensor.cuda(device))

    def float(self: Self) -> Self:
        """Convert floating parameters and buffers to float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self: Self) -> Self:
        """Convert floating parameters and buffers to float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self: Self) -> Self:
        """Raises: numgrad has no 16-bit floating dtype."""
        raise RuntimeError(
            f"{self._get_name()}.half(): numgrad has no float16; its floating dtypes are float32 "
            "and float64"
        )

    def bfloat16(self: Self) -> Self:
        """Raises: numgrad has no 16-bit floating dtype."""
        raise RuntimeError(
            f"{self._get_name()}.bfloat16(): numgrad has no bfloat16; its floating dtypes are "
            "float32 and float64"
        )

    def type(self: Self, dst_type: Any) -> Self:
        """Convert all parameters and buffers, integers too, to a dtype."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def share_memory(self: Self) -> Self:
        """Call `share_memory_` of every parameter and buffer."""
        return self._apply(lambda tensor: tensor.share_memory_())

    # ---------------------------------------------------------------------------- text

    def _get_name(self) -> str:
        return self.__class__.__name__

    def extra_repr(self) -> str:
        """What stands between the brackets of the repr, submodules aside."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if not self._modules and len(lines) == 1:
            return f"{self._get_name()}({extra})"
        for name, module in self._modules.items():
            lines.append(f"({name}): {indented(repr(module))}")
        if not lines:
            return self._get_name() + "()"
        return self._get_name() + "(\n  " + "\n  ".join(lines) + "\n)"


def indented(text: str) -> str:
    """The text with its second and later lines moved two columns to the right."""
    return text.replace("\n", "\n  ")


def typename(value: Any) -> str:
    """A value's type as PyTorch's messages write it: `torch.FloatTensor`, `int`, `package.Name`."""
    if isinstance(value, Tensor):
        return value.type()
    cls = value if isinstance(value, type) else type(value)
    prefix = "" if cls.__module__ in ("builtins", None) else cls.__module__ + "."
    return prefix + cls.__qualname__
