"""The base of all optimizers: parameter groups, state, hooks, saving and loading."""

from __future__ import annotations

import copy
import functools
import itertools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from .. import ops
from ..autograd import tape
from ..autograd.tape import Holding
from ..dtypes import float32
from ..tensor import RemovableHandle, Tensor

__all__ = ["Optimizer", "required"]

Group = dict[str, Any]
StateDict = dict[str, Any]
Parameters = Iterable[Tensor] | Iterable[Group] | Iterable[tuple[str, Tensor]]


class _Required:
    """The default of an option that every parameter group has to give itself."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _with_hooks(step: Callable) -> Callable:
    """The step of an optimizer's class, with the hooks of its instances around it."""

    @functools.wraps(step)
    def step_with_hooks(self: Any, *args: Any, **kwargs: Any) -> Any:
        for hook in self._step_pre_hooks.values() if self._step_pre_hooks else ():
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        f"{step} must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {changed}."
                    )
                args, kwargs = changed
        result = step(self, *args, **kwargs)
        self._opt_called = True  # a schedule warns where it is not
        for hook in self._step_post_hooks.values() if self._step_post_hooks else ():
            hook(self, args, kwargs)
        return result

    return step_with_hooks


class Optimizer:
    """Base class: an optimizer of one's own calls `__init__` and overrides `step`.

    `params` are tensors, pairs of a name and a tensor, or dicts with a list `"params"` and options
    of their own; `defaults` are the options of a group that does not set them.

    >>> import numgrad
    >>> class SignDescent(numgrad.optim.Optimizer):
    ...     def __init__(self, params, lr):
    ...         super().__init__(params, {"lr": lr})
    ...     @numgrad.no_grad()
    ...     def step(self):
    ...         for group in self.param_groups:
    ...             for p in group["params"]:
    ...                 p.sub_(group["lr"] * p.grad.sign())
    >>> w = numgrad.ones(2, requires_grad=True)
    >>> (w * w).sum().backward()
    >>> SignDescent([w], lr=0.25).step()
    >>> w
    tensor([0.7500, 0.7500], requires_grad=True)
    """

    state: defaultdict[Any, dict[str, Any]]
    param_groups: list[Group]
    defaults: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def __init__(self, params: Parameters, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self._add_hook_tables()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {params.type()}"
            )
        self.state = defaultdict(dict)
        self.param_groups = []
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _add_hook_tables(self) -> None:
        self._step_pre_hooks: dict[int, Callable] = {}
        self._step_post_hooks: dict[int, Callable] = {}
        self._state_dict_pre_hooks: dict[int, Callable] = {}
        self._state_dict_post_hooks: dict[int, Callable] = {}
        self._load_state_dict_pre_hooks: dict[int, Callable] = {}
        self._load_state_dict_post_hooks: dict[int, Callable] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        tape.changes.count += 1
        self.__dict__.update(state)
        if "_step_pre_hooks" not in self.__dict__:
            self._add_hook_tables()
        # A file of an older version, or of PyTorch's, may lack an option.
        for group in self.param_groups:
            for name, default in self.defaults.items():
                if default is not required:
                    group.setdefault(name, default)

    def __reached__(self) -> Holding:
        """What a compiled program that runs this optimizer depends on."""
        params = [p for group in self.param_groups for p in group["params"]]
        objects = list(params)
        found: list[Any] = []
        for key, state in self.state.items():
            for name, value in state.items():
                tensor = isinstance(value, Tensor)
                objects += [value] if tensor else []
                found.append((id(key), name, id(value) if tensor else repr(value)))
        hooks = (*self._step_pre_hooks.values(), *self._step_post_hooks.values())
        snapshot = (tuple(map(id, params)), tuple(found), tuple(map(id, hooks)))
        return Holding(objects, snapshot, tuple(self.param_groups))

    def __repr__(self) -> str:
        text = type(self).__name__ + " ("
        for number, group in enumerate(self.param_groups):
            text += f"\nParameter Group {number}\n"
            for name in sorted(group):
                if name != "params":
                    text += f"    {name}: {group[name]}\n"
        return text + ")"

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters from their gradients; overridden by every optimizer."""
        raise NotImplementedError(f"{type(self).__name__} does not implement step()")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or with `set_to_none=False` fill them with 0."""
        for group in self.param_groups:
            for param in group["params"]:
                grad = param._grad
                if grad is None:
                    continue
                if set_to_none:
                    param._grad = None
                else:
                    if grad.requires_grad:
                        grad = param._grad = grad.detach()
                    grad.zero_()

    def add_param_group(self, param_group: Group) -> None:
        """Optimize further parameters, with options of their own.

        >>> import numgrad
        >>> optimizer = numgrad.optim.SGD([numgrad.ones(1)], lr=0.1)
        >>> optimizer.add_param_group({"params": numgrad.ones(2), "lr": 0.5})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.5]
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        params = list(params)
        names = [entry[0] for entry in params if isinstance(entry, tuple)]
        params = [entry[1] if isinstance(entry, tuple) else entry for entry in params]
        if names and len(names) != len(params):
            raise ValueError(
                "all optimizer params should be with/without names. Some param names are missing"
            )
        self._check_params(params)
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    "parameter group didn't specify a value of required optimization parameter "
                    f"{name}"
                )
        if len({id(param) for param in params}) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will cause an error; see github.com/pytorch/pytorch/issues/40967 for more "
                "information",
                stacklevel=3,
            )
        present = {id(param) for group in self.param_groups for param in group["params"]}
        named = bool(names) or "param_names" in param_group
        for group in self.param_groups:
            if named != ("param_names" in group):
                raise ValueError(
                    "all optimizer param groups should be with/without names. cannot add param "
                    f"group {'with' if named else 'without'} names to the optimizer"
                )
        if not present.isdisjoint(map(id, params)):
            raise ValueError("some parameters appear in more than one parameter group")
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for name, default in self.defaults.items():
            param_group.setdefault(name, default)
        self.param_groups.append(param_group)
        tape.changes.count += 1

    def _check_params(self, params: list[Any]) -> None:
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    f"{_type_name(param)}"
                )
            if not (param.is_leaf or param.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")

    # ---------------------------------------------------------------- saving and loading

    def state_dict(self) -> StateDict:
        """Options and state with numbers in place of the parameters: PyTorch's format.

        `{"state": {0: {…}, …}, "param_groups": [{…, "params": [0, …]}]}`; the tensors are the
        optimizer's own, not copies.
        """
        for hook in self._state_dict_pre_hooks.values():
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        first = 0  # of this group; a parameter that comes twice keeps its first number
        for group in self.param_groups:
            for number, param in enumerate(group["params"], first):
                numbers.setdefault(id(param), number)
            first += len(group["params"])
            packed = {name: value for name, value in group.items() if name != "params"}
            packed["params"] = [numbers[id(param)] for param in group["params"]]
            groups.append(packed)
        state = {
            numbers[id(key)] if isinstance(key, Tensor) else key: value
            for key, value in self.state.items()
        }
        result: StateDict = {"state": state, "param_groups": groups}
        for hook in self._state_dict_post_hooks.values():
            changed = hook(self, result)
            if changed is not None:
                result = changed
        return result

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take over options and state that `state_dict` gave, here or in PyTorch.

        State tensors are copied, in the dtype of their parameters. Raises a ValueError where the
        groups, or the numbers of parameters in them, are not this optimizer's.
        """
        state_dict = state_dict.copy()
        for hook in self._load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            if changed is not None:
                state_dict = changed
        groups = self.param_groups
        loaded = copy.deepcopy(state_dict["param_groups"])
        if len(groups) != len(loaded):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(groups, loaded, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        params = dict(
            zip(
                itertools.chain.from_iterable(group["params"] for group in loaded),
                itertools.chain.from_iterable(group["params"] for group in groups),
                strict=True,
            )
        )
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in params:
                state[params[key]] = _state_for(params[key], value)
            else:
                state[key] = value
        for group, new in zip(groups, loaded, strict=True):
            new["params"] = group["params"]
            if "param_names" in group:
                new.setdefault("param_names", group["param_names"])
        self.__setstate__({"state": state, "param_groups": loaded})
        for hook in self._load_state_dict_post_hooks.values():
            hook(self)

    # ---------------------------------------------------------------- hooks

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step.

        It may return new `(args, kwargs)` for the step. `remove()` on the handle takes it off.
        """
        return RemovableHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return RemovableHandle(self._step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> Any:
        """Call `hook(optimizer)` before `state_dict`."""
        return RemovableHandle(self._state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> Any:
        """Call `hook(optimizer, state_dict)` after it was made; may return another."""
        return RemovableHandle(self._state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> Any:
        """Call `hook(optimizer, state_dict)` before loading; may return another."""
        return RemovableHandle(self._load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> Any:
        """Call `hook(optimizer)` after loading."""
        return RemovableHandle(self._load_state_dict_post_hooks, hook, prepend)


class FusedOptimizer(Optimizer):
    """An optimizer whose step is one launch for each group: subclasses write `_update`."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient.

        With a `closure`, which clears the gradients, computes the loss, calls `backward` and
        returns the loss: call it first, and return what it returned.
        """
        loss = None
        if closure is not None:
            with tape.set_grad(True):
                loss = closure()
        for group in self.param_groups:
            params = [param for param in group["params"] if param._grad is not None]
            if params:
                self._update(group, params)
        return loss

    def _update(self, group: Group, params: list[Tensor]) -> None:
        raise NotImplementedError


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _state_for(param: Tensor, value: Any, name: Any = None) -> Any:
    """A copy of a parameter's loaded state, its tensors in the parameter's dtype and place."""
    if isinstance(value, Tensor):
        if name == "step":
            return value.detach().to(param.device, float32, copy=True)
        dtype = param.dtype if param.is_floating_point() else value.dtype
        return value.detach().to(param.device, dtype, copy=True)
    if name == "step" and isinstance(value, (int, float)):
        return ops.tensor(float(value), dtype=float32, device=param.device)
    if isinstance(value, dict):
        return {key: _state_for(param, item, key) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return type(value)(_state_for(param, item) for item in value)
    return value
