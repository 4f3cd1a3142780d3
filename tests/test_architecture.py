"""The house's rules, read from every import: arrows, faces, room order, circles, sizes of folders.

Imports count wherever they stand: at the top, inside functions, under TYPE_CHECKING.
"""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from handover_common.faces import read_face

ROOT = Path(__file__).resolve().parents[1]
ROLES = ("common", "proto", "model", "conversion", "training", "server", "client", "envs")
MOST_MODULES = 12  # of a folder
# distributions of their own in a package's folder: the robot's side for another project's tools
PLUGINS = {"client/lerobot_policy_handover/lerobot_policy_handover": {"client"}}
STUBS = {"policy_pb2", "policy_pb2_grpc"}  # generated; anyone may import these two modules

# a package, or one room of it -> the packages that it may import besides common and proto
ARROWS: dict[str, set[str]] = {
    "training": {"model", "conversion"},
    "training.aloha_mini": {"envs"},  # the base's making draws in the simulator
    "server.policies": {"model", "conversion"},
    "client.replay": {"conversion"},
    "client.view": {"conversion"},
    "client.drive": {"conversion", "envs"},
    "client.rollout": {"conversion", "envs"},
    "client.suites": {"envs"},
    "client.vla_eval": {"envs"},
    "envs": {"conversion"},
    "envs.record": {"client"},  # a served policy drives until the expert takes over
}

# the rooms of a package from the roof down: each may import only what stands after it, and a
# tuple's rooms not one another; "" is what lies at the package's top beside errors
ROOMS: dict[str, list[str | tuple[str, ...]]] = {
    "common": [
        ("parallel", "work_folder", "hub", "command", "progress"),
        "files",
        "errors",
        ("network", "versions", "faces", "terminal"),
    ],
    "proto": [
        ("wire", "request_log", "msgpack_wire"),
        "validation",
        "policy",
        ("types", "embodiment"),
        "errors",
        "policy_pb2_grpc",
        "policy_pb2",
    ],
    "conversion": [
        "pipeline",
        "check",
        "groot",
        ("lerobot", "hdf5"),
        "robot",
        "recordings",
        "resampling",
        "video",
        "features",
        "metadata_files",
        "locations",
        "errors",
        "findings",
    ],
    "model": [
        "policy",
        "policy_spec",
        "engine",
        ("engine.cpu", "engine.cuda"),
        "engine.cuda.triton_kernels",
        "engine.fp8",
        "engine.reference",
        "engine.interface",
        "engine.functional",
        "checkpoints",
        "processing",
        "network",
        "device",
        "errors",
    ],
    "training": [
        "aloha_mini",
        "aloha_mini.data",
        "finetune",
        ("finetuning", "calibrate", "card"),
        "loop",
        "checkpoints",
        "network",
        "data",
        ("finetuning.config", "aloha_mini.configs"),
        "errors",
    ],
    "server": [
        "serve",
        "rpc",
        ("gateways", "operations"),
        "inference",
        "requests",
        ("policies", "security", "connections"),
        "logs",
        "errors",
    ],
    "client": [
        "cli",
        "commands",
        "report",
        ("report.charts", "report.rerun"),
        ("comparison", "suites", "vla_eval"),
        ("rollout", "replay", "diagnostics", "view", "drive"),
        "drive.robots",
        "drive.guard",
        "control",
        ("connection", "results"),
        "errors",
    ],
    "envs": ["record", ("experts", "perturbations"), "simulator", "tasks", "errors"],
}


@cache
def modules() -> dict[str, Path]:
    """Every module of ours: {"handover_client.control.lockstep": its file}."""
    found = {}
    for role in ROLES:
        for path in sorted((ROOT / role / f"handover_{role}").rglob("*.py")):
            name = ".".join(path.relative_to(ROOT / role).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def is_face(name: str) -> bool:
    return modules()[name].name == "__init__.py"


def imports_of(source: str) -> list[tuple[str, str]]:
    """The imports of ours in a source: (module, name), the name empty for `import module`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found += [(node.module or "", alias.name) for alias in node.names]
    return [one for one in found if one[0].startswith("handover_")]


@cache
def imported_modules(name: str) -> set[str]:
    """The modules of ours that a module imports; a name of a face leads to the face."""
    found = set()
    for module, attribute in imports_of(modules()[name].read_text(encoding="utf-8")):
        whole = f"{module}.{attribute}"
        target = whole if whole in modules() else module
        if target in modules() and target != name:
            found.add(target)
    return found


def role_of(module: str) -> str:
    return module.split(".")[0].removeprefix("handover_")


def inside(module: str) -> str:
    """A module's name inside its package: "control.lockstep"."""
    return module.partition(".")[2]


def allowed_roles(module: str) -> set[str]:
    role, _, place = module.removeprefix("handover_").partition(".")
    room = place.split(".")[0]
    if role == "common":
        return {"common"}
    return {role, "common", "proto"} | ARROWS.get(role, set()) | ARROWS.get(f"{role}.{room}", set())


def test_a_package_imports_only_what_it_points_to():
    wrong = [
        f"{name} imports {target}"
        for name in modules()
        for target in imported_modules(name)
        if role_of(target) not in allowed_roles(name)
    ]
    assert not wrong, "\n".join(wrong)


def test_other_packages_are_imported_by_their_faces():
    """`from handover_model.network import Gr00tNetwork`, never a module inside."""
    wrong = []
    for name, path in modules().items():
        for module, attribute in imports_of(path.read_text(encoding="utf-8")):
            if role_of(module) == role_of(name) or module not in modules():
                continue
            if not (is_face(module) and attribute in STUBS | offered_names(module)):
                wrong.append(f"{name} imports {module}: {attribute}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("place", PLUGINS)
def test_a_plugin_imports_only_what_faces_offer(place):
    files = sorted((ROOT / place).glob("*.py"))
    assert 0 < len(files) <= MOST_MODULES + 1
    wrong = []
    for path in files:
        for module, attribute in imports_of(path.read_text(encoding="utf-8")):
            roles = PLUGINS[place] | {"common", "proto"}
            offered = module in modules() and is_face(module) and attribute in offered_names(module)
            if role_of(module) not in roles or not offered:
                wrong.append(f"{path.name} imports {module}: {attribute}")
    assert not wrong, "\n".join(wrong)


def offered_names(face: str) -> set[str]:
    """What a face offers: its lazy names, and what it imports at once."""
    source = modules()[face].read_text(encoding="utf-8")
    eager = {name for module, name in imports_of(source) if role_of(module) == role_of(face)}
    return eager | set(read_face(source))


def test_what_a_face_offers_is_there():
    for name in modules():
        if not is_face(name):
            continue
        source = modules()[name].read_text(encoding="utf-8")
        offered = read_face(source)
        listed = [one for one in imports_of(source) if one != ("handover_common", "lazy")]
        eager = {("handover_common.faces", "lazy")}
        assert {(module, one) for one, module in offered.items()} == set(listed) - eager, name
        for one, module in offered.items():
            if role_of(module) != role_of(name):  # another package's, from its face
                assert is_face(module), f"{name} offers {one} of {module}"
                assert one in offered_names(module), f"{module} has no {one}"
                continue
            assert module.startswith(f"{name}."), f"{name} offers {one} of {module}"
            tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
            assert one in defined_names(tree), f"{module} has no {one}"


def defined_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                names.add(part.id)
    return names


def floors(role: str) -> dict[str, int]:
    """Each room's floor, the roof first."""
    return {
        room: floor
        for floor, rooms in enumerate(ROOMS[role])
        for room in (rooms if isinstance(rooms, tuple) else (rooms,))
    }


def room_of(module: str) -> str | None:
    """The room that a module belongs to: the longest that is listed. None for a package's face."""
    place = inside(module)
    rooms = floors(role_of(module))
    while place and place not in rooms:
        place = place.rpartition(".")[0]
    return place or None


@pytest.mark.parametrize("role", ROLES)
def test_rooms_import_only_downwards(role):
    floor_of = floors(role)
    wrong = []
    for name in modules():
        if role_of(name) != role or is_face(name):
            continue
        here = room_of(name)
        assert here, f"{name} lies in no room of ROOMS"
        for target in imported_modules(name):
            if role_of(target) != role:
                continue
            there = room_of(target)
            if there != here and (there is None or floor_of[there] <= floor_of[here]):
                wrong.append(f"{name} ({here}) imports {target} ({there})")
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_by_way_of_others():
    state: dict[str, int] = {}  # 1 under way, 2 done
    circles: list[str] = []

    def visit(name: str, way: list[str]) -> None:
        state[name] = 1
        for target in sorted(imported_modules(name)):
            if name.startswith(f"{target}."):
                continue  # a package's own face
            if state.get(target) == 1:
                circles.append(" -> ".join([*way[way.index(target) :], target]))
            elif target not in state:
                visit(target, [*way, target])
        state[name] = 2

    for name in modules():
        if name not in state:
            visit(name, [name])
    assert not circles, "\n".join(circles)


def test_no_folder_is_crowded():
    folders: dict[Path, int] = {}
    for path in modules().values():
        if path.name != "__init__.py" and "_pb2" not in path.name:
            folders[path.parent] = folders.get(path.parent, 0) + 1
    crowded = {
        str(folder.relative_to(ROOT)): count
        for folder, count in folders.items()
        if count > MOST_MODULES
    }
    assert not crowded


def test_imports_are_seen_wherever_they_stand():
    source = "def f():\n    from handover_server.serve import main\nimport handover_model.policy"
    assert sorted(imports_of(source)) == [
        ("handover_model.policy", ""),
        ("handover_server.serve", "main"),
    ]


@pytest.mark.parametrize("role", ROLES)
def test_importing_a_package_loads_nothing_heavy(role):
    heavy = [
        *("torch", "transformers", "mujoco", "dm_control", "gym_aloha", "pyarrow", "av"),
        *("matplotlib", "cv2", "grpc", "numpy", "google.protobuf"),
    ]
    program = (
        f"import sys, handover_{role}; print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=180, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_common_ground_loads_the_standard_library_alone():
    names = [name for name in modules() if role_of(name) == "common"]
    program = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print([name for name in ('rich', 'ray', 'numpy', 'grpc', 'tyro', 'huggingface_hub') "
        "if name in loaded], [name for name in loaded if name.startswith('handover_')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[] ['handover_common']"
