"""Run by IPython when a kernel of the build starts (``PYTHONSTARTUP``); it leaves no name behind."""

__import__("screen_figures").register()
