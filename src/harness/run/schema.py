"""The tables of `run.db`. `events` is append-only; the other tables are the state derived from it,
changed in the same transaction. `commands` is the inbox the command line appends to."""

USER_VERSION = 2

TABLES = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    agent TEXT,
    attempt TEXT,
    data TEXT NOT NULL
) STRICT;
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    commit_hash TEXT NOT NULL,
    tree TEXT NOT NULL,
    agent TEXT NOT NULL,
    operator TEXT NOT NULL,
    parents TEXT NOT NULL,
    refs TEXT NOT NULL,
    title TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at REAL NOT NULL,
    evaluated_at REAL,
    verdict TEXT,
    duplicate_of INTEGER REFERENCES attempts(id),
    directive INTEGER,
    detail TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_verdict_per_tree ON attempts(tree)
    WHERE status NOT IN ('duplicate', 'cancelled', 'sandbox_lost', 'evaluator_error');
CREATE INDEX attempts_of_directive ON attempts(directive) WHERE directive IS NOT NULL;
CREATE TABLE directives (
    number INTEGER PRIMARY KEY,
    agent TEXT NOT NULL,
    operator TEXT NOT NULL,
    base INTEGER NOT NULL,
    refs TEXT NOT NULL,
    reason TEXT NOT NULL,
    recalled TEXT NOT NULL,
    created_at REAL NOT NULL,
    closed_at REAL,
    model TEXT
) STRICT;
CREATE INDEX open_directives ON directives(agent) WHERE closed_at IS NULL;
CREATE TABLE effects (
    agent TEXT NOT NULL,
    key TEXT NOT NULL,
    result TEXT NOT NULL,
    PRIMARY KEY (agent, key)
) STRICT;
CREATE TABLE untold (
    attempt INTEGER PRIMARY KEY REFERENCES attempts(id),
    agent TEXT NOT NULL
) STRICT;
CREATE TABLE interventions (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    agent TEXT NOT NULL,
    rule TEXT NOT NULL,
    reason TEXT NOT NULL,
    text TEXT NOT NULL,
    action TEXT NOT NULL,
    urgent INTEGER NOT NULL,
    evaluations INTEGER NOT NULL,
    firing INTEGER REFERENCES fired(id),
    delivered_at REAL,
    seen_at REAL
) STRICT;
CREATE INDEX waiting_interventions ON interventions(agent) WHERE seen_at IS NULL;
CREATE TABLE fired (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    rule TEXT NOT NULL,
    subject TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    reason TEXT NOT NULL,
    action TEXT NOT NULL,
    targets TEXT NOT NULL,
    evaluations INTEGER NOT NULL,
    limits TEXT NOT NULL,
    nth INTEGER NOT NULL,
    best REAL,
    team_evaluations INTEGER NOT NULL,
    team_best REAL,
    relay INTEGER NOT NULL,
    outcome TEXT,
    note TEXT
) STRICT;
CREATE TABLE model_calls (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    agent TEXT NOT NULL,
    directive INTEGER,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_usd REAL,
    estimated INTEGER NOT NULL,
    model TEXT NOT NULL,
    latency_s REAL NOT NULL
) STRICT;
CREATE INDEX calls_of_directive ON model_calls(directive) WHERE directive IS NOT NULL;
CREATE TABLE memory_log (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    op TEXT NOT NULL,
    agent TEXT NOT NULL,
    query TEXT NOT NULL,
    records TEXT NOT NULL,
    attempt INTEGER,
    directive INTEGER
) STRICT;
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    started_at REAL NOT NULL,
    wall_s REAL NOT NULL,
    reason TEXT
) STRICT;
CREATE TABLE agents (
    agent TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    activity TEXT NOT NULL,
    since REAL NOT NULL
) STRICT;
CREATE TABLE team (
    agent TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    grp INTEGER NOT NULL,
    role TEXT NOT NULL,
    focus TEXT NOT NULL,
    origin TEXT,
    retired_at REAL,
    model TEXT,
    temperature REAL
) STRICT;
CREATE TABLE commands (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    command TEXT NOT NULL,
    arguments TEXT NOT NULL,
    answer TEXT,
    answered_at REAL
) STRICT;
"""
