"""People and keys; study sessions, votes, datasets and exports."""

from typing import Final

from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"
branch_labels: Final = None
depends_on: Final = None

_STATEMENTS: Final = (
    """
CREATE TABLE users (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    password_temporary BOOLEAN NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    disabled_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT users_role CHECK (role IN ('viewer', 'labeller', 'researcher', 'admin')),
    UNIQUE (name)
)""",
    """
COMMENT ON TABLE users IS
    'People who may log in. A person who left is disabled, since others'' records name them.'""",
    "COMMENT ON COLUMN users.name IS 'small letters; shown, and kept in the audit log'",
    "COMMENT ON COLUMN users.password_hash IS 'Argon2id in its own text form'",
    "COMMENT ON COLUMN users.password_temporary IS 'must be changed before anything else is done'",
    """
CREATE TABLE logins (
    token_digest BYTEA NOT NULL,
    user_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (token_digest),
    FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
)""",
    "CREATE INDEX ix_logins_user_id ON logins (user_id)",
    """
COMMENT ON TABLE logins IS
    'Browsers that are logged in. Deleting a row logs that browser out.'""",
    "COMMENT ON COLUMN logins.token_digest IS 'SHA-256 of the cookie''s token'",
    """
CREATE TABLE api_tokens (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    user_id UUID NOT NULL,
    name TEXT NOT NULL,
    token_digest BYTEA NOT NULL,
    scopes TEXT[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
    UNIQUE (token_digest)
)""",
    "CREATE INDEX ix_api_tokens_user_id ON api_tokens (user_id)",
    """
COMMENT ON TABLE api_tokens IS
    'Keys of programs. Each may do what its scopes and its owner''s role both allow.'""",
    "COMMENT ON COLUMN api_tokens.name IS 'what it is for'",
    "COMMENT ON COLUMN api_tokens.token_digest IS 'SHA-256 of the token'",
    """
CREATE TABLE study_sessions (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    participant TEXT NOT NULL,
    condition TEXT DEFAULT '' NOT NULL,
    notes TEXT DEFAULT '' NOT NULL,
    devices TEXT[] NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT study_sessions_in_order CHECK (ended_at > started_at),
    CONSTRAINT study_sessions_devices CHECK (cardinality(devices) > 0)
)""",
    "CREATE INDEX study_sessions_started_at ON study_sessions (started_at)",
    """
COMMENT ON TABLE study_sessions IS
    'A stretch of time of some devices that was recorded with one participant under one condition.'""",
    "COMMENT ON COLUMN study_sessions.participant IS 'a pseudonym; never a name'",
    "COMMENT ON COLUMN study_sessions.devices IS 'whose records belong to it; at least one'",
    """
COMMENT ON COLUMN study_sessions.ended_at IS
    'null while it goes on; what was captured before belongs to it'""",
    """
CREATE TABLE session_markers (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    session_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    text TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(session_id) REFERENCES study_sessions (id) ON DELETE CASCADE
)""",
    "CREATE INDEX session_markers_session_id ON session_markers (session_id, at)",
    """
COMMENT ON TABLE session_markers IS
    'Moments of a session with what was said of them.'""",
    """
CREATE TABLE votes (
    event_id UUID NOT NULL,
    face_index SMALLINT NOT NULL,
    labeller TEXT NOT NULL,
    captured_at TIMESTAMP WITH TIME ZONE NOT NULL,
    device TEXT NOT NULL,
    label TEXT NOT NULL,
    voted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    PRIMARY KEY (event_id, face_index, labeller),
    CONSTRAINT votes_label CHECK (label IN ('angry', 'disgust', 'fear', 'happy', 'sad', 'surprise',
        'neutral', 'unknown', 'not_a_face'))
)""",
    "CREATE INDEX votes_captured_at ON votes (captured_at)",
    "CREATE INDEX votes_labeller ON votes (labeller, voted_at)",
    """
COMMENT ON TABLE votes IS
    'What each labeller called a face; all votes are kept, as FER+ does.'""",
    "COMMENT ON COLUMN votes.labeller IS 'the user''s name'",
    "COMMENT ON COLUMN votes.captured_at IS 'the face''s, to find it in its partition'",
    """
CREATE TABLE datasets (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    name TEXT NOT NULL,
    filter JSONB NOT NULL,
    split JSONB NOT NULL,
    note TEXT DEFAULT '' NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    summary JSONB,
    manifest_sha256 BYTEA,
    erased_items INTEGER DEFAULT '0' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT datasets_state CHECK (state IN ('building', 'ready', 'failed')),
    UNIQUE (name)
)""",
    """
COMMENT ON TABLE datasets IS
    'A choice of labelled faces under a name. Once ready it changes only by erasure.'""",
    "COMMENT ON COLUMN datasets.filter IS 'what was chosen'",
    "COMMENT ON COLUMN datasets.split IS 'shares, seed, and what is done with copies'",
    "COMMENT ON COLUMN datasets.note IS 'licence and consent, for whoever gets an export'",
    "COMMENT ON COLUMN datasets.summary IS 'counts and warnings; null until it is ready'",
    "COMMENT ON COLUMN datasets.manifest_sha256 IS 'over its items in order; null until it is ready'",
    "COMMENT ON COLUMN datasets.erased_items IS 'removed later, by erasures'",
    """
CREATE TABLE dataset_items (
    dataset_id UUID NOT NULL,
    number INTEGER NOT NULL,
    captured_at TIMESTAMP WITH TIME ZONE NOT NULL,
    event_id UUID NOT NULL,
    face_index SMALLINT NOT NULL,
    frame_id UUID NOT NULL,
    device TEXT NOT NULL,
    label TEXT NOT NULL,
    votes JSONB NOT NULL,
    agreement REAL NOT NULL,
    split TEXT NOT NULL,
    person TEXT NOT NULL,
    session_id UUID,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    sha256 BYTEA NOT NULL,
    fingerprint BIGINT NOT NULL,
    image BYTEA NOT NULL,
    PRIMARY KEY (dataset_id, number),
    CONSTRAINT dataset_items_split CHECK (split IN ('train', 'validation', 'test')),
    CONSTRAINT dataset_items_face UNIQUE (dataset_id, event_id, face_index),
    FOREIGN KEY(dataset_id) REFERENCES datasets (id) ON DELETE CASCADE
)""",
    "CREATE INDEX dataset_items_captured_at ON dataset_items (captured_at)",
    "CREATE INDEX dataset_items_event_id ON dataset_items (event_id)",
    """
COMMENT ON TABLE dataset_items IS
    'The faces of a dataset, with their pictures, so that it outlives the retention of what it was made from.'""",
    "COMMENT ON COLUMN dataset_items.votes IS 'how many labellers said what'",
    "COMMENT ON COLUMN dataset_items.agreement IS 'share of the votes that the label has; 0 where the model gave it'",
    "COMMENT ON COLUMN dataset_items.person IS 'a session''s participant, else device, start and track'",
    "COMMENT ON COLUMN dataset_items.sha256 IS 'of the image; equal where the pixels are'",
    """
COMMENT ON COLUMN dataset_items.fingerprint IS
    'dHash of the image; near duplicates differ in few bits'""",
    "COMMENT ON COLUMN dataset_items.image IS 'the face with its margin, PNG'",
    """
CREATE TABLE exports (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    dataset_id UUID NOT NULL,
    format TEXT NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    items_done INTEGER DEFAULT '0' NOT NULL,
    items_total INTEGER NOT NULL,
    bytes BIGINT,
    sha256 BYTEA,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    created_by TEXT NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT exports_state CHECK (state IN ('waiting', 'running', 'ready', 'failed', 'erased')),
    FOREIGN KEY(dataset_id) REFERENCES datasets (id) ON DELETE CASCADE
)""",
    "CREATE INDEX ix_exports_dataset_id ON exports (dataset_id)",
    """
COMMENT ON TABLE exports IS
    'A dataset as one file of a format, on the web service''s disk under its id.'""",
    "ALTER TABLE dataset_items ALTER COLUMN image SET STORAGE EXTERNAL",
)


def upgrade() -> None:
    """Make them."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Remove them, with all that people added to the records."""
    op.execute("DROP TABLE exports, dataset_items, datasets, votes, session_markers, study_sessions")
    op.execute("DROP TABLE api_tokens, logins, users")
