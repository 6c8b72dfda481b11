"""How soon the explorer answers, and whether it grows.

    python -m benchmarks.explorer
    python -m benchmarks.explorer conv_vae_mnist_z16 --moves 1000

Serves the page as `aezoo explore` does, opens it in Chromium, and moves a slider by the
keyboard: from the key to the new picture on the page, as the page's own clock says.
Prints the median, the 95th percentile, and the server's memory before and after.
Needs `aezoo[explore]`, Playwright and a Chromium.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import machine, verdict

# Milliseconds in which a slider is to be answered.
ANSWERED = 100.0
# Resolves when the picture is another, and has been decoded.
_MOVED = """async (key) => {
  const slider = document.querySelector('input[type=range]');
  const picture = () => document.querySelector('img[alt="What the code stands for"]');
  const before = picture().src, began = performance.now();
  slider.value = Number(slider.value) + key * Number(slider.step) * 5;
  slider.dispatchEvent(new Event('input', {bubbles: true}));
  while (picture().src === before) {
    if (performance.now() - began > 20000) throw new Error('no new picture');
    await new Promise(requestAnimationFrame);
  }
  await picture().decode();
  return performance.now() - began;
}"""


def resident(pid: int) -> float:
    """Memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1e3 if found else float("nan")


def main() -> None:
    """Move a slider and time the answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="conv_vae_mnist_z16")
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--port", type=int, default=7898)
    options = parser.parse_args()
    name, moves, port = options.name, options.moves, options.port

    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "aezoo", "explore", name, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        for line in server.stdout or ():
            if "Open" in line:
                break
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page: Any = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.goto(f"http://127.0.0.1:{port}/")
            page.locator('img[alt="What the code stands for"]').wait_for()
            took, memory = [], []
            for move in range(moves + 10):
                took.append(page.evaluate(_MOVED, 1 if move // 10 % 2 else -1))
                if move >= 9:  # the first ones warm it up
                    memory.append(resident(server.pid))
            browser.close()
        server.terminate()
    milliseconds = np.array(took[10:])
    print(
        f"{machine()}\n\n{name}: {len(milliseconds)} moves of a slider; to the new "
        f"picture {np.median(milliseconds):.0f} ms in the median, "
        f"{np.percentile(milliseconds, 95):.0f} ms at the 95th percentile; memory of "
        f"the server {memory[0]:.0f} MB before, {memory[-1]:.0f} MB after.\n"
    )
    median = float(np.median(milliseconds))
    print(verdict("a slider's answer, ms", median, ANSWERED, at_least=False))
    grown = memory[-1] / memory[0]
    print(verdict("memory after all moves / before", grown, 1.1, at_least=False))


if __name__ == "__main__":
    main()
