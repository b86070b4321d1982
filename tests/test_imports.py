"""Imports run one way: text, model, data, stages, commands."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "notagen"

# Each room may import those in the lines before it, and itself.
LAYERS = [
    {"errors", "ranges"},
    {"atomic"},
    {"notation"},
    {"patches", "prompts"},
    {"model"},
    {"data", "scores"},
    {"metrics"},
    {"reward", "generation", "corpus"},
    {"dpo", "training"},
    {"stages"},
    {"exits", "keys"},
    {"schema"},
    {"config"},
    {"prepare", "train", "generate", "evaluate", "export", "select", "probe"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


FILES = {name_of(path): path for path in SOURCE.rglob("*.py")}


def imported(path: Path) -> set[str]:
    """Modules of ours that a file imports anywhere, also inside functions and for types alone."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in FILES else node.module for name in whole}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    names |= {name.rpartition(".")[0] for name in names}  # a package's __init__ runs, too
    own = name_of(path)
    above = {own[:end] for end in range(len(own)) if own[end] == "."}  # running already
    return names & FILES.keys() - {own} - above


IMPORTS = {name: imported(path) for name, path in FILES.items()}


def room_of(name: str) -> str:
    return name.split(".")[1]


@pytest.mark.parametrize("name", sorted(IMPORTS.keys() - {"notagen"}))
def test_imports_run_downward(name):
    for other in IMPORTS[name]:
        if room_of(other) != room_of(name):
            assert LEVEL[room_of(other)] < LEVEL[room_of(name)], f"{name} imports {other}"


def test_no_file_imports_itself_through_others():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_notation_needs_no_heavy_library():
    heavy = ("torch", "music21", "numpy", "lightning")
    for path in (SOURCE / "notation").glob("*.py"):
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not names & set(heavy)


def test_files_stay_small():
    """A file that one can read in one go."""
    sizes = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert max(sizes.values()) < 400, max(sizes, key=sizes.__getitem__)
