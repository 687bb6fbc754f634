"""Give the slider's scripts to the pages that have a place for it, and to no other.

The place is an empty element below the still figure. Where no script runs, as in Jupyter, it shows nothing, and the
figure is all there is.
"""

PLACE = 'id="alpha-demo"'
SCRIPTS = ("alpha-data.js", "alpha-images.js", "alpha.js")


def scripts_of_the_page(app, page, template, context, doctree):
    if PLACE in context.get("body", ""):
        for name in SCRIPTS:
            app.add_js_file(name, loading_method="defer")


def setup(app):
    app.connect("html-page-context", scripts_of_the_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
