"""The exception for a user's mistake."""


class UserError(ValueError):
    r"""A mistake that the user can fix: one line that names its object and the fix.

    The command line prints it without a traceback and exits with code 2. The message may quote
    another library's, so line breaks are removed.

    Example:
        >>> str(UserError("a.csv is damaged (line 3:\n  two fields); fix it"))
        'a.csv is damaged (line 3: two fields); fix it'
    """

    def __init__(self, message: str):
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


def unknown(kind: str, name: object, known) -> UserError:
    """Return the error for an unknown name, which lists the known ones.

    Example:
        >>> str(unknown("task", "icons", ["arrows", "iconshift"]))
        "unknown task 'icons'; choose one of: arrows, iconshift"
    """
    return UserError(f"unknown {kind} {name!r}; choose one of: {', '.join(map(str, known))}")
