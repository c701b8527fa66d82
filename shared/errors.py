"""The errors that are told to people: what was wrong, what was expected, and how to mend it."""


class EmotionEdgeError(Exception):
    """Base of the errors whose text is meant for a person to act on.

    A service that meets one at start prints its text as one line and exits; it never shows a traceback.
    """


class SettingsError(EmotionEdgeError):
    """A setting is missing or does not fit. The text names the setting, its value and what was expected."""


class ModelError(EmotionEdgeError):
    """A model folder or model file cannot be used. The text names it and what does not fit."""


class SourceError(EmotionEdgeError):
    """A camera, file or stream cannot be opened or stopped giving frames."""


class BadMessage(EmotionEdgeError):
    """A message from the broker does not keep the contract.

    Attributes:
        topic: where it came from.
        field: the dotted path of the first field that was wrong, or "" where the whole payload was.
        reason: what was wrong with it, in words.
    """

    def __init__(self, topic: str, field: str, reason: str) -> None:
        self.topic = topic
        self.field = field
        self.reason = reason
        super().__init__(f"message on {topic!r}: {field + ': ' if field else ''}{reason}")


class BadPicture(EmotionEdgeError):
    """Bytes that were to be a JPEG are not, or are larger than what is accepted."""
