"""What people see: the asset graph, an asset with its plot, and the run in MLflow, in a real browser."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.request import urlopen

import psutil
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from lifecycle.stages import STAGES
from tests.graph_home import ROOT, Home

pytestmark = pytest.mark.slow

GROUPS = ("1_corpora", "2_tokens", "3_pretraining", "4_instructions", "5_preferences", "6_evaluation")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Servers:
    dagster: str
    mlflow: str


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        yield browser.new_page(viewport={"width": 1800, "height": 1000})
        browser.close()


@pytest.fixture(scope="module")
def servers(finished: Home) -> Iterator[Servers]:
    dagster, mlflow = free_port(), free_port()
    command = finished.command("ui", "--dagster-port", str(dagster), "--mlflow-port", str(mlflow))
    with (finished.path / "ui.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=finished.environment, stdout=log, stderr=log)
    try:
        addresses = Servers(f"http://127.0.0.1:{dagster}", f"http://127.0.0.1:{mlflow}")
        for address in (addresses.dagster, addresses.mlflow):
            wait_for(address, process)
        yield addresses
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, f"`lifecycle ui` left servers behind: {alive}"


def test_graph_shows_every_asset(page: Page, servers: Servers) -> None:
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    page.goto(f"{servers.dagster}/asset-groups/?expanded={expanded}")
    for name in [stage.name for stage in STAGES] + ["champion"]:
        expect(page.get_by_text(name, exact=True).first).to_be_visible(timeout=60_000)
    keep_screenshot(page, "graph")


def test_asset_page_shows_its_plot(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dagster}/assets/tiny/base_model")
    row = page.get_by_text("plot: loss", exact=True)
    expect(row).to_be_visible(timeout=60_000)
    page.get_by_text("Show Markdown").first.click()
    picture = page.locator("img[alt=loss]")
    expect(picture).to_be_visible(timeout=30_000)
    assert picture.evaluate("image => image.naturalWidth") > 300
    keep_screenshot(page, "plot")


def test_gate_is_a_check_with_its_value(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dagster}/assets/tiny/eval_report?view=checks")
    expect(page.get_by_text("gates_hold").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Passed").first).to_be_visible(timeout=30_000)


def test_mlflow_lists_the_registered_models(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.mlflow}/#/models")
    for name in ("tiny_base", "tiny_sft", "tiny_dpo"):
        expect(page.get_by_text(name).first).to_be_visible(timeout=60_000)
    keep_screenshot(page, "models")


def keep_screenshot(page: Page, name: str) -> None:
    """Pictures for a person to look at, where LIFECYCLE_SCREENSHOTS names a directory for them."""
    directory = os.environ.get("LIFECYCLE_SCREENSHOTS")
    if directory:
        page.screenshot(path=f"{directory}/{name}.png")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(address: str, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "`lifecycle ui` ended by itself"
        try:
            with urlopen(address, timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{address} did not answer within {seconds} s")
