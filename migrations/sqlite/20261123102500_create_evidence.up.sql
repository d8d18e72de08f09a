-- Evidence: pictures, sounds and films that a proctoring client uploads. The files are elsewhere.
CREATE TABLE attempt_evidence (
    id           TEXT NOT NULL,    -- 128 random bits, hexadecimal
    attempt_id   INTEGER NOT NULL, -- the attempt that it is about
    kind         TEXT NOT NULL,    -- what it shows
    content_type TEXT NOT NULL,    -- media type
    bytes        INTEGER NOT NULL, -- size, as announced
    file         TEXT NOT NULL,    -- where it is, within the place of evidence
    session      TEXT,             -- the session in which it was made, as the client says
    event_no     INTEGER,          -- the event of that session which it belongs to, as the client says
    at           INTEGER NOT NULL, -- when it was announced, by the engine's clock
    stored_at    INTEGER,          -- since when the file is known to be there; null: never uploaded
    CONSTRAINT attempt_evidence_pkey PRIMARY KEY (id),
    CONSTRAINT attempt_evidence_id_check CHECK (length(id) = 32 AND id NOT GLOB '*[^0-9a-f]*'),
    CONSTRAINT attempt_evidence_kind_check CHECK (kind IN ('snapshot', 'audio', 'video', 'screen')),
    CONSTRAINT attempt_evidence_bytes_check CHECK (bytes > 0),
    CONSTRAINT attempt_evidence_event_no_check CHECK (event_no >= 0),
    CONSTRAINT attempt_evidence_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES exam_attempts (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX attempt_evidence_attempt_id_idx ON attempt_evidence (attempt_id, at);

-- What is over its time, and what was announced and never came.
CREATE INDEX attempt_evidence_at_idx ON attempt_evidence (at);
CREATE INDEX attempt_evidence_unstored_idx ON attempt_evidence (at) WHERE stored_at IS NULL;
