"""How functions of this package are compiled: by numba, without the interpreter lock, and kept on disk.

numba keeps what it compiled for as long as the file of the function stays the same. Here functions of one file call those of
others and read their constants, which are compiled into them: after an update, an old kernel would go on filling the old
columns. So what is kept belongs to the content of every module of the package.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numba
from numba.core import entrypoints
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    InTreeCacheLocator,
    UserProvidedCacheLocator,
    UserWideCacheLocator,
)
from numba.core.runtime.nrt import rtsys

from lifecycle.digests import digest_file, digest_json

# What other installed packages add to numba is not loaded: one of them takes up to 0.2 seconds and 60 MB of every process.
entrypoints._already_initialized = True


def compiled(function: Callable[..., Any]) -> Any:
    """Decorator: compile `function` when it is first called, or load what an earlier process compiled."""
    return _kept(numba.njit(nogil=True)(function), function)


def inner(function: Callable[..., Any]) -> Any:
    """Decorator: the same for a function that loops of compiled functions call, and that makes no arrays.

    It becomes part of its callers, and counts no references to the arrays it is given: numba would at every call, by an
    atomic addition, which took a sixth of all the time of the statistics kernel.
    """
    njit: Any = numba.njit  # whose types do not know of `_nrt`, numba's switch for all memory that it manages
    return _kept(njit(nogil=True, forceinline=True, _nrt=False)(function), function)


def _kept(dispatcher: Any, function: Callable[..., Any]) -> Any:
    if hasattr(dispatcher, "enable_caching"):  # the plain function, where numba is switched off, has none
        dispatcher._cache = _PackageCache(function)  # as `enable_caching` does, which knows of one kind of cache only
    return dispatcher


@cache
def package_stamp(package: Path) -> str:
    """Digest of the names and contents of all modules in a directory."""
    return digest_json({path.name: digest_file(path) for path in sorted(package.glob("*.py"))})


class _OfPackage:
    _py_file: str

    def get_source_stamp(self) -> str:
        return package_stamp(Path(self._py_file).parent)


class _Provided(_OfPackage, UserProvidedCacheLocator):
    pass


class _InTree(_OfPackage, InTreeCacheLocator):
    pass


class _UserWide(_OfPackage, UserWideCacheLocator):
    pass


class _PackageCacheImpl(CompileResultCacheImpl):
    _locator_classes: ClassVar[list[type]] = [_Provided, _InTree, _UserWide]


class _PackageCache(FunctionCache):
    _impl_class = _PackageCacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """As numba does, without loading what it knows to compile: that takes 0.15 seconds of every process. Kept functions
        are compiled, and compiling others loads it in any case."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)
