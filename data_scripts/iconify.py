"""Draw every icon of the npm package ``@iconify/json`` at 48 x 48 pixels.

``fetch`` gets the package with npm and checks its hash; ``render`` draws each permitted icon set
into ``<work>/render/<set>.npz``. Both skip what exists, so an interrupted run resumes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

PACKAGE = "@iconify/json@2.2.535"
ARCHIVE = "iconify-json-2.2.535.tgz"
SHA256 = "1a545f86fa224d6531d8fb101dcbe83aac2b28689a21cbed6fc68318a5af4d91"
SIZE = 48
ANIMATED = ("<animate", "<set ")
SIZE_WORD = re.compile(r"\d+(px)?")
NOT_SELF_CONTAINED = ("<text", "<image", "<foreignObject")


def fetch(work: Path) -> Path:
    """Return the folder of the unpacked package; download it with ``npm pack`` if it is missing."""
    archive, folder = work / ARCHIVE, work / "package"
    work.mkdir(parents=True, exist_ok=True)
    if not archive.exists():
        subprocess.run(["npm", "pack", PACKAGE], cwd=work, check=True, stdout=subprocess.DEVNULL)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != SHA256:
        raise SystemExit(
            f"{archive}: sha256 is {digest}, expected {SHA256}; delete the file and run again"
        )
    if not (folder / "collections.json").exists():
        with tarfile.open(archive) as tar:
            tar.extractall(work, filter="data")
    return folder


def permitted(licence: str) -> bool:
    """Whether images of this SPDX licence may be shipped: all but GPL and non-commercial ones."""
    return not licence.startswith("GPL") and "-NC" not in licence


def collections(package: Path) -> dict[str, dict]:
    """Return the permitted icon sets by name: title, author, url, licence, palette, category."""
    raw = json.loads((package / "collections.json").read_text())
    sets = {}
    for name, info in sorted(raw.items()):
        if permitted(info["license"].get("spdx", "unknown")):
            sets[name] = {
                "title": info["name"],
                "author": info["author"]["name"],
                "url": info["author"].get("url", ""),
                "licence": info["license"]["spdx"],
                "palette": bool(info.get("palette")),
                "category": info.get("category") or "",
            }
    return sets


def _draw(body: str, left: float, top: float, width: float, height: float) -> np.ndarray | None:
    """Draw an icon as uint8 ``[48, 48, 3]`` on white; None if it cannot be drawn or is blank."""
    import resvg_py

    side = max(width, height)
    view = f"{left - (side - width) / 2} {top - (side - height) / 2} {side} {side}"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{view}" width="{SIZE}" height="{SIZE}">{body.replace("currentColor", "#000")}</svg>'
    )
    try:
        png = resvg_py.svg_to_bytes(svg_string=svg, background="white", skip_system_fonts=True)
        image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    except BaseException as error:  # a panic of the renderer is a BaseException
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return None
    return image if image.shape == (SIZE, SIZE, 3) and np.ptp(image) > 24 else None


def _render_set(job: tuple[Path, Path]) -> None:
    source, target = job
    data = json.loads(source.read_text())
    names, images = [], []
    for name, icon in data["icons"].items():
        body = icon["body"]
        if icon.get("hidden") or any(tag in body for tag in ANIMATED + NOT_SELF_CONTAINED):
            continue
        box = [
            icon.get(key, data.get(key, default))
            for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
        ]
        image = _draw(body, *box)
        if image is not None:
            names.append(name)
            images.append(image)
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, names=np.array(names), images=np.array(images, dtype=np.uint8))
    os.replace(part, target)


def render(work: Path, package: Path, workers: int = 2) -> None:
    """Draw every permitted set that is not drawn yet."""
    folder = work / "render"
    folder.mkdir(exist_ok=True)
    jobs = [
        (package / "json" / f"{name}.json", folder / f"{name}.npz")
        for name in collections(package)
        if not (folder / f"{name}.npz").exists()
    ]
    jobs.sort(key=lambda job: -job[0].stat().st_size)
    with ProcessPoolExecutor(workers) as pool:
        list(tqdm(pool.map(_render_set, jobs), total=len(jobs), desc="icon sets drawn"))


def load_set(work: Path, name: str) -> tuple[list[str], np.ndarray]:
    """Return the icon names and images uint8 ``[n, 48, 48, 3]`` of a set."""
    with np.load(work / "render" / f"{name}.npz", allow_pickle=False) as file:
        return file["names"].tolist(), file["images"]
