"""Why a training program ended: one enum, its process exit codes, and what to do about each."""

import enum
import errno
import signal

from lifecycle.errors import CorruptArtifactError, DataError, JobFailedError, RecipeError


class ExitClass(enum.Enum):
    """The cause class of a failed run."""

    CONFIGURATION = "configuration"
    DATA = "data"
    NUMERICS = "numerics"
    OUT_OF_MEMORY = "out_of_memory"
    NODE_FAULT = "node_fault"
    DEVICE_ASSERT = "device_assert"
    PREEMPTION = "preemption"
    NETWORK = "network"
    AGAIN = "again"
    UNKNOWN = "unknown"

    @property
    def code(self) -> int:
        """The process exit code."""
        return _CODES[self]

    @property
    def retryable(self) -> bool:
        """Whether running the same job again can succeed without anything else being changed."""
        return self in (ExitClass.NODE_FAULT, ExitClass.PREEMPTION, ExitClass.NETWORK, ExitClass.AGAIN)

    @property
    def advice(self) -> str:
        """What a person should do."""
        return _ADVICE[self]


_CODES = {
    ExitClass.UNKNOWN: 1,
    ExitClass.CONFIGURATION: 10,
    ExitClass.DATA: 11,
    ExitClass.NUMERICS: 12,
    ExitClass.OUT_OF_MEMORY: 13,
    ExitClass.NODE_FAULT: 14,
    ExitClass.PREEMPTION: 15,
    ExitClass.NETWORK: 16,
    ExitClass.AGAIN: 17,
    ExitClass.DEVICE_ASSERT: 18,
}

_ADVICE = {
    ExitClass.CONFIGURATION: "Correct the recipe field or the setting that the message names; a retry fails the same way.",
    ExitClass.DATA: "Look at the documents that the message names, correct the data, and build its artifact again.",
    ExitClass.NUMERICS: "Look at the loss and gradient norm before the step named; lower the learning rate or lengthen the "
    "warm-up, or inspect the documents named.",
    ExitClass.OUT_OF_MEMORY: "Lower micro_batch (accumulation makes up for it; results stay the same) or raise zero_stage.",
    ExitClass.NODE_FAULT: "Run again on another node; the run continues from its last checkpoint.",
    ExitClass.DEVICE_ASSERT: "Most often an index outside its table (a token id beyond the vocabulary, a position beyond "
    "the last). Where CUDA_LAUNCH_BLOCKING=1 was set (the replay on one node sets it), our last line in the traceback is "
    "the call whose kernel failed; elsewhere it may be a later one: set it in the environment and run again.",
    ExitClass.PREEMPTION: "Run again; the run continues from its last checkpoint.",
    ExitClass.NETWORK: "Check the connection between the ranks and run again; the run continues from its last checkpoint.",
    ExitClass.AGAIN: "Run again; the run has noted what it will do differently and continues from its last checkpoint.",
    ExitClass.UNKNOWN: "Read the traceback in the rank's log.",
}

_ASSERT_WORDS = ("device-side assert",)
_NODE_FAULT_WORDS = ("ecc error", "illegal memory access", "xid", "cuda driver", "unspecified launch")
_NETWORK_WORDS = (
    "nccl",
    "gloo",
    "connection closed by peer",
    "connection reset",
    "connection refused",
    "broken pipe",
    "tcpstore",
)
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")


class ConfigurationError(RecipeError):
    """A job cannot run as configured (checkpoint of another job, a missing input, too little disk)."""


class NumericsError(ArithmeticError):
    """A loss, gradient or weight is not a usable number; the message names the step and the documents."""


class OutOfMemoryError(MemoryError):
    """Memory was short; the message names the step and the micro-batch to try next."""


class StartAgain(BaseException):
    """The run has noted what it will do differently and wants a fresh start. Not an Exception: nothing may swallow it."""


class Preempted(BaseException):
    """The run was asked to stop and has saved a checkpoint. Not an Exception: nothing may swallow it."""


def classify(error: BaseException) -> ExitClass:
    """The cause class of an exception raised in a training program."""
    text = str(error).lower()
    if isinstance(error, (Preempted, KeyboardInterrupt)):
        return ExitClass.PREEMPTION
    if isinstance(error, StartAgain):
        return ExitClass.AGAIN
    if isinstance(error, NumericsError):
        return ExitClass.NUMERICS
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return ExitClass.OUT_OF_MEMORY
    if isinstance(error, (DataError, CorruptArtifactError)):
        return ExitClass.DATA
    if isinstance(error, JobFailedError):
        return ExitClass(error.exit_class)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOENT):
        return ExitClass.CONFIGURATION
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return ExitClass.NODE_FAULT
    if isinstance(error, (RecipeError, ImportError)) or type(error).__name__ == "ValidationError":
        return ExitClass.CONFIGURATION
    if isinstance(error, ConnectionError) or type(error).__name__.startswith("Dist"):
        return ExitClass.NETWORK
    if isinstance(error, RuntimeError):
        for words, found in (
            (_MEMORY_WORDS, ExitClass.OUT_OF_MEMORY),
            (_ASSERT_WORDS, ExitClass.DEVICE_ASSERT),
            (_NODE_FAULT_WORDS, ExitClass.NODE_FAULT),
            (_NETWORK_WORDS, ExitClass.NETWORK),
        ):
            if any(word in text for word in words):
                return found
    return ExitClass.UNKNOWN


def classify_signal(number: int, out_of_memory_seen: bool) -> ExitClass:
    """The cause class of a rank ended by signal `number`; `out_of_memory_seen`: the kernel killed for memory meanwhile."""
    if number == signal.SIGKILL and out_of_memory_seen:
        return ExitClass.OUT_OF_MEMORY
    if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        return ExitClass.PREEMPTION
    if number in (signal.SIGBUS, signal.SIGILL):
        return ExitClass.NODE_FAULT
    return ExitClass.UNKNOWN
