"""A registered model answers chat requests over HTTP, as itself and only when its gates hold."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lifecycle.artifacts import Published, Store, Workspace
from lifecycle.errors import LifecycleError
from lifecycle.tracking.promotion import usable_version
from lifecycle.tracking.runs import record
from tests.graph_home import ROOT
from tests.patience import PATIENCE
from tests.ports import free_port
from tests.tiny_model import tiny_model
from tests.tracking.test_registry_and_lineage import BAD, GOOD, promote_made

ASKED = [{"role": "user", "content": "What does it return?"}]
TOKENS = 6


@pytest.fixture
def model(tracking_uri: str, store: Store) -> Published:
    def build(workspace: Workspace) -> dict[str, Any]:
        tiny_model(workspace.out)
        return {}

    published = store.materialize("dpo_model", "1", "tiny", (), build)
    record(tracking_uri, published, asset="small/dpo_model", recipe_name="small", tags={}, store_root=store.root)
    return published


def greedy(directory: Path) -> str:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    network = AutoModelForCausalLM.from_pretrained(directory).eval()
    inputs = tokenizer.apply_chat_template(ASKED, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        output = network.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_the_champion_answers_as_it_answers_without_a_server(
    tracking_uri: str, store: Store, model: Published, tmp_path: Path
) -> None:
    promote_made(tracking_uri, store, model, GOOD)
    port = free_port()
    command = [sys.executable, "-m", "assets.cli", "serve", "small_dpo@champion", "--port", str(port)]
    command += ["--home", str(tmp_path), "--tracking-uri", tracking_uri]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address, server, tmp_path / "server.log")
        asked = {"model": "small_dpo", "messages": ASKED, "max_tokens": TOKENS, "temperature": 0}
        answer = requests.post(f"{address}/v1/chat/completions", json=asked, timeout=300)
        assert answer.status_code == 200, answer.text
        expected = greedy(model.artifact.path)
        assert answer.json()["choices"][0]["message"]["content"] == expected
        streamed = requests.post(f"{address}/v1/chat/completions", json=asked | {"stream": True}, timeout=300)
        parts = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: {")]
        assert "".join(part["choices"][0]["delta"].get("content") or "" for part in parts) == expected
        assert len(parts) > 1
        other = requests.post(f"{address}/v1/chat/completions", json=asked | {"model": "gpt2"}, timeout=300)
        assert other.status_code == 400, "it must never fetch, or answer as, another model"
        listening = {connection.laddr.ip for connection in connections(server.pid)}
        assert listening == {"127.0.0.1"}
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=PATIENCE)


def connections(pid: int) -> list[Any]:
    return [each for each in psutil.Process(pid).net_connections() if each.status == psutil.CONN_LISTEN]


def wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.3)
    raise AssertionError(log.read_text())


def test_what_failed_its_gates_or_is_damaged_is_not_used(tracking_uri: str, store: Store, model: Published) -> None:
    promote_made(tracking_uri, store, model, BAD)
    with pytest.raises(LifecycleError, match="--despite-gates"):
        usable_version(tracking_uri, "small_dpo", store)
    assert usable_version(tracking_uri, "small_dpo", store, despite_gates=True).artifact == model.artifact
    (model.artifact.path / "config.json").write_text("{}")
    with pytest.raises(LifecycleError, match="does not match the manifest"):
        usable_version(tracking_uri, "small_dpo", store, despite_gates=True)
