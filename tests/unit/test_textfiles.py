"""Text files and tables as editors and spreadsheets write them: read right, or one error that names
file and line."""

import pytest

from wiseft_lite import UserError
from wiseft_lite._runtime.textfiles import clean, read_lines, read_table, read_text

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
COLUMNS = ("path", "class", "split")
PLAIN = "path,class,split\na.png,café,train\nb.png,dog,test\n"
ROWS = [
    (2, {"path": "a.png", "class": "café", "split": "train"}),
    (3, {"path": "b.png", "class": "dog", "split": "test"}),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_with_a_mark_and_every_line_end(encoding, end, tmp_path):
    (tmp_path / "a.csv").write_bytes(PLAIN.replace("\n", end).encode(encoding))
    assert read_table(tmp_path / "a.csv", COLUMNS) == ROWS
    assert read_lines(tmp_path / "a.csv", "a list")[1] == "a.png,café,train"


def test_big_endian_with_a_mark(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xfe\xff" + "café".encode("utf-16-be"))
    assert read_text(tmp_path / "a.txt", "a text") == "café"


@pytest.mark.parametrize(
    "data, message",
    [
        (
            "a\ncafé\n".encode("latin-1"),
            "a.txt, line 2, is not UTF-8 text; save the file in the encoding UTF-8",
        ),
        ("\ufeffa\n".encode() + b"\xe9", "a.txt, line 2, is not UTF-8 text"),
        ("café".encode("utf-16-le"), "a.txt, line 1, is not UTF-8 text"),
        ("dog".encode("utf-16-be"), "a.txt is not text .it holds zero bytes"),
        (b"\xff\xfea", "a.txt is not UTF-16 text"),
        (None, "a.txt does not exist; give a list"),
        ("folder", "a.txt cannot be read .Is a directory.; give a list"),
        (b"PK\x03\x04\x14\x00\x06\x00\x08\x00", "a.txt is not text"),
    ],
)
def test_what_is_not_such_a_text(data, message, tmp_path):
    path = tmp_path / "a.txt"
    if data == "folder":
        path.mkdir()
    elif data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_lines(path, "a list")


def test_lines_are_clean(tmp_path):
    (tmp_path / "a.txt").write_text(f"\n  {DECOMPOSED}\t\n\n   \nb c", encoding="utf-8")
    assert read_lines(tmp_path / "a.txt", "a list") == [COMPOSED, "b c"]
    assert clean(f"\u00a0{DECOMPOSED} ") == COMPOSED


@pytest.mark.parametrize(
    "text, line",
    [
        (PLAIN, 2),
        (PLAIN.replace(",", ";"), 2),
        (PLAIN.replace(",", "\t"), 2),
        (PLAIN.replace(",", "|"), 2),
        (PLAIN.replace(",", ", "), 2),
        (PLAIN.replace(",", " , "), 2),
        (PLAIN.replace("\n", ",\n"), 2),
        (PLAIN.replace("\n", ",,,\n"), 2),
        ("\n\n" + PLAIN, 4),
        (PLAIN.replace("\n", "\n\n", 1), 3),
        (PLAIN.replace("\n", "\n  \n,,\n", 1), 4),
        ("Path,CLASS, Split \n" + PLAIN.split("\n", 1)[1], 2),
        ('"path","class","split"\n"a.png","café","train"\n"b.png", "dog",test\n', 2),
        (PLAIN + ",,\n\n", 2),
        (PLAIN.removesuffix("\n"), 2),
        ("split,note,path,class\ntrain,,a.png,café\ntest,x,b.png,dog\n", 2),
        ('path,class,split,note\na.png,café,train\nb.png,dog,test,"5"" disc; a, b"\n', 2),
        ('path;class;split\na.png;"café";train\nb.png;dog;test', 2),
    ],
)
def test_tables_that_are_read_right(text, line, tmp_path):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    rows = read_table(tmp_path / "a.csv", COLUMNS)
    assert [{column: row[column] for column in COLUMNS} for _, row in rows] == [
        row for _, row in ROWS
    ]
    assert rows[0][0] == line and text.split("\n")[rows[1][0] - 1] in text


def test_cells_may_hold_separators_quotes_and_line_breaks(tmp_path):
    (tmp_path / "a.csv").write_text('path,class\n"a,1.png","two\nlines"\nb.png,"5"" disc"\n')
    assert read_table(tmp_path / "a.csv", ("path", "class")) == [
        (2, {"path": "a,1.png", "class": "two\nlines"}),
        (4, {"path": "b.png", "class": '5" disc'}),
    ]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty; give a table with the columns path,class,split"),
        ("\n \n", "is empty"),
        ("path,class,split\n", "has no rows below its first line"),
        ("path,class,split\n,,\n\n", "has no rows"),
        ("path,label,split\na,b,c\n", "has no column 'class' .it has path, label, split"),
        ("path class split\na b c\n", "has no column 'path' .it has path class split"),
        ("path,class,split,path\na,b,c,d\n", "has more than one column 'path'"),
        (
            "path,class,split\na,b,c\n\na,1.png,b,c\n",
            "line 4, has 4 cells, the first line has 3; put a cell that holds ','",
        ),
        ("path,class,split\na,b\n", "line 2: split is empty"),
        ("path,class,split\n\n\na, ,c\n", "line 4: class is empty"),
        (
            'path,class,split\na,b,c\n"a,b,c\nd,e,f\n',
            "line 3, is not a row of a table .*close the double quotes",
        ),
        ('path,class,split\n"a" ,b,c\n', "line 2, is not a row of a table"),
        ('path,class,split\n"a"b,c,d\n', "line 2, is not a row of a table"),
        ("sep=;\npath;class;split\na;b;c\n", "has no column 'path' .it has sep=;"),
    ],
)
def test_tables_with_mistakes_name_the_line(text, message, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=f"a.csv.*{message}"):
        read_table(tmp_path / "a.csv", COLUMNS)
