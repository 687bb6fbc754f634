"""The built site: its pages, and how tests open them and look at them."""

from pathlib import Path

import patience

SITE = Path(__file__).resolve().parents[2] / "_build" / "html"
PAGES = (
    sorted(p.relative_to(SITE).as_posix() for p in SITE.glob("book/**/*.html"))
    if SITE.exists()
    else []
)
CHAPTERS = [page for page in PAGES if page.split("/")[-1][:2].isdigit()]
WIDTHS = (1280, 390)


def opened(browser, **settings):
    """A new page that waits as long as a busy machine needs."""
    page = browser.new_page(**settings)
    page.set_default_timeout(patience.PAGE)
    return page


def show(page, theme):
    """Show an open page in a theme, as its button sets it."""
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    # Colours fade into a theme; what is out of sight would do so when it comes into sight.
    page.evaluate("document.getAnimations().forEach(a => a instanceof CSSTransition && a.finish())")


def axe_findings(page):
    """Return what hinders a reader on a page, with its place."""
    from axe_playwright_python.sync_playwright import Axe

    # Without preload it does not ask for style sheets, at addresses that it guesses.
    results = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"], "preload": False})
    return [
        f"{v['id']}: {v['nodes'][0]['target']}"
        for v in results.response["violations"]
        if v["impact"] in ("serious", "critical")
    ]


def serious_findings(page):
    """Return what hinders a reader on a page, and close it."""
    found = axe_findings(page)
    page.close()
    return found
