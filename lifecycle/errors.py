"""Errors that a user can act on. Each message names the file or field, what is wrong, and what to do."""


class LifecycleError(Exception):
    """Base of every error that this project raises on purpose."""


class RecipeError(LifecycleError):
    """The recipe does not say what it must; the message names the field."""


class DataError(LifecycleError):
    """Input data is missing, empty or damaged beyond the recipe's tolerance."""


class CorruptArtifactError(LifecycleError):
    """A stored file is not what its manifest says."""


class EndpointError(LifecycleError):
    """A chat endpoint is not named, is away, or refuses whatever it is asked."""


class JobFailedError(LifecycleError):
    """A training or generation program ended badly; `exit_class` says of what kind."""

    def __init__(self, message: str, exit_class: str) -> None:
        super().__init__(message)
        self.exit_class = exit_class
