"""Tables of a memory, in words that SQLite and PostgreSQL both understand, and the version they are of."""

SCHEMA_VERSION = 4

# The log is `messages`, `edits`, `sessions` (names), `pins`, `hand_facts` and `user_zones`; everything else is derived from it.
# In `sessions`: places up to long_upto stand in the long level, those up to stale_upto in the stale one, the rest in current.
TABLES = (
    """CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS sessions (
        number {serial}, user_name TEXT NOT NULL, name TEXT NOT NULL,
        last_place {int} NOT NULL DEFAULT 0, num_messages {int} NOT NULL DEFAULT 0, num_words {int} NOT NULL DEFAULT 0,
        current_tokens {int} NOT NULL DEFAULT 0, stale_tokens {int} NOT NULL DEFAULT 0, long_tokens {int} NOT NULL DEFAULT 0,
        stale_upto {int} NOT NULL DEFAULT 0, long_upto {int} NOT NULL DEFAULT 0, facts_upto {int} NOT NULL DEFAULT 0,
        UNIQUE (user_name, name))""",
    """CREATE TABLE IF NOT EXISTS messages (
        number {int} PRIMARY KEY, session {int} NOT NULL, id TEXT NOT NULL, role TEXT NOT NULL, is_reply {int} NOT NULL,
        content TEXT NOT NULL, time {real} NOT NULL, num_tokens {int} NOT NULL, num_words {int} NOT NULL,
        UNIQUE (session, id))""",
    """CREATE INDEX IF NOT EXISTS messages_by_time ON messages (session, time)""",
    """CREATE TABLE IF NOT EXISTS summaries (
        number {serial}, session {int} NOT NULL, level TEXT NOT NULL, first_place {int} NOT NULL, last_place {int} NOT NULL,
        first_time {real} NOT NULL, last_time {real} NOT NULL, source_tokens {int} NOT NULL,
        text TEXT NOT NULL, num_tokens {int} NOT NULL, num_words {int} NOT NULL, method TEXT NOT NULL)""",
    """CREATE INDEX IF NOT EXISTS summaries_by_place ON summaries (session, first_place)""",
    """CREATE TABLE IF NOT EXISTS facts (
        number {serial}, session {int} NOT NULL, subject TEXT NOT NULL, relation TEXT NOT NULL, value TEXT NOT NULL,
        kind TEXT NOT NULL, time {real} NOT NULL, source {int} NOT NULL, num_words {int} NOT NULL,
        superseded_by {int}, contradicts TEXT NOT NULL DEFAULT '[]', value_hash {int})""",
    """CREATE INDEX IF NOT EXISTS facts_by_subject ON facts (session, subject, relation)""",
    """CREATE INDEX IF NOT EXISTS facts_by_source ON facts (source)""",
    """CREATE TABLE IF NOT EXISTS pins (
        number {serial}, user_name TEXT NOT NULL, session {int}, text TEXT NOT NULL, time {real} NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS jobs (
        number {serial}, kind TEXT NOT NULL, session {int} NOT NULL, target {int} NOT NULL, wanted {int} NOT NULL DEFAULT 1,
        attempts {int} NOT NULL DEFAULT 0, not_before {real} NOT NULL DEFAULT 0, leased_until {real} NOT NULL DEFAULT 0,
        owner TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '', UNIQUE (kind, session, target))""",
)

# Of the log, too: what messages said before they were edited; what people set and retract by hand (`ends`: a retraction);
# where users' clocks hang.
LATER_TABLES = (
    """CREATE TABLE IF NOT EXISTS edits (
        message {int} NOT NULL, version {int} NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL, time {real} NOT NULL,
        UNIQUE (message, version))""",
    """CREATE TABLE IF NOT EXISTS hand_facts (
        number {serial}, session {int} NOT NULL, subject TEXT NOT NULL, relation TEXT NOT NULL, value TEXT NOT NULL,
        kind TEXT NOT NULL, is_single {int} NOT NULL, ends {int} NOT NULL, time {real} NOT NULL, valid_until {real})""",
    """CREATE TABLE IF NOT EXISTS user_zones (user_name TEXT PRIMARY KEY, time_zone TEXT NOT NULL)""",
)

# What stores may lack, since it came later: (table, column, type), and indexes that need such columns. `migration` fills them.
# sessions.owner: under which the session's terms stand in the index, the same for all of a user's (see `scope`).
# messages.ahead: 1 where it was dated beyond tomorrow when it came; thousandths: of a token, what its words add to the estimate
# of a context (see `quoting`).
# facts.repeats: the fact that the row only says again; own_until: how long it holds by itself, valid_until with its repeats.
LATER_COLUMNS = (
    ("facts", "value_hash", "{int}"),
    ("facts", "valid_until", "{real}"),
    ("facts", "user_name", "TEXT"),
    ("facts", "is_single", "{int}"),
    ("facts", "repeats", "{int}"),
    ("facts", "own_until", "{real}"),
    ("sessions", "owner", "{int}"),
    ("messages", "ahead", "{int}"),
    ("messages", "thousandths", "{int}"),
)
LATER_INDEXES = (
    """CREATE INDEX IF NOT EXISTS facts_of_user ON facts (user_name, subject, relation, value_hash)""",
    """CREATE INDEX IF NOT EXISTS facts_in_force ON facts (user_name, time, number) WHERE superseded_by IS NULL""",
    """CREATE INDEX IF NOT EXISTS facts_by_kind ON facts (user_name, kind, time, number) WHERE superseded_by IS NULL""",
    """CREATE INDEX IF NOT EXISTS facts_that_meet ON facts (user_name, subject, relation)
        WHERE is_single = 1 OR kind IN ('end', 'end of all')""",
    """CREATE INDEX IF NOT EXISTS summaries_in_outline ON summaries (session, last_time, number, method, num_tokens)""",
    """CREATE INDEX IF NOT EXISTS messages_ahead ON messages (session, number) WHERE ahead = 1""",
)
FORMER_INDEXES = ("facts_that_hold", "facts_that_end", "facts_by_hand")

SQLITE_TYPES = {"serial": "INTEGER PRIMARY KEY AUTOINCREMENT", "int": "INTEGER", "real": "REAL"}
POSTGRES_TYPES = {
    "serial": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
    "int": "BIGINT",
    "real": "DOUBLE PRECISION",
}

# Derived rows. A rebuild empties them; `sessions` keeps its names and counts are taken again.
DERIVED_TABLES = ("summaries", "facts", "jobs", "vectors")
