"""Imports point one way, costly libraries stay in their places, and state lives where it may."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
           for package in ("pipeline", "models") for path in sorted((ROOT / package).rglob("*.py"))}

# Each module imports only from rows above its own, or from its own row. A room stands for all that lies
# in it.
ORDER = (
    ("errors", "windows", "pages.figures", "decoding.packets", "networks.r3d101", "pages.attention_plots",
     "pages.alignment_plots", "pages.latex", "learning.optimiser", "curation.alignment"),
    ("config", "clip", "plugins", "devices", "decoding.frame_files", "media", "transferring.fetching",
     "transferring.unpacking", "networks.checkpoints", "learning.emotions", "segmenting.turns", "speaking.speaker_rows",
     "speaking.speaker_tables", "words"),
    ("sound", "scores.average_precision", "metrics", "scores.resampling", "learning.losses", "learning.metric_losses",
     "faces", "decoding.pipes", "segmenting.speakers", "diarisation", "segmenting.timeline_plots",
     "pages.ablation_plots"),
    ("storage", "store"),
    ("weights", "transferring.staging", "learning.layered", "runs", "speaking.active_speaker"),
    ("decoding.probe", "networks.hub", "storage.packing"),
    ("decoding.damage", "decode", "speaking.track_media", "networks.backbones"),
    ("rendering", "downloads", "datasets", "extractors", "networks.snippets", "networks.crops", "networks.encoders",
     "networks.hidden_states", "segmentation"),
    ("recipes", "catalogue", "networks.weight_files", "segmenting.recordings"),
    ("curation", "speaking.tracks", "storage.shards", "joined", "label_maps", "learning.units",
     "learning.train_config", "learning.splits", "learning.scaling", "batch", "learning.conversations",
     "learning.folds", "scores.answers", "transferring.transfer", "learning.mixup", "learning.modality_dropout",
     "learning.training_hours", "learning.training_start", "speaking.active_speaker_metric", "speaking.speaker_files",
     "speaking.unitalk_files", "speaking.published_speakers"),
    ("running", "doctor", "clip_dataset", "exporting", "downloading"),
    ("extraction", "learning.examples", "scores.scoring", "evaluation", "scores.baselines", "comparison",
     "scores.dropping", "scores.shortcuts", "scores.subgroups", "audit"),
    ("running.forecast", "learning.jobs", "learning.results", "learning.training_loop", "learning.stacked_training",
     "learning.wishes"),
    ("training",),
    ("pages.tables", "pages.finished_run", "pages.audit_tables", "pages.thumbnails", "pages.face_sheet",
     "pages.drawing", "pages.prose"),
    ("report", "reproduction", "ablation", "predicting", "prediction", "attention", "paper",
     "learning.search_space", "tuning"),
    ("pages.cluster_sheet", "identities", "forgetting", "browsing"),
    ("terminal",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
HOMES = {
    "h5py": {"pipeline.storage.hdf5", "pipeline.storage.writing"},
    "click": {"pipeline.cli", *(name for name in SOURCES if name.startswith("pipeline.commands."))},
    "rich": {"pipeline.terminal"},
    "facenet_pytorch": {"pipeline.faces.mtcnn", "pipeline.extractors.faces",
                        "pipeline.extractors.face_identity"},
    "transformers": {"pipeline.networks.hidden_states",
                     *(name for name in SOURCES if name.startswith("pipeline.extractors.text_"))},
    "jinja2": {"pipeline.report"},
    "pyannote": {"pipeline.diarisation"},
}
FFMPEG = {"ffmpeg", "imageio_ffmpeg", "subprocess"}
FFMPEG_HOMES = ("pipeline.decode", "pipeline.decoding.probe", "pipeline.decoding.pipes", "pipeline.rendering")
# What a module may keep between calls: networks of a worker, digests of files by their size and time of change.
CACHES = {("pipeline.running.worker", "_EXTRACTORS"), ("pipeline.weights", "_DIGESTS")}
CHANGING = {"append", "add", "update", "setdefault", "pop", "clear", "extend", "insert", "remove", "discard", "popitem"}


def tree(name: str) -> ast.Module:
    return ast.parse(SOURCES[name].read_text(encoding="utf-8"))


def imports(name: str) -> set[str]:
    """Full names of the modules that a module imports anywhere, those for type checking left out."""
    found = set()
    parsed = tree(name)
    skipped = {id(node) for block in ast.walk(parsed) if isinstance(block, ast.If)
               and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING" for node in ast.walk(block)}
    for node in ast.walk(parsed):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports by dots"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & SOURCES.keys()) or {str(node.module)}
    return found


def row_of(name: str) -> int:
    parts = name.split(".")[1:]
    for length in (2, 1):
        rows = [index for index, row in enumerate(ORDER) if ".".join(parts[:length]) in row]
        if rows:
            assert len(rows) == 1, f"{name} has several places in ORDER"
            return rows[0]
    if name in ROOMS:
        return 0                # a room's own file holds what all in it may read: here nothing but words
    raise AssertionError(f"give {name} its place in ORDER")


OURS = [name for name in SOURCES if name.startswith("pipeline.")]
ROOMS = {name for name in OURS if SOURCES[name].name == "__init__.py" and len(tree(name).body) == 1}


@pytest.mark.parametrize("name", OURS)
def test_imports_point_one_way(name: str) -> None:
    for other in imports(name) & set(OURS):
        assert row_of(other) <= row_of(name), f"{name} imports {other}, which stands above it"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: imports(name) & set(OURS) for name in OURS}
    while leaves := {name for name, others in graph.items() if not others & graph.keys() - {name}}:
        graph = {name: others for name, others in graph.items() if name not in leaves}
    assert not graph, f"a circle among {sorted(graph)}"


def test_every_name_of_the_order_is_a_module() -> None:
    assert {part for row in ORDER for part in row} <= {".".join(name.split(".")[1:3]) for name in OURS}


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_in_its_home_only(library: str) -> None:
    users = {name for name in SOURCES if library in {imported.split(".")[0] for imported in imports(name)}}
    assert users <= HOMES[library] and users


def test_ffmpeg_is_run_by_decoding_and_rendering_only() -> None:
    for name in SOURCES:
        if FFMPEG & {imported.split(".")[0] for imported in imports(name)}:
            assert name.startswith(FFMPEG_HOMES), name


@pytest.mark.parametrize("name", [name for name in SOURCES if name.split(".")[0] == "models"])
def test_models_import_nothing_of_pipeline(name: str) -> None:
    assert not {imported for imported in imports(name) if imported.split(".")[0] == "pipeline"}


def changes(scope: ast.AST, names: set[str]) -> Iterator[str]:
    """Names of the module that something in a scope changes: items set, methods that change, ``global``."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.FunctionDef):
            own = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
            yield from changes(node, names - own - {argument.arg for argument in node.args.args})
            continue
        yield from changes(node, names)
        if isinstance(node, ast.Global):
            yield from node.names
        targets: list[ast.expr] = []
        if isinstance(node, (ast.Assign, ast.Delete)):
            targets = node.targets
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
            targets = [node.func]
        for target in targets:
            if isinstance(target, (ast.Subscript, ast.Attribute)) and isinstance(target.value, ast.Name) \
                    and target.value.id in names:
                yield target.value.id


def module_names(parsed: ast.Module) -> set[str]:
    statements = [node for node in parsed.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    targets = [target for node in statements
               for target in (node.targets if isinstance(node, ast.Assign) else [node.target])]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def test_the_caches_that_may_be_are_seen() -> None:
    parsed = {name: tree(name) for name, _ in CACHES}
    assert CACHES == {(name, found) for name in parsed for found in changes(parsed[name], module_names(parsed[name]))}


@pytest.mark.parametrize("name", SOURCES)
def test_no_module_keeps_state(name: str) -> None:
    parsed = tree(name)
    assert {(name, changed) for changed in changes(parsed, module_names(parsed))} <= CACHES


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_prints_but_the_command_line(name: str) -> None:
    if name in ("pipeline.cli", "pipeline.terminal"):
        return
    calls = [node for node in ast.walk(tree(name)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("name", SOURCES)
def test_no_error_is_caught_whatever_it_is(name: str) -> None:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type is not None else ""
            assert caught not in ("", "Exception", "BaseException"), f"{name}:{node.lineno}"


@pytest.mark.parametrize("name", SOURCES)
def test_files_and_functions_stay_small(name: str) -> None:
    assert len(SOURCES[name].read_text(encoding="utf-8").splitlines()) <= 350
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{name}.{node.name}"


HEAVY = "torch", "h5py", "numpy", "pandas", "transformers", "rich"


@pytest.mark.parametrize("code", ["import pipeline", "import pipeline.cli; assert pipeline.cli.main(['--help']) == 0"])
def test_help_loads_nothing_heavy(code: str) -> None:
    script = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
