"""The tables of people and keys: who may log in, who is logged in, and which programs may ask."""

from typing import Final

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    LargeBinary,
    Table,
    Text,
    Uuid,
    func,
)

from shared.db.tables import metadata, moment

ROLES: Final = ("viewer", "labeller", "researcher", "admin")
"""Each may do all that the ones before it may."""

_ROLE_IS_KNOWN: Final = "role IN ('viewer', 'labeller', 'researcher', 'admin')"

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("name", Text, nullable=False, unique=True, comment="small letters; shown, and kept in the audit log"),
    Column("role", Text, nullable=False),
    Column("password_hash", Text, nullable=False, comment="Argon2id in its own text form"),
    Column("password_temporary", Boolean, nullable=False, comment="must be changed before anything else is done"),
    moment("password_set_at", server_default=func.now(), comment="a temporary one ends some days later"),
    moment("created_at", server_default=func.now()),
    Column("disabled_at", DateTime(timezone=True)),
    CheckConstraint(_ROLE_IS_KNOWN, name="users_role"),
    comment="People who may log in. A person who left is disabled, since others' records name them.",
)

logins = Table(
    "logins",
    metadata,
    Column("token_digest", LargeBinary, primary_key=True, comment="SHA-256 of the cookie's token"),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    moment("created_at", server_default=func.now()),
    moment("seen_at", server_default=func.now()),
    moment("expires_at"),
    comment="Browsers that are logged in. Deleting a row logs that browser out.",
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False, comment="what it is for"),
    Column("token_digest", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the token"),
    Column("scopes", ARRAY(Text), nullable=False),
    moment("created_at", server_default=func.now()),
    Column("expires_at", DateTime(timezone=True)),
    Column("last_used_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
    comment="Keys of programs. Each may do what its scopes and its owner's role both allow.",
)
