"""The one exception for a user's mistake."""


class UserError(ValueError):
    r"""A mistake that the user can mend: one line that names the thing and the mend.

    The command line prints it without a traceback and exits with code 2. What a library said may
    stand in it, so line breaks are taken out here.

    Example:
        >>> str(UserError("a.csv is damaged (line 3:\n  two fields); mend it"))
        'a.csv is damaged (line 3: two fields); mend it'
    """

    def __init__(self, message: str):
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


def unknown(kind: str, name: object, known) -> UserError:
    """The error for a name that is not known, with the names that are.

    Example:
        >>> str(unknown("task", "icons", ["arrows", "iconshift"]))
        "unknown task 'icons'; choose one of: arrows, iconshift"
    """
    return UserError(f"unknown {kind} {name!r}; choose one of: {', '.join(map(str, known))}")
