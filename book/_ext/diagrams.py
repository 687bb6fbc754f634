"""Put diagrams into the page itself, so that their colours follow the page's theme. An image that is
linked sees the system's theme alone. The sources stay plain Markdown."""

from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

MARK = 'class="diagram"'  # as data_scripts/drawing.py writes it


class Inline(SphinxPostTransform):
    default_priority = 5
    formats = ("html",)

    def run(self, **kwargs):
        for image in list(self.document.findall(nodes.image)):
            path = Path(self.app.srcdir, image["uri"])
            if path.suffix == ".svg" and path.exists() and MARK in (text := path.read_text()):
                image.replace_self(nodes.raw("", text, format="html"))


def setup(app):
    app.add_post_transform(Inline)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
