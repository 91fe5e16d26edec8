"""The report in a real browser: it loads nothing, complains of nothing, sorts and filters, and is read by keyboard."""

import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import pardiff
from pardiff.reporting.html import render_html, render_index

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs Chromium and its driver"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the driver's own sockets
]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-prefers-reduced-motion",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium that writes down its console and each request."""
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def wrong(layers, hostile=False):
    """The summary of an audit with a fault in each array."""
    rng = np.random.default_rng(0)
    name = "<img src=x onerror=alert(1)><script>alert(2)" if hostile else "layer{}"
    x0 = {name.format(i): rng.normal(size=(6, 4)) for i in range(layers)}

    def grad(x):
        return {k: 3 * v**2 * (-1 if i % 2 else 2) for i, (k, v) in enumerate(x.items())}

    return pardiff.gradcheck(lambda x: float(sum(np.sum(v**3) for v in x.values())), grad, x0).summary


def opened(browser, folder, text):
    """Open a page; what the console said, and the addresses that were asked for."""
    page = folder / "page.html"
    page.write_text(text, encoding="utf-8")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(f"file://{page}")
    asked = [
        line["message"] for line in browser.get_log("performance") if '"Network.requestWillBeSent"' in line["message"]
    ]
    outside = [line for line in asked if f"file://{page}" not in line]
    return browser.get_log("browser"), outside


def cells(browser, table, column):
    """Texts of the rows that are shown."""
    script = (
        "return Array.from(document.getElementById(arguments[0]).tBodies[0].rows).filter(r => !r.hidden)"
        ".map(r => r.cells[arguments[1]].textContent)"
    )
    return browser.execute_script(script, table, column)


def test_a_report_sorts_and_filters(browser, tmp_path):
    """By its headers and its search, with no error on the console and no request."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    console, outside = opened(browser, tmp_path, render_html(wrong(12)))
    head = browser.find_elements(By.CSS_SELECTOR, "#array-table th button")[7]
    before = cells(browser, "array-table", 7)
    head.send_keys(Keys.ENTER)
    up = cells(browser, "array-table", 7)
    head.send_keys(Keys.ENTER)
    down = cells(browser, "array-table", 7)
    search = browser.find_element(By.CSS_SELECTOR, "input[data-filters='array-table']")
    search.send_keys("layer1 fail")
    some = cells(browser, "array-table", 0)

    assert (console, outside) == ([], [])
    assert up == sorted(before, key=float)
    assert down == up[::-1]
    assert sorted(some) == ["layer1", "layer10", "layer11"]
    assert browser.find_element(By.ID, "array-table-count").text == "3 of 12"
    assert browser.execute_script("return document.querySelectorAll('svg:not([aria-label])').length") == 0


def test_names_run_nothing(browser, tmp_path):
    """Names of arrays are shown; the policy of the page allows its own script alone."""
    text = render_html(wrong(1, hostile=True))
    console, outside = opened(browser, tmp_path, text)
    injected = text.replace("</main>", "<script>document.title = 'taken'</script></main>")
    blocked, _ = opened(browser, tmp_path, injected)

    assert (console, outside) == ([], [])
    assert browser.title != "taken"
    assert any("Content Security Policy" in line["message"] for line in blocked)


def test_a_report_of_500_arrays(browser, tmp_path):
    """It is under 2 MB and is there at once."""
    x0 = {f"layer{i}": np.ones((2, 2)) for i in range(500)}
    grad = {name: np.full((2, 2), 3.0) for name in x0}
    text = render_html(pardiff.gradcheck(lambda x: float(np.sum(x["layer0"])), grad, x0).summary)
    console, outside = opened(browser, tmp_path, text)
    loaded = browser.execute_script("return performance.timing.loadEventEnd - performance.timing.navigationStart")

    assert len(text.encode()) < 2_000_000
    assert (console, outside) == ([], [])
    assert len(cells(browser, "array-table", 0)) == 500
    assert loaded > 0


def test_an_index(browser, tmp_path):
    """The index of a batch sorts too, and says what has changed."""
    from selenium.webdriver.common.by import By

    rows = [
        {
            "name": n,
            "verdict": v,
            "headline": "h",
            "parameters": p,
            "nfev": p,
            "seconds": 0.5,
            "created": "now",
            "link": "",
        }
        for n, v, p in (("a", "PASS", 10), ("b", "FAIL", 1000), ("c", "PASS", 200))
    ]
    console, outside = opened(browser, tmp_path, render_index(rows, "3 problems", "FAIL", "", {"b": "was PASS"}))
    browser.find_elements(By.CSS_SELECTOR, "#problems th button")[3].click()

    assert (console, outside) == ([], [])
    assert cells(browser, "problems", 0) == ["a", "c", "b"]
    assert "was PASS" in cells(browser, "problems", 2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme, browser, tmp_path):
    """All text stands out from its ground by at least 4.5 to 1, as WCAG asks for."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    opened(browser, tmp_path, render_html(wrong(4)))
    colours = browser.execute_script(
        """
        const found = {};
        function ground(e) {
          for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if (c !== 'rgba(0, 0, 0, 0)') return c;
          }
          return 'rgb(255, 255, 255)';
        }
        document.querySelectorAll('main *, header *').forEach(e => {
          if (e.closest('svg') || !e.textContent.trim()) return;
          found[getComputedStyle(e).color + '|' + ground(e)] = e.tagName + '.' + e.className;
        });
        return found;
        """
    )

    def luminance(text):
        parts = [float(p) / 255 for p in text.strip("rgba()").split(",")[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for pair, element in colours.items():
        low, high = sorted(map(luminance, pair.split("|")))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (element, pair)
    assert len(colours) > 3


def test_printing(browser, tmp_path):
    """A print has several pages and no controls."""
    text = render_html(wrong(3))
    page = tmp_path / "page.html"
    page.write_text(text, encoding="utf-8")
    out = Path(tmp_path / "page.pdf")
    subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={out}", f"file://{page}"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    for _ in range(50):
        if out.exists() and out.stat().st_size > 10_000:
            break
        time.sleep(0.1)

    assert out.read_bytes().startswith(b"%PDF")
