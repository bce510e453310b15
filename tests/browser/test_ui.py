"""What people see: the asset graph, assets with tables and plots, the ledger page, the run in MLflow, in a real browser."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.request import urlopen

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from lifecycle.stages import STAGES
from tests.graph_home import ROOT, Home
from tests.patience import PATIENCE
from tests.ports import free_port

pytestmark = pytest.mark.slow

expect.set_options(timeout=1000 * PATIENCE)

GROUPS = {
    "0_overview": ("plan",),
    "1_corpora": ("raw_corpora", "cleaned_corpora", "corpus", "heldout_text"),
    "2_tokens": ("tokenizer", "pretrain_memmap"),
    "3_pretraining": ("base_model",),
    "4_instructions": ("raw_instructions", "instructions", "sft_memmap", "sft_model"),
    "5_preferences": ("raw_preferences", "preference_pairs", "dpo_model"),
    "6_evaluation": ("base_eval", "sft_eval", "dpo_eval", "eval_report", "champion"),
}
"""What each group of the graph has in every recipe."""
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
def browser() -> Iterator[Browser]:
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own for each test: what the last one still asks its server for is not this one's request."""
    page = browser.new_page(viewport={"width": 1800, "height": 1000})
    page.set_default_timeout(1000 * PATIENCE)
    yield page
    page.close()


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
        process.wait(timeout=PATIENCE)
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert not alive, f"`lifecycle ui` left servers behind: {alive}"


def test_graph_shows_every_asset(page: Page, servers: Servers) -> None:
    assert {name for names in GROUPS.values() for name in names} == {stage.name for stage in STAGES} | {"champion", "plan"}
    for group, names in GROUPS.items():  # all of them open at once are larger than a window
        page.goto(f"{servers.dagster}/asset-groups/?expanded=global@global:{group}")
        for name in names:
            expect(page.get_by_text(name, exact=True).first).to_be_visible()
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    page.goto(f"{servers.dagster}/asset-groups/?expanded={expanded}")
    expect(page.get_by_text("base_model", exact=True).first).to_be_visible()
    keep_screenshot(page, "graph")


def test_asset_page_shows_its_plot(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dagster}/assets/tiny/base_model")
    row = page.get_by_text("plot: loss", exact=True)
    expect(row).to_be_visible()
    page.get_by_text("Show Markdown").first.click()
    picture = page.locator("img[alt=loss]")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 300
    keep_screenshot(page, "plot")
    keys = [place_of(page, key) for key in ("plot: loss", "loss", "made from", "seconds", "process-hours", "fingerprint")]
    assert keys == sorted(keys), "how good, from what, how long, at what cost"


def test_lists_of_facts_are_tables(page: Page, servers: Servers) -> None:
    """They were JSON, page after page of it."""
    page.goto(f"{servers.dagster}/assets/tiny/sft_memmap")
    for column in ("trained_tokens", "sequence_length"):
        expect(
            page.get_by_role("columnheader", name=column, exact=True).or_(page.get_by_role("cell", name=column)).first
        ).to_be_visible()
    expect(page.get_by_text('"trained_tokens"')).to_have_count(0)
    keep_screenshot(page, "facts")


def test_corpus_page_begins_with_what_became_of_the_text(page: Page, servers: Servers) -> None:
    """Rules and sources are tables on the page itself, above the figures; pictures and samples are one click away."""
    page.emulate_media(color_scheme="dark")
    page.goto(f"{servers.dagster}/assets/tiny/corpus")
    keys = [
        place_of(page, key) for key in ("ledger page", "rules", "sources", "plot: drop funnel", "settings", "characters")
    ]
    assert keys == sorted(keys)
    for cell in ("too_short", "overlaps_heldout", "packages", "chinese"):
        expect(page.get_by_role("cell", name=cell, exact=True).first).to_be_visible()
    page.locator("tr", has=page.get_by_text("plot: drop funnel", exact=True)).last.get_by_text("Show Markdown").click()
    picture = page.locator("img[alt=drop_funnel]")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 300
    assert page.evaluate(LIGHT, page.locator("body").element_handle()) < 0.1, "the page is dark"
    assert picture.evaluate(GROUND) == [255, 255, 255, 255], "and dark ink needs a light ground of the picture's own"
    keep_screenshot(page, "corpus")


def test_cleaning_page_shows_licence_samples_and_thresholds(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dagster}/assets/tiny/cleaned_corpora")
    keys = [place_of(page, key) for key in ("account", "rules", "samples: dropped", "licence", "settings", "thresholds")]
    assert keys == sorted(keys)
    expect(page.get_by_text("below 50", exact=True)).to_be_visible()
    keep_screenshot(page, "cleaned")


def test_report_page_begins_with_the_verdict(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dagster}/assets/tiny/eval_report")
    keys = [
        place_of(page, key) for key in ("verdict", "gates", "report", "report page", "samples side by side", "what it took")
    ]
    assert keys == sorted(keys)
    expect(page.get_by_text("The base model needs").first).to_be_visible()
    keep_screenshot(page, "report")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ledger_page_reads_well_and_fetches_nothing(page: Page, finished: Home, scheme: Literal["light", "dark"]) -> None:
    """In both settings text stands out from its ground (WCAG: 4.5), and nothing is wider than the window."""
    done = finished.run("ledger")
    assert done.returncode == 0, done.stdout + done.stderr
    address = (finished.path / "tiny-ledger" / "ledger.html").as_uri()
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.emulate_media(color_scheme=scheme)
    page.goto(address)
    for heading in ("Sources", "Rules", "Largest clusters of duplicates", "Held out", "Source by source"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    page.locator("summary").filter(has_text="chinese").last.click()
    expect(page.locator("#source-chinese pre", has_text="今天的天气很好").first).to_be_visible()
    assert set(fetched) == {address}
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for selector in ("body", "small", "h2", "td", "a", "pre"):
        assert page.locator(selector).first.evaluate(CONTRAST) >= 4.5, selector
    keep_screenshot(page, f"ledger_{scheme}")


CONTRAST = """element => {
    const numbers = colour => colour.match(/[0-9.]+/g).map(Number);
    const light = colour => numbers(colour).slice(0, 3)
        .map(part => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    let ground = element;
    const alpha = one => numbers(getComputedStyle(one).backgroundColor)[3] ?? 1;
    while (ground.parentElement && alpha(ground) === 0) ground = ground.parentElement;
    const one = light(getComputedStyle(element).color), two = light(getComputedStyle(ground).backgroundColor);
    return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
}"""


LIGHT = """element => {
    const [red, green, blue] = getComputedStyle(element).backgroundColor.match(/[0-9.]+/g).map(Number);
    return (red + green + blue) / 765;
}"""
GROUND = """image => {
    const canvas = Object.assign(document.createElement("canvas"), {width: image.naturalWidth, height: image.naturalHeight});
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return [...context.getImageData(2, image.naturalHeight - 2, 1, 1).data];
}"""


def place_of(page: Page, key: str) -> float:
    """How far down the page this metadata entry stands."""
    cell = page.get_by_role("cell", name=key, exact=True).first
    expect(cell).to_be_attached()
    box = cell.bounding_box()
    assert box is not None
    return box["y"]


def test_gate_is_a_check_with_its_value(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dagster}/assets/tiny/eval_report?view=checks")
    expect(page.get_by_text("dpo_kind_of_object_acc_at_least").first).to_be_visible()
    expect(page.get_by_text("Passed").first).to_be_visible()


def test_mlflow_lists_the_registered_models(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.mlflow}/#/models")
    for name in ("tiny_base", "tiny_sft", "tiny_dpo"):
        expect(page.get_by_text(name).first).to_be_visible()
    keep_screenshot(page, "models")


def keep_screenshot(page: Page, name: str) -> None:
    """Pictures for a person to look at, where LIFECYCLE_SCREENSHOTS names a directory for them."""
    directory = os.environ.get("LIFECYCLE_SCREENSHOTS")
    if directory:
        page.screenshot(path=f"{directory}/{name}.png")


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, "`lifecycle ui` ended by itself"
        try:
            with urlopen(address, timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{address} did not answer within {PATIENCE} s")
