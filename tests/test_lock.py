"""requirements.lock: within the bounds of pyproject.toml, on every platform, from no one place."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as name

PROJECT = Path(__file__).parents[1]
TEXT = (PROJECT / "requirements.lock").read_text()
LINES = [line for line in TEXT.splitlines() if not line.startswith("#")]
TABLE = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
EXTRAS = dict(TABLE["optional-dependencies"])
del EXTRAS["ray-sweeps"]  # `make` never installs it


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize(
    ("system", "machine", "family"),
    [
        ("linux", "x86_64", "posix"),
        ("linux", "aarch64", "posix"),
        ("darwin", "arm64", "posix"),
        ("win32", "AMD64", "nt"),
    ],
)
def test_every_platform_has_one_version_within_the_bounds(system, machine, family, python):
    here = {"sys_platform": system, "platform_machine": machine, "os_name": family}
    here |= {"python_version": python, "python_full_version": f"{python}.0"}
    locked: dict[str, list[str]] = {}
    for line in map(Requirement, LINES):
        if line.marker is None or line.marker.evaluate(here):
            locked.setdefault(name(line.name), []).extend(pin.version for pin in line.specifier)
    for need in map(Requirement, sum(EXTRAS.values(), TABLE["dependencies"])):
        if need.name != TABLE["name"]:
            versions = locked.get(name(need.name), [])
            assert len(versions) == 1, f"{need}: {versions}"
            assert versions[0] in need.specifier, f"{need}: {versions}"


def test_each_line_names_a_version_and_no_place_or_build():
    for line in map(Requirement, LINES):  # `--find-links ...` and the like are no requirements
        [pin] = line.specifier
        assert pin.operator == "==", line
        assert line.url is None, line
        assert "+" not in pin.version, f"{line}: a build that only one index has"


def test_a_cpu_build_of_torch_needs_no_cuda():
    assert not [line for line in LINES if line.startswith(("nvidia", "cuda", "triton"))]
