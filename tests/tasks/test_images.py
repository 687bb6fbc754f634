"""Every mode and every kind of damage: an image is right in RGB, or one error names the file."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from wiseft_lite import Split, UserError, data
from wiseft_lite.figures import gallery
from wiseft_lite.tasks.images import Files, check_header, load_image, rgb

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)  # every grey once
GREY = np.repeat(RAMP[..., None], 3, 2)
WHITE, RED = (255, 255, 255), (255, 0, 0)
RNG = np.random.default_rng(0)
NOISE = Image.fromarray(RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8))


def saved(image, path, **options):
    image.save(path, **options)
    return path


def drawn(image):
    """The image as a list of its pixels."""
    return [tuple(pixel) for row in np.asarray(image).tolist() for pixel in row]


# The values of a wide mode that must come out as 0, 1, .. 255.
WIDE = {
    "16-bit": (Image.fromarray(RAMP.astype(np.uint16) * 257), "png"),
    "16-bit, upper byte": (Image.fromarray(RAMP.astype(np.uint16) * 256 + 255 - RAMP), "png"),
    "16-bit TIFF": (Image.fromarray(RAMP.astype(np.uint16) * 257), "tiff"),
    "16-bit TIFF, big-endian": (
        Image.frombytes("I;16B", (16, 16), (RAMP.astype(">u2") * 257).tobytes()),
        "tiff",
    ),
    "16-bit PGM": (Image.fromarray(RAMP.astype(np.int32) * 257), "pgm"),
    "float TIFF": (Image.fromarray(RAMP.astype(np.float32) / 255), "tiff"),
}


@pytest.mark.parametrize("name", WIDE)
def test_wide_greys_keep_their_brightness(name, tmp_path):
    image, ending = WIDE[name]
    path = saved(image, tmp_path / f"a.{ending}")
    assert np.array_equal(np.asarray(Files([path])[0]), GREY)
    assert check_header(path) == Image.open(path).mode


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I", "F"])
def test_wide_greys_in_memory_keep_theirs_too(mode):
    dtype = {"I;16B": ">u2", "I": np.int32, "F": np.float32}.get(mode, "<u2")
    values = RAMP.astype(np.float32) / 255 if mode == "F" else RAMP.astype(dtype) * 257
    image = Image.frombytes(mode, (16, 16), values.astype(dtype).tobytes())
    split = Split("a", [image], torch.tensor([0]))
    assert np.array_equal(np.asarray(split[0][0]), GREY)
    assert np.array_equal(
        data.ImageDataset(split, lambda i: torch.from_numpy(np.array(i)))[0],
        GREY,
    )


@pytest.mark.parametrize(
    "values, ending, message",
    [
        (np.full((4, 4), 100, np.float32), "tiff", "100..100"),
        (np.full((4, 4), -0.5, np.float32), "tiff", "-0.5"),
        (np.full((4, 4), np.nan, np.float32), "tiff", "nan"),
        (np.full((4, 4), 200, np.int32), "tiff", "200..200"),
    ],
)
def test_values_without_a_known_white_are_refused(values, ending, message, tmp_path):
    path = saved(Image.fromarray(values), tmp_path / f"odd.{ending}")
    for read in (load_image, check_header):
        with pytest.raises(UserError, match=f"odd.{ending} .*{message}"):
            read(path)


def with_alpha(mode):
    """A red or black dot, and beside it pixels that are transparent black."""
    image = Image.new("RGBA", (4, 1), (0, 0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 128))
    return image.convert(mode)


def palette(transparency):
    image = Image.new("P", (4, 1), 1)
    image.putpalette([255, 0, 0, 0, 0, 0])
    image.putpixel((0, 0), 0)
    image.info["transparency"] = transparency
    return image


def png(mode, values, key):
    """A grey PNG of 1, 8 or 16 bits with a transparent value (tRNS), written by hand: Pillow writes
    not all of them."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    rows = {
        1: lambda: np.packbits(values).tobytes(),
        8: lambda: bytes(values),
        16: lambda: np.array(values, ">u2").tobytes(),
    }[mode]()
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", len(values), 1, mode, 0, 0, 0, 0))
        + chunk(b"tRNS", struct.pack(">H", key))
        + chunk(b"IDAT", zlib.compress(b"\0" + rows))
        + chunk(b"IEND", b"")
    )


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


HALF = (127, 127, 127)
CLEAR = {
    "RGBA.png": (encoded(with_alpha("RGBA"), "PNG"), [RED, HALF, WHITE, WHITE]),
    "RGBA.webp": (encoded(with_alpha("RGBA"), "WEBP", lossless=True), [RED, HALF, WHITE, WHITE]),
    "RGBA.tiff": (encoded(with_alpha("RGBA"), "TIFF"), [RED, HALF, WHITE, WHITE]),
    "LA.png": (encoded(with_alpha("LA"), "PNG"), [(76,) * 3, HALF, WHITE, WHITE]),
    "PA.tiff": (encoded(with_alpha("PA"), "TIFF"), [RED, HALF, WHITE, WHITE]),
    "P, one index.png": (encoded(palette(1), "PNG", transparency=1), [RED, WHITE, WHITE, WHITE]),
    "P, alpha of each index.png": (
        encoded(palette(b"\xff\x80"), "PNG", transparency=b"\xff\x80"),
        [RED, *[HALF] * 3],
    ),
    "P.gif": (encoded(palette(1), "GIF", transparency=1), [RED, WHITE, WHITE, WHITE]),
    "RGB, one colour.png": (
        encoded(with_alpha("RGBA").convert("RGB"), "PNG", transparency=(0, 0, 0)),
        [RED, WHITE, WHITE, WHITE],
    ),
    "1 bit.png": (png(1, [1, 0, 1, 0], 0), [WHITE] * 4),
    "8 bits.png": (png(8, [7, 0, 255, 9], 9), [(7,) * 3, (0,) * 3, WHITE, WHITE]),
    "16 bits.png": (
        png(16, [0x0700, 0x0701, 0, 0xFFFF], 0x0701),
        [(7,) * 3, WHITE, (0,) * 3, WHITE],
    ),
}


@pytest.mark.parametrize("name", CLEAR)
def test_transparency_lies_on_white(name, tmp_path):
    data, expected = CLEAR[name]
    (tmp_path / name).write_bytes(data)
    assert drawn(load_image(tmp_path / name)) == expected
    with Image.open(io.BytesIO(data)) as image:
        assert drawn(Split("a", [image], torch.tensor([0]))[0][0]) == expected


@pytest.mark.parametrize("mode", ["La", "RGBa", "PA"])
def test_alpha_that_few_files_hold(mode):
    image = with_alpha("LA").convert("La") if mode == "La" else with_alpha("RGBA").convert(mode)
    assert drawn(rgb(image))[1:] == [HALF, WHITE, WHITE]


def test_a_gallery_shows_what_the_model_sees():
    rows = {
        "a": Split(
            "a",
            [Image.new("RGBA", (4, 4)), Image.fromarray(RAMP.astype(np.uint16) * 257)],
            torch.zeros(2),
        )
    }
    shown = [ax.images[0].get_array() for ax in gallery(rows, ["x"], "x").axes if ax.images]
    assert (shown[0] == 255).all() and np.array_equal(shown[1], GREY)


SAME = {
    "RGB.jpg": NOISE,
    "L.jpg": NOISE.convert("L"),
    "CMYK.jpg": NOISE.convert("CMYK"),
    "RGB.png": NOISE,
    "L.png": NOISE.convert("L"),
    "1.png": NOISE.convert("1"),
    "P.png": NOISE.quantize(16),
    "P.gif": NOISE.quantize(16),
    "RGB.webp": NOISE,
    "RGB.bmp": NOISE,
    "YCbCr.tiff": NOISE.convert("YCbCr"),
    "CMYK.tiff": NOISE.convert("CMYK"),
    "opaque.png": NOISE.convert("RGBA"),
    "LAB.tiff": Image.merge("LAB", NOISE.split()),
    "P.bmp": NOISE.quantize(16),
}


@pytest.mark.parametrize("name", SAME)
def test_other_files_give_the_bits_that_pillow_gives(name, tmp_path):
    path = saved(SAME[name], tmp_path / name)
    for upright in (False, True):
        assert (
            Files([path], upright=upright)[0].tobytes() == Image.open(path).convert("RGB").tobytes()
        )


def exif(orientation):
    block = Image.Exif()
    block[0x0112], block[0x010F] = orientation, "Acme"
    return block.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
def test_photographs_are_turned_as_pillow_turns_them(orientation, ending, tmp_path):
    from PIL import ImageOps

    path = saved(NOISE, tmp_path / f"a.{ending}", exif=exif(orientation))
    with Image.open(path) as image:
        image.load()
        expected = ImageOps.exif_transpose(image).convert("RGB")
    found = Files([path], upright=True)[0]
    assert found.size == expected.size and found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16"])
def test_a_tiff_that_pillow_maps_into_memory_is_turned_rightly(mode, tmp_path):
    image = (
        Image.fromarray(RNG.integers(0, 65536, (40, 60), dtype=np.uint16))
        if mode == "I;16"
        else NOISE.convert(mode)
    )
    path = saved(image, tmp_path / "a.tiff", exif=exif(6))
    for upright in (False, True):  # Pillow turns every TIFF
        found = Files([path], upright=upright)[0]
        assert np.array_equal(np.asarray(found), np.rot90(np.asarray(rgb(image)), -1))


BROKEN = {
    "no block": b"no block at all",
    "cut": exif(6)[:11],
    "header only": b"Exif\0\0",
    "wrong offset": b"Exif\0\0MM\0*\xff\xff\xff\xff",
    "entry cut": exif(6)[:19],
}


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_broken_exif_block_leaves_the_image_readable(name, ending, tmp_path):
    path = saved(NOISE, tmp_path / f"a.{ending}", exif=BROKEN[name])
    assert check_header(path) == "RGB"
    assert Files([path], upright=True)[0].tobytes() == Image.open(path).convert("RGB").tobytes()


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "bmp", "tiff", "ppm"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.6, 0.99])
def test_a_cut_file_is_found_by_a_quick_check(ending, kept, tmp_path):
    path = saved(NOISE, tmp_path / f"cut.{ending}")
    assert check_header(path) == Image.open(path).mode
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    try:
        load_image(path)
    except UserError:
        with pytest.raises(UserError, match=f"cut.{ending}"):
            check_header(path)
    else:  # what was lost holds no pixels
        check_header(path)


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "tiff"])
@pytest.mark.parametrize("tail", [b"\0" * 100, b"\r\n", b"SEFT" * 50])
def test_bytes_after_the_end_are_no_damage(ending, tail, tmp_path):
    path = saved(NOISE, tmp_path / f"a.{ending}")
    whole = load_image(path).tobytes()
    path.write_bytes(path.read_bytes() + tail)
    check_header(path)
    assert load_image(path).tobytes() == whole


def test_the_quick_check_decodes_no_sound_file(tmp_path, monkeypatch):
    paths = [
        saved(NOISE, tmp_path / f"a.{ending}") for ending in ("jpg", "png", "gif", "webp", "tiff")
    ]
    paths.append(saved(NOISE, tmp_path / "lzw.tiff", compression="tiff_lzw"))
    paths.append(saved(NOISE, tmp_path / "padded.jpg"))
    paths[-1].write_bytes(paths[-1].read_bytes() + bytes(20))
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    for path in paths:
        check_header(path)


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"<html>",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"version https://git-lfs.github.com/spec/v1\n",
    ],
)
def test_a_file_that_is_not_an_image_is_named(data, tmp_path):
    if data is not None:
        (tmp_path / "odd.png").write_bytes(data)
    for read in (load_image, check_header):
        with pytest.raises(UserError, match="odd.png"):
            read(tmp_path / "odd.png")


def test_an_image_too_large_to_be_one_is_refused(tmp_path, monkeypatch):
    path = saved(NOISE, tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for read in (load_image, check_header):
        with pytest.raises(UserError, match="bomb.png"):
            read(path)


def test_features_are_kept_apart_by_how_files_are_decoded(tmp_path):
    path = saved(NOISE, tmp_path / "a.jpg", exif=exif(6))
    kinds = [Files([path]), Files([path], upright=True), Files([path], border=2)]
    assert len({files.content() for files in kinds}) == 3
