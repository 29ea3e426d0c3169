"""Build of the compiled modules; everything else about the package is in pyproject.toml.

Environment:
  CYVSWITCH_EXT     comma-separated module names (``datapath.parse``): build only these.
  CYVSWITCH_DEBUG   1 = bounds, initialisation and None checks on, C assertions on (``make check-debug``).
  CYVSWITCH_SANITIZE  compilers' sanitizers, as in ``address,undefined`` (``make check-asan``).
"""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
COMPILED_PACKAGES = ("vslib", "datapath", "ofproto")
DEBUG = os.environ.get("CYVSWITCH_DEBUG") == "1"
SANITIZE = os.environ.get("CYVSWITCH_SANITIZE", "")
ONLY = {name for name in os.environ.get("CYVSWITCH_EXT", "").split(",") if name}

# The one place where Cython directives are set; nothing is tuned to the building machine's processor.
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
    "overflowcheck": False,  # hashes wrap on purpose
    "cdivision": True,
    "binding": True,
    "embedsignature": False,
}
C_FLAGS = ["-O1", "-g", "-UNDEBUG"] if DEBUG else ["-O2", "-g0"]
# The silenced warnings are about what Cython writes, not about what we wrote.
C_FLAGS += ["-fno-strict-aliasing", "-pthread", "-Wno-unused-function", "-Wno-unreachable-code", "-Wno-sign-compare"]
LINK_FLAGS = ["-pthread"]
if SANITIZE:
    sanitizer_flags = [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer"]
    C_FLAGS += sanitizer_flags + ["-g"]
    LINK_FLAGS += sanitizer_flags[:1]


def extensions() -> list[Extension]:
    """Return one extension per ``.pyx`` file of the compiled packages, narrowed by CYVSWITCH_EXT."""
    found = []
    for package in COMPILED_PACKAGES:
        for source in sorted((ROOT / package).rglob("*.pyx")):
            path = source.relative_to(ROOT)
            name = ".".join(path.with_suffix("").parts)
            if not ONLY or name in ONLY:
                found.append(Extension(name, [str(path)], extra_compile_args=C_FLAGS, extra_link_args=LINK_FLAGS))
    return found


setup(
    ext_modules=cythonize(
        extensions(),
        build_dir="build/debug" if DEBUG else "build/release",
        compiler_directives=DIRECTIVES,
        nthreads=0 if ONLY else 2,
        show_all_warnings=False,
        quiet=True,
    )
)
