"""The digest follows the code that a rule runs, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foldbelt import provenance, registry
from foldbelt.files import InputError

FILES = {
    "__init__.py": '"""A package."""\n',
    "base.py": "def one():\n    return 1\n",
    "main.py": (
        '"""Doc."""\nimport os\nfrom pack.losses import ring\n\n\n'
        'def run(x):\n    """Run."""\n    from .late import two  # here\n'
        '    return ring.loss(x) + two(), f"{x:}{os.sep}"\n'
    ),
    "late.py": "import typing\nif typing.TYPE_CHECKING:\n    import pack.typed\n\ntwo = int\n",
    "typed.py": "A = 1\n",
    "losses/__init__.py": "VERSION = 1\n",
    "losses/ring.py": "from . import back\n\n\ndef loss(x):\n    return back.add(x)\n",
    "losses/back.py": "import pack.losses.ring as r\nfrom ..base import one\n\nadd = one\n",
    "losses/other.py": "def other():\n    return 2\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return make(tmp_path / "pack")


def make(root: Path) -> Path:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def of(root: Path, *modules: str) -> str:
    return provenance._fingerprint(modules, root)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("main.py", '"""Doc."""', '"""Another, longer docstring."""'),
        ("main.py", '"""Run."""', '"attribute"\n    "and more"'),
        ("main.py", "# here", "# there"),
        ("main.py", "def run(x):", "def run(\n    x\n):\n\n"),
        ("base.py", "return 1", "return (1)"),
        ("late.py", "two = int", 'two = int\n"""What two is."""'),
        ("late.py", "import pack.typed", "import pack.typed, pack.losses.other"),
        ("typed.py", "A = 1", "A = 2"),
        ("losses/other.py", "return 2", "return 3"),
    ],
)
def test_what_does_not_run_does_not_count(package: Path, file: str, old: str, new: str) -> None:
    before = of(package, "pack.main")
    edit(package / file, old, new)
    assert of(package, "pack.main") == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("main.py", "{x:}", "{x!r}"),
        ("main.py", "ring.loss(x) + two()", "ring.loss(x) - two()"),
        ("base.py", "return 1", "return True"),
        ("base.py", "return 1", "return 1.0"),
        ("base.py", "return 1", "return None"),
        ("base.py", "return 1", 'return "1"'),
        ("late.py", "two = int", "two = str"),
        ("__init__.py", "\n", "\nA = 1\n"),
        ("losses/__init__.py", "VERSION = 1", "VERSION = 2"),
        ("losses/ring.py", "loss(x)", "loss(x, y=0)"),
        ("losses/back.py", "add = one", "add = one or one"),
    ],
)
def test_code_counts_however_it_is_imported(package: Path, file: str, old: str, new: str) -> None:
    before = of(package, "pack.main")
    edit(package / file, old, new)
    assert of(package, "pack.main") != before


def test_a_new_sibling_and_foreign_imports_do_not_count(package: Path) -> None:
    before = of(package, "pack.main")
    (package / "losses" / "new.py").write_text("def new():\n    return 1\n")
    (package / "os.py").write_text("x = 1\n")
    assert of(package, "pack.main") == before
    assert of(package, "pack.main", "pack.losses.new") != before


def test_place_order_and_repetition_do_not_count(package: Path, tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "else" / "where" / "pack")
    one = of(package, "pack.main", "pack.losses.other")
    assert of(elsewhere, "pack.losses.other", "pack.main", "pack.main") == one
    assert of(package, "pack.main", "pack.base") == of(package, "pack.main")


def test_a_script_counts_with_what_it_imports(package: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text("from pack import late\n\nlate.two()\n")
    before = of(package, str(script))
    moved = tmp_path / "moved.py"
    moved.write_text("# the same\nfrom pack import late\nlate.two()\n")
    assert of(package, str(moved)) == before
    moved.write_text("from pack import late\nlate.two(1)\n")
    assert of(package, str(moved)) != before
    edit(package / "late.py", "int", "str")
    assert of(package, str(script)) != before


def test_a_module_counts_with_its_name(package: Path) -> None:
    (package / "copy.py").write_text(FILES["base.py"])
    assert of(package, "pack.copy") != of(package, "pack.base")


def test_unknown_modules_are_all_named(package: Path) -> None:
    with pytest.raises(InputError, match=r"no/such\.py, numpy, pack\.base\.one, pack\.lossy"):
        of(package, "pack.main", "pack.lossy", "pack.base.one", "numpy", "no/such.py")


def test_a_module_that_cannot_be_parsed_is_named(package: Path) -> None:
    (package / "base.py").write_text("def one(:\n")
    with pytest.raises(InputError, match=r"base\.py is not valid Python"):
        of(package, "pack.main")


def test_the_form_is_the_same_on_every_python() -> None:
    # Taken once with 3.11; the interpreter that runs this test must not matter.
    source = b"""
def f(x: int, *, k=None, **rest) -> "int": return x
match a:
    case {"k": [1, *_], **r} if r: pass
    case None | -1.5e300: x = {**r, 'u': u'\\u0378\\ud800', b'b': 1j, (): ...}
try: y = f"{x!r:>{a}}" "tail" f"{x:}"
except* ValueError: z = lambda a, /, b=1: (yield)
async def g(): return [i async for i in x if not i]
"""
    assert provenance._parse(source)[0][:16] == "54b202d2aa25facc"


def test_the_library_itself_has_a_digest_and_is_not_imported() -> None:
    code = (
        "import sys; from foldbelt.provenance import fingerprint; "
        "print(fingerprint('foldbelt.files', 'foldbelt.provenance')); "
        "bad = {'numpy', 'pandas', 'h5py', 'torch'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(done.stdout.strip()) == 16


def test_environment_is_json_and_complete() -> None:
    found = provenance.environment()
    json.dumps(found, allow_nan=False)
    assert found["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert found["packages"]["numpy"]
    assert found["cpu"]["count"] >= 1


def test_git_tells_commit_and_changes_of_tracked_files_only(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        command = ["git", "-C", tmp_path, "-c", "user.name=n", "-c", "user.email=e", *arguments]
        subprocess.run(command, check=True, capture_output=True)

    file = tmp_path / "a.py"
    file.write_text("a = 1\n")
    assert provenance._git(file) is None
    git("init")
    git("add", "a.py")
    git("commit", "-m", "A")
    (tmp_path / "untracked.py").write_text("")
    clean = provenance._git(file)
    assert clean is not None
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    file.write_text("a = 2\n")
    assert provenance._git(file) == {**clean, "dirty": True}
    assert provenance._git(tmp_path / "untracked.py") is None


def test_what_jobs_say_counts_in_no_fingerprint() -> None:
    assert "foldbelt.logs" not in provenance.upstream("foldbelt.train.loop")
    assert "foldbelt.train.state" in provenance.upstream("foldbelt.train.loop")


def test_of_a_lazy_room_only_what_is_asked_for_counts(package: Path) -> None:
    (package / "losses" / "__init__.pyi").write_text(
        "from .ring import loss as loss\nfrom .other import other as other\n"
    )
    (package / "asks.py").write_text("from pack.losses import loss\n")
    (package / "takes.py").write_text("from pack import losses\n")
    asks, takes = of(package, "pack.asks"), of(package, "pack.takes")
    edit(package / "losses" / "other.py", "return 2", "return 3")
    assert of(package, "pack.asks") == asks
    assert of(package, "pack.takes") != takes
    edit(package / "losses" / "ring.py", "back.add(x)", "back.add(2 * x)")
    assert of(package, "pack.asks") != asks


@pytest.mark.parametrize(
    "script", ["ingest_images", "make_channels", "split_folds", "train_stage", "predict_images"]
)
def test_nothing_that_judges_is_upstream_of_what_it_judges(script: str) -> None:
    root = Path(provenance.__file__).parents[2]
    modules = provenance.upstream(str(root / "workflow" / "scripts" / f"{script}.py"))
    rooms = {name.split(".")[1] for name in modules if "." in name}
    assert rooms, "the script is followed"
    assert not rooms & {"search", "ensemble", "decide", "submit", "evaluate", "report", "bootstrap"}


@pytest.mark.parametrize("script", ["make_channels", "train_stage", "test_rates", "predict_images"])
def test_no_plug_in_counts_unless_the_config_names_it(script: str) -> None:
    root = Path(provenance.__file__).parents[2]
    modules = provenance.upstream(str(root / "workflow" / "scripts" / f"{script}.py"))
    rooms = ("channels", "losses", "models", "models/encoders", "decide/steps", "competitions")
    plug_ins = {
        f"foldbelt.{room.replace('/', '.')}.{name}"
        for room in rooms
        for name in registry.known(room)
    }
    assert not plug_ins & set(modules), "its rule names the plug-ins of the config"
