"""Imports run one way: text, data, model, stages, commands."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "notagen"

# Each room may import those before it, and itself.
LAYERS = [
    {"errors"},
    {"notation"},
    {
        "patches",
        "bar_patches",
        "corruption",
        "prompt",
        "baseline",
        "processor",
        "optimizers",
        "schedules",
        "weight_files",
        "shards",
        "hub",
    },
    {"batch", "metrics", "checkpoints"},
    {"model", "data", "reward", "scores"},
    {"corpus", "generation", "weights", "likelihood", "probing"},
    {"stages"},
    {"config", "sweep"},
    {"iteration"},
    {"prepare", "train", "generate", "evaluate"},
    {"compare", "export", "select", "probe", "roundtrip"},
]
APART = [{"model", "data", "reward"}, {"stages", "data"}]  # do not import one another
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, *rest = name.split(".")
            if package == "notagen" and rest:
                rooms.add(rest[0])
    return rooms - {room_of(path)}


FILES = [path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_downward(path):
    room = room_of(path)
    for imported in imported_rooms(path):
        assert LEVEL[imported] <= LEVEL[room], f"{room} imports {imported}"
        assert not any({room, imported} <= group for group in APART), f"{room} imports {imported}"


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
