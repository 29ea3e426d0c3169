"""The Debian package (TL.12): what it says and holds; the long form does `make dist` and installs it in a Debian 12."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from tests.vswitchd.test_packaging import ROOT, needs_git, setup, sources

MIRROR = "http://deb.debian.org/debian"
COMMANDS = {"appctl", "ofctl", "vsctl", "vswitchd"}
LINKS = {
    "/usr/bin/ovs-appctl": "appctl",
    "/usr/bin/ovs-ofctl": "ofctl",
    "/usr/bin/ovs-vsctl": "vsctl",
    "/usr/sbin/ovs-vswitchd": "../bin/vswitchd",
}
EMPTY_ELF = b"\x7fELF" + bytes(14)

pytestmark = [
    needs_git,
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb"),
]


def maker():
    """Return .ci/make_deb.py as a module."""
    spec = importlib.util.spec_from_file_location("make_deb", ROOT / ".ci/make_deb.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package of the modules that are compiled already, made without the network and not compressed."""
    folder = tmp_path_factory.mktemp("deb")
    wheel = setup(folder, "bdist_wheel", "--bdist-dir", str(folder / "bdist"))
    with zipfile.ZipFile(wheel, "a") as archive:
        for source in sources(".pyx"):
            for path in (ROOT / source).parent.glob(f"{Path(source).stem}.cpython-*.so"):
                archive.write(path, path.relative_to(ROOT))
    command = (sys.executable, ROOT / ".ci/make_deb.py", wheel, folder)
    subprocess.run(command, env=os.environ | {"DPKG_DEB_COMPRESSOR_TYPE": "none"}, check=True)
    (made,) = folder.glob("*.deb")
    yield made
    shutil.rmtree(folder)


def ask(package, *options):
    return subprocess.run(["dpkg-deb", *options, package], check=True, capture_output=True, text=True).stdout


def listing(package):
    """Return path -> (mode, owner, target of a link or "") of all that the package holds."""
    found = {}
    for line in ask(package, "-c").splitlines():
        mode, owner, _size, _day, _time, path = line.split(maxsplit=5)
        path, _, target = path.partition(" -> ")
        found[path.removeprefix(".").rstrip("/")] = (mode, owner, target)
    return found


def test_the_package_names_its_machine_its_python_and_whom_it_replaces(package):
    fields = dict(line.split(": ", 1) for line in ask(package, "-f").splitlines() if not line.startswith(" "))
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True)
    assert (fields["Package"], fields["Architecture"]) == ("cyvswitch", architecture.stdout.strip())
    assert package.name == f"cyvswitch_{fields['Version']}_{fields['Architecture']}.deb"
    python, libc = fields["Depends"].split(", ")
    assert python == f"python{sys.version_info.major}.{sys.version_info.minor}"
    assert libc.startswith("libc6 (>= 2.")
    # Both have files of the same names; packages that depend on them want more than there is, so nothing is provided.
    assert fields["Conflicts"] == fields["Replaces"] == "openvswitch-common, openvswitch-switch"
    assert "Provides" not in fields


def test_the_package_holds_commands_under_both_names_a_service_and_the_daemons_folders(package):
    files = listing(package)
    modes = {path: mode for path, (mode, _owner, _target) in files.items()}
    assert {path: target for path, (_mode, _owner, target) in files.items() if target} == LINKS
    for name in (*COMMANDS, "ovs-dpctl"):
        assert modes[f"/usr/bin/{name}"] == "-rwxr-xr-x"
    for folder in ("/etc/openvswitch", "/var/log/openvswitch"):
        assert modes[folder] == "drwxr-xr-x"
    # The second unit is what openvswitch-switch, when removed, leaves a requirement for.
    for unit in ("cyvswitch", "ovs-record-hostname"):
        assert modes[f"/lib/systemd/system/{unit}.service"] == "-rw-r--r--"
    for place in ("default", "logrotate.d"):
        assert modes[f"/etc/{place}/cyvswitch"] == "-rw-r--r--"
    listed = ("dpkg-deb", "-I", package, "conffiles")
    conffiles = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    assert conffiles.split() == ["/etc/default/cyvswitch", "/etc/logrotate.d/cyvswitch"]
    assert {owner for _mode, owner, _target in files.values()} == {"root/root"}


def test_the_package_brings_all_python_packages_compiled_and_keeps_them_to_itself(package):
    files = set(listing(package))
    tree = "/usr/lib/cyvswitch/"
    inside = {path.removeprefix(tree) for path in files if path.startswith(tree)}
    assert sources(".py", ".ovsschema") <= inside
    top = {path.split("/")[0] for path in inside}
    assert {"msgspec", "pyroute2", "cffi", "pycparser"} <= top
    assert not top & {"tests", "bench", "cython", "Cython", "pip"}
    # With its bytecode in the package, Python writes nothing that a removal would leave behind.
    sources_there = {path for path in inside if path.endswith(".py")}
    compiled = {path for path in inside if path.endswith(".pyc")}
    assert len(sources_there) == len(compiled)
    assert not [path for path in files if "/dist-packages" in path or "/site-packages" in path]


def test_the_packages_scripts_are_sound_shell(package, tmp_path):
    ask_scripts = ["dpkg-deb", "-e", package, tmp_path / "control"]
    subprocess.run(ask_scripts, check=True)
    for name in ("postinst", "prerm", "postrm"):
        script = tmp_path / "control" / name
        assert os.access(script, os.X_OK)
        subprocess.run(["sh", "-n", script], check=True)
        # What dpkg may call a script with, and no service is there to act on: nothing happens.
        subprocess.run([script, "upgrade", "0.0"], check=True)


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("a.cpython-399-x86_64-linux-gnu.so", EMPTY_ELF + b"\x3e\0", "needs another Python"),
        ("a.abi3.so", EMPTY_ELF + b"\x3e\0...\0libffi.so.8\0", "needs libffi.so.8"),
        ("a.abi3.so", EMPTY_ELF + b"\x08\0", r"ELF machines \[8\]"),
    ],
    ids=["another Python", "a library that is not named", "an unknown machine"],
)
def test_no_package_is_made_of_modules_that_would_not_run(tmp_path, name, data, complaint):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SystemExit, match=complaint):
        maker().architecture(tmp_path)


def test_the_c_library_asked_for_is_the_newest_that_a_module_uses(tmp_path):
    (tmp_path / "a.so").write_bytes(b"\0GLIBC_2.2.5\0GLIBC_2.14\0")
    (tmp_path / "b.so").write_bytes(b"\0GLIBC_2.4\0")
    assert maker().glibc(tmp_path) == "2.14"


# The life of the package, in a root directory of its own. Nothing is expected on standard error that is not looked at.
LIFE = """
set -eux
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/net
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
files() {
    find / -xdev '(' -path /root -o -path /proc -o -path /sys ')' -prune -o -print | sort
}
files >/root/before

dpkg -i /root/cyvswitch.deb
dpkg --verify cyvswitch
[ -L /etc/systemd/system/multi-user.target.wants/cyvswitch.service ]
[ ! -e /run/openvswitch ]                                   # enabled, but not started
ovs-vswitchd --detach --pidfile --log-file
ovs-vsctl add-br br0 -- add-port br0 p1 -- set interface p1 type=internal
[ "$(vsctl list-ports br0)" = p1 ]
ofctl dump-flows br0 | grep -q actions=NORMAL
ovs-appctl ofproto/list | grep -qx br0
ovs-dpctl show | grep -q p1
grep -q br0: /proc/net/dev
appctl exit --cleanup
while [ -e /run/openvswitch/db.sock ]; do sleep 0.1; done

# The configuration outlives removing, and is in force after installing again.
dpkg -r cyvswitch
[ ! -e /usr/lib/cyvswitch ]
[ -s /etc/openvswitch/conf.db ]
dpkg -i /root/cyvswitch.deb
vswitchd --detach
vsctl list-br | grep -qx br0
appctl -t "$(echo /run/openvswitch/*.ctl)" exit --cleanup
while [ -e /run/openvswitch/db.sock ]; do sleep 0.1; done

dpkg -P cyvswitch
files >/root/after
diff /root/before /root/after
"""


def debian(folder):
    """Make a minimal Debian 12 with Python in `folder`."""
    command = ["debootstrap", "--variant=minbase", "--include=python3", "bookworm", folder, MIRROR]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def live(root):
    """Run `LIFE` in the root directory `root`, with processes, mounts and network of its own."""
    (root / "root" / "life").write_text(LIFE)
    unshared = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private")
    return subprocess.run(
        [*unshared, "chroot", root, "/bin/sh", "/root/life"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.timeout(1800)
@pytest.mark.skipif(shutil.which("debootstrap") is None, reason="needs debootstrap")
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="Debian 12 has Python 3.11")
def test_make_dist_makes_a_package_that_is_installed_runs_and_goes_without_a_trace():
    with tempfile.TemporaryDirectory() as temporary:
        tree, root = Path(temporary, "tree"), Path(temporary, "debian")
        tree.mkdir()
        copy = "git ls-files -z --cached | xargs -0 cp --parents -t"
        subprocess.run(["sh", "-c", f'{copy} "$1"', "sh", tree], cwd=ROOT, check=True)
        subprocess.run([tree / ".ci/dist"], env=os.environ | {"PYTHON": sys.executable}, check=True)
        made = {path.suffix: path for path in (tree / "dist").iterdir()}
        assert made.keys() == {".gz", ".whl", ".deb"}
        assert "-manylinux_2_" in made[".whl"].name
        debian(root)
        shutil.copy(made[".deb"], root / "root/cyvswitch.deb")
        done = live(root)
        assert done.returncode == 0, done.stdout
