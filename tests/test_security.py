"""Recipes, templates, stores and addresses are data: none of them runs code, leaves its root or carries a secret on."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.corpora.paths import expand
from lifecycle.errors import CorruptArtifactError, DataError, RecipeError
from lifecycle.manifest import MANIFEST, FileEntry, Manifest, content_digest, read_manifest
from lifecycle.secrets import fields_with_credentials, without_credentials
from lifecycle.tokens.chat import check_template
from tests.tiny_model import tiny_tokenizer
from tests.tracking.chain import small_recipe

ROOT = Path(__file__).resolve().parents[1]
CODE = sorted(path for part in ("lifecycle", "assets", "resources") for path in (ROOT / part).rglob("*.py"))

UNPICKLED = {
    "lifecycle/parallel.py": "what this process itself sends to its own workers",
    "lifecycle/training/universal.py": "DeepSpeed's own files, made a moment ago from files whose hashes were verified",
}
"""Where objects are unpickled, and why that is safe."""
UNPICKLING = ("pickle.load", "pickle.loads", "dill.loads", "cloudpickle.loads", "joblib.load")


def _calls(source: str) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def _given(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(word.value) for word in call.keywords if word.arg == name), None)


def test_no_code_comes_out_of_data() -> None:
    """A checkpoint of the hub, a YAML file with a Python tag, a NumPy file with objects: each has run a stranger's code."""
    found = [f"{path.relative_to(ROOT)}:{line}: {what}" for path in CODE for line, what in _unsafe(path)]
    assert not found, "\n".join(found)


def _unsafe(path: Path) -> Iterator[tuple[int, str]]:
    source = path.read_text(encoding="utf-8")
    for function, call in _calls(source):
        unpickles = function in UNPICKLING or (function == "torch.load" and _given(call, "weights_only") != "True")
        if unpickles and path.relative_to(ROOT).as_posix() not in UNPICKLED:
            yield call.lineno, "unpickles"
        if function in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
            loader = _given(call, "Loader") or ast.unparse(call.args[1])
            if f"class {loader}(yaml.SafeLoader)" not in source:
                yield call.lineno, f"loads YAML with {loader}"
        if function in ("eval", "exec", "os.system") or function.endswith("extractall"):
            yield call.lineno, function
        for word in ("allow_pickle", "shell", "trust_remote_code"):
            if _given(call, word) == "True":
                yield call.lineno, f"{function}({word}=True)"


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.system('touch owned') }}",
        "{% for i in range(10 ** 12) %}x{% endfor %}",
        "{{ messages.append({'role': 'system', 'content': 'x'}) }}",
    ],
)
def test_a_chat_template_cannot_reach_out_of_its_sandbox(
    attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = attack + str(tokenizer.chat_template)
    with pytest.raises(RecipeError, match=r"own\.jinja"):
        check_template(tokenizer, "own.jinja")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b"])
def test_a_manifest_cannot_name_a_file_outside_of_its_artifact(path: str, tmp_path: Path) -> None:
    entry = FileEntry.model_construct(path=path, size=1, sha256="0" * 64)
    fields = {"stage": "corpus", "fingerprint": "f", "digest": content_digest((entry,)), "code_version": "1", "seconds": 1.0}
    manifest = Manifest.model_construct(**fields, identity={}, inputs=(), files=(entry,), facts={}, created_at="now")
    (tmp_path / MANIFEST).write_text(manifest.model_dump_json(), encoding="utf-8")
    with pytest.raises(CorruptArtifactError, match="leads out of the artifact"):
        read_manifest(tmp_path)


def test_a_recipe_with_a_password_in_an_address_is_refused_by_field(tmp_path: Path) -> None:
    address = "- {name: web, kind: jsonl, path: 'https://me:hunter2@example.org/a.jsonl', licence: x, language: en}"
    with pytest.raises(RecipeError, match=r"sources\.0\.path: a password in an address") as refused:
        small_recipe(tmp_path, lambda text: text.replace("sources:\n", f"sources:\n  {address}\n", 1))
    assert "hunter2" not in str(refused.value)
    small_recipe(
        tmp_path, lambda text: text.replace("sources:\n", f"sources:\n  {address}\n", 1).replace("hunter2", "$TOKEN")
    )


def test_only_passwords_written_out_are_found() -> None:
    data = {
        "a": "s3://bucket/x@y",
        "b": ["https://host/path", {"c": "ftp://me:pw@host"}],
        "d": "https://user@host/",
        "e": "https://u:${PW}@host",
        "f": "a text: with @ and ://",
    }
    assert list(fields_with_credentials(data)) == ["b.1.c"]
    assert without_credentials("ftp://me:pw@host/x and https://h") == "ftp://…@host/x and https://h"


def test_a_password_from_the_environment_is_not_said_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "hunter2")
    with pytest.raises(DataError, match="web: path") as failed:
        expand("nosuch://me:$PLANTED@host/*.jsonl", "web: path")
    assert "hunter2" not in str(failed.value)
