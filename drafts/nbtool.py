"""dump: nbtool.py dump book/06_interpolate.ipynb > ch06.txt ; build: nbtool.py build ch06.txt book/06_interpolate.ipynb
Cell marks on a line of their own:  '%% md' | '%% code' | '%% code alt=TEXT' | '%% solution' (first line '#@title Solution N.M')."""
import json, sys
def dump(path):
    for c in json.load(open(path))["cells"]:
        m = c["metadata"]
        if c["cell_type"] == "markdown": head = "%% md"
        elif "hide-cell" in m.get("tags", []): head = "%% solution"
        else:
            alt = m.get("mystnb", {}).get("image", {}).get("alt"); head = "%% code" + (f" alt={alt}" if alt else "")
        print(head); print("".join(c["source"]))
def build(text, path):
    chapter = "ch" + path.split("/")[-1][:2]
    cells, current = [], None
    for line in open(text).read().split("\n"):
        if line.startswith("%% "):
            current = [line[3:], []]; cells.append(current)
        elif current is not None: current[1].append(line)
    out = []
    for k, (head, lines) in enumerate(cells):
        src = "\n".join(lines).strip("\n"); lines = src.split("\n")
        source = [l + "\n" for l in lines[:-1]] + [lines[-1]]
        cell = {"cell_type": "markdown" if head == "md" else "code", "id": f"{chapter}-{k:02d}", "metadata": {}, "source": source}
        if head == "solution":
            assert src.startswith("#@title Solution"), src[:40]
            cell["metadata"] = {"cellView": "form", "jupyter": {"source_hidden": True}, "mystnb": {"code_prompt_show": "Show solution"}, "tags": ["hide-cell"]}
        elif head.startswith("code alt="):
            cell["metadata"] = {"mystnb": {"image": {"alt": head[len("code alt="):]}}}
        if cell["cell_type"] == "code":
            cell.update(execution_count=None, outputs=[])
            for l in lines: assert len(l) <= 80, ("line over 80", l)
            assert len(lines) <= 25, ("cell over 25 lines", src[:80])
        out.append(dict(sorted(cell.items())))
    nb = {"cells": out, "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    open(path, "w").write(json.dumps(nb, ensure_ascii=False, indent=1) + "\n")
if sys.argv[1] == "dump": dump(sys.argv[2])
else: build(sys.argv[2], sys.argv[3])
