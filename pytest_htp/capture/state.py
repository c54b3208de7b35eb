"""An export borrows the model and the process: both come back as they were, whatever happens in between.

Of the model, everything reachable through the modules' own ``__dict__`` is put back: training flags, hooks of every
kind, instance attributes such as a patched ``forward``, the identity of parameters, buffers and submodules, small
containers held as attributes, and the attributes of configs. Parameter *values* are not copied (they may be half the
machine's memory): storage, ``requires_grad`` and ``grad`` are put back, and a value that was written in place is
reported. Buffer values are copied, up to ``BUFFER_COPY_LIMIT`` bytes each.
"""

from __future__ import annotations

import logging
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from types import FunctionType, ModuleType

import torch
from torch import nn

from pytest_htp.capture.kept import writes_to
from pytest_htp.capture.ties import TiesInOrder
from pytest_htp.capture.wrapped import is_wrapper, plain_parts

BUFFER_COPY_LIMIT = 64 * 2**20
"""Bytes of one buffer's storage up to which its values are copied and restored.

Running statistics, position ids and rotary tables are far below; what is above (a preallocated key-value
cache) is reported when it was written, like a parameter.
"""

_EXPORTERS = ("transformers.exporters.", "torch.onnx.", "torch.export.", "torch.fx.", "pytest_htp.")

_Restore = Callable[[], None]


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Give ``model`` and the process's global state back as they were, also when the body raises.

    Warns (``RuntimeWarning``) when values that were not copied were written in place, unless an exception
    is already on its way.
    """
    with preserved_globals(), put_back(model) as tensors:
        yield
    written = tensors.written()
    if written:
        names = ", ".join(repr(name) for name in written[:5]) + (", …" if len(written) > 5 else "")
        warnings.warn(
            "the export changed values of the model in place that are too large to be copied beforehand: "
            f"{names}; export a copy (copy.deepcopy(model)) if they are needed afterwards",
            RuntimeWarning,
            stacklevel=3,
        )


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """While it lasts, an attribute that ``owner`` itself has is another one."""
    before = vars(owner)[name]  # as it stands there: getattr would bind it
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def wrapped(module: str, attribute: str, wrap: Callable[..., object]) -> Iterator[bool]:
    """While it lasts, what a library has at a dotted place is what ``wrap`` makes of it; false where there is none."""
    *parents, name = attribute.split(".")
    try:
        owner: object = import_module(module)
        for parent in parents:
            owner = getattr(owner, parent)
        other = wrap(vars(owner)[name])
    except (ImportError, AttributeError, KeyError):
        yield False
        return
    with replaced(owner, name, other):
        yield True


def to_eval_mode(model: nn.Module) -> None:
    """``model.eval()``, also for modules that refuse it: the mode of a program of ``torch.export`` is part of it."""
    try:
        model.eval()
    except NotImplementedError:
        for module in model.modules():
            module.training = False


@contextmanager
def put_back(model: nn.Module) -> Iterator[_Tensors]:
    """Give the model alone back as it was: what one pass leaves in it must not show in the next."""
    restore_modules, tensors = _modules(model), _Tensors(model)
    try:
        yield tensors
    finally:
        restore_modules()
        tensors.restore()


@contextmanager
def preserved_globals() -> Iterator[None]:
    """Put random states, grad mode, default dtype and device, torch's functions, warnings, logging back."""
    with ExitStack() as stack:
        for snapshot in (_torch_modes, _patched_functions, _logging, random_states):
            stack.callback(snapshot())
        stack.enter_context(warnings.catch_warnings())
        yield


def random_states() -> _Restore:
    """Remember the states of torch's (CPU, and CUDA where it is in use), Python's and numpy's generators."""
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
    python = random.getstate()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy else None

    def restore() -> None:
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        random.setstate(python)
        if numpy is not None:
            numpy.random.set_state(numpy_state)

    return restore


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run the body with every generator seeded; their states are as before afterwards."""
    restore = random_states()
    try:
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        if numpy := sys.modules.get("numpy"):
            numpy.random.seed(seed % 2**32)
        yield
    finally:
        restore()


def _torch_modes() -> _Restore:
    grad = torch.is_grad_enabled()
    dtype = torch.get_default_dtype()
    device = torch.get_default_device()

    def restore() -> None:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            # Set to the CPU, it is a mode that looks at every call of torch; None takes the mode away.
            torch.set_default_device(None if device.type == "cpu" else device)

    return restore


def _patched_functions() -> _Restore:
    """Exporters replace functions of torch while they trace; one that failed half-way may leave some replaced.

    Only replacements that come from an exporter are undone: a library first imported meanwhile may replace
    functions for good (importing ``torch._dynamo`` does so with ``torch.manual_seed``).
    """
    owners: tuple[ModuleType | type, ...] = (torch, torch.nn.functional, torch.Tensor, nn.Module)
    saved = [(owner, dict(vars(owner))) for owner in owners]

    def restore() -> None:
        for owner, before in saved:
            for name, value in list(vars(owner).items()):
                if value is before.get(name) or not _from_exporter(value):
                    continue
                if name in before:
                    setattr(owner, name, before[name])
                else:  # it shadows an inherited method
                    delattr(owner, name)

    return restore


def _from_exporter(function: object) -> bool:
    module = getattr(function, "__module__", None)
    return isinstance(function, FunctionType) and isinstance(module, str) and module.startswith(_EXPORTERS)


def _logging() -> _Restore:
    known = [
        logging.root,
        *(x for x in logging.root.manager.loggerDict.values() if isinstance(x, logging.Logger)),
    ]
    saved = [
        (logger, logger.level, logger.disabled, logger.propagate, logger.handlers[:], logger.filters[:])
        for logger in known
    ]
    handler_levels = [(handler, handler.level) for logger in known for handler in logger.handlers]
    disabled_below = logging.root.manager.disable

    def restore() -> None:
        for logger, level, disabled, propagate, handlers, filters in saved:
            if logger.level != level:
                logger.setLevel(level)  # clears the loggers' caches, which assigning to .level would not
            logger.disabled, logger.propagate = disabled, propagate
            logger.handlers[:], logger.filters[:] = handlers, filters
        for handler, level in handler_levels:
            handler.setLevel(level)
        if logging.root.manager.disable != disabled_below:
            logging.disable(disabled_below)

    return restore


def _modules(model: nn.Module) -> _Restore:
    """Remember every module's attributes and the contents of the containers among them (one level deep)."""
    snapshots = [_attributes(module) for module in model.modules()]
    configs = {id(c): c for m in model.modules() for c in (vars(m).get("config"), vars(m).get("generation_config"))}
    snapshots += [_attributes(config) for config in configs.values() if hasattr(config, "__dict__")]
    scripted = [(m, m.training) for m in model.modules() if isinstance(m, torch.jit.ScriptModule)]

    def restore() -> None:
        for undo in snapshots:
            undo()
        for module, training in scripted:  # their flags live in C++
            module.training = training

    return restore


def _attributes(owner: object) -> _Restore:
    attributes = dict(vars(owner))
    containers = [value for value in attributes.values() if isinstance(value, dict | list | set)]
    contents = [container.copy() for container in containers]
    cls = type(owner)

    def restore() -> None:
        if type(owner) is not cls:  # a lazily initialised or parametrized module
            owner.__class__ = cls
        # Through the dict itself: nn.Module.__setattr__ would register or refuse some of these.
        for container, content in zip([vars(owner), *containers], [attributes, *contents], strict=True):
            if isinstance(container, list):
                container[:] = content
            elif not (isinstance(container, dict) and _same(container, content)):
                container.clear()
                container.update(content)

    return restore


def _same(left: dict[str, object], right: object) -> bool:
    """Same keys in the same order, with the identical values."""
    return isinstance(right, dict) and list(left) == list(right) and all(left[key] is right[key] for key in left)


class _Tensors:
    """Where the values of a model's tensors live, and the values themselves of buffers that are small."""

    def __init__(self, model: nn.Module) -> None:
        self._parameters = [
            # `.data` is another tensor on the same storage: it keeps the storage, and costs no copy.
            (name, parameter, parameter.data, parameter.requires_grad, parameter.grad, writes_to(parameter))
            for name, parameter in model.named_parameters()
            if not nn.parameter.is_lazy(parameter)
        ]
        self._buffers: list[tuple[torch.UntypedStorage, torch.UntypedStorage]] = []
        self._large: list[tuple[str, torch.Tensor, int]] = []
        seen: set[int] = set()
        for name, buffer in model.named_buffers():
            if nn.parameter.is_lazy(buffer):
                continue
            for part in plain_parts(buffer):
                if part.layout != torch.strided or part.device.type == "meta":
                    continue
                storage = part.untyped_storage()
                if storage.data_ptr() in seen:
                    continue
                seen.add(storage.data_ptr())
                if storage.nbytes() <= BUFFER_COPY_LIMIT:
                    self._buffers.append((storage, storage.clone()))  # type: ignore[no-untyped-call]
                else:
                    self._large.append((name, part, writes_to(part)))

    def restore(self) -> None:
        # Whole storages, so that buffers that are views (also of each other, also of stride 0) need no special case.
        for storage, values in self._buffers:
            storage.copy_(values)
        for _, parameter, data, requires_grad, grad, _ in self._parameters:
            if _elsewhere(parameter, data):
                parameter.data = data
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)
            if parameter.grad is not grad:
                parameter.grad = grad

    def written(self) -> list[str]:
        """Names of parameters and large buffers whose values were written in place."""
        versions = [(name, tensor, version) for name, tensor, *_, version in self._parameters] + self._large
        return [name for name, tensor, version in versions if writes_to(tensor) != version]


def _elsewhere(tensor: torch.Tensor, data: torch.Tensor) -> bool:
    """Whether ``tensor`` no longer shows exactly the memory that ``data`` shows."""
    if tensor.device != data.device or tensor.dtype != data.dtype or tensor.shape != data.shape:
        return True
    if is_wrapper(tensor):
        pairs = zip(plain_parts(tensor), plain_parts(data), strict=True)
        return any(_elsewhere(part, known) for part, known in pairs)
    if tensor.layout != torch.strided or tensor.device.type == "meta":
        return False
    return tensor.data_ptr() != data.data_ptr() or tensor.stride() != data.stride()


@contextmanager
def eager() -> Iterator[None]:
    """The calls of modules as the exporters see them.

    Compiled submodules and the operators of control flow would trace our hooks with dynamo, which refuses them. The
    fused kernels of ``nn.TransformerEncoder`` pass over its submodules, and with a padding mask give them nested
    tensors, which have no shape; no exporter takes that path. Equal elements are sorted as in ONNX.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"), TiesInOrder():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
