"""How long a test waits before it calls a process or a page hung: time is never what fails it, on
any machine."""

SECONDS = 3600  # for a process, which needs minutes on a slow and busy machine
PAGE = 600_000  # milliseconds for a page in a browser, which needs seconds there
