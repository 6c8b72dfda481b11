"""Hostile images and archives from seeds, and a child process that must survive them.

A case is a file that `write(path, generator)` makes. Whatever it is, reading it gives
an error that aezoo names, or the right result, within `SECONDS` and `MAX_BYTES`.
"""

import contextlib
import functools
import io
import json
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# Of processor time, so that other processes do not count, and of waiting.
SECONDS, PATIENCE, MAX_BYTES = 10.0, 100.0, 1 << 30
ROOT = Path(__file__).parents[1]
GREY, RGB = (28, 28, 1), (28, 28, 3)

Write = Callable[[Path, random.Random], None]


# --- What both kinds share -----------------------------------------------------------


def flip_bits(content: bytes, dice: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 5, 20))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)


def set_bytes(content: bytes, dice: random.Random) -> bytes:
    """Extreme numbers where fields may be, mostly near the beginning or the end."""
    data = bytearray(content)
    width = dice.choice((1, 2, 4, 8))
    values = (
        0,
        1,
        2 ** (8 * width - 1) - 1,
        2 ** (8 * width - 1),
        2 ** (8 * width) - 1,
    )
    span = dice.choice((64, 256, len(data)))
    place = dice.randrange(max(1, min(span, len(data) - width)))
    if dice.random() < 0.3:
        place = max(0, len(data) - width - place)
    order = dice.choice(("little", "big"))
    data[place : place + width] = dice.choice(values).to_bytes(width, order)
    return bytes(data)


def cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content))]


def drop(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content))
    return content[:start] + content[start + dice.choice((1, 4, 64, 1000)) :]


def repeat(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content))
    piece = content[start : start + dice.choice((1, 16, 300))]
    return content[:start] + piece * dice.choice((2, 10, 500)) + content[start:]


DAMAGE = (flip_bits, set_bytes, cut, drop, repeat)


def no_file(path: Path, dice: random.Random) -> None:
    """What has a name in a folder without being a file."""
    kind = dice.choice(("pipe", "socket", "device", "zeros", "loop", "gone", "folder"))
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    elif kind in ("device", "zeros"):
        path.symlink_to("/dev/null" if kind == "device" else "/dev/zero")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "gone":
        path.symlink_to("nowhere")
    else:
        path.mkdir()


def garbage(path: Path, dice: random.Random) -> None:
    starts = (
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"\xff\xd8\xff",
        b"PK\3\4",
        b"II*\0",
    )
    path.write_bytes(
        dice.choice(starts) + dice.randbytes(dice.choice((0, 1, 50, 5000)))
    )


# --- Images ---------------------------------------------------------------------------

SUFFIX = {"PNG": ".png", "JPEG": ".jpg", "GIF": ".gif", "TIFF": ".tif", "WEBP": ".webp"}
SUFFIX |= {"BMP": ".bmp", "PPM": ".ppm"}
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "GIF": ("L", "P", "RGB"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "F"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("1", "L", "RGB"),
}


def picture(dice: random.Random, mode: str, size: tuple[int, int]) -> Image.Image:
    noise = np.random.default_rng(dice.randrange(2**32))
    shape = size[::-1]
    if mode == "I;16":
        return Image.fromarray(noise.integers(0, 1 << 16, shape, "uint16"))
    if mode == "F":
        return Image.fromarray(noise.random(shape, "float32"))
    if mode == "LAB":
        bands = noise.integers(0, 256, (*shape, 3), "uint8")
        return Image.frombytes("LAB", size, bands.tobytes())
    return Image.fromarray(noise.integers(0, 256, (*shape, 4), "uint8")).convert(mode)


def encoded(dice: random.Random) -> bytes:
    """A whole image of any format, mode and size."""
    kind = dice.choice(list(SUFFIX))
    size = dice.choice(((28, 28), (1, 1), (1, 300), (90, 3), (60, 50), (120, 90)))
    image = picture(dice, dice.choice(MODES[kind]), size)
    options: dict[str, Any] = {}
    if kind == "JPEG":
        options["progressive"] = dice.random() < 0.5
    if kind == "TIFF" and image.mode in ("L", "RGB", "I;16"):
        options["compression"] = dice.choice((None, "tiff_lzw", "tiff_deflate"))
    can_be_many = kind in ("GIF", "PNG", "TIFF", "WEBP") and image.mode in ("L", "RGB")
    if can_be_many and dice.random() < 0.5:
        options |= {"save_all": True, "append_images": [image, image]}
    if kind in ("PNG", "JPEG", "WEBP") and dice.random() < 0.5:
        exif = Image.Exif()
        exif[0x0112] = dice.randrange(10)
        options["exif"] = exif
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def damaged_image(path: Path, dice: random.Random) -> None:
    path.write_bytes(dice.choice(DAMAGE)(encoded(dice), dice))


def whole_image(path: Path, dice: random.Random) -> None:
    path.write_bytes(encoded(dice))


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def deflated_zeros(count: int) -> bytes:
    """A raw deflate stream of zeros, a thousandth as long."""
    block, rest = 1 << 20, zlib.compressobj(9, wbits=-15)
    packer = zlib.compressobj(9, wbits=-15)
    whole = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    return whole * (count // block) + rest.compress(bytes(count % block)) + rest.flush()


def zlib_zeros(count: int) -> bytes:
    return b"\x78\x9c" + deflated_zeros(count) + struct.pack(">HH", count % 65_521, 1)


def png(width: int, height: int, depth: int, colour: int, extra: bytes = b"") -> bytes:
    """A blank PNG of any size."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    count = height * (1 + (width * channels * depth + 7) // 8)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(6))) if colour == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + palette
        + extra
        + chunk(b"IDAT", zlib_zeros(count))
        + chunk(b"IEND", b"")
    )


def png_bomb(path: Path, dice: random.Random) -> None:
    sizes = ((1, 89_000_000), (89_000_000, 1), (9_000, 9_000), (5_700, 5_700))
    width, height = dice.choice((*sizes, (30_000, 2_900), (40, 800_000)))
    depth, colour = dice.choice(
        ((1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 6), (8, 3))
    )
    extra = chunk(b"tRNS", b"\0") if colour == 3 else b""
    path.write_bytes(png(width, height, depth, colour, extra))


def png_lie(path: Path, dice: random.Random) -> None:
    """A header that promises another size, or chunks of text that unpack to much."""
    content = bytearray(png(28, 28, 8, 0))
    if dice.random() < 0.5:
        for place in (16, 20):
            size = dice.choice((0, 1, 5000, 65_535, 1 << 24, (1 << 31) - 1))
            content[place : place + 4] = struct.pack(">I", size)
        content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
        path.write_bytes(content)
        return
    text = b"k\0\0" + zlib_zeros(dice.choice((10_000_000, 100_000_000)))
    kind = dice.choice((b"zTXt", b"iCCP"))
    path.write_bytes(png(28, 28, 8, 0, chunk(kind, text) * dice.choice((1, 20))))


@functools.cache
def blank_jpeg(mode: str, side: int) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, "JPEG", progressive=True, quality=30)
    return file.getvalue()


def jpeg_bomb(path: Path, dice: random.Random) -> None:
    """Much larger than the model, or a great many passes over the image."""
    content = blank_jpeg(dice.choice(("L", "RGB")), dice.choice((2_000, 5_000)))
    if dice.random() < 0.5:
        last = content.rindex(b"\xff\xda")
        path.write_bytes(content[:-2] + content[last:-2] * 2_000 + b"\xff\xd9")
        return
    sides = dice.choice(((65_500, 65_500), (9_000, 9_000), (1, 65_500)))
    place = content.index(b"\xff\xc2") + 5
    head = content[:place] + struct.pack(">HH", *sides)
    path.write_bytes(head + content[place + 4 :])


def tiff_lie(path: Path, dice: random.Random) -> None:
    """Tags of any type, count and offset."""
    image, file = picture(dice, "RGB", (28, 28)), io.BytesIO()
    image.save(file, "TIFF", compression=dice.choice((None, "tiff_lzw")))
    content = bytearray(file.getvalue())
    start = struct.unpack("<I", content[4:8])[0] + 2
    for _ in range(dice.choice((1, 2, 4))):
        place = start + 12 * dice.randrange(8)
        tag = struct.unpack("<H", content[place : place + 2])[0]
        kind, count = (
            dice.randrange(1, 14),
            dice.choice((0, 1, 5, 1 << 20, (1 << 32) - 1)),
        )
        value = dice.choice((0, 1, 8, 65_535, 1 << 20, (1 << 32) - 1))
        entry = struct.pack("<HHII", tag, kind, count, value)
        content[place : place + 12] = entry
    path.write_bytes(content)


def gif_of_many(path: Path, dice: random.Random) -> None:
    file = io.BytesIO()
    picture(dice, "L", (28, 28)).save(file, "GIF")
    content = file.getvalue()
    frame = content[content.index(b",") : -1]
    path.write_bytes(content[:-1] + frame * dice.choice((3, 20_000)) + b";")


def long_pnm(path: Path, dice: random.Random) -> None:
    kind = dice.choice((1, 2, 3))
    side = dice.choice((1_000, 6_000))
    numbers = b"1 " * (side * side if dice.random() < 0.5 else 1_000_000)
    levels = b"" if kind == 1 else dice.choice((b"1\n", b"255\n", b"70000\n", b"0\n"))
    path.write_bytes(b"P%d\n%d %d\n%s" % (kind, side, side, levels) + numbers)


def webp_canvas(path: Path, dice: random.Random) -> None:
    file = io.BytesIO()
    image = picture(dice, "RGB", (28, 28))
    image.save(file, "WEBP", save_all=True, append_images=[image])
    content = bytearray(file.getvalue())
    side = dice.choice((27, 4_000, 16_383)).to_bytes(3, "little")
    content[24:30] = side + side
    path.write_bytes(content)


IMAGES: dict[str, tuple[Write, int]] = {
    "whole": (whole_image, 4),
    "damaged": (damaged_image, 12),
    "no file": (no_file, 2),
    "garbage": (garbage, 1),
    "PNG bomb": (png_bomb, 1),
    "PNG lie": (png_lie, 1),
    "JPEG bomb": (jpeg_bomb, 1),
    "TIFF lie": (tiff_lie, 4),
    "many frames": (gif_of_many, 1),
    "numbers as text": (long_pnm, 1),
    "WebP canvas": (webp_canvas, 1),
}


# --- Archives -------------------------------------------------------------------------


def arrays(dice: random.Random) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(dice.randrange(2**32))
    images = noise.integers(0, 256, (12, *GREY), "uint8")
    return {"images": images, "labels": np.arange(12)}


def npz(dice: random.Random, members: dict[str, bytes], **options: Any) -> bytes:
    file = io.BytesIO()
    method = dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "w", options.pop("method", method)) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def damaged_archive(path: Path, dice: random.Random) -> None:
    members = {f"{name}.npy": npy(array) for name, array in arrays(dice).items()}
    path.write_bytes(dice.choice(DAMAGE)(npz(dice, members), dice))


def damaged_member(path: Path, dice: random.Random) -> None:
    """A whole archive of damaged arrays."""
    members = {f"{name}.npy": npy(array) for name, array in arrays(dice).items()}
    name = dice.choice(list(members))
    content = members[name]
    head = dice.choice(DAMAGE)(content[:128], dice)
    path.write_bytes(npz(dice, {**members, name: head + content[128:]}))


DESCRS = (
    *(
        "'|u1'",
        "'<i8'",
        "'<u8'",
        "'<f4'",
        "'|O'",
        "'|V8'",
        "'<U3'",
        "'<c8'",
        "'<M8[s]'",
    ),
    *(
        "'<U1000000000'",
        "'|S0'",
        "'x'",
        "None",
        "3",
        "[]",
        "('<f4', (2,))",
        "'f4,(9,9)i1'",
    ),
    *(
        "[('a', '<f4')]",
        "[('a', '|O')]",
        "{'names': 3}",
        "'<f" + "4" * 300 + "'",
        "'é'",
    ),
)
SHAPES = (
    *(
        "(12, 28, 28, 1)",
        "(12,)",
        "()",
        "(0,)",
        "(-1,)",
        "(-3, -4)",
        "(1.5,)",
        "(True,)",
    ),
    *("(1000000000000, 0)", "(0, 1000000000000000000000)", "(9" + "9" * 4000 + ",)"),
    *(
        "(12L,)",
        "3",
        "None",
        "'12'",
        "(12, 28, 28, 1",
        "((12,),)",
        "(1,)*9",
        "(1," * 300,
    ),
    "(" + "1, " * 80 + ")",
)
HEADERS = (
    "{'descr': %s, 'fortran_order': %s, 'shape': %s, }",
    "{'descr': %s, 'fortran_order': %s, 'shape': %s, 'more': 1}",
    "[%s, %s, %s]",
    "{'descr': %s, 'fortran_order': %s, 'shape': %s, }" + " " * 9_000,
    "%s %s %s",
    "__import__('os').system('touch ran'), %s, %s, %s",
    "{{'descr': %s, 'fortran_order': %s, 'shape': %s}}",
    "\\x00{'descr': %s, 'fortran_order': %s, 'shape': %s}",
)


def odd_header(path: Path, dice: random.Random) -> None:
    template = HEADERS[0] if dice.random() < 0.7 else dice.choice(HEADERS)
    order = dice.choice(("False", "True", "False", "None", "0", "'no'"))
    text = (template % (dice.choice(DESCRS), order, dice.choice(SHAPES))).encode()
    version = dice.choice((1, 1, 2, 3, 0, 9, 255))
    length = len(text) if dice.random() < 0.9 else dice.choice((0, 1, 60_000))
    size = struct.pack("<H" if version == 1 else "<I", length)
    head = b"\x93NUMPY" + bytes((version, dice.choice((0, 0, 0, 1)))) + size + text
    data = bytes(dice.choice((0, 8, 12, 48, 96, 12 * 28 * 28)))
    members = {f"{name}.npy": npy(array) for name, array in arrays(dice).items()}
    members[dice.choice(("images.npy", "labels.npy"))] = head + data
    path.write_bytes(npz(dice, members))


def odd_labels(path: Path, dice: random.Random) -> None:
    labels = dice.choice(
        (
            np.full(12, 2**63 + 5, "uint64"),
            np.arange(12, dtype="uint64"),
            np.arange(12, dtype=">i2"),
            np.zeros(12, bool),
            np.zeros(12),
            np.array(list("abcdefghijkl")),
            np.array([{}] * 12, object),
            np.zeros((12, 2), int),
            np.zeros(11, int),
            np.zeros(12, "datetime64[s]"),
            np.int64(3),
        )
    )
    members = {"images.npy": npy(arrays(dice)["images"]), "labels.npy": npy(labels)}
    path.write_bytes(npz(dice, members))


def odd_zip(path: Path, dice: random.Random) -> None:
    """Fields of the format: encryption, methods, versions, sizes, names."""
    members = {f"{name}.npy": npy(array) for name, array in arrays(dice).items()}
    extra = dice.choice(
        ("", "x.npy", "a/../../b.npy", "images", "\x1b[31m.npy", "ü.npy")
    )
    if extra:
        members[extra] = b"x"
    content = bytearray(npz(dice, members))
    for signature, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        place = content.index(signature) + offset
        change = dice.choice((None, "flags", "method", "version", "sizes"))
        if change == "flags":
            content[place] |= dice.choice((1, 8, 32, 64))
        elif change == "method":
            content[place + 2] = dice.choice((0, 1, 8, 9, 12, 14, 93, 95, 99))
        elif change == "version":
            content[place - 2] = dice.choice((0, 99, 255))
        elif change == "sizes":
            size = dice.choice((0, 1, 1 << 20, (1 << 32) - 1))
            content[place + 12 : place + 16] = struct.pack("<I", size)
    path.write_bytes(content)


def twice(path: Path, dice: random.Random) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("images.npy", "labels.npy", dice.choice(("images.npy", "x.npy"))):
            key = name.removesuffix(".npy")
            archive.writestr(name, npy(arrays(dice).get(key, np.zeros(3))))


def other_method(path: Path, dice: random.Random) -> None:
    members = {f"{name}.npy": npy(array) for name, array in arrays(dice).items()}
    method = dice.choice((zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
    content = npz(dice, members, method=method)
    path.write_bytes(content if dice.random() < 0.5 else flip_bits(content, dice))


def archive_bomb(path: Path, dice: random.Random) -> None:
    """Arrays that unpack to a thousand times the file."""
    kind = dice.choice(("images", "labels", "both", "wide"))
    n = dice.choice((1_000_000, 2_000_000))
    many = {"labels": (300 * n,), "both": (300 * n,)}
    shapes = {"images": (n, *GREY)} | ({"labels": many[kind]} if kind in many else {})
    if kind == "both":
        shapes["images"] = (300 * n, 1, 1, 1)
    if kind == "wide":
        shapes = {"images": (1, 40_000, 40_000, 1)}
    path.write_bytes(zip_of_zeros(shapes))


def zip_of_zeros(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """A `.npz` archive of zeros, uint8."""
    content, directory = b"", b""
    for key, shape in shapes.items():
        head, name = io.BytesIO(), f"{key}.npy".encode()
        text = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(head, text)
        count = int(np.prod(shape))
        # The header is stored in a block of its own, before the zeros.
        start = head.getvalue()
        block = b"\0" + struct.pack("<HH", len(start), 0xFFFF ^ len(start)) + start
        data = block + deflated_zeros(count)
        checksum = zlib.crc32(start)
        for left in range(count, 0, -(1 << 24)):
            checksum = zlib.crc32(bytes(min(left, 1 << 24)), checksum)
        fields = struct.pack(
            "<HHHHHLLLHH",
            20,
            0,
            8,
            0,
            33,
            checksum,
            len(data),
            len(start) + count,
            len(name),
            0,
        )
        place = struct.pack("<HHHLL", 0, 0, 0, 0, len(content))
        directory += b"PK\1\2\x14\0" + fields + place + name
        content += b"PK\3\4" + fields + name + data
    sizes = (len(shapes), len(shapes), len(directory), len(content), 0)
    return content + directory + b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, *sizes)


def many_members(path: Path, dice: random.Random) -> None:
    count = dice.choice((10, 60_000))
    entry = b"PK\1\2" + bytes(24) + b"\1\0" + bytes(16) + b"a"
    end = struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(entry) * count, 0, 0
    )
    path.write_bytes(entry * count + end)


ARCHIVES: dict[str, tuple[Write, int]] = {
    "damaged archive": (damaged_archive, 8),
    "damaged array": (damaged_member, 6),
    "odd header": (odd_header, 12),
    "odd labels": (odd_labels, 3),
    "odd zip": (odd_zip, 6),
    "twice": (twice, 1),
    "other method": (other_method, 2),
    "bomb": (archive_bomb, 1),
    "many members": (many_members, 1),
    "no file": (no_file, 2),
    "garbage": (garbage, 1),
}


# --- The child ------------------------------------------------------------------------


def draw(cases: dict[str, tuple[Write, int]], count: int, seed: int) -> list[list[Any]]:
    """Pairs of a kind and a seed, of every kind in its share, at least one."""
    total = sum(share for _, share in cases.values())
    return [
        [kind, seed * 1_000_003 + i]
        for kind, (_, share) in cases.items()
        for i in range(max(1, round(count * share / total)))
    ]


def run_cases(what: str, cases: list[list[Any]], folder: Path) -> list[list[Any]]:
    """Run cases in a child; what went wrong, as `[kind, seed, what]`.

    Args:
        what: One of `CHECKS`.
        cases: What `draw` returned.
        folder: An empty folder for the files.
    """
    wrong, left = [], cases
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))),
    }
    while left:
        child = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.hostile", what],
            input=json.dumps(left),
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
            check=False,
        )
        lines = [json.loads(line) for line in child.stdout.splitlines()]
        wrong += [[*left[i], line] for i, line in enumerate(lines) if line is not None]
        if len(lines) == len(left):
            break
        died = f"the child died ({child.returncode}): {child.stderr[-500:]}"
        wrong.append([*left[len(lines)], died])
        left = left[len(lines) + 1 :]
    return wrong


class TooSlowError(BaseException):
    """Not caught by what catches every exception."""


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """At most so many seconds, and so much memory more than now."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf(
        "SC_PAGESIZE"
    )
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]

    def interrupt(*_: Any) -> None:
        raise TooSlowError

    clocks = {signal.ITIMER_PROF: SECONDS, signal.ITIMER_REAL: PATIENCE}
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, interrupt)
    resource.setrlimit(resource.RLIMIT_AS, (size + MAX_BYTES, hard))
    for clock, seconds in clocks.items():
        signal.setitimer(clock, seconds)
    try:
        yield
    finally:
        for clock in clocks:
            signal.setitimer(clock, 0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def check_image(kind: str, path: Path, dice: random.Random) -> str | None:
    from aezoo.errors import ImageFileError
    from aezoo.modalities.image.files import read_image

    shape = dice.choice((GREY, RGB, (64, 48, 3)))
    try:
        pixels, _ = read_image(path, shape, invert=dice.random() < 0.5)
    except ImageFileError as error:
        if str(path) not in str(error):
            return f"no name: {error}"
        is_refused = kind != "whole" or "CIE" in str(error) or "32-bit" in str(error)
        return None if is_refused and "memory" not in str(error) else str(error)
    if kind in ("no file", "garbage"):
        return "it was read"
    is_right = pixels.shape == shape and pixels.dtype == np.uint8
    return None if is_right else f"{pixels.dtype}, {pixels.shape}"


def check_archive(kind: str, path: Path, dice: random.Random) -> str | None:
    from aezoo import modalities
    from aezoo.data.datasets import DatasetError, open_dataset
    from aezoo.data.streams import open_stream
    from aezoo.errors import AezooError
    from aezoo.utils.archives import NUMBERS, TEXT, read_npz

    expected = arrays(dice)
    found: dict[str, Any] = {}
    try:
        dataset = open_dataset(path)
        found["dataset"] = (dataset.examples, dataset.labels)
    except DatasetError as error:
        found["error"] = str(error)
    try:
        batches = list(open_stream(path, modalities.Image(*GREY)).batches(5))
        labels = [b.labels for b in batches if b.labels is not None]
        images = np.concatenate([b.examples for b in batches])
        found["stream"] = (images, np.concatenate(labels) if labels else None)
    except DatasetError as error:
        found["stream error"] = str(error)
    try:
        read_npz(path, 50_000_000, f"sampler file {path}", kinds=NUMBERS + TEXT)
    except (AezooError, FileNotFoundError) as error:
        found["npz error"] = str(error)
    for key, value in found.items():
        if "error" in key:
            if "memory" in value or (str(path) not in value and "labels" not in value):
                return f"{key}: {value}"
            continue
        images, labels = value
        if images.dtype.kind not in "biuf" or (
            labels is not None
            and (labels.dtype != np.int64 or len(labels) != len(images))
        ):
            return f"{key}: {images.dtype}, {labels!r:.80}"
        if kind == "damaged archive" and not (
            np.array_equal(images, expected["images"])
            and (labels is None or np.array_equal(labels, expected["labels"]))
        ):
            return f"{key}: other numbers"
    if kind in ("bomb", "no file", "garbage", "many members", "other method") and (
        "dataset" in found or "stream" in found
    ):
        return "it was read"
    return None


CHECKS = {"images": (IMAGES, check_image), "archives": (ARCHIVES, check_archive)}


def main(what: str, cases: list[list[Any]]) -> None:
    """Write and read every case; one line of JSON each: null, or what is wrong."""
    kinds, check = CHECKS[what]
    for number, (kind, seed) in enumerate(cases):
        path = Path.cwd() / f"{number}{'.png' if what == 'images' else '.npz'}"
        kinds[kind][0](path, random.Random(seed))
        start = time.process_time()
        try:
            with limits():
                wrong = check(kind, path, random.Random(seed))
        except TooSlowError:
            wrong = "too slow"
        except BaseException as error:  # the child lives on
            wrong = f"{type(error).__name__}: {error}"
        seconds = time.process_time() - start
        if [other.name for other in Path.cwd().iterdir()] != [path.name]:
            wrong = f"it wrote {list(Path.cwd().iterdir())}"
        if seconds > SECONDS:
            wrong = f"{seconds:.1f} s; {wrong}"
        print(json.dumps(wrong), flush=True)  # noqa: T201
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


if __name__ == "__main__":
    main(sys.argv[1], json.load(sys.stdin))
