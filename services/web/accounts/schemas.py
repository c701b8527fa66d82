"""What the REST interface takes and gives of people, logins and keys. Passwords and tokens never print."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints

from services.web.accounts.passwords import MAX_LENGTH, MIN_LENGTH
from services.web.accounts.queries import Key, Person
from services.web.gate import Right
from services.web.schemas import Moment
from shared.messages import Timestamp

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._@-]{0,63}$"

Role = Literal["viewer", "labeller", "researcher", "admin"]
Login = Literal["required", "off"]


def _small(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def in_one_line(value: str) -> str:
    """`value`, if it can be shown and stored.

    Raises:
        ValueError: for control characters and what is no character.
    """
    if not value.isprintable():
        raise ValueError("expected text in one line, without control characters")
    return value


UserName = Annotated[
    str,
    BeforeValidator(_small),
    StringConstraints(pattern=NAME_PATTERN),
    Field(description="small letters, digits, and . _ @ - between them; at most 64", examples=["anna"]),
]
Password = Annotated[SecretStr, Field(min_length=1, max_length=MAX_LENGTH)]
NewPassword = Annotated[
    SecretStr, Field(max_length=MAX_LENGTH, description=f"at least {MIN_LENGTH} characters, and not the name")
]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class LoginAttempt(_Asked):
    """Who wants in."""

    # No pattern: a name that cannot exist is answered as one that does not.
    name: Annotated[str, BeforeValidator(_small), Field(max_length=256, examples=["anna"])]
    password: Password


class LogOut(_Asked):
    """Out of this browser, or of all."""

    everywhere: bool = Field(default=False, description="true: end the logins of all your browsers")


class PasswordChange(_Asked):
    """The old one proves that it is you."""

    old: Password
    new: NewPassword


class Me(_Answer):
    """Who asks, and what they may do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "anna",
                    "role": "researcher",
                    "rights": ["view", "label", "research"],
                    "known_by": "login",
                    "password_temporary": False,
                    "login": "required",
                }
            ]
        }
    )

    name: str
    role: Role | None = Field(description="null where nobody logs in")
    rights: list[Right]
    known_by: Literal["login", "key"] | None
    password_temporary: bool = Field(description="nothing else may be done before it is changed")
    login: Login = Field(description="off: nobody logs in here, everybody who reaches the service may do everything")


class PersonEntry(_Answer):
    """Somebody who may log in, or might."""

    id: UUID
    name: str
    role: Role
    password_temporary: bool
    password_ends_at: Timestamp | None = Field(
        description="when a temporary password stops to let its person in; null: it is their own"
    )
    created_at: Timestamp
    disabled_at: Timestamp | None
    logins: int = Field(description="browsers in which they are logged in")
    seen_at: Timestamp | None = Field(description="when one of those was last heard; null where there is none")
    keys: int = Field(description="keys that are in force")


class PersonList(_Answer):
    """Everybody, by name."""

    items: list[PersonEntry]


class AddPerson(_Asked):
    """Who is to be let in."""

    name: UserName
    role: Role = "viewer"


class ChangePerson(_Asked):
    """What is not named stays as it is."""

    role: Role | None = None
    disabled: bool | None = Field(default=None, description="true: may log in no more, and is logged out")


class PersonWithPassword(_Answer):
    """Somebody with a temporary password, which is shown in this answer and never again."""

    person: PersonEntry
    temporary_password: str = Field(examples=["k3fw-9qtm-x2hp-d7ra"])


class LoggedOut(_Answer):
    """How many browsers were logged out."""

    ended: int


class KeyEntry(_Answer):
    """A program's key, without its token."""

    id: UUID
    owner: str
    name: str
    scopes: list[Right]
    created_at: Timestamp
    expires_at: Timestamp | None = Field(description="null: it does not end by itself")
    last_used_at: Timestamp | None
    revoked_at: Timestamp | None


class KeyList(_Answer):
    """Keys, newest first."""

    items: list[KeyEntry]


class KeyQuery(_Asked):
    """Whose keys."""

    everybodys: bool = Field(default=False, description="true: those of all people; needs the right admin")


class MakeKey(_Asked):
    """What a key is for, and what it may do."""

    name: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
        AfterValidator(in_one_line),
        Field(description="what it is for", examples=["notebook on the lab's server"]),
    ]
    scopes: list[Right] = Field(min_length=1, max_length=4, examples=[["view"]])
    expires_at: Moment | None = Field(default=None, examples=["2027-03-01T00:00:00Z"])


class KeyWithToken(_Answer):
    """A key with its token, which is shown in this answer and never again."""

    key: KeyEntry
    token: str = Field(
        description="send it as Authorization: Bearer …", examples=["ee_…43 letters, digits, hyphens and underscores…"]
    )


def entry_of_person(person: Person) -> PersonEntry:
    """As REST gives it: without the password's hash."""
    user = person.user
    values: dict[str, Any] = {
        "id": user.id,
        "name": user.name,
        "role": user.role,
        "password_temporary": user.password_temporary,
        "password_ends_at": user.password_ends_at,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
    }
    return PersonEntry(**values, logins=person.logins, seen_at=person.seen_at, keys=person.keys)


def entry_of_key(key: Key) -> KeyEntry:
    """As REST gives it."""
    return KeyEntry.model_validate(key, from_attributes=True)
