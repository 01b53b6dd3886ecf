"""A module's state by name: `state_dict`, `load_state_dict` and their hooks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..autograd.grad_mode import no_grad
from ..tensor import RemovableHandle, Tensor
from .parameter import Parameter

EXTRA_STATE = "_extra_state"
HOOKS = (
    "_state_dict_hooks",
    "_state_dict_hooks_without_result",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks_with_module",
    "_load_state_dict_post_hooks",
)


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class IncompatibleKeys(_Keys):
    """What `load_state_dict` returns: the names that did not match."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys!r}, "
            f"unexpected_keys={self.unexpected_keys!r})"
        )

    __str__ = __repr__


class StateDict:
    """The part of `Module` that saves and loads."""

    _version = 1
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    _state_dict_hooks: OrderedDict[int, Callable]
    _state_dict_pre_hooks: OrderedDict[int, Callable]
    _state_dict_hooks_without_result: OrderedDict[int, bool]
    _load_state_dict_pre_hooks: OrderedDict[int, Callable]
    _load_state_dict_pre_hooks_with_module: OrderedDict[int, bool]
    _load_state_dict_post_hooks: OrderedDict[int, Callable]

    def get_extra_state(self) -> Any:
        """What else `state_dict` holds, under `_extra_state`; for a subclass to define."""
        raise RuntimeError("get_extra_state() is not defined for this module")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave; for a subclass to define."""
        raise RuntimeError("set_extra_state() is not defined for this module")

    # ------------------------------------------------------------------------ saving

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by their dotted names.

        The tensors share memory with the module's. They are detached from the graph unless
        `keep_vars`. The result has an attribute `_metadata` with the version of every module.

        >>> layer = numgrad.nn.Linear(2, 1)
        >>> {name: tuple(value.shape) for name, value in layer.state_dict().items()}
        {'weight': (1, 2), 'bias': (1,)}
        """
        if args:
            destination, prefix, keep_vars = (*args, destination, prefix, keep_vars)[:3]
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars
                )
        for key, hook in list(self._state_dict_hooks.items()):
            replaced = hook(self, destination, prefix, metadata)
            if replaced is not None:
                if key in self._state_dict_hooks_without_result:
                    raise RuntimeError("state_dict post-hook must return None")
                destination = replaced
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Put this module's own state, without its submodules', into `destination`."""
        for name, tensor in self._own_state().items():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not StateDict.get_extra_state:
            destination[prefix + EXTRA_STATE] = self.get_extra_state()

    def _own_state(self) -> dict[str, Any]:
        """Parameters and persistent buffers of this module alone."""
        state = {name: tensor for name, tensor in self._parameters.items() if tensor is not None}
        for name, tensor in self._buffers.items():
            if tensor is not None and name not in self._non_persistent_buffers_set:
                state[name] = tensor
        return state

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before `state_dict`."""
        return RemovableHandle(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after `state_dict`.

        It changes the dictionary in place, and must return None.
        """

        handle = RemovableHandle(self._state_dict_hooks, hook)
        self._state_dict_hooks_without_result[handle.id] = True
        return handle

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        """As `register_state_dict_post_hook`; a dictionary that it returns is the result."""
        return RemovableHandle(self._state_dict_hooks, hook)

    # ----------------------------------------------------------------------- loading

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy a state dict's values into the parameters and buffers of the same names.

        `strict`: the names have to match exactly; otherwise those in common are loaded, and the
        result lists the others. `assign`: the module takes the given tensors themselves, with
        their dtype and device. RuntimeError lists everything that is missing, not expected or of
        another shape; nothing has been written then (unless a load hook is registered: hooks see
        a module loaded, so they run after its values are written).

        >>> layer = numgrad.nn.Linear(2, 1)
        >>> layer.load_state_dict(numgrad.nn.Linear(2, 1).state_dict())
        <All keys matched successfully>
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None)
        state = OrderedDict(state_dict)
        if metadata is not None:
            state._metadata = metadata  # type: ignore[attr-defined]
        writes: list[Callable] | None = None if _has_post_hooks(self) else []

        def load(module: Any, values: Any, prefix: str) -> None:
            local = {} if metadata is None else dict(metadata.get(prefix[:-1], {}))
            if assign:
                local["assign_to_params_buffers"] = True
            if writes is not None:
                local["_writes"] = writes
            module._load_from_state_dict(values, prefix, local, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    below = prefix + name + "."
                    own = {k: v for k, v in values.items() if k.startswith(below)}
                    load(child, own, below)
            keys = IncompatibleKeys(missing, unexpected)
            for hook in list(module._load_state_dict_post_hooks.values()):
                if hook(module, keys) is not None:
                    raise AssertionError(
                        "Hooks registered with ``register_load_state_dict_post_hook`` are not "
                        "expected to return new values, if incompatible_keys need to be modified, "
                        "it should be done inplace."
                    )

        load(self, state, "")
        if strict:
            if unexpected:
                errors.insert(0, f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
            if missing:
                errors.insert(0, f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        if errors:
            listed = "\n\t".join(errors)
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{listed}"
            )
        for write in writes or ():
            write()
        return IncompatibleKeys(missing, unexpected)

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own state, without its submodules'; subclasses may extend it."""
        arguments = (local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        for number, hook in list(self._load_state_dict_pre_hooks.items()):
            if number in self._load_state_dict_pre_hooks_with_module:
                hook(self, state_dict, prefix, *arguments)
            else:
                hook(state_dict, prefix, *arguments)
        writes = local_metadata.get("_writes")
        assign = local_metadata.get("assign_to_params_buffers", False)
        own = self._own_state()
        for name, target in own.items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            value = state_dict[key]
            problem = _mismatch(key, target, value)
            if problem:
                error_msgs.append(problem)
                continue
            write = _Write(self, name, target, value, assign)
            if writes is None:
                write()
            else:
                writes.append(write)
        self._load_extra_state(state_dict, prefix, strict, missing_keys, unexpected_keys)
        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != prefix + EXTRA_STATE:
                    first, dot, _ = key[len(prefix) :].partition(".")
                    if first not in (self._modules if dot else own):
                        unexpected_keys.append(key)

    def _load_extra_state(
        self,
        state_dict: Any,
        prefix: str,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
    ) -> None:
        key = prefix + EXTRA_STATE
        if type(self).set_extra_state is not StateDict.set_extra_state:
            if key in state_dict:
                self.set_extra_state(state_dict[key])
            elif strict:
                missing_keys.append(key)
        elif strict and key in state_dict:
            unexpected_keys.append(key)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call a hook before this module's own state is loaded.

        `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs)` may change the dictionary and the lists.
        """

        handle = RemovableHandle(self._load_state_dict_pre_hooks, hook)
        self._load_state_dict_pre_hooks_with_module[handle.id] = True
        return handle

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        """As `register_load_state_dict_pre_hook`, the hook without `module` by default."""
        if with_module:
            return self.register_load_state_dict_pre_hook(hook)
        return RemovableHandle(self._load_state_dict_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after the state was loaded."""
        return RemovableHandle(self._load_state_dict_post_hooks, hook)


class _Write:
    """One tensor to be loaded, checked already."""

    __slots__ = ("module", "name", "target", "value", "assign")

    def __init__(self, module: Any, name: str, target: Any, value: Any, assign: bool) -> None:
        self.module, self.name, self.target = module, name, target
        self.value, self.assign = value, assign

    def __call__(self) -> None:
        with no_grad():
            value, target = self.value, self.target
            if value.ndim == 1 and target.ndim == 0:
                value = value[0]
            if not self.assign:
                target.copy_(value)
                return
            if isinstance(target, Parameter):
                if not isinstance(value, Parameter):
                    value = Parameter(value, requires_grad=target.requires_grad)
                else:
                    value.requires_grad_(target.requires_grad)
            setattr(self.module, self.name, value)


def _mismatch(key: str, target: Any, value: Any) -> str | None:
    if not isinstance(value, Tensor):
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
            f"object from checkpoint but received {type(value)}"
        )
    if tuple(value.shape) == tuple(target.shape):
        return None
    if target.ndim == 0 and tuple(value.shape) == (1,):  # a scalar saved by an old PyTorch
        return None
    return (
        f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, the "
        f"shape in current model is {target.shape}."
    )


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _has_post_hooks(module: Any) -> bool:
    if module._load_state_dict_post_hooks:
        return True
    return any(_has_post_hooks(child) for child in module._modules.values() if child is not None)
