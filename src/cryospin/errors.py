"""What can go wrong, as exceptions that name the place and the cure.

What can be *expected* to fail (a run that does not converge) is not here: it is a
value, the verdict of a `Result`.
"""

NOT_CONVERGED_CODE = 4
"""The command line's exit code of a run that finished, but whose result is not to be trusted."""


class CryospinError(Exception):
    """Base of every error this package raises on purpose. `exit_code` is the command line's."""

    exit_code = 1


class BadDataError(CryospinError):
    """The input cannot be used as it is.

    Parameters
    ----------
    problem : str
        What is wrong, with the value.
    file : path, optional
        Where it is.
    row : int, optional
        Data row of the table, counted from 1.
    column : str, optional
        Its name.
    fix : str, optional
        What to do about it.
    """

    exit_code = 3

    def __init__(
        self,
        problem: str,
        *,
        file: object | None = None,
        row: int | None = None,
        column: str | None = None,
        fix: str | None = None,
    ):
        self.problem, self.file, self.row, self.column, self.fix = problem, file, row, column, fix
        where = [str(file)] if file is not None else []
        if row is not None:
            where.append(f"row {row}")
        if column is not None:
            where.append(f"column {column}")
        message = (", ".join(where) + ": " if where else "") + problem
        if fix:
            message += f"\n  fix: {fix}"
        super().__init__(message)


class UsageError(CryospinError):
    """Options that contradict each other or name something that does not exist."""

    exit_code = 2


class InUseError(UsageError):
    """Another process works there."""


class ResourceError(CryospinError):
    """Disk full, output not writable, memory exhausted."""

    exit_code = 5


class InterruptedRunError(CryospinError):
    """A signal ended a run that can be resumed."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted\n  to go on from here: the same command with --resume")
