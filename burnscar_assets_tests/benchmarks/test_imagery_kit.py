import asyncio
import json
from pathlib import Path

import pytest
import rasterio
from kit.blocks import needed_blocks
from kit.measure import environment, run
from kit.scenes import ITEMS_FILE, band_path, build_archive, scenes
from kit.server import Request, Server
from kit.windows import define

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ORPHAN = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]])"
BUSY = "import time\nwhile time.process_time() < 0.4: pass"
GREEDY = """
import time
block = bytearray(200 << 20)
for place in range(0, len(block), 4096): block[place] = 1
time.sleep(1)
"""
MEASURED = """
import sys
from pathlib import Path
from kit.measure import adopt_orphans, environment, run
adopt_orphans()
folder = Path(sys.argv[1])
print(run(["-c", *sys.argv[2:]], environment(folder / "bytecode"), folder / "inner").cpu_s)
"""
SCENES = scenes(side_px=600, granules=1, days=2)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small archive."""
    folder = tmp_path_factory.mktemp("archive")
    build_archive(folder, SCENES)
    return folder


def test_work_that_outlives_its_command_counts(tmp_path: Path) -> None:
    variables = environment(tmp_path / "bytecode", PYTHONPATH=str(BENCHMARKS))
    measured = run(["-c", MEASURED, str(tmp_path), ORPHAN, BUSY], variables, tmp_path / "log")
    assert 0.4 <= float(measured.output) < 5


def test_memory_of_a_command_and_its_children_is_seen(tmp_path: Path) -> None:
    parent = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    cost = run(["-c", parent, GREEDY], environment(tmp_path / "bytecode"), tmp_path / "log", memory=True)
    assert 200 << 20 < cost.peak_bytes < 400 << 20


def test_an_archive_is_made_once(archive: Path) -> None:
    written = band_path(archive, SCENES[0], "B02").stat().st_mtime_ns
    build_archive(archive, SCENES)
    assert band_path(archive, SCENES[0], "B02").stat().st_mtime_ns == written


def test_needed_blocks_are_those_that_windows_touch(archive: Path) -> None:
    windows = define(SCENES, fires=1, count=1, size_px=32)
    needed = needed_blocks(archive, SCENES, windows)
    assert {path.parent.name for path in needed} == {SCENES[0].name}, "the other scene is of another day"
    assert len(needed) == 12
    row = windows.iloc[0]
    path = band_path(archive, SCENES[0], "B02")
    with rasterio.open(path) as source:
        top, left = source.index(row["min_col"] * 10 + 5, -row["min_row"] * 10 - 5)
        corners = {((top + down) // 512, (left + right) // 512) for down in (0, 31) for right in (0, 31)}
    assert {(block.row, block.column) for block in needed[path]} == corners
    assert all(0 < block.first_byte < path.stat().st_size - block.bytes for block in needed[path])


def _ask(server: Server, method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
    answer = asyncio.run(server.answer(Request(method, path, headers, json.dumps(body).encode())))
    return answer.status, answer.body


def test_the_server_finds_scenes_by_place_and_time(archive: Path) -> None:
    server = Server(archive, 0)
    day = SCENES[1].acquired.date().isoformat()
    wanted = {"datetime": f"{day}T00:00:00Z/{day}T23:59:59Z"}
    found = json.loads(_ask(server, "POST", "/local/search", wanted)[1])["features"]
    assert [item["id"] for item in found] == [SCENES[1].name]
    assert Path(found[0]["assets"]["blue"]["href"]) == band_path(archive, SCENES[1], "B02")
    elsewhere = wanted | {"intersects": {"type": "Point", "coordinates": [0, 0]}}
    assert json.loads(_ask(server, "POST", "/local/search", elsewhere)[1])["features"] == []
    assert server.counts.searches == 2


def test_the_server_knows_all_california(archive: Path) -> None:
    server = Server(archive, 0)
    july = "2021-07-01T00:00:00Z/2021-07-31T00:00:00Z"
    wanted = {"intersects": {"type": "Point", "coordinates": [-120.2, 38.2]}, "datetime": july}
    found = json.loads(_ask(server, "POST", "/wide/search", wanted)[1])["features"]
    assert 10 <= len(found) <= 40, "a place is seen every few days"
    bound = json.loads(_ask(server, "POST", "/wide/search", {"bbox": [0, 0, 1, 1]})[1])
    assert bound["features"] == []


def test_the_server_gives_pages(archive: Path) -> None:
    server = Server(archive, 0)
    page = json.loads(_ask(server, "POST", "/remote/search", {"limit": 1})[1])
    (link,) = page["links"]
    last = json.loads(_ask(server, link["method"], "/remote/search", link["body"])[1])
    assert [item["id"] for item in page["features"] + last["features"]] == [scene.name for scene in SCENES]
    assert last["links"] == []


@pytest.mark.parametrize(
    ("header", "status", "part"),
    [("bytes=0-9", 206, slice(0, 10)), ("bytes=-5", 206, slice(-5, None)), ("", 200, slice(None))],
)
def test_the_server_gives_ranges_and_counts_their_bytes(archive: Path, header: str, status: int, part: slice) -> None:
    server = Server(archive, 0)
    content = (archive / ITEMS_FILE).read_bytes()
    assert _ask(server, "GET", f"/files/{ITEMS_FILE}", range=header) == (status, content[part])
    assert server.counts.bytes == len(content[part])


@pytest.mark.parametrize("path", ["/files/../x", "/files/none.tif", "/", "/elsewhere"])
def test_the_server_has_nothing_else(archive: Path, path: str) -> None:
    assert _ask(Server(archive, 0), "GET", path)[0] == 404
