"""`python .ci/make_deb.py WHEEL DIR`: make a Debian package of a wheel and this Python's copies of what it requires.

The package has a tree of its own, /usr/lib/cyvswitch, with all Python packages it needs: Debian 12 lacks msgspec and
has older pyroute2 and cffi than we use. Its commands start Debian's Python of the same version with that tree and the
standard library, and nothing else, on the path. Text that people may want to read or change is in .ci/debian.

SOURCE_DATE_EPOCH, DEBFULLNAME and DEBEMAIL mean what they mean for Debian's own tools.
"""

from __future__ import annotations

import compileall
import configparser
import gzip
import hashlib
import importlib.metadata
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
TEXTS = ROOT / ".ci" / "debian"
TREE = "usr/lib/cyvswitch"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
# Debian's name of an architecture by e_machine of ELF files.
ARCHITECTURES = {62: "amd64", 183: "arm64"}
# libc6 has all of these; anything else that a module asks for would be a dependency that the package does not name.
LIBC = re.compile(rb"(ld-linux[\w-]*|libc|libm|libdl|librt|libpthread)\.so\.\d+")
LIBRARY = re.compile(rb"\0((?:lib|ld-)[\w+-]+\.so\.\d+)(?=\0)")
GLIBC = re.compile(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)")
# What is no part of the tree: (source, place).
FILES = (
    (TEXTS / "default", "etc/default/cyvswitch"),
    (TEXTS / "logrotate", "etc/logrotate.d/cyvswitch"),
    (TEXTS / "copyright", "usr/share/doc/cyvswitch/copyright"),
    (ROOT / "README.md", "usr/share/doc/cyvswitch/README.md"),
    (ROOT / "docs/OPERATING.md", "usr/share/doc/cyvswitch/OPERATING.md"),
    (ROOT / "vswitchd/systemd/cyvswitch.service", "lib/systemd/system/cyvswitch.service"),
    (TEXTS / "ovs-record-hostname.service", "lib/systemd/system/ovs-record-hostname.service"),
)
FOLDERS = ("etc/openvswitch", "var/log/openvswitch")  # the daemon's, with modes as Open vSwitch's packages have them
SCRIPTS = ("postinst", "prerm", "postrm")

COMMAND = """\
#!/usr/bin/{python} -sES
import sys
sys.path[0] = "/{tree}"
from {module} import main
sys.exit(main())
"""


def fail(text: str) -> SystemExit:
    """Return what ends the program with a message."""
    return SystemExit(f"make_deb.py: {text}")


# -- what goes into the tree


def requirements(distribution: importlib.metadata.Distribution) -> Iterator[Requirement]:
    """Yield what `distribution` requires on this machine without extras."""
    for text in distribution.requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def closure(first: importlib.metadata.Distribution) -> dict[str, importlib.metadata.Distribution]:
    """Return what `first` requires, directly or not, as this Python has it; ends the program when it has not."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [first]
    while waiting:
        for requirement in requirements(waiting.pop()):
            if requirement.name in found:
                continue
            distribution = importlib.metadata.distribution(requirement.name)
            if not requirement.specifier.contains(distribution.version):
                raise fail(f"{requirement} is required, {distribution.version} is installed")
            found[requirement.name] = distribution
            waiting.append(distribution)
    return found


def copy_distribution(distribution: importlib.metadata.Distribution, tree: Path) -> None:
    """Copy the modules and the metadata of an installed distribution, not its commands, into `tree`."""
    for file in distribution.files or []:
        if file.parts[0] != ".." and "__pycache__" not in file.parts:
            target = tree.joinpath(*file.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(distribution.locate_file(file)), target)


def fill_tree(wheel: Path, tree: Path) -> importlib.metadata.Distribution:
    """Unpack the wheel and what it requires into `tree` and compile them; return the wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tree)
    (metadata,) = tree.glob("cyvswitch-*.dist-info")
    ours = importlib.metadata.Distribution.at(metadata)
    for distribution in closure(ours).values():
        copy_distribution(distribution, tree)
    # Compiled here, so that Python writes nothing into the tree later; they cannot be out of date: nobody checks.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    sys.pycache_prefix = None  # beside the sources, wherever this Python keeps its own
    if not compileall.compile_dir(tree, stripdir=str(tree), prependdir=f"/{TREE}", quiet=1, invalidation_mode=mode):
        raise fail("a module does not compile")
    return ours


# -- what compiled modules say of the machine they are for


def architecture(tree: Path) -> str:
    """Return Debian's name of the architecture of the tree's modules, which must be for this Python and libc6 alone."""
    found = set()
    for path in tree.rglob("*.so"):
        data = path.read_bytes()
        found.add(int.from_bytes(data[18:20], "little"))
        foreign = [name.decode() for name in LIBRARY.findall(data) if not LIBC.fullmatch(name)]
        if foreign or ".abi3." not in path.name and f".cpython-{PYTHON[6:].replace('.', '')}-" not in path.name:
            raise fail(f"{path.relative_to(tree)}: needs {', '.join(foreign) or f'another Python than {PYTHON}'}")
    if len(found) != 1 or not found <= ARCHITECTURES.keys():
        raise fail(f"{len(found)} kinds of compiled modules (ELF machines {sorted(found)}); known: {ARCHITECTURES}")
    return ARCHITECTURES[found.pop()]


def glibc(tree: Path) -> str:
    """Return the oldest version of glibc that has all symbols which the tree's modules use."""
    versions = (match for path in tree.rglob("*.so") for match in GLIBC.findall(path.read_bytes()))
    major, minor = max((int(major), int(minor)) for major, minor in versions)
    return f"{major}.{minor}"


# -- the package around the tree


def write_commands(stage: Path) -> None:
    """Write our commands into usr/bin, and links to them under Open vSwitch's names where its packages have those."""
    tree = stage / TREE
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = True
    from vswitchd.compat import COMMANDS

    points = configparser.ConfigParser()
    points.read(tree.glob("cyvswitch-*.dist-info/entry_points.txt"))
    (stage / "usr/bin").mkdir(parents=True)
    (stage / "usr/sbin").mkdir()
    for command in COMMANDS:
        own = command.name.removeprefix("ovs-")
        has_own = own in points["console_scripts"]
        path = stage / "usr/bin" / (own if has_own else command.name)
        path.write_text(COMMAND.format(python=PYTHON, tree=TREE, module=command.module))
        path.chmod(0o755)
        if has_own:
            folder = "usr/sbin" if command.name == "ovs-vswitchd" else "usr/bin"
            (stage / folder / command.name).symlink_to(f"../bin/{own}" if folder == "usr/sbin" else own)


def write_texts(stage: Path) -> None:
    """Put the texts of `FILES`, the change log and the empty folders into their places."""
    for source, place in FILES:
        (stage / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, stage / place)
    changes = gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=0)
    (stage / "usr/share/doc/cyvswitch/changelog.gz").write_bytes(changes)
    for folder in FOLDERS:
        (stage / folder).mkdir(parents=True)


def md5(path: Path) -> str:
    """Return the checksum of a file that dpkg compares installed files with."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_control(stage: Path, version: str) -> str:
    """Write DEBIAN/ (control, scripts, conffiles, md5sums); return the name of the package's file."""
    files = sorted(path for path in stage.rglob("*") if path.is_file() and not path.is_symlink())
    tree = stage / TREE
    values = {
        "version": version,
        "architecture": architecture(tree),
        "maintainer": "{} <{}>".format(
            os.environ.get("DEBFULLNAME", "The cyvswitch developers"), os.environ.get("DEBEMAIL", "root@localhost")
        ),
        "installed_kib": sum(-(-path.stat().st_size // 1024) for path in files),
        "python": PYTHON,
        "glibc": glibc(tree),
    }
    folder = stage / "DEBIAN"
    folder.mkdir()
    (folder / "control").write_text((TEXTS / "control").read_text().format(**values))
    names = {path: path.relative_to(stage).as_posix() for path in files}
    (folder / "conffiles").write_text("".join(f"/{name}\n" for name in names.values() if name.startswith("etc/")))
    (folder / "md5sums").write_text("".join(f"{md5(path)}  {name}\n" for path, name in names.items()))
    for name in SCRIPTS:
        shutil.copyfile(TEXTS / name, folder / name)
        (folder / name).chmod(0o755)
    return f"cyvswitch_{version}_{values['architecture']}.deb"


def set_modes(stage: Path) -> None:
    """Give everything the modes of Debian's policy whatever the umask and the wheels said; executables stay so."""
    for path in [stage, *stage.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        elif not path.is_symlink():
            commands = path.parent in (stage / "usr/bin", stage / "DEBIAN") and path.stat().st_mode & 0o100
            path.chmod(0o755 if commands else 0o644)


def make(wheel: Path, folder: Path) -> Path:
    """Make the package of `wheel` in `folder`; return its path. Ends the program when that cannot be done."""
    with tempfile.TemporaryDirectory() as temporary:
        stage = Path(temporary) / "stage"
        (stage / TREE).mkdir(parents=True)
        ours = fill_tree(wheel, stage / TREE)
        write_commands(stage)
        write_texts(stage)
        made = folder / write_control(stage, ours.version)
        set_modes(stage)
        build = ("dpkg-deb", "--root-owner-group", "--build", stage, made)
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return made


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python .ci/make_deb.py WHEEL DIR")
    make(Path(sys.argv[1]), Path(sys.argv[2]))
