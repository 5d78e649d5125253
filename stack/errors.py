"""What the stack prints for a person when it cannot go on."""


class StackError(Exception):
    """A failure whose text is the whole message: printed as one line, without a traceback."""
