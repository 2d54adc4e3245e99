"""The project's own rules: light imports, honest pins, one address, clean notebooks, no half set-up."""

import ast
import functools
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LISTED = subprocess.run(
    ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
)
TRACKED = [ROOT / name for name in LISTED.stdout.split("\0") if name and (ROOT / name).is_file()]
NOTEBOOKS = [file for file in TRACKED if file.suffix == ".ipynb"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ADDRESS = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]


def name_of(file):
    return str(file.relative_to(ROOT))


def texts(*suffixes):
    """(file, text) of every tracked text file, or of those with one of these suffixes."""
    for file in TRACKED:
        if not suffixes or file.suffix in suffixes:
            try:
                yield file, file.read_text(encoding="utf8")
            except UnicodeDecodeError:
                pass


# The package


MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in TRACKED
    if file.suffix == ".py" and file.is_relative_to(ROOT / "flatlab")
}
FLOORS = ["measure", "ground", "training", "study", "face", "plots", "cli"]  # each stands on those before it
ROOMS = {**{room: set(FLOORS[: number + 1]) for number, room in enumerate(FLOORS)}, "measure": {"measure"}}
ROOMS["checks"] = {
    "checks",
    "measure",
    "ground",
    "training",
    "face",
}  # a check watches flatlab.train, as students call it


def room(module):
    """The room that a module is in: its wing, the ground floor, the command line, or the face, which is `flatlab`
    itself."""
    parts = module.split(".")
    if len(parts) == 1:
        return "face"
    return parts[1] if parts[1] in ROOMS else "cli" if parts[1] in ("cli", "__main__") else "ground"


@functools.cache
def syntax(module):
    return ast.parse(MODULES[module].read_text())


def imports(module, types=True):
    """The modules of the package that a module imports, at its top or inside a function; `types`: or only to name a
    type."""
    tree = syntax(module)
    named = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    skipped = set() if types else {inner for node in named for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        names = [name.name for name in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        for name in [f"{node.module}.{name}" if isinstance(node, ast.ImportFrom) else name for name in names]:
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name:
                yield name


def test_imports_follow_the_arrows_of_the_layout():
    """cli -> plots -> study -> training -> ground floor; study, checks -> measure -> nothing of the house but
    itself."""
    wrong = [(module, name) for module in MODULES for name in imports(module) if room(name) not in ROOMS[room(module)]]
    assert not wrong, "\n".join(f"{module} may not import {name}" for module, name in wrong)


def test_no_module_imports_itself_by_way_of_others():
    graph = {module: set(imports(module, types=False)) for module in MODULES}
    while leaves := [module for module, names in graph.items() if not names]:
        for module in leaves:
            del graph[module]
        graph = {module: names - set(leaves) for module, names in graph.items()}
    assert not graph, f"these import one another in a circle, or stand on one that does: {graph}"


def test_the_store_names_no_module_above_it():
    assert {room(name) for name in imports("flatlab.training.store")} <= {"ground"}


def public(module):
    """(name, node) of every public function, class and method of a module, dunder methods among them."""

    def of(body):
        return [node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]

    for node in of(syntax(module).body):
        if not node.name.startswith("_"):
            yield node.name, node
            for inner in of(node.body) if isinstance(node, ast.ClassDef) else ():
                if not inner.name.startswith("_") or inner.name.startswith("__"):
                    yield f"{node.name}.{inner.name}", inner


def parameters(function, method):
    """The arguments that a function takes, without `self` or `cls`."""
    of = function.args
    bound = method and "staticmethod" not in map(ast.unparse, function.decorator_list)
    rest = [each for each in (of.vararg, of.kwarg) if each]
    return [*of.posonlyargs, *of.args][bound:] + of.kwonlyargs + rest


def test_every_public_name_says_what_it_is_what_it_takes_and_what_it_returns():
    silent = []
    for module in MODULES:
        for name, node in public(module):
            if not ast.get_docstring(node) and not name.endswith("__"):
                silent.append(f"{module}: {name} has no docstring")
            if isinstance(node, ast.FunctionDef):
                untyped = [each.arg for each in parameters(node, "." in name) if not each.annotation]
                untyped += ["what it returns"] * (not node.returns)
                silent += [f"{module}: {name} gives no type for {each}" for each in untyped]
    assert not silent, "\n".join(silent)


def test_no_property_has_a_colon_in_its_first_line():
    """The reference takes what stands before it for the property's type."""
    wrong = []
    for module in MODULES:
        for name, node in public(module):
            if isinstance(node, ast.FunctionDef) and any("property" in ast.unparse(d) for d in node.decorator_list):
                first = ast.get_docstring(node).partition("\n")[0]
                wrong += [f"{module}: {name}"] * (":" in re.sub(r"`[^`]*`", "", first))
    assert not wrong, "\n".join(wrong)


def test_a_docstring_that_a_user_reads_has_its_sections():
    """Each parameter under its name, and what is returned: a hover and the reference show them so."""
    import flatlab
    from flatlab.study import paper

    named = {f"flatlab.{name}": getattr(flatlab, name) for name in flatlab.__all__}
    named |= {f"paper.{name}": value for name, value in vars(paper).items() if name.islower() and name[0] != "_"}
    lacking = []
    for name, function in named.items():
        if inspect.isfunction(function):
            told = {"": ""}
            for part in re.split(r"\n(?=\w+\n---)", inspect.getdoc(function)):
                head, _, text = part.partition("\n---")
                told[head] = text
            heads = re.findall(r"^([\w*, ]+)", told.get("Parameters", ""), re.MULTILINE)
            explained = {one.strip(" *") for head in heads for one in head.split(",")}
            lacking += [f"{name}: {one}" for one in inspect.signature(function).parameters if one not in explained]
            lacking += [f"{name}: what it returns"] * ("Returns" not in told)
    assert not lacking, "\n".join(lacking)


def test_a_choice_is_a_choice_of_words_wherever_it_is_taken():
    """A parameter that is a `Literal` in one place is one everywhere, so that a type checker knows its words."""
    choices = {
        target.id
        for module in MODULES
        for node in syntax(module).body
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Literal[")
        for target in node.targets
    } | {"Literal"}

    def words(annotation):
        return {re.sub(r"\[.*", "", part) for part in ast.unparse(annotation).split(" | ")}

    taken = [
        (f"{module}: {name}", each.arg, words(each.annotation))
        for module in MODULES
        for name, node in public(module)
        if isinstance(node, ast.FunctionDef)
        for each in parameters(node, "." in name)
        if each.annotation
    ]
    names = {name for _, name, types in taken if types & choices}
    assert {"method", "which", "tier", "batch_norm"} <= names
    names -= {"name", "net"}  # which also name what a user has, or what a recorded file says
    plain = [f"{place} takes {name} as any text" for place, name, types in taken if name in names and "str" in types]
    assert not plain, "\n".join(plain)


def test_a_misspelt_argument_is_found_by_a_users_type_checker(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import torch\n"
        "import flatlab\n\n"
        "net = torch.nn.Linear(8, 3)\n"
        "inputs, targets = torch.randn(20, 8), torch.arange(20) % 3\n"
        "f = flatlab.Objective(net, (inputs, targets))\n"
        "found = flatlab.sharpness(f, epsilon=1e-3)\n"
        "percent: float = flatlab.sharpness(f, eps=1e-3).percent\n"
        "print(found, percent)\n"
    )
    done = subprocess.run([sys.executable, "-m", "mypy", program], cwd=ROOT, capture_output=True, text=True)
    said = [
        line.partition("program.py:")[2]
        for line in done.stdout.splitlines()
        if "program.py" in line and "error" in line
    ]
    assert len(said) == 1 and said[0].startswith("7: ") and '"epsilon"' in said[0], done.stdout + done.stderr
    assert (ROOT / "flatlab" / "py.typed").is_file(), "without it a type checker takes an installed package for untyped"


def test_importing_flatlab_pulls_in_nothing_that_a_figure_or_a_data_set_needs():
    heavy = [
        "numpy.random",
        "torchvision",
        "matplotlib",
        "scipy",
        "sklearn",
        "pandas",
        "IPython",
        "ipywidgets",
        "mnist1d",
        "nbformat",
    ]
    code = f"import sys, flatlab; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_package_carries_the_papers_curves():
    import flatlab

    assert list((Path(flatlab.__file__).parent / "study" / "paper_figures").glob("fig3_*.csv"))


def test_the_version_is_the_same_everywhere():
    import flatlab

    assert flatlab.__version__ == PROJECT["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


# What it is made from


def test_the_package_gives_lower_bounds_only():
    """An upper bound or a pin in the package breaks a notebook's first cell on somebody else's machine."""
    required = [line for extra in PROJECT["optional-dependencies"].values() for line in extra] + PROJECT["dependencies"]
    for line in required:
        assert [bound.operator for bound in Requirement(line).specifier] == [">="], line
    assert {Requirement(line).name for line in PROJECT["dependencies"]} == {"torch", "numpy", "safetensors", "tqdm"}
    assert set(PROJECT["optional-dependencies"]) == {"book", "course", "cluster", "dev"}


COLAB = {"torch": "2.11.0", "torchvision": "0.26.0", "numpy": "2.1.3", "ipywidgets": "7.7.1"}  # as of August 2026


def test_what_a_chapter_installs_leaves_colabs_torch_and_jupyter_as_they_are():
    wanted = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["book"]]
    assert {one.name for one in wanted} >= COLAB.keys()
    assert not [str(one) for one in wanted if one.name in COLAB and COLAB[one.name] not in one.specifier]
    assert not [one.name for one in wanted if re.match("jupyter|notebook|ipython|ipykernel|nb", one.name)]


def test_the_books_environment_is_pinned_exactly():
    text = (ROOT / "requirements.txt").read_text()
    assert "make pins" in text, "requirements.txt is made by `make pins`"
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pins = {Requirement(line).name.lower().replace("_", "-"): Requirement(line) for line in lines}
    assert len(pins) == len(lines), "a package is named twice"
    for pin in pins.values():
        assert [bound.operator for bound in pin.specifier] == ["=="] and pin.marker is None and pin.url is None, str(
            pin
        )
        assert "*" not in str(pin.specifier) and "+" not in str(pin.specifier), str(pin)
    for name, version in (("torch", "2.13.0"), ("torchvision", "0.28.0"), ("jupyter-book", "1.0.4.post1")):
        assert str(pins[name].specifier) == f"=={version}"
    extras = [
        Requirement(line)
        for name, extra in PROJECT["optional-dependencies"].items()
        for line in extra
        if name != "cluster"  # an engine beside the book's environment, not in it
    ]
    for wanted in [Requirement(line) for line in PROJECT["dependencies"]] + extras:
        pin = pins[wanted.name.lower()]
        assert wanted.specifier.contains(str(pin.specifier)[2:]), f"{pin} is outside {wanted}"


# Links and names


def test_every_link_to_the_repository_is_the_one_in_the_configuration():
    owner, name = ADDRESS.removeprefix("https://github.com/").split("/")
    hosts = ("github.com", "colab.research.google.com/github", "raw.githubusercontent.com")
    at = re.compile(f"(?:{'|'.join(map(re.escape, hosts))})" + r"/([\w.-]+/[\w.-]+)")
    pages = re.compile(r"([\w-]+)\.github\.io/([\w.-]+)")
    found = 0
    for file, text in texts():
        for path in at.findall(text):
            path = path.rstrip(".").removesuffix(".git")
            if path.split("/")[1] == name or path.split("/")[0] == owner:
                found += 1
                assert path == f"{owner}/{name}", f"{name_of(file)} links to {path}, _config.yml names {ADDRESS}"
        for host, page in pages.findall(text):
            if page.rstrip(".") == name or host == owner:
                assert (host, page.rstrip(".")) == (owner, name), f"{name_of(file)} links to {host}.github.io/{page}"
    assert found > 3


def test_every_link_to_a_file_of_the_repository_leads_to_one():
    link = re.compile(re.escape(ADDRESS.split("github.com/")[1]) + r"/(?:blob|tree|edit)/main/([^\s)\"'>#?\\]+)")
    local = re.compile(r"\]\((?!https?:|#|mailto:|attachment:)([^)#\s]+)")
    for file, text in texts(".md", ".ipynb", ".toml", ".yml", ".cff"):
        for path in link.findall(text):
            assert (ROOT / path.rstrip(".,`")).exists(), f"{name_of(file)} links to {path}, which is not there"
        if file.suffix == ".ipynb":
            text = "\n".join(cell.source for cell in nbformat.read(file, 4).cells if cell.cell_type == "markdown")
        if file.suffix in (".md", ".ipynb"):
            for path in local.findall(text):
                assert (file.parent / path).exists(), f"{name_of(file)} links to {path}, which is not there"


def test_no_file_names_a_machine():
    """A path of somebody's disk, or the address of a package registry, works on one machine only."""
    path = re.compile(r"(?<![\w.$}])/(?:home|Users|root|workspace|mnt|opt|srv|work|tmp)/[\w.-]+")
    registry = re.compile(r"index-url|://[^\s/]+/simple\b")
    for file, text in texts():
        if file.resolve() == Path(__file__).resolve():
            continue
        assert not (found := path.search(text)), f"{name_of(file)} names {found.group(0)}"
        assert not (found := registry.search(text)), f"{name_of(file)} names a registry: {found.group(0)}"


# The notebooks


@pytest.mark.parametrize("file", NOTEBOOKS, ids=name_of)
def test_a_notebook_is_stored_without_outputs_but_short_pinned_ones(file):
    notebook = nbformat.read(file, 4)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        where = f"cell {number}"
        if "nbval-check-output" in cell.metadata.get("tags", []):
            assert all(output.output_type in ("stream", "execute_result") for output in cell.outputs), where
            assert sum(len(json.dumps(output)) for output in cell.outputs) < 2000, f"{where}: a pinned output is short"
        else:
            assert not cell.outputs, f"{where} has outputs"
            assert cell.execution_count is None, f"{where} has an execution count"
    assert not notebook.metadata.get("widgets"), "stored widget state"


@pytest.mark.parametrize("file", NOTEBOOKS, ids=name_of)
def test_a_notebooks_prose_shows_no_raw_directive_in_colab(file):
    for number, cell in enumerate(nbformat.read(file, 4).cells):
        if cell.cell_type == "markdown":
            raw = re.search(r"\{[a-z:]+\}`|^:::|^```\{", cell.source, re.MULTILINE)
            assert not raw, f"cell {number}: {raw.group(0)!r} is read as it stands outside the book"


def test_every_image_has_an_alternative_text():
    for file, text in texts(".md", ".ipynb"):
        assert not re.search(r"!\[\s*\]\(", text), f"{name_of(file)}: an image without a text"
        for image in re.findall(r"<img[^>]*>", text):
            assert re.search(r"alt=\\?[\"'][^\"'\\]", image), f"{name_of(file)}: {image}"
        for block in re.findall(r"```\{(?:figure|image)\}(.*?)```", text, re.DOTALL):
            assert ":alt:" in block, f"{name_of(file)}: {block.strip()[:60]}"


# The set-up


@pytest.fixture
def fresh(tmp_path):
    """A tree with the Makefile and a python3 that only notes what it is asked, and can be made to fail."""
    tree = tmp_path / "a tree with spaces"
    tree.mkdir()
    shutil.copy(ROOT / "Makefile", tree)
    (tree / "requirements.txt").write_text("a==1\n")
    (tree / "pyproject.toml").write_text("")
    python = tmp_path / "python3"
    python.write_text(
        "#!/bin/sh\n"
        'echo "$*" >> asked\n'
        'case "$*" in\n'
        '  *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python;;\n'
        '  *"-r requirements.txt"*) [ ! -e no-network ];;\n'
        "  *version_info*) [ ! -e too-old ];;\n"
        "esac\n"
    )
    python.chmod(0o755)

    def setup():
        asked = tree / "asked"
        asked.unlink(missing_ok=True)
        # Started from a make, as by `make test`, a make would inherit its options.
        env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        command = ["make", "setup", f"PYTHON3={python}"]
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, env=env)
        return done, asked.read_text() if asked.exists() else ""

    return tree, setup


def test_a_set_up_is_made_once_and_again_when_a_pin_changes(fresh):
    tree, setup = fresh
    done, asked = setup()
    assert done.returncode == 0, done.stderr
    assert "-r requirements.txt" in asked and "-e ." in asked
    done, asked = setup()
    assert done.returncode == 0 and asked == "", "nothing had changed"
    (tree / "requirements.txt").write_text("a==2\n")
    assert "-r requirements.txt" in setup()[1]


def test_a_set_up_that_was_interrupted_starts_over(fresh):
    tree, setup = fresh
    (tree / "no-network").touch()
    assert setup()[0].returncode != 0
    (tree / ".venv" / "half-installed").touch()
    (tree / "no-network").unlink()
    done, asked = setup()
    assert done.returncode == 0 and "-r requirements.txt" in asked
    assert not (tree / ".venv" / "half-installed").exists()


def test_a_python_that_is_too_old_is_refused_in_a_sentence(fresh):
    tree, setup = fresh
    (tree / "too-old").touch()
    done, _ = setup()
    assert done.returncode != 0 and "needs Python 3.11 or newer" in done.stderr
    assert not (tree / ".venv").exists()


def test_where_a_gpu_can_be_neither_found_nor_pretended_its_tests_are_skipped_and_one_line_says_why():
    """As with torch's usual build on a machine without a GPU."""
    built = "torch.version.cuda, torch.backends.cuda.is_built, torch.cuda.is_available = '13.0', {}, {}".format(
        "lambda: True", "lambda: False"
    )
    options = ["tests/gpu", "-q", "-rs", "-p", "no:cacheprovider", "-k", "test_augmentation"]
    command = [sys.executable, "-c", f"import sys, pytest, torch; {built}; sys.exit(pytest.main({options}))"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^SKIPPED.*", done.stdout, re.MULTILINE) and " passed" not in done.stdout
    assert done.stdout.count("built for a GPU and finds none here") == 1


def test_make_help_lists_every_command():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    for command in ("book", "test", "check", "lint", "lab", "labs", "pins", "help"):
        assert re.search(rf"^{command} ", listed, re.MULTILINE), command


def test_what_takes_longest_is_begun_first_and_each_lab_is_with_one_worker(tmp_path):
    """A suite of two files with this one's conftest: Lab 1 stays with what names no lab, Lab 2 goes to the other
    worker."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    marks = (
        "import pytest, time\n\n\ndef test_of_the_first():\n    time.sleep(1)\n\n\n"
        "@pytest.mark.parametrize('lab', ['lab1', 'lab2'])\ndef test_of(lab):\n    time.sleep(1)\n"
    )
    (tmp_path / "test_a.py").write_text("def test_a():\n    pass\n")
    (tmp_path / "test_marking.py").write_text(marks)
    options = ["--verbose", "-p", "no:cacheprovider", "-p", "xdist", "-n2", "--dist=loadfile", "--no-loadscope-reorder"]
    command = [sys.executable, "-m", "pytest", *options, f"--rootdir={tmp_path}", tmp_path]
    bare = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # else three processes import what no test here needs
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=bare)
    ran = re.findall(r"\[(gw\d)\].* PASSED \S*?(test_\w+\.py::\S+)", done.stdout)
    worker = {test: number for number, test in ran}
    assert len(worker) == 4, done.stdout + done.stderr
    labs = ["test_marking.py::test_of[lab1]", "test_marking.py::test_of[lab2]"]
    assert worker["test_marking.py::test_of_the_first"] == worker[labs[0]] != worker[labs[1]]
    assert ran[-1][1] == "test_a.py::test_a"
